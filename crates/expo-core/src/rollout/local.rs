//! Sampling with this process's own engine: the trainer's weights and precision, no copy.

use super::Rollout;
use crate::error::Result;
use expo_lm::generate::{EngineConfig, Generated, GenerationSeconds, Request, generate};
use expo_lm::model::Model;

/// [`expo_lm::generate`] as a sampler.
pub struct LocalRollout {
    engine: EngineConfig,
    seconds: GenerationSeconds,
}

impl LocalRollout {
    /// Decodes at most `max_num_seqs` sequences at once.
    pub fn new(max_num_seqs: usize) -> Self {
        Self { engine: EngineConfig { max_num_seqs }, seconds: GenerationSeconds::default() }
    }
}

impl Rollout for LocalRollout {
    fn generate(&mut self, policy: &Model, requests: &[Request]) -> Result<Vec<Vec<Generated>>> {
        let generation = generate(policy, &self.engine, requests, &mut |_| {})?;
        self.seconds += generation.seconds;
        Ok(generation.completions)
    }

    fn take_seconds(&mut self) -> GenerationSeconds {
        std::mem::take(&mut self.seconds)
    }

    fn matches_trainer(&self) -> bool {
        true
    }
}
