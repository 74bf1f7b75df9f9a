//! A training run on the progress bar.

use expo_core::train::{Observer, Phase, StepMetrics};

use crate::progress::Progress;
use crate::signals::Signals;

/// Shows a run's steps with what they measured last.
pub struct Watch {
    progress: Progress,
    last: String,
    signals: Option<Signals>,
    /// Whether it was said that the run will stop.
    told: bool,
}

impl Watch {
    /// A run of `steps` steps named `label`.
    pub fn new(label: &str, steps: usize) -> Self {
        Self { progress: Progress::new(label, steps, "step"), last: String::new(), signals: None, told: false }
    }

    /// The same for a run that stops in order where `signals` were caught.
    pub fn stopped_by(self, signals: Signals) -> Self {
        Self { signals: Some(signals), ..self }
    }

    /// The exit code of the signal that came, if one did.
    pub fn exit_code(&self) -> Option<u8> {
        self.signals.as_ref().and_then(Signals::exit_code)
    }

    /// The run is over.
    pub fn finish(self, message: &str) {
        self.progress.finish(message);
    }
}

impl Observer for Watch {
    fn on_phase(&mut self, step: usize, phase: Phase) {
        if self.exit_code().is_some() && !std::mem::replace(&mut self.told, true) {
            self.progress.note("stopping: the step is finished and a checkpoint written first; the same signal again stops at once");
        }
        // Steps of a large model take minutes: say what is going on.
        let message = if self.last.is_empty() { phase.name().to_owned() } else { format!("{} ({})", self.last, phase.name()) };
        self.progress.set(step.saturating_sub(1), message);
    }

    fn should_stop(&mut self) -> bool {
        self.exit_code().is_some()
    }

    fn on_notice(&mut self, step: usize, notice: &str) {
        self.progress.note(&if step == 0 { notice.to_owned() } else { format!("step {step}: {notice}") });
    }

    fn on_step(&mut self, metrics: &StepMetrics) {
        self.last = summary(metrics);
        self.progress.set(metrics.step, self.last.clone());
    }
}

/// The measurements that tell at a glance how a run goes.
fn summary(metrics: &StepMetrics) -> String {
    let shown = [
        ("loss", "loss", 3),
        ("reward/mean", "reward", 3),
        ("groups/all_wrong", "all wrong", 2),
        ("rewards/margins", "margin", 3),
        ("exp/kept_fraction", "explanations kept", 2),
        ("eval/pass@1", "eval pass@1", 3),
        ("eval/loss", "eval loss", 3),
    ];
    let parts = shown.iter().filter_map(|(key, label, digits)| Some(format!("{label} {:.*}", digits, metrics.get(key)?)));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_shows_what_was_measured() {
        let mut metrics = StepMetrics::new(3);
        metrics.set("loss", 0.5);
        metrics.set("groups/all_wrong", 0.875);
        assert_eq!(summary(&metrics), "loss 0.500, all wrong 0.88");
    }
}
