//! Runs as they lie in their folders: found, read as far as they can be, put together by configuration, and drawn as curves.
//!
//! Nothing here fails because a run is broken or empty: what is wrong with it is told in its notices.

mod arms;
mod completions;
mod curve;
mod lines;
mod run;

use std::path::{Path, PathBuf};

pub use arms::{Arm, Difference, arms, differences};
pub use completions::{Completions, LevelCount};
pub use curve::{Curve, Point};
pub use run::{ELAPSED, Points, Run};

use crate::error::{Error, Result};
use crate::logs::{COMPLETIONS_FILE, METRICS_FILE, RUN_FILE};

/// The files of which each makes a folder that of a run.
const MARKS: [&str; 3] = [RUN_FILE, METRICS_FILE, COMPLETIONS_FILE];
/// How deep below a given folder runs are looked for: `sweep/arm/seed`.
const DEEPEST: usize = 4;

/// Reads the runs in `paths`: folders of runs, and folders somewhere below which such folders lie; each once. Second: folders in which there is no run.
/// Errors: a path that is not a folder.
pub fn read(paths: &[PathBuf]) -> Result<(Vec<Run>, Vec<PathBuf>)> {
    let (mut folders, mut without) = (Vec::new(), Vec::new());
    for path in paths {
        if !path.is_dir() {
            let message = if path.exists() { "not a folder; name the folder of a run" } else { "no such folder; name the folder of a run" };
            return Err(Error::file(path, None, message));
        }
        let before = folders.len();
        find(path, 0, &mut folders)?;
        if folders.len() == before {
            without.push(path.clone());
        }
    }
    let mut seen = Vec::new();
    folders.retain(|folder: &PathBuf| {
        let place = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let is_new = !seen.contains(&place);
        seen.push(place);
        is_new
    });
    let names = names(&folders);
    Ok((folders.iter().zip(names).map(|(folder, name)| Run::read(folder, name)).collect(), without))
}

fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if MARKS.iter().any(|name| folder.join(name).is_file()) {
        found.push(folder.to_owned());
        return Ok(());
    }
    if depth == DEEPEST {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|e| Error::io("list", folder, e))?;
    // Not through links: they may lead back up.
    let mut below: Vec<PathBuf> = entries.iter().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(std::fs::DirEntry::path).collect();
    below.sort();
    below.iter().try_for_each(|folder| find(folder, depth + 1, found))
}

/// What to call each folder: its path without the folders that all have in common.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let parts = |folder: &PathBuf| folder.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = folders.iter().map(parts).collect();
    let shortest = all.iter().map(|parts| parts.len().saturating_sub(1)).min().unwrap_or(0);
    let common = (0..shortest).take_while(|&i| all.iter().all(|parts| parts[i] == all[0][i])).count();
    all.iter().map(|parts| parts[common..].join("/")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_below_and_named_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for run in ["sweep/grpo/0", "sweep/grpo/1", "sweep/exp/0"] {
            std::fs::create_dir_all(at(run)).unwrap();
            std::fs::write(at(run).join("metrics.jsonl"), "{\"step\": 1}\n").unwrap();
            // What lies in a run is not looked at.
            std::fs::create_dir_all(at(run).join("checkpoints")).unwrap();
        }
        std::fs::create_dir_all(at("empty")).unwrap();
        let (runs, without) = read(&[at("sweep/grpo/1"), at("sweep"), at("empty")]).unwrap();
        assert_eq!(runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>(), ["grpo/1", "exp/0", "grpo/0"]);
        assert_eq!(without, [at("empty")]);
        assert_eq!(read(&[at("sweep/exp/0")]).unwrap().0[0].name, "0", "alone it has its folder's own name");
        let error = read(&[at("nowhere")]).unwrap_err().to_string();
        assert!(error.ends_with("nowhere: no such folder; name the folder of a run"), "{error}");
    }
}
