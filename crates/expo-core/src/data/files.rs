//! The files that hold the rows of a set.

use std::path::PathBuf;

/// Which part of a hub data set is meant.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Configuration (subset); empty: the only one.
    pub config: &'a str,
    /// Split, such as `train`.
    pub split: &'a str,
}

/// The files of a set, at least one, in order.
#[derive(Debug, Default)]
pub struct Found {
    pub files: Vec<DataFile>,
    /// What a user should know about where they came from.
    pub notice: Option<String>,
}

/// One file.
#[derive(Debug)]
pub struct DataFile {
    /// As given, or on the hub.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}
