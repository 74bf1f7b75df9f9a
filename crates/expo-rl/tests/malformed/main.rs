//! Malformed configurations, data, models, adapters and run folders, and the whole message of each: it says which file, row or option, what was found, what was expected
//! or what to do. Nothing half-written stays behind.

mod adapters;
mod configurations;
mod data;
mod models;
mod runs;
#[path = "../support/mod.rs"]
mod support;

use support::{expo_rl, text};
use tempfile::TempDir;

/// Names of files with their contents.
pub type Files<'a> = &'a [(&'a str, &'a [u8])];

/// Files in a folder, a command that uses them, and its error; `FOLDER` stands for the folder.
pub struct Case<'a> {
    /// Names and contents.
    pub files: Files<'a>,
    /// The command.
    pub args: &'a [&'a str],
    /// Its error, whole.
    pub message: &'a str,
}

/// Runs the case in a folder of its own.
pub fn check(case: &Case<'_>) {
    check_in(&tempfile::tempdir().unwrap(), case);
}

/// Runs the case in `folder`.
pub fn check_in(folder: &TempDir, case: &Case<'_>) {
    for (name, content) in case.files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let before = entries(folder);
    let place = folder.path().to_str().unwrap();
    let output = expo_rl(case.args.iter().map(|arg| arg.replace("FOLDER", place)));
    let printed = text(&output.stderr).replace(place, "FOLDER");
    let error = printed.find("error: ").map(|start| printed[start + "error: ".len()..].trim_end());
    assert_eq!((output.status.code(), error), (Some(1), Some(case.message)), "{:?}: {printed}", case.files.first());
    assert_eq!(entries(folder), before, "something was left behind");
}

fn entries(folder: &TempDir) -> Vec<String> {
    support::names(folder.path())
}
