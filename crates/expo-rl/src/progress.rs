//! Progress of a long job on standard error: a bar with rate and time left on a terminal; elsewhere a line of JSON now and then.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::output::tell;

/// Progress of one job of a known number of items.
pub struct Progress {
    bar: ProgressBar,
    label: String,
    unit: String,
    /// For output that is not a terminal.
    lines: Option<Lines>,
}

/// When lines are due, and what they tell.
struct Lines {
    started: Instant,
    last: Option<Instant>,
    /// What was done when the job was first heard of: a job that goes on starts in its middle.
    first: Option<usize>,
    done: usize,
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
        let lines = bar.is_hidden().then(|| Lines { started: Instant::now(), last: None, first: None, done: 0 });
        Self { bar, label: label.to_owned(), unit: unit.to_owned(), lines }
    }

    /// `done` items are done; `message` says how it goes.
    pub fn set(&mut self, done: usize, message: String) {
        self.measured(done, message, &[]);
    }

    /// The same with `values` by name, for whoever reads the lines by program.
    pub fn measured(&mut self, done: usize, message: String, values: &[(&str, f64)]) {
        let Some(lines) = &mut self.lines else {
            self.bar.set_position(done as u64);
            self.bar.set_message(message);
            return;
        };
        lines.first.get_or_insert(done);
        lines.done = done;
        let since = lines.last.unwrap_or(lines.started).elapsed();
        if since >= LINE_EVERY {
            lines.last = Some(Instant::now());
            tell!("{}", self.state(&message, values));
        }
    }

    /// How it stands, as one object.
    fn state(&self, message: &str, values: &[(&str, f64)]) -> Value {
        let total = self.bar.length().unwrap_or(0);
        let mut line = json!({"job": self.label, "unit": self.unit, "total": total});
        if let Some(lines) = &self.lines {
            let (seconds, first) = (lines.started.elapsed().as_secs_f64(), lines.first.unwrap_or(0));
            line["done"] = lines.done.into();
            line["seconds"] = tenths(seconds);
            if lines.done > first {
                line["seconds_left"] = tenths(seconds * (total as f64 - lines.done as f64) / (lines.done - first) as f64);
            }
        }
        for (name, value) in values {
            line[*name] = Value::from(*value);
        }
        if !message.is_empty() {
            line["message"] = message.into();
        }
        line
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
            Some(_) => {
                let mut line = self.state(message, &[]);
                line.as_object_mut().expect("an object").shift_remove("seconds_left");
                tell!("{line}");
            }
            None => tell!("{}: {message}", self.label),
        }
    }
}

fn tenths(seconds: f64) -> Value {
    Value::from((seconds * 10.0).round() / 10.0)
}
