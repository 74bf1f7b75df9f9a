//! Decoder-only language models in Rust: load, tokenise, run, differentiate, generate.
//!
//! The crate knows nothing of reinforcement learning. See `docs/architecture.md` for how its rooms fit together.

pub mod batch;
pub mod chat;
pub mod clock;
pub mod config;
pub mod durable;
pub mod error;
mod foreign;
pub mod generate;
pub mod generation_config;
pub mod gguf;
mod hub;
pub mod json;
pub mod kernels;
pub mod load;
pub mod lora;
pub mod marked;
pub mod model;
pub mod models;
pub mod optim;
mod side_files;
mod thread_limit;
pub mod tokenizer;
pub mod weights;

pub use batch::{DistributionTarget, Divergence, LossGradient, PackedBatch, ScoreGradient, Segment, Target, TokenScore};
pub use config::ModelConfig;
pub use error::{Error, Result};
