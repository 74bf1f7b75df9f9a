//! What the program is built from, for the files that it writes.

use std::sync::OnceLock;

use serde::Serialize;

/// Where a program comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
    /// The commit of its sources; empty where that is not known.
    pub commit: &'static str,
    /// What it was built for, such as `x86_64-unknown-linux-gnu`.
    pub target: &'static str,
    /// Features of Cargo that are on.
    pub features: Vec<&'static str>,
}

static BUILD: OnceLock<Build> = OnceLock::new();

/// Says what this program is built from; the first word counts. The program knows, and not this library, which would have to be built anew for every commit.
pub fn set(build: Build) {
    drop(BUILD.set(build));
}

/// What was said; `None`: nothing.
pub fn get() -> Option<&'static Build> {
    BUILD.get()
}
