//! Progress of a run, for whoever shows it.

use crate::logs::completions::CompletionRow;
use crate::metrics::StepMetrics;
pub use crate::metrics::phase::Phase;
use crate::objective::Sequence;

/// Told what a run does; every method may be left out.
pub trait Observer {
    /// `step` (from 1; 0 is before the first) enters `phase`.
    fn on_phase(&mut self, step: usize, phase: Phase) {
        let _ = (step, phase);
    }
    /// Something that a user should know happened in `step`; the run goes on.
    fn on_notice(&mut self, step: usize, notice: &str) {
        let _ = (step, notice);
    }
    /// Optimizer step `update` (from 1) of `step` was made on `sequences`.
    fn on_batch(&mut self, step: usize, update: usize, sequences: &[Sequence]) {
        let _ = (step, update, sequences);
    }
    /// Some rollouts and explanations of `step` with their scores, as rows of `completions.jsonl`.
    fn on_completions(&mut self, step: usize, rows: &[CompletionRow]) {
        let _ = (step, rows);
    }
    /// Whether the run is to stop before the next step, with a checkpoint to go on from.
    fn should_stop(&mut self) -> bool {
        false
    }
    /// A step is done.
    fn on_step(&mut self, metrics: &StepMetrics) {
        let _ = metrics;
    }
}

/// Looks away.
impl Observer for () {}
