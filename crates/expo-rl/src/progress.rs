//! Progress of a long job on standard error: a bar with rate and time left on a terminal; elsewhere a line of JSON now and then.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use expo_core::metrics::Name;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::output::tell;

/// Progress of one job of a known number of items.
pub struct Progress {
    bar: ProgressBar,
    label: String,
    /// For output that is not a terminal.
    lines: Option<Heartbeat>,
    /// What was done when the job was first heard of, and when that was: a job that goes on starts in its middle.
    first: Option<(usize, Instant)>,
}

/// When lines are due, and what they tell.
struct Lines {
    job: String,
    unit: String,
    total: usize,
    started: Instant,
    last: Option<Instant>,
    first: Option<usize>,
    done: usize,
    message: String,
    /// What the job is at.
    phase: Option<&'static str>,
    values: Vec<(String, f64)>,
    ended: bool,
}

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);
/// A line comes after so long also where nothing was heard: a step of a large model takes minutes.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// Lines, and the thread that writes one where the job is silent.
struct Heartbeat {
    shared: Arc<(Mutex<Lines>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    fn start(lines: Lines) -> Self {
        let shared = Arc::new((Mutex::new(lines), Condvar::new()));
        let own = shared.clone();
        // Without the thread lines come with what the job tells alone.
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || beat(&own)).ok();
        Self { shared, thread }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        locked(&self.shared.0)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.lines().ended = true;
        self.shared.1.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn locked(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

fn beat(shared: &(Mutex<Lines>, Condvar)) {
    let mut lines = locked(&shared.0);
    while !lines.ended {
        let wait = HEARTBEAT.saturating_sub(lines.silent());
        if wait.is_zero() {
            lines.tell();
            continue;
        }
        lines = shared.1.wait_timeout(lines, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Lines {
    /// Time since the last line, or the start.
    fn silent(&self) -> Duration {
        self.last.unwrap_or(self.started).elapsed()
    }

    fn tell(&mut self) {
        self.last = Some(Instant::now());
        tell!("{}", self.state());
    }

    /// How it stands, as one object.
    fn state(&self) -> Value {
        let mut line = json!({"job": self.job, "unit": self.unit, "total": self.total, "done": self.done});
        let (seconds, first) = (self.started.elapsed().as_secs_f64(), self.first.unwrap_or(0));
        line["seconds"] = tenths(seconds);
        if self.done > first && !self.ended {
            line["seconds_left"] = tenths(seconds * (self.total as f64 - self.done as f64) / (self.done - first) as f64);
        }
        if let Some(phase) = self.phase {
            line["phase"] = phase.into();
        }
        for (name, value) in &self.values {
            line[name] = Value::from(*value);
        }
        if !self.message.is_empty() {
            line["message"] = self.message.clone().into();
        }
        line
    }
}

impl Progress {
    /// A bar named `label` over `total` items, each a `unit` ("step", "problem").
    pub fn new(label: &str, total: usize, unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        // What is behind the message's place in a narrow terminal is left out: a line that wraps is drawn again and again.
        let template = format!("{{prefix}} {{bar:16}} {{pos}}/{{len}} {unit}s  {{elapsed}}  {{wide_msg}}");
        bar.set_style(ProgressStyle::with_template(&template).expect("a constant template").progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        let lines = bar.is_hidden().then(|| {
            Heartbeat::start(Lines {
                job: label.to_owned(),
                unit: unit.to_owned(),
                total,
                started: Instant::now(),
                last: None,
                first: None,
                done: 0,
                message: String::new(),
                phase: None,
                values: Vec::new(),
                ended: false,
            })
        });
        if lines.is_none() {
            bar.enable_steady_tick(Duration::from_secs(1));
        }
        Self { bar, label: label.to_owned(), lines, first: None }
    }

    /// `done` items are done; `message` says how it goes.
    pub fn set(&mut self, done: usize, message: String) {
        self.measured(done, message, None, &[]);
    }

    /// The same with the `phase` that runs, and with `values` by name for whoever reads the lines by program.
    pub fn measured(&mut self, done: usize, message: String, phase: Option<&'static str>, values: &[(Name, f64)]) {
        let (first, since) = *self.first.get_or_insert_with(|| (done, Instant::now()));
        let Some(heartbeat) = &self.lines else {
            self.bar.set_position(done as u64);
            let left = self.bar.length().unwrap_or(0).saturating_sub(done as u64);
            let parts = [
                rate(done.saturating_sub(first), left, since.elapsed()),
                phase.map(str::to_owned),
                Some(message).filter(|m| !m.is_empty()),
            ];
            self.bar.set_message(parts.into_iter().flatten().collect::<Vec<_>>().join("  "));
            return;
        };
        let mut lines = heartbeat.lines();
        lines.first = Some(first);
        (lines.done, lines.message, lines.phase) = (done, message, phase);
        lines.values = values.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        if lines.silent() >= LINE_EVERY {
            lines.tell();
        }
    }

    /// A line of its own, which stays.
    pub fn line(&self, message: &str) {
        self.bar.suspend(|| tell!("{message}"));
    }

    /// Something to know, on a line of its own.
    pub fn note(&self, message: &str) {
        self.line(&format!("note: {message}"));
    }

    /// The job is done: the bar goes, a line stays.
    pub fn finish(self, message: &str) {
        self.bar.finish_and_clear();
        match &self.lines {
            Some(heartbeat) => {
                let mut lines = heartbeat.lines();
                (lines.message, lines.phase, lines.ended) = (message.to_owned(), None, true);
                lines.values.clear();
                lines.tell();
            }
            None => tell!("{}: {message}", self.label),
        }
    }
}

/// `1.25/s  1:20 left` after `made` items in `time`, where `left` are to be made; `None` before the first. The bar's own rate takes what was done before it was
/// there for done in a moment.
fn rate(made: usize, left: u64, time: Duration) -> Option<String> {
    let per_second = made as f64 / time.as_secs_f64();
    if made == 0 || !per_second.is_finite() {
        return None;
    }
    let seconds = (left as f64 / per_second).round() as u64;
    let clock = match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    };
    Some(format!("{per_second:.2}/s  {clock} left"))
}

fn tenths(seconds: f64) -> Value {
    Value::from((seconds * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_phase_and_the_time_left_at_the_rate_since_it_was_heard_of() {
        let mut progress = Progress::new("grpo", 10, "step");
        // Tests have no terminal, or one: the lines are made all the same.
        let lines = Lines {
            job: "grpo".into(),
            unit: "step".into(),
            total: 10,
            started: Instant::now() - Duration::from_secs(20),
            last: None,
            first: Some(4),
            done: 6,
            message: "loss 0.5".into(),
            phase: Some("rollout"),
            values: vec![("loss".into(), 0.5)],
            ended: false,
        };
        let state = lines.state();
        assert_eq!((&state["phase"], &state["message"], &state["loss"]), (&json!("rollout"), &json!("loss 0.5"), &json!(0.5)));
        // Two steps in 20 seconds, four are left.
        assert!((state["seconds_left"].as_f64().unwrap() - 40.0).abs() < 1.0, "{state}");
        assert_eq!(rate(9, 45, Duration::from_secs(15)).unwrap(), "0.60/s  1:15 left");
        assert_eq!(rate(1, 9000, Duration::from_secs(1)).unwrap(), "1.00/s  2:30:00 left");
        assert_eq!((rate(0, 9, Duration::from_secs(1)), rate(1, 9, Duration::ZERO)), (None, None));
        progress.measured(3, "m".into(), Some("train"), &[]);
        progress.finish("done");
    }
}
