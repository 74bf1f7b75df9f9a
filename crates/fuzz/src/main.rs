//! Fuzzes the readers of everything that comes from outside: models, data, templates, configurations, what runs leave behind.
//!
//! ```sh
//! cargo run --release -p expo-fuzz -- TARGET|all [--executions 2000000] [--minutes 5] [--seed 0] [--keep FOLDER]
//! cargo run --release -p expo-fuzz -- TARGET --replay FOLDER/FINDING
//! ```
//!
//! Inputs are mutations of valid ones, drawn by a seed; those that lead to a message not seen before are mutated further. An allocator counts: an execution may
//! take a constant and a small factor of its input's size. A run ends after so many executions or so many minutes, whichever comes first. Findings go to FOLDER (a
//! folder each, with the input's files); the exit code is then 1. An input that takes longer than a minute ends the process, after it was written there;
//! one that ends the process itself (an overflow of the stack) is in FOLDER/TARGET-last.

mod fuzz;
mod memory;
mod mutate;
mod targets;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fuzz::{Limit, Report, fuzz};
use mutate::Case;
use targets::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const USAGE: &str = "usage: expo-fuzz TARGET|all [--executions N] [--minutes N] [--seed N] [--keep FOLDER] [--replay FINDING]";
/// What takes longer is a hang.
const HANG: Duration = Duration::from_secs(60);

/// A folder in memory where the system has one.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).expect("a temporary folder")
}

fn keep(folder: &Path, case: &Case) {
    for (name, bytes) in case {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("--keep can be written");
        std::fs::write(path, bytes).expect("--keep can be written");
    }
}

/// The files below `folder`, as [`keep`] wrote them; `within` leads to it.
fn kept(folder: &Path, within: &str) -> Case {
    let mut case = Case::new();
    for entry in std::fs::read_dir(folder).expect("--replay can be read") {
        let entry = entry.expect("--replay can be read");
        let name = format!("{within}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => case.extend(kept(&entry.path(), &format!("{name}/"))),
            false => case.push((name, std::fs::read(entry.path()).expect("--replay can be read"))),
        }
    }
    case
}

/// Reads one input once, and tells what became of it and how long it took.
fn replay(target: &Target, folder: &Path) {
    let (scratch, case, start) = (scratch(), kept(folder, ""), Instant::now());
    let outcome = (target.run)(scratch.path(), &case);
    println!("{}: {outcome:?} after {:.3} s", target.name, start.elapsed().as_secs_f64());
}

/// Writes the input at hand and ends the process where it takes too long.
fn watch(current: Arc<Mutex<Option<(Instant, Case)>>>, folder: PathBuf) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let current = current.lock().expect("no one panics here");
            if let Some((_, case)) = current.as_ref().filter(|(begun, _)| begun.elapsed() > HANG) {
                keep(&folder, case);
                println!("HANG: {}", folder.display());
                std::process::exit(1);
            }
        }
    });
}

fn run(target: &Target, seed: u64, executions: usize, time: Duration, folder: &Path) -> bool {
    let scratch = scratch();
    let current = Arc::new(Mutex::new(None));
    watch(current.clone(), folder.join(format!("{}-hang", target.name)));
    // What an input leaves that overflows the stack, or that the system ends the process for.
    let last = folder.join(format!("{}-last", target.name));
    let start = Instant::now();
    let (mut round, mut done, mut all) = (0, 0, Vec::<Report>::new());
    // In rounds with seeds of their own: what was kept does not grow stale.
    while done < executions && start.elapsed() < time {
        let limit = Limit {
            executions: (executions - done).min(250_000),
            time: Some(time.saturating_sub(start.elapsed()).min(Duration::from_secs(100))),
        };
        let report = fuzz(target, seed + round, limit, scratch.path(), &mut |case| {
            *current.lock().expect("no one panics here") = Some((Instant::now(), case.clone()));
            keep(&last, case);
        });
        done += report.executions;
        round += 1;
        all.push(report);
    }
    *current.lock().expect("no one panics here") = None;
    if last.exists() {
        std::fs::remove_dir_all(&last).expect("--keep can be written");
    }
    let mut seen = std::collections::BTreeSet::new();
    let findings: Vec<_> = all.iter().flat_map(|report| &report.findings).filter(|finding| seen.insert(finding.what.clone())).collect();
    let slowest = all.iter().filter_map(|report| report.slowest.as_ref()).max_by_key(|(took, _)| *took);
    println!(
        "{}: {done} executions in {:.0} s ({} accepted, {} outcomes), {} findings, slowest {:.0?}, at most {:.2} of the memory allowed",
        target.name,
        start.elapsed().as_secs_f64(),
        all.iter().map(|report| report.accepted).sum::<usize>(),
        all.iter().map(|report| report.outcomes).max().unwrap_or(0),
        findings.len(),
        slowest.map_or(Duration::ZERO, |(took, _)| *took),
        all.iter().map(|report| report.fullest).fold(0.0, f64::max),
    );
    if let Some((_, case)) = slowest {
        keep(&folder.join(format!("{}-slowest", target.name)), case);
    }
    for (i, finding) in findings.iter().enumerate() {
        let folder = folder.join(format!("{}-{i}", target.name));
        keep(&folder, &finding.case);
        println!("  {}: {}", folder.display(), finding.what);
    }
    findings.is_empty()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().expect(USAGE);
    let (mut executions, mut minutes, mut seed, mut folder) = (2_000_000, 5.0, 0, PathBuf::from("fuzz-findings"));
    let mut finding = None;
    while let Some(option) = args.next() {
        let value = args.next().expect(USAGE);
        match option.as_str() {
            "--executions" => executions = value.parse().expect(USAGE),
            "--minutes" => minutes = value.parse().expect(USAGE),
            "--seed" => seed = value.parse().expect(USAGE),
            "--keep" => folder = value.into(),
            "--replay" => finding = Some(PathBuf::from(value)),
            _ => panic!("{USAGE}"),
        }
    }
    fuzz::catch_panics();
    let chosen: Vec<&Target> = TARGETS.iter().filter(|target| name == "all" || name == target.name).collect();
    assert!(!chosen.is_empty(), "no target {name}; there are {}", TARGETS.map(|target| target.name).join(", "));
    if let Some(finding) = finding {
        return chosen.into_iter().for_each(|target| replay(target, &finding));
    }
    let mut clean = true;
    for target in chosen {
        clean &= run(target, seed, executions, Duration::from_secs_f64(60.0 * minutes), &folder);
    }
    std::process::exit(i32::from(!clean));
}
