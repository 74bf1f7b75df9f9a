//! Reinforcement-learning post-training of reasoning language models: the recipes (GRPO, ExP-GRPO, ...), their parts and their loop.
//!
//! One way through the rooms: `Problem` -> `Prompt` -> `Completion` -> `Scored` -> `Group` -> `Batch` -> `StepMetrics`.

pub mod analysis;
pub mod config;
pub mod data;
pub mod error;
pub mod eval;
pub mod objective;
pub mod prompt;
pub mod reward;
pub mod rollout;
pub mod statistics;
#[cfg(test)]
mod testing;
pub mod train;

pub use error::{Error, Result};
