//! Progress of a run, for whoever shows it.

use serde_json::Value;

use crate::metrics::StepMetrics;
use crate::objective::Sequence;

/// What a step is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Sampling completions of the question alone.
    Rollout,
    /// Verifying rollouts and asking for their external rewards.
    Reward,
    /// Sampling self-explanations.
    Explanation,
    /// Log-probabilities under the reference policy.
    Reference,
    /// Forward passes for metrics only.
    Probe,
    /// Forward, backward and optimizer.
    Train,
    /// Evaluating on held-out data.
    Eval,
    /// Writing weights.
    Save,
}

impl Phase {
    /// Every phase, in the order in which a step goes through them.
    pub const ALL: [Phase; 8] =
        [Phase::Rollout, Phase::Reward, Phase::Explanation, Phase::Reference, Phase::Probe, Phase::Train, Phase::Eval, Phase::Save];

    /// Its name in the metrics (`time/<name>`).
    pub fn name(self) -> &'static str {
        match self {
            Phase::Rollout => "rollout",
            Phase::Reward => "reward",
            Phase::Explanation => "explanation",
            Phase::Reference => "reference",
            Phase::Probe => "probe",
            Phase::Train => "train",
            Phase::Eval => "eval",
            Phase::Save => "save",
        }
    }
}

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
    fn on_completions(&mut self, step: usize, rows: &[Value]) {
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
