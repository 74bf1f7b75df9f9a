//! The files of a run: `run.json`, `metrics.jsonl`, `completions.jsonl`, those of preference pairs and made documents, and saved weights.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::draw_pairs::{PAIRS_FILE, REFERENCE_FILE};
use super::evaluation::{BEST_FILE, BEST_FOLDER};
use super::metrics::StepMetrics;
use super::rationales::DOCUMENTS_FILE;
use crate::error::{Error, Result};

/// A run's folder.
pub struct Output {
    folder: PathBuf,
    metrics: File,
    completions: File,
}

impl Output {
    /// Creates `folder` with an empty run in it. Errors: it already holds a run, or can't be written.
    pub fn create(folder: &Path, run: &Value) -> Result<Self> {
        let is_new = !folder.exists();
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        // Weights are written last: a folder in their way has to be found now.
        let files = ["run.json", "metrics.jsonl", "completions.jsonl", PAIRS_FILE, REFERENCE_FILE, DOCUMENTS_FILE, BEST_FILE];
        let folders = ["model", BEST_FOLDER, "checkpoints", "last-good"];
        let taken = files.into_iter().chain(folders).map(|name| folder.join(name)).find(|path| path.exists());
        if let Some(existing) = taken {
            return Err(Error::file(&existing, None, "this folder already holds a run; choose another one or remove it"));
        }
        Self::start(folder, run).inspect_err(|_| {
            // Best effort: the error itself is the one to report.
            for name in ["metrics.jsonl", "completions.jsonl"] {
                let _ = fs::remove_file(folder.join(name));
            }
            if is_new {
                let _ = fs::remove_dir(folder);
            }
        })
    }

    fn start(folder: &Path, run: &Value) -> Result<Self> {
        let output = Self {
            metrics: open(&folder.join("metrics.jsonl"))?,
            completions: open(&folder.join("completions.jsonl"))?,
            folder: folder.to_owned(),
        };
        output.write_whole("run.json", run)?;
        Ok(output)
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Appends rows to the file `name`, which is created by the first.
    pub fn append_rows(&self, name: &str, rows: &[Value]) -> Result<()> {
        let path = self.folder.join(name);
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(|e| Error::io("open", &path, e))?;
        append(&mut file, &path, rows)
    }

    /// Appends a step to `metrics.jsonl`.
    pub fn metrics(&mut self, metrics: &StepMetrics) -> Result<()> {
        append(&mut self.metrics, &self.folder.join("metrics.jsonl"), std::slice::from_ref(&metrics.to_json()))
    }

    /// Appends rows to `completions.jsonl`.
    pub fn completions(&mut self, rows: &[Value]) -> Result<()> {
        append(&mut self.completions, &self.folder.join("completions.jsonl"), rows)
    }

    /// Writes `value` to the file `name`, under a temporary name first.
    pub fn write_whole(&self, name: &str, value: &Value) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let temporary = self.folder.join(format!(".{name}.tmp"));
        let text = format!("{value:#}\n");
        let written = fs::write(&temporary, text).map_err(|e| Error::io("write", &path, e));
        if let Err(error) = written {
            // Best effort: the write's own error is the one to report.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        fs::rename(&temporary, &path).map_err(|e| Error::io("rename", &path, e))?;
        Ok(path)
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).write(true).truncate(true).open(path).map_err(|e| Error::io("create", path, e))
}

/// Appends whole lines, or nothing: what a full disk cuts off is taken back.
fn append(file: &mut File, path: &Path, rows: &[Value]) -> Result<()> {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let written = file.metadata().and_then(|before| {
        file.write_all(text.as_bytes()).inspect_err(|_| {
            // Best effort: the write's own error is the one to report.
            let _ = file.set_len(before.len());
        })
    });
    written.map_err(|e| Error::io("write", path, e))
}
