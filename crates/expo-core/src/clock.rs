//! Where the time of a step goes.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::error::Result;
use crate::observe::Phase;
use expo_lm::generate::GenerationSeconds;
use expo_lm::model::PassSeconds;

/// Wall time of a step's phases and the tokens that went through them.
#[derive(Default)]
pub struct Clock {
    /// Seconds by phase.
    pub seconds: BTreeMap<Phase, f64>,
    /// Tokens of rollouts.
    pub rollout_tokens: usize,
    /// Tokens of explanations that were sampled.
    pub explanation_tokens: usize,
    /// Tokens that went through forward and backward passes.
    pub trained_tokens: usize,
    /// Seconds of passes over explanations that were sampled.
    pub explanation_scores: f64,
    /// Where sampling, rollouts and explanations together, spent its time.
    pub generation: GenerationSeconds,
    /// Where the passes of training, the reference and the probe spent theirs.
    pub passes: PassSeconds,
    /// Gradient norm and optimizer.
    pub optimizer: f64,
}

impl Clock {
    /// Adds the time that passed since `start` to `phase`.
    pub fn add(&mut self, phase: Phase, start: Instant) {
        *self.seconds.entry(phase).or_default() += start.elapsed().as_secs_f64();
    }

    /// Adds the time of `work` to `phase`.
    pub fn time<T>(&mut self, phase: Phase, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work(self);
        self.add(phase, start);
        result
    }
}
