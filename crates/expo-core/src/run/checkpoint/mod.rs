//! Checkpoints: everything that a run needs to go on as if it had never stopped (docs/checkpoints.md).
//!
//! What belongs to it is decided in one place, `parts.rs`, which takes the trainer apart without leaving a field out: who adds one has to say there what a
//! checkpoint holds of it, or the crate does not compile. Small state is JSON ([`Resumable`](crate::resume::Resumable)), weights are tensors.

mod changes;
mod given_up;
mod lock;
mod manifest;
mod parts;
mod read;
mod resume;
mod saver;
#[cfg(test)]
pub(super) mod tests;
mod unfinished;
#[cfg(test)]
mod variants;
mod write;
#[cfg(test)]
mod writing_tests;

pub(super) use lock::{LOCK_FILE, RunLock};
use read::Stored;
pub(super) use saver::Saver;
pub use unfinished::UnfinishedRun;
pub(super) use write::replace;

/// The folder of a run's checkpoints.
pub(super) const FOLDER: &str = "checkpoints";
