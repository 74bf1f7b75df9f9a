//! A run's folder in which a run has begun and not ended.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::changes::{self, Change};
use super::read::Stored;
use super::write::sweep;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::logs::{METRICS_FILE, RUN_FILE};
use crate::run::lock::RunLock;

/// A run that can go on, its folder locked.
pub struct UnfinishedRun {
    pub(crate) folder: PathBuf,
    pub(crate) lock: RunLock,
    /// `run.json` as the last process left it.
    pub(crate) run: Value,
    /// Where it goes on; `None`: at its beginning.
    pub(crate) checkpoint: Option<Stored>,
    pub(crate) changes: Vec<Change>,
    pub(crate) notices: Vec<String>,
}

impl UnfinishedRun {
    /// The run in `folder`, if one has begun there and not ended; `None` where there is none at all. With `resume` a run that has ended counts, too, where
    /// `config` asks for more steps.
    ///
    /// Errors: another process is at work in the folder; `config` differs in what may not change; the run has ended; no checkpoint is whole.
    pub fn find(folder: &Path, config: &Config, resume: bool) -> Result<Option<Self>> {
        let path = folder.join(RUN_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let (lock, notice) = RunLock::acquire(folder)?;
        let mut notices: Vec<String> = notice.into_iter().collect();
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let run: Value = serde_json::from_slice(&bytes).map_err(|e| {
            Error::file(&path, None, format!("can't be read ({e}), so the run in this folder can't go on; choose another folder"))
        })?;
        let holds = |rest: &str| Err(Error::file(&path, None, format!("this folder already holds a run{rest}")));
        match run["finished"].as_bool() {
            None => return holds(" of a version that could not go on with it; choose another one or remove it"),
            Some(false) => {}
            Some(true) => {
                let more_steps = Some(config.train.steps as u64) > run["config"]["train"]["steps"].as_u64();
                if !(resume && more_steps) {
                    return holds(", which has ended; choose another one or remove it, or raise train.steps and give --resume");
                }
            }
        }
        let changes = changes::compare(config, &run["config"]).map_err(|e| Error::file(&path, None, e.to_string()))?;
        sweep(folder)?;
        let (checkpoint, damaged) = Stored::newest(folder)?;
        notices.extend(damaged);
        if checkpoint.is_none() && run["finished"] == true {
            let message = "the run in this folder has ended and has no checkpoint to go on from; choose another folder";
            return Err(Error::file(&folder.join(METRICS_FILE), None, message));
        }
        Ok(Some(Self { folder: folder.to_owned(), lock, run, checkpoint, changes, notices }))
    }

    /// What chat templates take for today: the date of its beginning, in seconds since 1970 (UTC).
    pub fn date(&self) -> i64 {
        self.run["date_unix_seconds"].as_i64().unwrap_or_default()
    }

    /// Steps that are done and stay so.
    pub fn steps(&self) -> usize {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step)
    }
}
