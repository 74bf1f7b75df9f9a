//! The pairs of a step: drawn from a file, or made by the policy; and the reference's log-probabilities of them.

use std::ops::Range;

use serde_json::json;

use crate::draw::made_pairs::{self, MadePair};
use crate::draw::probe::measured;
use crate::error::{Error, Result};
use crate::feed::pairs::PairFeed;
use crate::objective::preference::{Pair, Reference};
use crate::objective::{Group, PairSource, Sequence};
use crate::observe::{Observer, Phase};
use crate::policy::cpu::pass;
use crate::run::records::Batches;
use crate::run::reference::MovingReference;
use crate::run::step::Clock;
use crate::run::trainer::Trainer;
use expo_lm::model::{Model, Workspace};

/// The name of the file in a run's folder that keeps the pairs that the policy made.
pub(crate) const PAIRS_FILE: &str = "pairs.jsonl";
/// The name of the file that keeps the reference's log-probabilities.
pub(crate) const REFERENCE_FILE: &str = "reference.jsonl";

impl Trainer {
    /// What comes before the first step: pairs that are made once, and the reference's log-probabilities of all pairs where they are computed once.
    pub(crate) fn prepare_pairs(&mut self, observer: &mut dyn Observer) -> Result<()> {
        if self.draws.pairs == Some(PairSource::Policy) && self.config.exp.every == 0 {
            let pass = self.problems.prepared.len().div_ceil(self.config.train.prompts_per_step);
            let mut clock = Clock::default();
            let steps = 0..pass.min(self.config.train.steps);
            let (groups, pairs) = self.make_pairs(steps, 0, &mut clock, observer)?;
            self.summary.sampled_tokens += clock.rollout_tokens + clock.explanation_tokens;
            self.record(0, &groups, &Batches::default(), observer)?;
            if pairs.is_empty() {
                return Err(Error::Run(no_pairs(&groups, "raise rollout.num_generations or exp.num_explanations, or take other problems")));
            }
            observer.on_notice(0, &format!("{} pairs of {} questions", pairs.len(), groups.len()));
            self.pairs = Some(PairFeed::passes(pairs, &self.config));
        }
        if self.config.dpo.precompute_ref_log_probs
            && let Some(feed) = &mut self.pairs
        {
            observer.on_phase(0, Phase::Reference);
            // Before the first step the policy is the reference.
            score_pairs(&self.model, &mut self.trainable.workspace, feed.pairs_mut(), self.config.train.max_tokens_per_micro_batch)?;
            let row = |pair: &Pair| json!({"id": pair.id, "ref_chosen_logps": pair.reference.chosen, "ref_rejected_logps": pair.reference.rejected});
            if let Some(output) = &mut self.output {
                output.append_rows(REFERENCE_FILE, &feed.pairs_mut().iter().map(row).collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    /// The pairs of `step`, with the reference's log-probabilities; and the groups that they were made of, where that happened in this step.
    pub(crate) fn draw_pairs(&mut self, step: usize, clock: &mut Clock, observer: &mut dyn Observer) -> Result<(Vec<Group>, Vec<Pair>)> {
        let every = self.config.exp.every;
        let mut groups = Vec::new();
        if self.draws.pairs == Some(PairSource::Policy) && every > 0 && step.is_multiple_of(every) {
            let steps = step..(step + every).min(self.config.train.steps);
            let pairs;
            (groups, pairs) = self.make_pairs(steps.clone(), step + 1, clock, observer)?;
            if pairs.is_empty() {
                observer.on_notice(step + 1, &no_pairs(&groups, "nothing is trained on until pairs are made anew"));
            }
            self.pairs = Some(PairFeed::once(pairs, steps));
        }
        let mut pairs = self.pairs.as_mut().map(|feed| feed.draw(step, self.config.train.prompts_per_step)).unwrap_or_default();
        if !self.config.dpo.precompute_ref_log_probs {
            observer.on_phase(step + 1, Phase::Reference);
            clock.time(Phase::Reference, |_| {
                let reference = self.reference.as_ref().map(MovingReference::model).or(self.initial.as_ref()).unwrap_or(&self.model);
                score_pairs(reference, &mut self.trainable.workspace, &mut pairs, self.config.train.max_tokens_per_micro_batch)
            })?;
        }
        Ok((groups, pairs))
    }

    /// Pairs of all questions of `steps`, made by the policy as it is now and added to the run's preference file; `step` is what is told.
    fn make_pairs(
        &mut self,
        steps: Range<usize>,
        step: usize,
        clock: &mut Clock,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<Group>, Vec<Pair>)> {
        let mut all = Vec::new();
        let mut pairs = Vec::new();
        for place in steps {
            let groups = self.draw_groups(place, step, clock, observer)?;
            let mut rows = Vec::new();
            for group in &groups {
                let problem = &self.problems.prepared[group.problem].problem;
                for made in made_pairs::of_group(self.task.as_ref(), &self.config.dpo, problem, group)? {
                    rows.push(made.record(self.task.as_ref(), &self.config.dpo, problem, step)?);
                    pairs.push(made);
                }
            }
            if let Some(output) = &mut self.output {
                output.append_rows(PAIRS_FILE, &rows)?;
            }
            all.extend(groups);
        }
        Ok((all, pairs.into_iter().map(|MadePair { pair, .. }| pair).collect()))
    }
}

/// Fills in `reference`'s log-probabilities of `pairs`, in micro-batches of at most `budget` tokens.
pub fn score_pairs(reference: &Model, workspace: &mut Workspace, pairs: &mut [Pair], budget: usize) -> Result<()> {
    let sequences: Vec<Sequence> =
        pairs.iter().flat_map(|pair| pair.sides().map(|(side, trained)| Sequence { trained, ..measured(&pair.prompt, side) })).collect();
    let scores = pass::score(reference, workspace, &sequences, budget)?;
    let sums: Vec<f64> = scores.iter().map(|score| score.log_probs.iter().sum()).collect();
    for (pair, sums) in pairs.iter_mut().zip(sums.chunks(2)) {
        pair.reference = Reference { chosen: sums[0], rejected: sums[1] };
    }
    Ok(())
}

/// Why `groups` gave no pair.
fn no_pairs(groups: &[Group], advice: &str) -> String {
    let count = |of: fn(&Group) -> bool| groups.iter().filter(|group| of(group)).count();
    format!(
        "no preference pair of {} questions: {} have a chosen side, {} a wrong completion that is not empty or cut off; {advice}",
        groups.len(),
        count(|group| !group.kept_explanations().is_empty() || group.expert.is_some()),
        count(|group| group.rollouts.iter().any(|rollout| !rollout.correct && !rollout.is_truncated() && !rollout.text.trim().is_empty())),
    )
}
