//! The crate's one error type: each message names the file or option, what was found, what was expected.

use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in loading, running and saving a language model.
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
    /// A file exists but its content is not what it has to be.
    #[error("{path}: {message}")]
    File {
        /// The file concerned.
        path: PathBuf,
        /// What was found, what was expected, what to do.
        message: String,
    },
    /// A model, tokenizer or option that this crate does not support; refused before any weight is read.
    #[error("unsupported {what}: {message}")]
    Unsupported {
        /// The kind of thing: "architecture", "rope_scaling", ...
        what: &'static str,
        /// What was found and what would work.
        message: String,
    },
    /// An argument or the state of a model is invalid (shape mismatch, prompt longer than the context, ...).
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// An I/O error at `path` while doing `action` (a verb: "read", "create", "rename").
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// A content error in the file at `path`.
    pub fn file(path: &Path, message: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), message: message.into() }
    }
}
