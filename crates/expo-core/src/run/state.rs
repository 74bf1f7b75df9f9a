//! Everything of a run that changes while it goes on: what a checkpoint holds.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::evaluation::{Best, Evaluator};
use super::watchdog::Watchdog;
use crate::config::Config;
use crate::draw::Source;
use crate::draw::groups::Groups;
use crate::error::Result;
use crate::feed::documents::DocumentFeed;
use crate::policy::policies::Policies;
use crate::policy::{Lm, Policy};
use crate::resume::{Resumable, from_state};

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunSummary {
    /// Steps made.
    pub steps: usize,
    /// Wall time in seconds, of all processes that were at work on the run.
    pub seconds: f64,
    /// Tokens sampled, rollouts and explanations.
    pub sampled_tokens: usize,
    /// Tokens that went through forward and backward passes.
    pub trained_tokens: usize,
    /// Problems left out because they exceed the context.
    pub problems_too_long: usize,
    /// Documents left out because they exceed the context.
    pub documents_too_long: usize,
    /// Preference pairs left out because they exceed the context.
    pub pairs_too_long: usize,
    /// Rows of preference files left out because they can't be used.
    pub pairs_skipped: usize,
    /// The best evaluation, where `eval.metric_for_best_model` says which one that is.
    pub best: Option<Best>,
    /// Whether the run stopped because that metric had not got better.
    pub stopped_early: bool,
    /// The trained model's folder, where one was written.
    pub model: Option<PathBuf>,
    /// Whether the run was stopped before its last step, as the observer asked.
    pub stopped: bool,
    /// The checkpoint that was written when it was stopped.
    pub checkpoint: Option<PathBuf>,
}

impl Resumable for RunSummary {
    fn state(&self) -> Result<Value> {
        let Self { steps, seconds, sampled_tokens, trained_tokens, best, stopped_early, .. } = self;
        Ok(json!({
            "steps": steps, "seconds": seconds, "sampled_tokens": sampled_tokens, "trained_tokens": trained_tokens, "best": best,
            "stopped_early": stopped_early,
        }))
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        let field = |name: &str| state.get(name).cloned().unwrap_or_default();
        self.steps = from_state(field("steps"))?;
        self.seconds = from_state(field("seconds"))?;
        self.sampled_tokens = from_state(field("sampled_tokens"))?;
        self.trained_tokens = from_state(field("trained_tokens"))?;
        self.best = from_state(field("best"))?;
        self.stopped_early = from_state(field("stopped_early"))?;
        Ok(())
    }
}

/// What changes from step to step.
pub struct State {
    /// The weights.
    pub policies: Policies,
    /// Where steps come from; `None`: from documents alone.
    pub source: Option<Box<dyn Source>>,
    /// The documents of SFT and rehearsal.
    pub documents: Option<DocumentFeed>,
    /// Evaluates the policy now and then.
    pub evaluator: Option<Evaluator>,
    /// Looks at every update.
    pub watchdog: Watchdog,
    /// Optimizer steps made.
    pub optimizer_steps: usize,
    /// Whether what comes before the first step is done.
    pub prepared: bool,
    /// What the run has come to.
    pub summary: RunSummary,
}

/// The parts of a [`State`].
pub struct Parts<'a> {
    /// The policy that is trained.
    pub policy: &'a mut dyn Policy,
    /// Further weights, by name.
    pub models: Vec<(&'static str, &'a mut dyn Lm)>,
    /// Everything small, by name.
    pub values: Vec<(&'static str, &'a mut dyn Resumable)>,
}

impl State {
    /// Takes the state apart. No field is left out by `..`: of a new one it has to be said here whether a checkpoint holds it.
    pub fn parts(&mut self) -> Parts<'_> {
        let Self { policies, source, documents, evaluator, watchdog, optimizer_steps, prepared, summary } = self;
        let (policy, models) = policies.parts();
        let own: [(&'static str, &mut dyn Resumable); 6] = [
            ("documents", documents),
            ("optimizer_steps", optimizer_steps),
            ("evaluator", evaluator),
            ("prepared", prepared),
            ("watchdog", watchdog),
            ("summary", summary),
        ];
        let mut values: Vec<_> = own.into();
        if let Some(source) = source {
            source.parts(&mut values);
        }
        Parts { policy, models, values }
    }

    /// Counts of what is passed over when a run of `config` goes on, by part and field (empty: the part itself), and the most that each can be; `documents` of them are
    /// drawn for each optimizer step.
    pub fn most(&self, config: &Config, documents: usize) -> [(&'static str, &'static str, usize); 2] {
        let train = &config.train;
        let wanted = train.steps.saturating_mul(train.num_iterations).saturating_mul(documents);
        let most_documents = self.documents.as_ref().map_or(0, |documents| documents.most_taken(wanted));
        [("questions_drawn", "", Groups::most_questions(config)), ("documents", "position", most_documents)]
    }
}
