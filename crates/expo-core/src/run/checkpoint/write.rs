//! Writing a checkpoint: beside the others, flushed, then renamed; older ones go only after that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use expo_lm::durable;
use expo_lm::weights::tensor_file::{SaveDtype, TensorFile};
use serde_json::{Value, json};

use super::capture::Capture;
use super::{FOLDER, manifest};
use crate::error::{Error, Result};
use crate::run::save_weights::SaveWeights;

/// The folder within a checkpoint that only this program reads; beside it lies what every tool reads.
pub(super) const STATE: &str = "state";
/// Its file for everything but tensors.
pub(super) const STATE_FILE: &str = "state.json";
/// What the manifest, and the unused ends of the last blocks of a checkpoint's files, take at most.
const SPARE_BYTES: u64 = 1 << 17;

/// Where checkpoints go and how many stay.
#[derive(Clone)]
pub(super) struct Place {
    /// The run's folder.
    pub run: PathBuf,
    /// Writes the model's part.
    pub save_weights: Arc<SaveWeights>,
    /// The number format of that part.
    pub dtype: SaveDtype,
    /// How many checkpoints stay (0: all).
    pub keep: usize,
    /// The step of the one that is best by an evaluation: it stays, however old.
    pub best: Option<usize>,
}

/// The folder's name of the checkpoint after `step`.
pub(super) fn name(step: usize) -> String {
    format!("step-{step:06}")
}

/// The step of a folder's name; `None` for one that is no checkpoint's.
pub(super) fn step_of(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("step-")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The checkpoints in `folder` by their steps, oldest first.
pub(super) fn list(folder: &Path) -> std::io::Result<Vec<(usize, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(step) = entry.file_name().to_str().and_then(step_of)
            && entry.path().is_dir()
        {
            found.push((step, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A checkpoint on the disk.
#[derive(Debug)]
pub(super) struct Written {
    pub step: usize,
    pub folder: PathBuf,
    /// Why an older one that was to go is still there, or in part.
    pub left: Option<Error>,
}

/// The folder of the checkpoints of the run in `run`, made if it is missing. The run's own is not: where that was removed or renamed, it stays so.
fn checkpoints_of(run: &Path) -> Result<PathBuf> {
    let folder = run.join(FOLDER);
    match std::fs::create_dir(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::io("create", &folder, e)),
        _ => Ok(folder),
    }
}

/// Writes `capture` as the checkpoint after `step`, `state` being everything else of it; then removes the oldest beyond those that stay. Errors: too little
/// space, a write that fails; nothing of it is left then, and the others are as they were.
pub(super) fn write(place: &Place, step: usize, capture: &Capture, mut state: Value) -> Result<Written> {
    let folder = checkpoints_of(&place.run)?;
    // The names of this folder and of logs that are newer than run.json.
    durable::sync_folder(&place.run).map_err(|e| Error::io("write", &place.run, e))?;
    let target = folder.join(name(step));
    state["parts"] = Value::Object(capture.values.clone());
    let state = state.to_string();
    check_space(&folder, capture.size(place.dtype)? + place.save_weights.side_bytes + state.len() as u64 + SPARE_BYTES)?;
    let temporary = folder.join(format!(".{}.tmp", name(step)));
    remove(&temporary)?;
    let written = fill(place, &temporary, &target, capture, &state).and_then(|()| {
        // Only after a checkpoint of this step that could not be used.
        remove(&target)?;
        durable::rename(&temporary, &target).map_err(|e| Error::io("create", &target, e))
    });
    if let Err(error) = written {
        // Best effort: the error that led here is the one to report.
        let _ = std::fs::remove_dir_all(&temporary);
        return Err(error);
    }
    let left = prune(&folder, place.keep, place.best).err();
    Ok(Written { step, folder: target, left })
}

/// Everything of a checkpoint in the folder `temporary`; messages name `target`.
fn fill(place: &Place, temporary: &Path, target: &Path, capture: &Capture, state: &str) -> Result<()> {
    place.save_weights.write(capture.policy.lm(), temporary)?;
    let (folder, shown) = (temporary.join(STATE), target.join(STATE));
    std::fs::create_dir(&folder).map_err(|e| Error::io("create", &shown, e))?;
    capture.tensors(&mut |name, set| {
        let (name, shapes) = (format!("{name}.safetensors"), set.shapes());
        let mut file = TensorFile::create(&folder.join(&name), &shown.join(&name), &shapes, SaveDtype::F32)?;
        set.export(&mut |name, tensor| file.push(name, &tensor))?;
        Ok(file.finish()?)
    })?;
    durable::write(&folder.join(STATE_FILE), state.as_bytes()).map_err(|e| Error::io("write", &shown.join(STATE_FILE), e))?;
    manifest::seal(temporary)
}

/// Errors: less than `needed` bytes are free.
fn check_space(folder: &Path, needed: u64) -> Result<()> {
    match durable::available_space(folder) {
        Some(free) if free < needed => {
            // What is needed rounded up, what is free rounded down: the two never read the same.
            let tenths = |tenths: u64| format!("{}.{}", tenths / 10, tenths % 10);
            let (needed, free) = (tenths(needed.saturating_mul(10).div_ceil(1 << 20)), tenths(free.saturating_mul(10) >> 20));
            let message = format!("needs {needed} MiB, but {free} MiB are free; make room");
            Err(Error::file(folder, None, format!("a checkpoint {message}, or keep fewer with train.save_total_limit")))
        }
        _ => Ok(()),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder, e)),
        _ => Ok(()),
    }
}

/// Removes all but the newest `keep` checkpoints (0: none) and the one of step `best`.
fn prune(folder: &Path, keep: usize, best: Option<usize>) -> Result<()> {
    let mut found = list(folder).map_err(|e| Error::io("read", folder, e))?;
    if keep > 0 {
        found.truncate(found.len().saturating_sub(keep));
    } else {
        found.clear();
    }
    for (step, path) in found.into_iter().filter(|(step, _)| Some(*step) != best) {
        // Under another name first: a checkpoint that is only half removed is none.
        let going = folder.join(format!(".{}.removed", name(step)));
        remove(&going)?;
        durable::rename(&path, &going).map_err(|e| Error::io("rename", &path, e))?;
        remove(&going)?;
    }
    Ok(())
}

/// Name under which the folder `name` waits for the place of another, and of that other while it goes.
fn replacing(name: &str) -> [String; 2] {
    [format!(".{name}.new"), format!(".{name}.removed")]
}

/// Writes a folder by `write` in the place of the one at `path`: at any moment one of them is whole, and [`sweep`] finds it.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let [new, old] = replacing(&name).map(|name| path.with_file_name(name));
    write(&new)?;
    remove(&old)?;
    durable::rename(path, &old).map_err(|e| Error::io("rename", path, e))?;
    durable::rename(&new, path).map_err(|e| Error::io("create", path, e))?;
    // Some network file systems keep what another process has open; the next one to sweep removes it.
    let _ = std::fs::remove_dir_all(&old);
    Ok(())
}

/// Puts a folder in its place whose writer was killed when the old one was gone already.
fn put_in_place(run: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(run) else { return Ok(()) };
    for entry in entries.flatten() {
        let waiting = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = waiting.strip_prefix('.').and_then(|name| name.strip_suffix(".new")) else { continue };
        let [_, old] = replacing(name);
        if !run.join(name).exists() && run.join(old).exists() {
            durable::rename(&entry.path(), &run.join(name)).map_err(|e| Error::io("rename", &entry.path(), e))?;
        }
    }
    Ok(())
}

/// Removes what a process that was killed while it wrote or removed has left in the run's folder `run`.
pub(super) fn sweep(run: &Path) -> Result<()> {
    put_in_place(run)?;
    for folder in [run.to_owned(), run.join(FOLDER)] {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            let left = name.starts_with('.') && (name.contains(".tmp") || name.ends_with(".removed") || name.ends_with(".new"));
            if !left {
                continue;
            }
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

/// What a state file begins with: the step, and where the run's logs end.
pub(super) fn state(step: usize, logs: &std::collections::BTreeMap<String, u64>) -> Value {
    json!({
        "step": step,
        "version": env!("CARGO_PKG_VERSION"),
        "instruction_set": expo_lm::kernels::instruction_set(),
        "logs": logs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_the_best_stay() {
        let folder = tempfile::tempdir().unwrap();
        let left = || list(folder.path()).unwrap().into_iter().map(|(step, _)| step).collect::<Vec<_>>();
        for step in [10, 100, 20, 30, 1_000_000] {
            std::fs::create_dir(folder.path().join(name(step))).unwrap();
        }
        for other in ["step-30.damaged", ".step-000040.tmp", "step-", "notes"] {
            std::fs::create_dir(folder.path().join(other)).unwrap();
        }
        prune(folder.path(), 0, None).unwrap();
        assert_eq!(left(), [10, 20, 30, 100, 1_000_000]);
        prune(folder.path(), 2, Some(20)).unwrap();
        assert_eq!(left(), [20, 100, 1_000_000]);
        assert!(["step-30.damaged", "step-", "notes"].iter().all(|other| folder.path().join(other).exists()));
    }

    #[test]
    fn what_a_killed_process_left_goes() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = run.path().join(FOLDER);
        for name in [".step-000040.tmp", "..step-000040.tmp.tmp-77", ".step-000030.removed", "step-000020"] {
            std::fs::create_dir_all(checkpoints.join(name)).unwrap();
        }
        for name in [".model.tmp-77", ".model.new", ".git"] {
            std::fs::create_dir(run.path().join(name)).unwrap();
        }
        std::fs::write(run.path().join(".run.json.tmp"), "{").unwrap();
        sweep(run.path()).unwrap();
        let names = |folder: &Path| {
            let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&checkpoints), ["step-000020"]);
        assert_eq!(names(run.path()), [".git", FOLDER]);
    }

    #[test]
    fn a_folder_that_replaces_another_is_found_whenever_its_writer_was_killed() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("model-best");
        let content = || std::fs::read_to_string(path.join("weights")).unwrap();
        let put = |name: &str, text: &str| {
            std::fs::create_dir(run.path().join(name)).unwrap();
            std::fs::write(run.path().join(name).join("weights"), text).unwrap();
        };
        put("model-best", "first");
        let write = |new: &Path| {
            put(new.file_name().unwrap().to_str().unwrap(), "second");
            Ok(())
        };
        replace(&path, write).unwrap();
        assert_eq!((content(), std::fs::read_dir(run.path()).unwrap().count()), ("second".to_owned(), 1));
        // Before the old one goes, half written: the old one stays.
        put(".model-best.new", "thi");
        sweep(run.path()).unwrap();
        assert_eq!(content(), "second");
        // When it has gone.
        put(".model-best.new", "third");
        std::fs::rename(&path, run.path().join(".model-best.removed")).unwrap();
        sweep(run.path()).unwrap();
        assert_eq!((content(), std::fs::read_dir(run.path()).unwrap().count()), ("third".to_owned(), 1));
        // When the new one is there.
        put(".model-best.removed", "second");
        sweep(run.path()).unwrap();
        assert_eq!((content(), std::fs::read_dir(run.path()).unwrap().count()), ("third".to_owned(), 1));
    }

    #[test]
    fn a_runs_folder_that_is_gone_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let error = checkpoints_of(&folder.path().join("gone")).unwrap_err().to_string();
        assert!(error.contains("gone/checkpoints: cannot create"), "{error}");
        assert!(!folder.path().join("gone").exists());
    }

    #[test]
    fn too_little_space_is_said_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let error = check_space(folder.path(), u64::MAX).unwrap_err().to_string();
        assert!(error.contains("a checkpoint needs") && error.contains("MiB are free"), "{error}");
        check_space(folder.path(), 1).unwrap();
    }
}
