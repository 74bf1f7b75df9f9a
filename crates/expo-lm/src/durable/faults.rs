//! Faults on demand, compiled into test builds alone: `EXPO_RL_FAULT=POINT:N[:ACTION]` lets the process meet one at its N-th (from 1) `write`, `sync`,
//! `rename` or `step`.
//!
//! Actions: `abort` (the default) ends the process with nothing cleaned up; `power` does the same and takes back what the disk does not have to hold yet: bytes
//! that were not flushed, and names whose folder was not; `full` fails that write and all that follow with "no space left"; `readonly` fails that write or rename and
//! all that follow, new files among them, as a file system does that was mounted anew without the right to write. With `EXPO_RL_FAULT_LOG=FILE` the
//! name of every point that is passed is appended to FILE, a line each: so a harness knows how many there are. `EXPO_RL_FAULT_FREE=BYTES` is what the disk says
//! that it has free; `EXPO_RL_FAULT_CLOCK=SECONDS` is how far the wall clock is behind.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::Point;

#[derive(Clone, Copy, PartialEq)]
enum Action {
    Abort,
    Power,
    Full,
    ReadOnly,
}

/// What is to happen, and what has.
#[derive(Default)]
struct State {
    plan: Option<(&'static str, usize, Action)>,
    /// Whether the file system has become read-only.
    is_read_only: bool,
    log: Option<std::fs::File>,
    passed: HashMap<&'static str, usize>,
    /// Of every file written, how much of it is on the disk.
    synced: HashMap<PathBuf, u64>,
    /// Names given in folders that were not flushed since.
    renamed: Vec<Renamed>,
    /// Files made in such folders.
    created: HashSet<PathBuf>,
}

struct Renamed {
    from: PathBuf,
    to: PathBuf,
    /// The file that had the name before.
    replaced: Option<Vec<u8>>,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| Mutex::new(State::from_environment()));

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(point: Point) -> &'static str {
    match point {
        Point::Write => "write",
        Point::Sync => "sync",
        Point::Rename => "rename",
        Point::Step => "step",
    }
}

impl State {
    /// # Panics
    /// On a plan that can't be read: a test that injects nothing would prove nothing.
    fn from_environment() -> Self {
        let plan = std::env::var("EXPO_RL_FAULT").ok().map(|text| {
            let parts: Vec<&str> = text.split(':').collect();
            let names = [Point::Write, Point::Sync, Point::Rename, Point::Step].map(name);
            let point = names.into_iter().find(|name| Some(name) == parts.first()).expect("EXPO_RL_FAULT: write, sync, rename or step");
            let at = parts.get(1).and_then(|at| at.parse().ok()).expect("EXPO_RL_FAULT: POINT:N");
            let action = match parts.get(2) {
                None | Some(&"abort") => Action::Abort,
                Some(&"power") => Action::Power,
                Some(&"full") => Action::Full,
                Some(&"readonly") => Action::ReadOnly,
                Some(other) => panic!("EXPO_RL_FAULT: unknown action {other}"),
            };
            (point, at, action)
        });
        let log = std::env::var_os("EXPO_RL_FAULT_LOG")
            .map(|path| OpenOptions::new().create(true).append(true).open(path).expect("EXPO_RL_FAULT_LOG can be written"));
        Self { plan, log, ..Self::default() }
    }

    /// Takes back what a power cut may take.
    fn lose(&self) {
        for Renamed { from, to, replaced } in self.renamed.iter().rev() {
            let _ = std::fs::rename(to, from);
            if let Some(content) = replaced {
                let _ = std::fs::write(to, content);
            }
        }
        for path in &self.created {
            let _ = std::fs::remove_file(path);
        }
        for (path, length) in &self.synced {
            // A file that is gone has nothing to lose.
            if let Ok(file) = OpenOptions::new().write(true).open(path)
                && file.metadata().is_ok_and(|found| found.len() > *length)
            {
                let _ = file.set_len(*length);
            }
        }
    }
}

/// Passes `point`, or meets the fault that is planned there.
pub(super) fn pass(point: Point) -> Result<()> {
    let mut state = state();
    let point = name(point);
    if let Some(log) = &mut state.log {
        log.write_all(format!("{point}\n").as_bytes())?;
    }
    let passed = state.passed.entry(point).or_default();
    *passed += 1;
    let passed = *passed;
    if state.is_read_only && point != name(Point::Sync) && point != name(Point::Step) {
        return Err(ErrorKind::ReadOnlyFilesystem.into());
    }
    match state.plan {
        Some((planned, at, Action::ReadOnly)) if planned == point && passed == at => {
            state.is_read_only = true;
            Err(ErrorKind::ReadOnlyFilesystem.into())
        }
        Some((planned, at, Action::Full)) if planned == point && passed >= at => Err(Error::from(ErrorKind::StorageFull)),
        Some((planned, at, action)) if planned == point && passed == at => {
            if action == Action::Power {
                state.lose();
            }
            // The lock is held: no other thread writes on.
            std::process::abort()
        }
        _ => Ok(()),
    }
}

/// The file `path` is about to be opened for writing; where there is none it is made, and its name is not on the disk yet.
pub(super) fn opening(path: &Path) -> Result<()> {
    let mut state = state();
    if state.is_read_only {
        return Err(ErrorKind::ReadOnlyFilesystem.into());
    }
    if !path.exists() {
        state.created.insert(path.to_owned());
    }
    Ok(())
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

/// What the disk is said to have free.
pub(super) fn available_space() -> Option<u64> {
    number_from_environment("EXPO_RL_FAULT_FREE")
}

/// How far the wall clock is behind.
pub(crate) fn clock_behind() -> std::time::Duration {
    std::time::Duration::from_secs(number_from_environment("EXPO_RL_FAULT_CLOCK").unwrap_or(0))
}

/// `path` was opened for writing; `length` bytes of it are on the disk.
pub(super) fn opened(path: &Path, length: u64) {
    state().synced.entry(path.to_owned()).and_modify(|synced| *synced = length.min(*synced)).or_insert(length);
}

/// `length` bytes of `path` are on the disk.
pub(super) fn synced(path: &Path, length: u64) {
    state().synced.insert(path.to_owned(), length);
}

/// `rest` within `base`; `base` itself where it is empty.
fn join(base: &Path, rest: &Path) -> PathBuf {
    if rest == Path::new("") { base.to_owned() } else { base.join(rest) }
}

/// A file or folder is about to get a new name, which is not on the disk yet.
pub(super) fn renaming(from: &Path, to: &Path) {
    let mut state = state();
    let replaced = std::fs::read(to).ok();
    let moved: Vec<(PathBuf, u64)> =
        state.synced.iter().filter_map(|(path, length)| Some((path.strip_prefix(from).ok()?.to_owned(), *length))).collect();
    for (rest, length) in moved {
        let [old, new] = [from, to].map(|base| join(base, &rest));
        state.synced.remove(&old);
        state.synced.insert(new, length);
    }
    if replaced.is_none() {
        // Under the new name and, should that one be lost, under the old. A name that was there before stays, with its old content.
        let made: Vec<PathBuf> = state.created.iter().filter_map(|path| Some(join(to, path.strip_prefix(from).ok()?))).collect();
        state.created.extend(made);
    }
    state.renamed.push(Renamed { from: from.to_owned(), to: to.to_owned(), replaced });
}

/// The names in the folder `path` are on the disk.
pub(super) fn folder_synced(path: &Path) {
    let mut state = state();
    state.created.retain(|created| super::parent(created) != path);
    state.renamed.retain(|renamed| super::parent(&renamed.to) != path);
}
