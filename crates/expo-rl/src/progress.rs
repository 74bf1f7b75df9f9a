//! Progress of a long job: a bar with rate and time left on a terminal, a line now and then otherwise. Both on standard error.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Progress of one job of a known number of items.
pub struct Progress {
    bar: ProgressBar,
    label: String,
    /// For output that is not a terminal: when the next line is due.
    lines: Option<Lines>,
}

struct Lines {
    started: Instant,
    last: Instant,
    /// What was done before this process began, as it was first told.
    before: Option<usize>,
}

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

impl Progress {
    /// A bar named `label` over `total` items, each a `unit` ("step", "problem").
    pub fn new(label: &str, total: usize, unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let template = format!("{{prefix:<24}} {{bar:30}} {{pos:>5}}/{{len}} {unit}s  {{per_sec}}  {{eta}} left  {{msg}}");
        bar.set_style(ProgressStyle::with_template(&template).expect("a constant template").progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        let now = Instant::now();
        let lines = bar.is_hidden().then_some(Lines { started: now, last: now, before: None });
        Self { bar, label: label.to_owned(), lines }
    }

    /// `done` items are done; `message` says how it goes.
    pub fn set(&mut self, done: usize, message: String) {
        self.bar.set_position(done as u64);
        self.bar.set_message(message.clone());
        let Some(lines) = &mut self.lines else { return };
        let before = *lines.before.get_or_insert(done);
        if lines.last.elapsed() < LINE_EVERY {
            return;
        }
        lines.last = Instant::now();
        let total = self.bar.length().unwrap_or(0);
        let mut parts = vec![format!("{done}/{total}")];
        if done > before {
            let left = lines.started.elapsed().as_secs_f64() * (total as f64 - done as f64) / (done - before) as f64;
            parts.push(format!("about {left:.0} s left"));
        }
        if !message.is_empty() {
            parts.push(message);
        }
        eprintln!("{}: {}", self.label, parts.join(", "));
    }

    /// A line of its own, which stays.
    pub fn line(&self, message: &str) {
        self.bar.suspend(|| eprintln!("{message}"));
    }

    /// Something to know, on a line of its own.
    pub fn note(&self, message: &str) {
        self.line(&format!("note: {message}"));
    }

    /// The job is done: the bar goes, a line stays.
    pub fn finish(self, message: &str) {
        self.bar.finish_and_clear();
        eprintln!("{}: {message}", self.label);
    }
}
