//! The files of a run: `run.json`, the logs, and where saved weights go.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use expo_lm::durable;
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::logs::{
    BATCHES_FILE, BEST_FILE, COMPLETIONS_FILE, DOCUMENTS_FILE, METRICS_FILE, PAIRS_FILE, REFERENCE_FILE, RUN_FILE, WATCHDOG_FILE,
};
use crate::metrics::StepMetrics;
use crate::run::lock::{LOCK_FILE, RunLock};

/// The folder that holds the weights of the best evaluation.
pub(crate) const BEST_FOLDER: &str = "model-best";

/// A run's folder, locked.
pub struct Output {
    folder: PathBuf,
    run: Value,
    /// Files to which whole lines are appended, by name.
    logs: BTreeMap<String, durable::File>,
    lock: RunLock,
}

impl Output {
    /// Creates `folder` with an empty run in it; the second value is what a user should know. Errors: it already holds a run, another process uses it, it can't be
    /// written.
    pub fn create(folder: &Path, run: Value) -> Result<(Self, Option<String>)> {
        let is_new = !folder.exists();
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let remove_new = || {
            if is_new {
                // Best effort: the error itself is the one to report.
                let _ = fs::remove_dir(folder);
            }
        };
        let (lock, notice) = RunLock::acquire(folder).inspect_err(|_| remove_new())?;
        let create = || {
            // Weights are written last: a folder in their way has to be found now.
            let logs = [METRICS_FILE, COMPLETIONS_FILE, BATCHES_FILE, PAIRS_FILE, REFERENCE_FILE, DOCUMENTS_FILE, WATCHDOG_FILE];
            let files = [RUN_FILE].into_iter().chain(logs).chain([BEST_FILE]);
            let folders = ["model", BEST_FOLDER, crate::run::checkpoint::FOLDER, "last-good"];
            let taken = files.chain(folders).map(|name| folder.join(name)).find(|path| path.exists());
            if let Some(existing) = taken {
                return Err(Error::file(&existing, None, "this folder already holds a run; choose another one or remove it"));
            }
            let mut notices = Vec::new();
            let output = Self::reopen(folder, lock, run, &BTreeMap::new(), &mut notices).inspect_err(|_| {
                // Best effort: the error itself is the one to report.
                for name in [RUN_FILE, METRICS_FILE, COMPLETIONS_FILE] {
                    let _ = fs::remove_file(folder.join(name));
                }
            })?;
            Ok((output, notice))
        };
        create().inspect_err(|_| {
            if is_new {
                let _ = fs::remove_file(folder.join(LOCK_FILE));
            }
            remove_new();
        })
    }

    /// The run `run` in `folder`, whose logs end at `lengths`: what is behind that goes, and so does a log that is not named there. Without lengths: a run that has not
    /// written anything yet. `notices` is told of logs that are too short.
    pub fn reopen(
        folder: &Path,
        lock: RunLock,
        mut run: Value,
        lengths: &BTreeMap<String, u64>,
        notices: &mut Vec<String>,
    ) -> Result<Self> {
        run["finished"] = false.into();
        let mut output = Self { folder: folder.to_owned(), run, logs: BTreeMap::new(), lock };
        // First of all: what is in the folder is a run only with this file.
        output.write_run()?;
        for (name, length) in lengths {
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(Error::file(
                    folder,
                    None,
                    format!("the checkpoint names a log {name:?}, which is not the name of a file in this folder"),
                ));
            }
            let path = folder.join(name);
            let log = durable::File::append(&path).map_err(|e| Error::io("open", &path, e))?;
            let found = log.len().map_err(|e| Error::io("read", &path, e))?;
            if found < *length {
                notices.push(format!("{} has lost its end: {found} bytes of {length}; what is missing stays missing", path.display()));
                let rows = end_of_last_row(&path).map_err(|e| Error::io("read", &path, e))?;
                log.truncate(rows).map_err(|e| Error::io("write", &path, e))?;
            } else {
                log.truncate(*length).map_err(|e| Error::io("write", &path, e))?;
            }
            output.logs.insert(name.clone(), log);
        }
        for name in [METRICS_FILE, COMPLETIONS_FILE] {
            output.log(name)?;
        }
        Ok(output)
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The log `name`, which begins empty where this run has not written it.
    fn log(&mut self, name: &str) -> Result<&mut durable::File> {
        match self.logs.entry(name.to_owned()) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => {
                let path = self.folder.join(name);
                // Emptied first, then opened to write at the end.
                let open = durable::File::create(&path).and_then(|_| durable::File::append(&path));
                Ok(vacant.insert(open.map_err(|e| Error::io("create", &path, e))?))
            }
        }
    }

    /// Appends rows to the log `name`: whole lines, or nothing.
    pub fn append_rows(&mut self, name: &str, rows: &[impl Serialize]) -> Result<()> {
        let path = self.folder.join(name);
        let file = self.log(name)?;
        let mut text = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut text, row).map_err(|e| Error::io("write", &path, e.into()))?;
            text.push(b'\n');
        }
        let written = file.len().and_then(|before| {
            file.write_all(&text).inspect_err(|_| {
                // Best effort: the write's own error is the one to report. What a full disk cut off is taken back.
                let _ = file.truncate(before);
            })
        });
        written.map_err(|e| Error::io("write", &path, e))
    }

    /// Cuts the logs back to `lengths`; one that is not named there begins anew.
    pub fn rewind(&mut self, lengths: &BTreeMap<String, u64>) -> Result<()> {
        for (name, log) in &self.logs {
            // Not beyond its end, where one has lost it: what is missing stays missing.
            let length = log.len().map(|found| found.min(lengths.get(name).copied().unwrap_or(0)));
            length.and_then(|length| log.truncate(length)).map_err(|e| Error::io("write", &self.folder.join(name), e))?;
        }
        Ok(())
    }

    /// How long every log is.
    pub fn log_lengths(&self) -> Result<BTreeMap<String, u64>> {
        let length = |(name, log): (&String, &durable::File)| {
            Ok((name.clone(), log.len().map_err(|e| Error::io("read", &self.folder.join(name), e))?))
        };
        self.logs.iter().map(length).collect()
    }

    /// How long every log is, once all of it is on the disk.
    pub fn sync_logs(&mut self) -> Result<BTreeMap<String, u64>> {
        let length = |(name, log): (&String, &durable::File)| {
            let synced = log.sync().and_then(|()| log.len());
            Ok((name.clone(), synced.map_err(|e| Error::io("write", &self.folder.join(name), e))?))
        };
        self.logs.iter().map(length).collect()
    }

    /// The run has ended.
    pub fn finish(&mut self) -> Result<()> {
        self.sync_logs()?;
        self.run["finished"] = true.into();
        self.write_run()
    }

    fn write_run(&self) -> Result<()> {
        self.write_whole(RUN_FILE, &self.run).map(|_| ())
    }

    /// Appends a step to `metrics.jsonl`. Errors: also a folder that is not any more this run's.
    pub fn metrics(&mut self, metrics: &StepMetrics) -> Result<()> {
        self.lock.check(&self.folder)?;
        self.append_rows(METRICS_FILE, &[metrics.to_json()])
    }

    /// Writes `value` to the file `name`, which appears whole or not at all.
    pub fn write_whole(&self, name: &str, value: &impl Serialize) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let text = serde_json::to_string_pretty(value).map_err(|e| Error::io("write", &path, e.into()))?;
        durable::replace(&path, format!("{text}\n").as_bytes()).map_err(|e| Error::io("write", &path, e))?;
        Ok(path)
    }
}

/// Where the last whole row of the log at `path` ends.
fn end_of_last_row(path: &Path) -> std::io::Result<u64> {
    let mut reader = BufReader::new(fs::File::open(path)?);
    let (mut rows, mut row) = (0, Vec::new());
    loop {
        row.clear();
        match reader.read_until(b'\n', &mut row)? {
            length if row.ends_with(b"\n") => rows += length as u64,
            _ => return Ok(rows),
        }
    }
}
