//! A training run as it is watched: by a progress bar or lines, by the live view, and in TensorBoard's event files.

use std::io::IsTerminal;
use std::path::Path;

use expo_core::logs::completions::CompletionRow;
use expo_core::metrics::{Accuracy, Name, StepMetrics};
use expo_core::observe::{Observer, Phase};
use expo_core::run::EventFile;

use crate::live::Live;
use crate::output::tell;
use crate::progress::Progress;
use crate::signals::Signals;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Ui {
    /// A progress bar on a terminal; elsewhere a line of JSON every 15 seconds, on standard error.
    #[default]
    Auto,
    /// The whole terminal: curves, latest completions and explanations.
    Live,
}

/// Shows a run's steps with what they measured last.
pub struct Watch {
    label: String,
    steps: usize,
    view: View,
    last: String,
    /// The same by name.
    values: Vec<(Name, f64)>,
    events: Option<EventFile>,
    signals: Option<Signals>,
    /// Whether it was said that the run will stop.
    told: bool,
    /// Steps that are done.
    done: usize,
}

enum View {
    Progress(Progress),
    Live(Live),
}

impl Watch {
    /// A run of `steps` steps named `label`.
    pub fn new(label: &str, steps: usize, ui: Ui) -> Self {
        let progress = || View::Progress(Progress::new(label, steps, "step"));
        let view = match ui {
            Ui::Auto => progress(),
            Ui::Live if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() => {
                tell!("note: --ui live needs a terminal; progress lines instead");
                progress()
            }
            Ui::Live => match Live::start(label, steps) {
                Ok(live) => View::Live(live),
                Err(error) => {
                    tell!("note: --ui live: {error}; a progress bar instead");
                    progress()
                }
            },
        };
        Self {
            label: label.to_owned(),
            steps,
            view,
            last: String::new(),
            values: Vec::new(),
            events: None,
            signals: None,
            told: false,
            done: 0,
        }
    }

    /// Writes TensorBoard's event files into `folder`, too.
    pub fn with_events(mut self, folder: Option<&Path>) -> Self {
        self.events = folder.map(EventFile::new);
        self
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
    pub fn finish(mut self, message: &str) {
        match self.progress_or_live() {
            View::Progress(_) => {}
            View::Live(live) => {
                for notice in live.close() {
                    tell!("note: {notice}");
                }
            }
        }
        match self.view {
            View::Progress(progress) => progress.finish(message),
            View::Live(_) => tell!("{}: {message}", self.label),
        }
    }

    /// The view; the progress bar where the user has closed the live one.
    fn progress_or_live(&mut self) -> &mut View {
        if let View::Live(live) = &mut self.view
            && live.is_closed()
        {
            let notices = live.close();
            let mut progress = Progress::new(&self.label, self.steps, "step");
            progress.measured(self.done, self.last.clone(), None, &self.values);
            notices.iter().for_each(|notice| progress.note(notice));
            self.view = View::Progress(progress);
        }
        &mut self.view
    }

    fn note(&mut self, notice: String) {
        match self.progress_or_live() {
            View::Progress(progress) => progress.note(&notice),
            View::Live(live) => live.notice(notice),
        }
    }
}

impl Observer for Watch {
    fn on_phase(&mut self, step: usize, phase: Phase) {
        if self.exit_code().is_some() && !std::mem::replace(&mut self.told, true) {
            self.note("stopping: the step is finished and a checkpoint written first; the same signal again stops at once".to_owned());
        }
        // Steps of a large model take minutes: say what is going on.
        let (message, values) = (self.last.clone(), self.values.clone());
        match self.progress_or_live() {
            // Weights are written when their step is done.
            View::Progress(progress) => {
                progress.measured(if phase == Phase::Save { step } else { step.saturating_sub(1) }, message, Some(phase.name()), &values)
            }
            View::Live(live) => live.phase(step, phase),
        }
    }

    fn should_stop(&mut self) -> bool {
        self.exit_code().is_some()
    }

    fn on_notice(&mut self, step: usize, notice: &str) {
        self.note(if step == 0 { notice.to_owned() } else { format!("step {step}: {notice}") });
    }

    fn on_completions(&mut self, _step: usize, rows: &[CompletionRow]) {
        if let View::Live(live) = self.progress_or_live() {
            live.completions(rows);
        }
    }

    fn on_step(&mut self, metrics: &StepMetrics) {
        (self.last, self.done) = (summary(metrics), metrics.step);
        self.values = SHOWN.iter().filter_map(|(key, ..)| Some((key.clone(), metrics.get(key)?))).collect();
        let (last, values) = (self.last.clone(), self.values.clone());
        match self.progress_or_live() {
            View::Progress(progress) => progress.measured(metrics.step, last, None, &values),
            View::Live(live) => live.step(metrics),
        }
        if let Some(events) = &mut self.events
            && let Err(error) = events.write(metrics)
        {
            // The run's own files hold everything; it needn't end for these.
            self.events = None;
            self.note(format!("step {}: {error}; no further TensorBoard events", metrics.step));
        }
    }
}

/// The measurements that tell at a glance how a run goes: name, what it is called, digits.
const SHOWN: [(Name, &str, usize); 7] = [
    (Name::Loss, "loss", 3),
    (Name::RewardMean, "reward", 3),
    (Name::GroupsAllWrong, "all wrong", 2),
    (Name::RewardsMargins, "margin", 3),
    (Name::ExpKeptFraction, "explanations kept", 2),
    (Name::Eval(Accuracy::PassAt(1)), "eval pass@1", 3),
    (Name::EvalLoss, "eval loss", 3),
];

fn summary(metrics: &StepMetrics) -> String {
    let parts = SHOWN.iter().filter_map(|(key, label, digits)| Some(format!("{label} {:.*}", digits, metrics.get(key)?)));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_shows_what_was_measured() {
        let mut metrics = StepMetrics::new(3);
        metrics.set(Name::Loss, 0.5);
        metrics.set(Name::GroupsAllWrong, 0.875);
        assert_eq!(summary(&metrics), "loss 0.500, all wrong 0.88");
    }

    #[test]
    fn events_that_cannot_be_written_stop_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("tensorboard");
        std::fs::write(&blocked, "").unwrap();
        let mut watch = Watch::new("test", 2, Ui::Auto).with_events(Some(&blocked));
        watch.on_step(&StepMetrics::new(1));
        assert!(watch.events.is_none());
        watch.on_step(&StepMetrics::new(2));
    }
}
