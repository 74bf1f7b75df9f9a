//! Looking at what a policy makes, apart from any run: self-explanations with their checks and properties, preference pairs; and at finished or running runs.

mod comparison;
mod explanations;
pub mod judge;
mod overlap;
mod pairs;
pub mod runs;
mod score;

pub use comparison::{Comparison, Cot, ProblemMean, ProblemRow, SourceSummary};
pub use explanations::{ExplainRow, ExplainSummary};
pub use pairs::{ExplanationFile, PairRows};

use std::ops::Range;

use crate::config::{ChosenSide, Config};
use crate::data::Problem;
use crate::draw::explain::Explainer;
use crate::draw::hints::answer_position;
use crate::draw::sampling::{self, verify};
use crate::error::Result;
use crate::feed::problems::{Problems, prepare};
use crate::objective::group::Group;
use crate::objective::recipe::GroupSources;
use crate::policy::Lm;
use crate::reward::BuiltIn;
use crate::rollout::ByWriter;
use crate::rollout::local::LocalSampler;
use crate::rollout::seed::{Purpose, derive};
use crate::task::Task;

/// A policy and the problems that it is looked at with; prompts, sampling and filters are those of a configuration.
pub struct Analysis<'a> {
    config: &'a Config,
    lm: &'a dyn Lm,
    task: &'a dyn Task,
    problems: Problems,
    sampler: LocalSampler,
    explainer: Explainer,
}

impl<'a> Analysis<'a> {
    /// Errors: no problem that fits, expert chains of thought wanted (`dpo.chosen`) and none there.
    pub fn new(config: &'a Config, lm: &'a dyn Lm, task: &'a dyn Task, problems: Vec<Problem>) -> Result<Self> {
        let expert = config.dpo.chosen == ChosenSide::Expert;
        let sources = GroupSources { explanations: !expert, expert, traces: false };
        let problems = prepare(config, task, sources, problems, lm.context())?;
        Ok(Self {
            sampler: LocalSampler::new(config.rollout.max_num_seqs),
            explainer: Explainer::new(config.exp.clone(), BuiltIn::new(config), config.train.seed),
            config,
            lm,
            task,
            problems,
        })
    }

    /// Number of problems that fit into the context.
    pub fn len(&self) -> usize {
        self.problems.prepared.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of problems left out because they exceed the context.
    pub fn too_long(&self) -> usize {
        self.problems.too_long
    }

    /// The problems in parts, each enough to keep the sampler busy with `samples` of each problem.
    pub fn parts(&self, samples: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        // Several times what is decoded at once, so that the last sequences to end idle little of it.
        let (count, part) = (self.len(), (4 * self.config.rollout.max_num_seqs / samples.max(1)).max(1));
        (0..count).step_by(part).map(move |start| start..(start + part).min(count))
    }

    /// Judged completions of the question alone, of the problems at `indices`.
    fn own_completions(&mut self, indices: &[usize]) -> Result<Vec<Group>> {
        let (config, problems) = (self.config, &self.problems.prepared);
        let seed = |_: usize, index: usize, sample: u64| derive(config.train.seed, Purpose::Rollout, &[index as u64, sample]);
        let requests = sampling::requests(self.task, problems, indices, &config.rollout, &seed);
        let completions = ByWriter::of(&mut self.sampler, self.lm).sample(requests)?;
        let mut groups = sampling::groups(self.task, problems, indices, completions)?;
        let verdicts = verify(self.task, problems, &groups);
        for (rollout, verdict) in groups.iter_mut().flat_map(|group| &mut group.rollouts).zip(verdicts) {
            (rollout.correct, rollout.answer_start, rollout.extracted) = (verdict.correct, verdict.answer_start, verdict.extracted);
        }
        for group in &mut groups {
            let answer = &problems[group.problem].problem.answer;
            for rollout in &mut group.rollouts {
                let extracted = rollout.extracted.as_deref().filter(|_| rollout.correct);
                rollout.answer_position = answer_position(&rollout.text, answer, extracted);
            }
        }
        Ok(groups)
    }

    /// Writes explanations for the problems of `groups`.
    fn explain_groups(&mut self, groups: &mut [Group]) -> Result<()> {
        let indices: Vec<usize> = groups.iter().map(|group| group.problem).collect();
        let mut by = ByWriter::of(&mut self.sampler, self.lm);
        self.explainer.make(self.task, &mut by, &self.problems.prepared, &indices, 0)?;
        for group in groups {
            group.explanations = self.explainer.of(group.problem).cloned();
        }
        self.explainer.clear();
        Ok(())
    }
}
