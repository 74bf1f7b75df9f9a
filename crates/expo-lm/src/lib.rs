//! Decoder-only language models in Rust: load, tokenise, run, differentiate, generate.
//!
//! The crate knows nothing of reinforcement learning. See `docs/architecture.md` for how its rooms fit together.

pub mod batch;
pub mod config;
pub mod error;
pub mod generate;
pub mod kernels;
pub mod model;
pub mod optim;
pub mod weights;

pub use batch::{PackedBatch, Target, TokenScore};
pub use config::ModelConfig;
pub use error::{Error, Result};
