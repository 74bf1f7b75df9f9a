//! Rewards: what each completion earns, by name, and their weighted sum.
//!
//! The verifier judges the final answer; built-in rewards follow from its verdict and the length, or from the policy's own likelihood of the known answer;
//! external ones come from commands and HTTP endpoints. All are computed for a whole step at once.

mod built_in;
mod command;
mod external;
pub(crate) mod http;
mod likelihood;
pub mod name;
mod question;
pub(crate) mod source;
#[cfg(test)]
mod testing;
#[cfg(all(test, unix))]
mod tests;
mod verify;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;

pub use built_in::{BuiltIn, CosineScaled, SoftOverlong, linear_length};
pub use likelihood::AnswerLikelihood;
pub use name::RewardName;
pub use question::{AnswerScore, Completion, Question};
pub use verify::{Verdict, Verifier, comparison};

use crate::config::Config;
use crate::error::Result;
use crate::resume::{Resumable, from_state};
use external::External;
use serde_json::Value;
use source::{LOOK, Row};

/// What a completion earns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// Rewards by name, unweighted; `None` where one does not apply to this completion.
    pub rewards: BTreeMap<String, Option<f64>>,
    /// Weighted sum of those that apply; `None` where none does.
    pub reward: Option<f64>,
}

/// The rewards of a run.
pub struct Rewards {
    built_in: BuiltIn,
    answer_likelihood: Option<AnswerLikelihood>,
    external: Vec<External>,
}

impl Rewards {
    /// The rewards of `config` whose weight is not 0; commands are started. Errors: a command that can't be started, an endpoint's key that
    /// is not in the environment.
    pub fn new(config: &Config) -> Result<Self> {
        let used = config.reward.external.iter().filter(|(_, section)| section.weight != 0.0);
        let gated = |name: &String| config.reward.gate_on_correctness.contains(name);
        let external = used.map(|(name, section)| External::new(name, section, gated(name))).collect::<Result<_>>()?;
        Ok(Self { built_in: BuiltIn::new(config), answer_likelihood: AnswerLikelihood::new(config), external })
    }

    /// Whether a reward needs [`Completion::answer`].
    pub fn ask_for_answers(&self) -> bool {
        self.answer_likelihood.is_some()
    }

    /// Rewards every completion; the result has the shape of `questions`. External rewards are asked side by side; `listener` is told of
    /// attempts that failed. Errors: an external reward that fails for good, by its name.
    pub fn score(&mut self, questions: &[Question], listener: &mut dyn Listener) -> Result<Vec<Vec<Scored>>> {
        let rows: Vec<Row> = questions.iter().flat_map(Row::of).collect();
        let mut scored: Vec<Scored> = Vec::with_capacity(rows.len());
        for question in questions {
            let group: Vec<_> = question.completions.iter().map(|completion| (completion.verdict, completion.tokens)).collect();
            scored.extend(self.built_in.rewards(&group).into_iter().zip(&question.completions).map(|(rewards, completion)| {
                let mut rewards: BTreeMap<_, _> = rewards.into_iter().map(|(name, value)| (name, Some(value))).collect();
                if let Some(likelihood) = &self.answer_likelihood {
                    rewards.insert(RewardName::AnswerLikelihood.to_string(), likelihood.reward(completion));
                }
                Scored { rewards, reward: None }
            }));
        }
        let (notices, told) = std::sync::mpsc::channel();
        let stopping = AtomicBool::new(false);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let ask = |external| {
                let (notices, rows, stopping) = (notices.clone(), &rows, &stopping);
                scope.spawn(move || External::score(external, rows, &notices, stopping))
            };
            let asked: Vec<_> = self.external.iter_mut().map(ask).collect();
            drop(notices);
            loop {
                match told.recv_timeout(LOOK) {
                    Ok(notice) => listener.notice(notice),
                    Err(RecvTimeoutError::Timeout) => drop(stopping.fetch_or(listener.is_stopping(), Ordering::Relaxed)),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            asked.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        for (external, answer) in self.external.iter().zip(answers) {
            for (scored, value) in scored.iter_mut().zip(answer?) {
                scored.rewards.insert(external.name().to_owned(), value);
            }
        }
        let mut weights: Vec<(&str, f64)> = self.built_in.weights().map(|(name, weight)| (name.as_str(), weight)).collect();
        weights.extend(self.answer_likelihood.map(|likelihood| (RewardName::AnswerLikelihood.as_str(), likelihood.weight)));
        weights.extend(self.external.iter().map(|external| (external.name(), external.weight())));
        for scored in &mut scored {
            let applied = weights.iter().filter_map(|(name, weight)| Some(weight * scored.rewards.get(*name).copied().flatten()?));
            scored.reward = applied.reduce(|sum, value| sum + value);
        }
        let mut scored = scored.into_iter();
        Ok(questions.iter().map(|question| scored.by_ref().take(question.completions.len()).collect()).collect())
    }

    /// Ends the commands; they are started again if rewards are asked for once more.
    pub fn close(&mut self) {
        self.external.iter_mut().for_each(External::close);
    }
}

/// Whom rewards talk to while they are asked.
pub trait Listener {
    /// An attempt failed and is made again.
    fn notice(&mut self, notice: String);
    /// Whether the run is to stop: then a source that doesn't answer is soon given up.
    fn is_stopping(&mut self) -> bool {
        false
    }
}

impl<F: FnMut(String)> Listener for F {
    fn notice(&mut self, notice: String) {
        self(notice);
    }
}

/// How many rows each external reward was sent: their numbers go on. What a command or an endpoint remembers is its own.
impl Resumable for Rewards {
    fn state(&self) -> Result<Value> {
        let Self { built_in: _, answer_likelihood: _, external } = self;
        Ok(external
            .iter()
            .map(|external| (external.name().to_owned(), Value::from(external.sent())))
            .collect::<serde_json::Map<_, _>>()
            .into())
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        let sent: BTreeMap<String, u64> = from_state(state)?;
        for external in &mut self.external {
            // Where the run goes back, numbers that were used are not used again.
            external.continue_after(sent.get(external.name()).copied().unwrap_or(0).max(external.sent()));
        }
        Ok(())
    }
}
