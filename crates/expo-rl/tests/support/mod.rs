//! Running the binary.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod algorithms;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository's root: tests name `configs/` and `assets/` from there, as a user does.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The binary with arguments, run in the repository's root.
pub fn expo_rl<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_expo-rl")).current_dir(root()).args(args).output().expect("the binary runs")
}

/// Runs it and expects success. Returns standard output.
pub fn succeed<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let output = expo_rl(args);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "exit {:?}\n{stdout}\n{stderr}", output.status.code());
    stdout
}

/// Runs it and expects exit code 1 with a short message that contains each of `parts`. Returns the message.
pub fn fail<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>, parts: &[&str]) -> String {
    let output = expo_rl(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_error(&message, parts);
    message
}

/// The message is an error of at most two lines (beside log lines before it) with all `parts`, and no panic.
pub fn assert_error(message: &str, parts: &[&str]) {
    let start = message.find("error: ").unwrap_or_else(|| panic!("no error in {message:?}"));
    let error = &message[start..];
    assert!(error.trim_end().lines().count() <= 2, "too long: {error}");
    assert!(!message.contains("panicked") && !message.contains("backtrace"), "{message}");
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8 output")
}

/// Rows of a JSON-lines file.
pub fn rows(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Copies a flat folder.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Names of the files in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
