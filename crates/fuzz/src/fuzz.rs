//! The loop: mutate, execute, judge, and keep what led somewhere new.

use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::memory;
use crate::mutate::{Case, Random, mutate, size};
use crate::targets::Target;

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Executions.
    pub executions: usize,
    /// Wall time, where it matters.
    pub time: Option<Duration>,
}

/// An input that a reader should have borne.
#[derive(Debug)]
pub struct Finding {
    /// What happened.
    pub what: String,
    /// The input.
    pub case: Case,
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Executions.
    pub executions: usize,
    /// How many of them were accepted.
    pub accepted: usize,
    /// Outcomes told apart: messages without their numbers and names.
    pub outcomes: usize,
    /// Panics and memory taken, one of each kind and place.
    pub findings: Vec<Finding>,
    /// The most memory an execution took, relative to its limit.
    pub fullest: f64,
    /// The slowest execution: best of three, for what the machine did meanwhile.
    pub slowest: Option<(Duration, Case)>,
}

/// Inputs that are mutated further, beside the seeds.
const MOST_KEPT: usize = 1000;

/// Where the last panic was, and what it said.
static PANIC: Mutex<String> = Mutex::new(String::new());

thread_local! {
    /// Whether a reader is at work on this thread.
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// Panics of readers are told in the report, not on the terminal.
pub fn catch_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !READING.get() {
            return usual(info);
        }
        let text = info.payload_as_str().unwrap_or("?");
        let place = info.location().map_or_else(String::new, ToString::to_string);
        *PANIC.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = format!("panic at {place}: {text}");
    }));
}

/// One execution: the reader's outcome, or the panic.
fn execute(target: &Target, folder: &Path, case: &Case) -> Result<Result<(), String>, String> {
    READING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(folder, case)));
    READING.set(false);
    outcome.map_err(|_| PANIC.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
}

/// A message without what differs from input to input.
fn shape(message: &str) -> String {
    let mut shape = String::new();
    let mut quote = None;
    for c in message.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if c == '`' || c == '"' => quote = Some(c),
            None if c.is_ascii_digit() => {}
            None => shape.push(c),
        }
    }
    shape.chars().take(120).collect()
}

/// Runs `target` with inputs drawn by `seed`. `folder` is for the files of an execution; `begun` is told of each before it runs.
pub fn fuzz(target: &Target, seed: u64, limit: Limit, folder: &Path, begun: &mut dyn FnMut(&Case)) -> Report {
    let seeds = (target.seeds)();
    let mut random = Random(seed);
    let mut report = Report::default();
    let (mut kept, mut shapes, mut found) = (Vec::<Case>::new(), HashSet::new(), HashSet::new());
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    // What is made once, on first use, is no execution's.
    for case in &seeds {
        let outcome = execute(target, folder, case);
        assert!(outcome.is_ok(), "{}: a seed makes it panic: {outcome:?}", target.name);
    }
    while report.executions < limit.executions && limit.time.is_none_or(|time| start.elapsed() < time) {
        let draw = |random: &mut Random| match random.below(2) {
            0 if !kept.is_empty() => random.of(&kept).clone(),
            _ => random.of(&seeds).clone(),
        };
        let (base, other) = (draw(&mut random), draw(&mut random));
        let case = mutate(&mut random, base, &other);
        begun(&case);
        let before = memory::reset();
        let clock = Instant::now();
        let outcome = execute(target, folder, &case);
        let (took, peak) = (clock.elapsed(), memory::peak(before));
        report.executions += 1;
        if took > slowest.max(Duration::from_millis(1)) {
            let again = (0..2).map(|_| {
                let clock = Instant::now();
                let _ = execute(target, folder, &case);
                clock.elapsed()
            });
            let took = again.min().unwrap_or(took).min(took);
            if took > slowest {
                slowest = took;
                report.slowest = Some((took, case.clone()));
            }
        }
        let allowed = target.constant + target.factor * size(&case);
        report.fullest = report.fullest.max(peak as f64 / allowed as f64);
        let shown = match &outcome {
            Ok(Ok(())) => "accepted".to_owned(),
            Ok(Err(message)) => shape(message),
            Err(panic) => {
                if found.insert(shape(panic)) {
                    report.findings.push(Finding { what: panic.clone(), case: case.clone() });
                }
                continue;
            }
        };
        report.accepted += usize::from(shown == "accepted");
        if peak > allowed && found.insert(format!("memory {shown}")) {
            let what = format!("took {peak} bytes for an input of {}: {shown}", size(&case));
            report.findings.push(Finding { what, case: case.clone() });
        }
        if shapes.insert(shown) && kept.len() < MOST_KEPT {
            kept.push(case);
        }
    }
    report.outcomes = shapes.len();
    report
}
