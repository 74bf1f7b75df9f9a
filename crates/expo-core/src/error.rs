//! The crate's one error type.

use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in data, configuration and training.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// What was attempted, as a verb ("read", "create", "rename").
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The system's own error.
        source: std::io::Error,
    },
    /// A file exists but its content is not what it has to be; `line` counts from 1.
    #[error("{path}{}: {message}", line.map(|l| format!(":{l}")).unwrap_or_default())]
    File {
        /// The file concerned.
        path: PathBuf,
        /// The line, from 1, where one can be named.
        line: Option<usize>,
        /// What was found, what was expected, what to do.
        message: String,
    },
    /// The configuration is wrong; one entry, with its location, for each problem found.
    #[error("{} in the configuration:\n  {}", if .0.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", .0.len()) }, .0.join("\n  "))]
    Config(Vec<String>),
    /// The engine's error.
    #[error(transparent)]
    Model(#[from] expo_lm::Error),
    /// An engine that can't do what it is asked.
    #[error("{0}")]
    Engine(String),
    /// An external reward gives no answer, and the configuration has a policy for that.
    #[error("{message}")]
    RewardSource {
        /// Which one, and why.
        message: String,
        /// What is to be done.
        policy: crate::config::WatchdogPolicy,
    },
    /// The run can't go on (non-finite loss, every prompt too long, ...).
    #[error("{0}")]
    Run(String),
}

impl Error {
    /// An I/O error at `path` while doing `action` (a verb).
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
    /// A content error in `path`, at `line` (from 1) where known.
    pub fn file(path: &Path, line: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), line: line.into(), message: message.into() }
    }
}
