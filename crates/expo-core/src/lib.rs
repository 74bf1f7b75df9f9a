//! Reinforcement-learning post-training of reasoning language models: the recipes (GRPO, ExP-GRPO, ...), their parts and their loop.
//!
//! One way through the rooms: `Problem` -> `Prompt` -> `Completion` -> `Scored` -> `Group` -> `Batch` -> `StepMetrics`.

pub mod analysis;
pub mod clock;
pub mod config;
pub mod data;
pub mod draw;
pub mod error;
pub mod eval;
pub mod feed;
pub mod learning;
pub mod logs;
pub mod metrics;
pub mod objective;
pub mod observe;
pub mod policy;
pub mod prompt;
pub mod provenance;
pub mod resume;
pub mod reward;
pub mod rollout;
pub mod run;
pub mod statistics;
pub mod task;
#[cfg(test)]
mod testing;

pub use error::{Error, Result};
