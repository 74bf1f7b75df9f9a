//! The pairs of a step: drawn from a file, or made by the policy; and the reference's log-probabilities of them.

use std::ops::Range;

use super::groups::Groups;
use super::made_pairs::{self, MadePair};
use super::probe::Properties;
use super::{Context, Drawing, Source};
use crate::error::{Error, Result};
use crate::feed::pairs::PairFeed;
use crate::feed::problems::PreparedProblem;
use crate::logs::made::{MadeRows, PairRow, ReferenceRow};
use crate::objective::group::Group;
use crate::objective::preference::{Pair, Reference};
use crate::objective::recipe::Drawn;
use crate::objective::sequence::Sequence;
use crate::observe::Phase;
use crate::policy::Lm;
use crate::resume::Resumable;

/// Pairs in the run's order: those of preference files, or those that the policy makes of groups.
pub struct Pairs {
    /// Makes them; `None`: they come from files.
    groups: Option<Groups>,
    /// All, or those of the steps until they are made anew.
    feed: Option<PairFeed>,
}

impl Pairs {
    /// Pairs from preference files.
    pub fn from_files(feed: PairFeed) -> Self {
        Self { groups: None, feed: Some(feed) }
    }

    /// Pairs that the policy makes: of `groups`.
    pub fn made_of(groups: Groups) -> Self {
        Self { groups: Some(groups), feed: None }
    }

    /// Pairs of all questions of `steps`, made by the policy as it is now; `step` is what is told.
    fn make(&mut self, steps: Range<usize>, step: usize, context: &mut Context) -> Result<Made> {
        let mut made = Made::default();
        let Some(source) = &mut self.groups else { return Ok(made) };
        for place in steps {
            let groups = source.draw_groups(place, step, context)?;
            for group in &groups {
                let (task, options) = (context.task, &context.config.dpo);
                let problem = &source.prepared()[group.problem].problem;
                for one in made_pairs::of_group(task, options, problem, group)? {
                    made.rows.push(one.record(task, options, problem, step)?);
                    let MadePair { pair, .. } = one;
                    made.pairs.push(pair);
                }
            }
            made.groups.extend(groups);
        }
        Ok(made)
    }
}

/// What making pairs came to.
#[derive(Default)]
struct Made {
    groups: Vec<Group>,
    pairs: Vec<Pair>,
    rows: Vec<PairRow>,
}

impl Source for Pairs {
    /// Pairs that are made once, and the reference's log-probabilities of all pairs where they are computed once.
    fn prepare(&mut self, context: &mut Context) -> Result<Drawing> {
        let mut drawing = Drawing::default();
        let config = context.config;
        if let Some(groups) = self.groups.as_ref().filter(|_| config.exp.every == 0) {
            let pass = groups.prepared().len().div_ceil(config.train.prompts_per_step);
            let Made { groups, pairs, rows } = self.make(0..pass.min(config.train.steps), 0, context)?;
            if pairs.is_empty() {
                return Err(Error::Exhausted(no_pairs(
                    &groups,
                    "raise rollout.num_generations or exp.num_explanations, or take other problems",
                )));
            }
            context.observer.on_notice(0, &format!("{} pairs of {} questions", pairs.len(), groups.len()));
            self.feed = Some(PairFeed::passes(pairs, config));
            drawing.rows.push(MadeRows::Pairs(rows));
            drawing.drawn.groups = groups;
        }
        if config.dpo.precompute_ref_log_probs
            && let Some(feed) = &mut self.feed
        {
            context.observer.on_phase(0, Phase::Reference);
            // Before the first step the policy is the reference.
            score_pairs(context.policies.current(), feed.pairs_mut())?;
            let row = |pair: &Pair| ReferenceRow {
                id: pair.id.clone(),
                ref_chosen_logps: Some(pair.reference.chosen),
                ref_rejected_logps: Some(pair.reference.rejected),
            };
            drawing.rows.push(MadeRows::Reference(feed.pairs_mut().iter().map(row).collect()));
        }
        Ok(drawing)
    }

    /// The pairs of `step`, with the reference's log-probabilities; and the groups that they were made of, where that happened in this step.
    fn draw(&mut self, step: usize, context: &mut Context) -> Result<Drawing> {
        let config = context.config;
        let every = config.exp.every;
        let (mut groups, mut rows) = (Vec::new(), Vec::new());
        if self.groups.is_some() && every > 0 && step.is_multiple_of(every) {
            let steps = step..(step + every).min(config.train.steps);
            let made = self.make(steps.clone(), step + 1, context)?;
            if made.pairs.is_empty() {
                context.observer.on_notice(step + 1, &no_pairs(&made.groups, "nothing is trained on until pairs are made anew"));
            }
            self.feed = Some(PairFeed::once(made.pairs, steps));
            groups = made.groups;
            rows.push(MadeRows::Pairs(made.rows));
        }
        let mut pairs = self.feed.as_mut().map(|feed| feed.draw(step, config.train.prompts_per_step)).unwrap_or_default();
        if !config.dpo.precompute_ref_log_probs {
            context.phase(step + 1, Phase::Reference, |context| {
                score_pairs(context.policies.reference().unwrap_or(context.policies.current()), &mut pairs)
            })?;
        }
        Ok(Drawing { is_barren: pairs.is_empty(), drawn: Drawn { groups, pairs, ..Drawn::default() }, rows })
    }

    fn problems(&self) -> &[PreparedProblem] {
        self.groups.as_ref().map_or(&[], Groups::prepared)
    }

    fn probe(&self, groups: &[Group], context: &mut Context) -> Result<Properties> {
        self.groups.as_ref().map_or(Ok(Properties::default()), |source| source.probe(groups, context))
    }

    fn pairs(&self) -> Option<usize> {
        self.feed.as_ref().map(PairFeed::count)
    }

    fn parts<'a>(&'a mut self, parts: &mut Vec<(&'static str, &'a mut dyn Resumable)>) {
        let Self { groups, feed } = self;
        parts.push(("pairs", feed));
        if let Some(groups) = groups {
            groups.parts(parts);
        }
    }

    fn close(&mut self) {
        if let Some(groups) = &mut self.groups {
            groups.close();
        }
    }
}

/// Fills in `reference`'s log-probabilities of `pairs`.
pub fn score_pairs(reference: &dyn Lm, pairs: &mut [Pair]) -> Result<()> {
    let sides = |pair| {
        let pair: &Pair = pair;
        pair.sides().map(|(side, trained)| Sequence { trained, ..Sequence::measured(&pair.prompt, side, 1.0) })
    };
    let scores = reference.score(&pairs.iter().flat_map(sides).collect::<Vec<_>>())?;
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
