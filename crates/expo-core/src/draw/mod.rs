//! What a step draws: sources of groups, pairs and rationales, which the loop runs whatever the recipe.

pub mod build;
pub mod explain;
pub mod groups;
pub mod hints;
pub mod made_pairs;
pub mod pairs;
pub mod probe;
pub mod rationales;
pub mod rewarding;
pub mod sampling;

use std::time::Instant;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::feed::problems::PreparedProblem;
use crate::logs::made::MadeRows;
use crate::metrics::StepMetrics;
use crate::objective::group::Group;
use crate::objective::recipe::{Drawn, Recipe};
use crate::observe::{Observer, Phase};
use crate::policy::policies::{Policies, Writer};
use crate::resume::Resumable;
use crate::rollout::{ByWriter, Sampler};
use crate::task::Task;
use probe::Properties;

/// What sources work with in a step.
pub struct Context<'a> {
    /// The run's configuration.
    pub config: &'a Config,
    /// Prompts and answers.
    pub task: &'a dyn Task,
    /// The algorithm, which scores what is drawn.
    pub recipe: &'a dyn Recipe,
    /// The weights.
    pub policies: &'a mut Policies,
    /// Who samples.
    pub sampler: &'a mut dyn Sampler,
    /// The version of the policy: optimizer steps so far.
    pub version: u64,
    /// Where time goes.
    pub clock: &'a mut Clock,
    /// Who is told.
    pub observer: &'a mut dyn Observer,
}

impl Context<'_> {
    /// Does `work` as `phase` of `step`, the one that is told.
    pub fn phase<T>(&mut self, step: usize, phase: Phase, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.observer.on_phase(step, phase);
        let start = Instant::now();
        let result = work(self);
        self.clock.add(phase, start);
        result
    }

    /// The policy as it is now.
    pub fn current(&self) -> Writer {
        Writer::Policy(self.version)
    }

    /// The sampler, to be asked for completions of `writer`.
    pub fn by(&mut self, writer: Writer) -> ByWriter<'_> {
        ByWriter { sampler: self.sampler, writers: self.policies.writers(), writer }
    }
}

/// What a source drew for a step.
#[derive(Default)]
pub struct Drawing {
    /// What the recipe gets.
    pub drawn: Drawn,
    /// Rows for the run's logs.
    pub rows: Vec<MadeRows>,
    /// Whether there is nothing in it that the recipe could learn from, so that no optimizer step is made.
    pub is_barren: bool,
}

/// Where a run's steps come from: made of what a recipe says that it draws, and run by the loop.
pub trait Source {
    /// What is made once, before the first step.
    fn prepare(&mut self, context: &mut Context) -> Result<Drawing> {
        let _ = context;
        Ok(Drawing::default())
    }

    /// What is drawn for `step` (from 0); steps come in order, each once.
    fn draw(&mut self, step: usize, context: &mut Context) -> Result<Drawing>;

    /// The problems that groups refer to.
    fn problems(&self) -> &[PreparedProblem] {
        &[]
    }

    /// The two properties of positive samples, on `groups` that it drew.
    fn probe(&self, groups: &[Group], context: &mut Context) -> Result<Properties> {
        let _ = (groups, context);
        Ok(Properties::default())
    }

    /// How many preference pairs there are beforehand; `None`: the recipe has none, or makes them.
    fn pairs(&self) -> Option<usize> {
        None
    }

    /// Adds what it tells of `step` (from 0).
    fn report(&self, step: usize, metrics: &mut StepMetrics) {
        let _ = (step, metrics);
    }

    /// After so many steps the policy begins anew from the initial one.
    fn restarts_every(&self) -> Option<usize> {
        None
    }

    /// Whether drawing leaves the weights as they are.
    fn keeps_weights(&self) -> bool {
        true
    }

    /// Its parts that change from step to step, by the names that they have in a checkpoint.
    fn parts<'a>(&'a mut self, parts: &mut Vec<(&'static str, &'a mut dyn Resumable)>);

    /// The run is over: what it has started ends.
    fn close(&mut self) {}
}
