//! Checkpoints: everything that a run needs to go on as if it had never stopped (docs/checkpoints.md).
//!
//! What belongs to it is decided in one place, [`State::parts`](super::state::State::parts), which takes the run's state apart without leaving a field out: who adds
//! one has to say there what a checkpoint holds of it, or the crate does not compile. Small state is JSON ([`Resumable`](crate::resume::Resumable)), weights are tensors.

mod capture;
pub(crate) mod changes;
pub(crate) mod files;
pub(crate) mod given_up;
mod manifest;
pub(crate) mod read;
#[cfg(test)]
pub(super) mod tests;
pub(crate) mod unfinished;
#[cfg(test)]
mod variants;
pub(crate) mod write;
#[cfg(test)]
mod writing_tests;

/// The folder of a run's checkpoints.
pub(super) const FOLDER: &str = "checkpoints";
