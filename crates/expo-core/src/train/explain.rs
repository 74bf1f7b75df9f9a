//! Self-explanations: made with the answer shown, filtered, kept for as long as the configuration says.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::checkpoint::{Resumable, from_state, to_state};
use super::problems::PreparedProblem;
use super::task::{Task, tokens_before};
use crate::config::{ExpSection, OnMismatch};
use crate::error::Result;
use crate::objective::{Explanation, Explanations, LoggedExplanation};
use crate::reward::BuiltIn;
use crate::rollout::Rollout;
use crate::rollout::seed::{Purpose, derive};
use expo_lm::generate::{FinishReason, Generated, Request, SamplingParams};
use expo_lm::model::Model;

/// Makes explanations and holds those that are to be used again.
pub struct Explainer {
    options: ExpSection,
    rewards: BuiltIn,
    run_seed: u64,
    store: HashMap<usize, Explanations>,
}

impl Explainer {
    /// With nothing made yet; `rewards` are those to be logged.
    pub fn new(options: ExpSection, rewards: BuiltIn, run_seed: u64) -> Self {
        Self { options, rewards, run_seed, store: HashMap::new() }
    }

    /// Forgets explanations that are due to be made anew at `step` (every `every` steps; never with 0). Returns whether they were due.
    pub fn refresh(&mut self, step: usize) -> bool {
        let due = self.options.every > 0 && step.is_multiple_of(self.options.every);
        if due {
            self.clear();
        }
        due
    }

    /// Forgets all explanations.
    pub fn clear(&mut self) {
        self.store.clear();
    }

    /// The explanations of problem `index`, if made.
    pub fn of(&self, index: usize) -> Option<&Explanations> {
        self.store.get(&index)
    }

    /// Makes the explanations of those of `indices` that have none, written by `writer`. Returns the number of sampled tokens.
    pub fn make(
        &mut self,
        task: &dyn Task,
        rollout: &mut dyn Rollout,
        writer: &Model,
        problems: &[PreparedProblem],
        indices: &[usize],
        step: usize,
    ) -> Result<usize> {
        let mut missing: Vec<usize> = indices.iter().copied().filter(|index| !self.store.contains_key(index)).collect();
        missing.sort_unstable();
        missing.dedup();
        let requests: Vec<Request> = missing.iter().map(|index| self.request(task, &problems[*index], *index, step)).collect();
        let generated = rollout.generate(writer, &requests)?;
        let mut tokens = 0;
        for (index, samples) in missing.into_iter().zip(generated) {
            tokens += samples.iter().map(|sample| sample.tokens.len()).sum::<usize>();
            let explanations = filter(task, &self.options, &self.rewards, &problems[index], &samples)?;
            self.store.insert(index, explanations);
        }
        Ok(tokens)
    }

    fn request(&self, task: &dyn Task, problem: &PreparedProblem, index: usize, step: usize) -> Request {
        let options = &self.options;
        let seeds = (0..options.num_explanations as u64)
            .map(|sample| derive(self.run_seed, Purpose::Explanation, &[step as u64, index as u64, sample]))
            .collect();
        Request {
            prompt: problem.explanation_prompt.clone(),
            seeds,
            sampling: SamplingParams {
                temperature: options.temperature as f32,
                top_k: options.top_k,
                top_p: options.top_p as f32,
                min_p: options.min_p as f32,
                max_new_tokens: options.max_new_tokens,
                stop_token_ids: task.stop_token_ids().to_vec(),
            },
        }
    }
}

/// The explanations that are to be used again.
impl Resumable for Explainer {
    fn state(&self) -> Result<Value> {
        let Self { options: _, rewards: _, run_seed: _, store } = self;
        to_state(&store.iter().collect::<BTreeMap<_, _>>())
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        self.store = from_state(state)?;
        Ok(())
    }
}

/// Applies the filters and the cut between the chain of thought and the final answer.
pub fn filter(
    task: &dyn Task,
    options: &ExpSection,
    rewards: &BuiltIn,
    problem: &PreparedProblem,
    samples: &[Generated],
) -> Result<Explanations> {
    let mut result = Explanations { made: samples.len(), ..Explanations::default() };
    let body = |sample: &Generated| sample.tokens.len() - usize::from(sample.finish == FinishReason::Stop);
    let texts: Vec<String> = samples.iter().map(|sample| task.decode(&sample.tokens[..body(sample)])).collect::<Result<_>>()?;
    let verdicts = task.verify(&texts.iter().map(|text| (&problem.problem, text.as_str())).collect::<Vec<_>>());
    let lengths = samples.iter().map(|sample| sample.tokens.len());
    let rewards = rewards.rewards(&verdicts.iter().zip(lengths).collect::<Vec<_>>());
    for (((sample, text), verdict), rewards) in samples.iter().zip(texts).zip(&verdicts).zip(rewards) {
        let body = &sample.tokens[..body(sample)];
        result.matched += usize::from(verdict.correct);
        let steps_right = task.steps_right(&problem.problem, &text);
        if let Some(right) = steps_right {
            *result.steps_right.get_or_insert(0) += usize::from(right);
        }
        let thought = match verdict.answer_start {
            Some(start) => tokens_before(task, body, start)?,
            None => body.len(),
        };
        let lower = text.to_lowercase();
        let leaks = options.leak_phrases.iter().any(|phrase| lower.contains(&phrase.to_lowercase()));
        let truncated = sample.finish == FinishReason::Length;
        let mut tokens = sample.tokens.clone();
        let outcome = if truncated {
            "truncated"
        } else if !verdict.correct && (options.on_mismatch == OnMismatch::Drop || task.is_unfinished_thought(&text)) {
            "mismatch"
        } else if options.drop_leaks && leaks {
            "leak"
        } else if sample.tokens.len() < options.min_tokens {
            "too_short"
        } else if options.max_tokens > 0 && sample.tokens.len() > options.max_tokens {
            "too_long"
        } else if verdict.correct {
            "kept"
        } else {
            tokens.truncate(thought);
            tokens.extend_from_slice(&problem.suffix.tokens);
            tokens.extend_from_slice(task.end_of_turn()?);
            "replaced"
        };
        if matches!(outcome, "kept" | "replaced") {
            result.kept.push(Explanation { tokens: tokens.clone(), thought, reference_log_probs: None });
        }
        let correct = verdict.correct;
        result.log.push(LoggedExplanation { text, outcome, tokens, thought, correct, leaks, truncated, rewards, steps_right });
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::objective::{Draws, EncodedDocument};
    use crate::train::problems::prepare;
    use crate::train::testing::{CharTask, END, problems, tiny_model};

    fn prepared() -> Vec<PreparedProblem> {
        let draws = Draws { rollouts: true, explanations: true, ..Draws::default() };
        let mut config = Config::default();
        (config.rollout.max_new_tokens, config.exp.max_new_tokens) = (20, 20);
        prepare(&config, &CharTask::new(), draws, problems(4), 128).unwrap().prepared
    }

    /// A completion of `text`, ended or cut off.
    fn sample(text: &str, finish: FinishReason) -> Generated {
        let mut tokens = CharTask::new().encode(text).unwrap();
        if finish == FinishReason::Stop {
            tokens.push(END);
        }
        Generated { log_probs: vec![-1.0; tokens.len()], tokens, finish }
    }

    #[test]
    fn filters_and_the_cut() {
        let (task, rewards) = (CharTask::new(), BuiltIn::new(&Config::default()));
        let problem = &prepared()[1]; // 6/3? -> 2
        assert_eq!(problem.problem.answer, "2");
        let samples = [
            sample("2*3=6#2", FinishReason::Stop),
            sample("2*3=7#9", FinishReason::Stop),
            sample("2*3=6#2", FinishReason::Length),
            sample("[6]#2", FinishReason::Stop),
            sample("#2", FinishReason::Stop),
        ];
        let mut options = ExpSection { min_tokens: 4, leak_phrases: vec!["[6]".into()], ..ExpSection::default() };
        let dropped = filter(&task, &options, &rewards, problem, &samples).unwrap();
        let outcomes = |explanations: &Explanations| explanations.log.iter().map(|logged| logged.outcome).collect::<Vec<_>>();
        assert_eq!(outcomes(&dropped), ["kept", "mismatch", "truncated", "leak", "too_short"]);
        assert_eq!((dropped.made, dropped.matched, dropped.kept.len()), (5, 4, 1));
        assert!(outcomes(&dropped).iter().all(|outcome| crate::objective::OUTCOMES.contains(outcome)));
        assert_eq!(dropped.log.iter().map(|logged| logged.rewards["correctness"]).collect::<Vec<_>>(), [1.0, 0.0, 1.0, 1.0, 1.0]);
        // Kept: the sampled ids unchanged; the thought ends where the delimiter begins.
        assert_eq!(dropped.kept[0].tokens, samples[0].tokens);
        assert_eq!(dropped.kept[0].thought, "2*3=6".len());

        options.on_mismatch = OnMismatch::ReplaceAnswer;
        let replaced = filter(&task, &options, &rewards, problem, &samples).unwrap();
        assert_eq!(outcomes(&replaced), ["kept", "replaced", "truncated", "leak", "too_short"]);
        let EncodedDocument { completion, .. } = task.document(&crate::data::Document::new("1", "2*3=7#2")).unwrap().sequences.remove(0);
        assert_eq!(replaced.kept[1].tokens, completion);
        assert_eq!(replaced.kept[1].thought, "2*3=7".len());
    }

    /// Answers every request alike and counts them.
    struct Fake {
        requests: usize,
        seeds: Vec<u64>,
    }
    impl Rollout for Fake {
        fn generate(&mut self, _policy: &Model, requests: &[Request]) -> Result<Vec<Vec<Generated>>> {
            self.requests += requests.len();
            self.seeds.extend(requests.iter().flat_map(|request| &request.seeds));
            Ok(requests.iter().map(|request| request.seeds.iter().map(|_| sample("1#1", FinishReason::Stop)).collect()).collect())
        }
        fn matches_trainer(&self) -> bool {
            true
        }
    }

    #[test]
    fn explanations_are_kept_until_they_are_due() {
        let (prepared, task, model) = (prepared(), CharTask::new(), tiny_model(1));
        for (every, expected) in [(1, [2, 4, 6, 8, 10]), (0, [2, 2, 2, 2, 2]), (3, [2, 2, 2, 4, 4])] {
            let mut explainer =
                Explainer::new(ExpSection { every, num_explanations: 2, ..ExpSection::default() }, BuiltIn::new(&Config::default()), 0);
            let mut rollout = Fake { requests: 0, seeds: Vec::new() };
            for (step, expected) in expected.into_iter().enumerate() {
                explainer.refresh(step);
                // A problem that comes twice in a step is explained once.
                explainer.make(&task, &mut rollout, &model, &prepared, &[2, 0, 2], step).unwrap();
                assert_eq!(rollout.requests, expected, "every {every}, step {step}");
                assert_eq!(explainer.of(0).unwrap().made, 2);
                assert!(explainer.of(1).is_none());
            }
            let drawn = rollout.seeds.len();
            rollout.seeds.sort_unstable();
            rollout.seeds.dedup();
            assert_eq!(rollout.seeds.len(), drawn, "two samples share a seed");
        }
    }
}
