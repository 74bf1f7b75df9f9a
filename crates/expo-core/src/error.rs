//! The crate's one error type.

use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in data, configuration and training.
///
/// Kinds differ in what can be done about them; what is wrong with this one in particular is in its message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// A reward's command or endpoint, or a judge's endpoint, can't be started or asked, or doesn't keep to the protocol.
    #[error("{0}")]
    External(String),
    /// A set of data can't be found, or there is nothing in it that can be used. (A file with wrong content is [`Error::File`].)
    #[error("{0}")]
    Data(String),
    /// One problem, document or preference can't be used.
    #[error("{id}: {error}")]
    Row {
        /// Its identifier, such as `FILE:LINE`.
        id: String,
        /// Why.
        error: Box<Error>,
    },
    /// What the templates make of a row can't be asked, or can't be trained on.
    #[error("{0}")]
    Template(String),
    /// More tokens than the model's context has.
    #[error("{0}")]
    TooLong(String),
    /// An option asks for what the model or the data doesn't have.
    #[error("{0}")]
    Unsuited(String),
    /// What was sampled leaves nothing to train on.
    #[error("{0}")]
    Exhausted(String),
    /// A loss, a gradient or a reward is not finite, and the run is to stop then.
    #[error("{0}")]
    NonFinite(String),
    /// Something else that the watchdog looks at is not right, and the run is to stop then.
    #[error("{0}")]
    Watchdog(String),
    /// The run can't go on from what is in its folder, or can't be saved to go on later.
    #[error("{0}")]
    Checkpoint(String),
    /// A step failed, and the run stopped.
    #[error("{error}; {saved}")]
    GivenUp {
        /// Why the step failed.
        error: Box<Error>,
        /// Where the run is saved as it was before the step, or why it is not.
        saved: String,
    },
}

impl Error {
    /// An I/O error at `path` while doing `action` (a verb).
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
    /// What is wrong with the row `id`.
    pub(crate) fn row(id: &str, error: Self) -> Self {
        Self::Row { id: id.to_owned(), error: Box::new(error) }
    }
    /// A content error in `path`, at `line` (from 1) where known.
    pub fn file(path: &Path, line: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), line: line.into(), message: message.into() }
    }
}
