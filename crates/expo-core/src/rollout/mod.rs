//! Rollouts: who samples completions, and with which random streams.

mod local;
pub mod seed;

pub use local::LocalRollout;

use crate::error::Result;
use expo_lm::generate::{Generated, GenerationSeconds, Request};
use expo_lm::model::Model;

/// A sampler of completions.
pub trait Rollout {
    /// All samples of all requests from `policy`; `result[r][s]` belongs to `requests[r].seeds[s]`. A completion depends only on the
    /// weights, its prompt, its sampling parameters and its seed.
    fn generate(&mut self, policy: &Model, requests: &[Request]) -> Result<Vec<Vec<Generated>>>;

    /// Where the time of all calls since the last question went, as far as it is known.
    fn take_seconds(&mut self) -> GenerationSeconds {
        GenerationSeconds::default()
    }

    /// Whether it computes with the trainer's own weights and precision, so that its log-probabilities are the trainer's up to
    /// rounding. Where it doesn't, truncated importance weights are on by default.
    fn matches_trainer(&self) -> bool;
}
