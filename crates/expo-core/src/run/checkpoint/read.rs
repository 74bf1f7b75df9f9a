//! Finding the newest checkpoint that is whole, and reading it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expo_lm::weights::safetensors::SafetensorsSource;
use serde_json::{Map, Value};

use super::FOLDER;
use super::capture::restore;
use super::manifest::{self, Trouble};
use super::write::{STATE, STATE_FILE, list};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::resume::from_state;
use crate::run::state::State;

/// A checkpoint that has been checked against its manifest.
pub(crate) struct Stored {
    folder: PathBuf,
    /// The step after which it was written.
    pub step: usize,
    /// The instruction set of the process that wrote it.
    pub instruction_set: String,
    /// The version of the program that wrote it.
    pub version: String,
    /// Where the run's logs ended.
    pub logs: BTreeMap<String, u64>,
    values: Map<String, Value>,
}

impl Stored {
    /// The newest whole checkpoint of the run in `run`, and what to tell of damaged ones, which are put aside. `None`: there is none at all. Errors: there are
    /// some, but none is whole; one of a format that is not known here.
    pub fn newest(run: &Path) -> Result<(Option<Self>, Vec<String>)> {
        let folder = run.join(FOLDER);
        match std::fs::symlink_metadata(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((None, Vec::new())),
            // A folder that can't be looked into is not one without checkpoints: the run would begin anew.
            Err(e) => return Err(Error::io("read", &folder, e)),
            Ok(_) => {}
        }
        let mut found = list(&folder).map_err(|e| Error::io("read", &folder, e))?;
        let mut damaged: Vec<(PathBuf, String)> = Vec::new();
        while let Some((step, path)) = found.pop() {
            match Self::open(&path, step) {
                Ok(stored) => return Ok((Some(stored), put_aside(&damaged)?)),
                Err(Trouble::Unusable(error)) => return Err(error),
                Err(Trouble::Damaged(why)) => damaged.push((path, why)),
            }
        }
        // Starting anew would throw away a run that someone may still save.
        let Some((path, _)) = damaged.first() else { return Ok((None, Vec::new())) };
        let all: Vec<String> = damaged.iter().map(|(path, why)| format!("{} ({why})", path.display())).collect();
        Err(Error::file(
            path,
            None,
            format!(
                "every checkpoint of the run is damaged: {}; remove {} to start the run from its beginning",
                all.join(", "),
                folder.display()
            ),
        ))
    }

    fn open(folder: &Path, step: usize) -> Result<Self, Trouble> {
        manifest::check(folder)?;
        let path = folder.join(STATE).join(STATE_FILE);
        let read = || -> Result<Value> {
            let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
            serde_json::from_slice(&bytes).map_err(|e| unreadable(&path, &format!("is not valid JSON ({e})"), folder))
        };
        // Its checksum is right: what is wrong now was so when it was written.
        let mut state = read().map_err(Trouble::Unusable)?;
        let mut take = |name: &str| state.get_mut(name).map(Value::take).unwrap_or_default();
        let mut fields = || -> Result<Self> {
            Ok(Self {
                folder: folder.to_owned(),
                step: from_state(take("step"))?,
                instruction_set: from_state(take("instruction_set"))?,
                version: from_state(take("version"))?,
                logs: from_state(take("logs"))?,
                values: from_state(take("parts"))?,
            })
        };
        let stored = fields().map_err(|e| Trouble::Unusable(unreadable(&path, &e, folder)))?;
        if stored.step != step {
            return Err(Trouble::Damaged(format!("its name is not that of step {}, after which it was written", stored.step)));
        }
        Ok(stored)
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes `state`, that of a run of `config` that draws `documents` for each optimizer step, back to where it was. Errors: those of [`restore`], with the checkpoint's
    /// name.
    pub fn restore(&self, state: &mut State, config: &Config, documents: usize) -> Result<()> {
        let most = state.most(config, documents);
        let open = |name: &str| Ok(SafetensorsSource::open_file(&self.folder.join(STATE).join(format!("{name}.safetensors")))?);
        restore(state.parts(), &most, self.values.clone(), &open).map_err(|e| unreadable(&self.folder, &e, &self.folder))
    }
}

/// What to do about a checkpoint that is what was written and still can't be read.
fn unreadable(path: &Path, why: &impl std::fmt::Display, checkpoint: &Path) -> Error {
    let remedy = format!("go on with the version that wrote it, or remove {} to go on from the one before", checkpoint.display());
    Error::file(path, None, format!("{why}; {remedy}"))
}

/// Renames damaged checkpoints, so that the next ones may have their names; returns what to tell.
fn put_aside(damaged: &[(PathBuf, String)]) -> Result<Vec<String>> {
    let mut notices = Vec::new();
    for (path, why) in damaged {
        let aside = path.with_extension("damaged");
        // Best effort: what is in the way is a damaged one of the same step.
        let _ = std::fs::remove_dir_all(&aside);
        std::fs::rename(path, &aside).map_err(|e| Error::io("rename", path, e))?;
        notices.push(format!("{} is damaged ({why}); it is now {}, and the one before is used", path.display(), aside.display()));
    }
    Ok(notices)
}
