//! What can go wrong between this program, a plugin and its devices.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a plugin, of a device, or of a call that does not fit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or the system's loader refuses it.
    #[error("{}: can't be loaded as a PJRT plugin: {reason}", path.display())]
    Load {
        /// The plugin's file.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// A shared library that is no plugin.
    #[error("{}: a shared library, but no PJRT plugin: {reason}", path.display())]
    NotAPlugin {
        /// The library's file.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A plugin of a version that this crate does not speak.
    #[error("{}: speaks version {major}.{minor} of the PJRT C API; this program speaks 0.{} and later versions 0.x. Get another plugin: scripts/get-pjrt.sh", path.display(), crate::client::OLDEST_MINOR)]
    Version {
        /// The plugin's file.
        path: PathBuf,
        /// Its major version.
        major: i32,
        /// Its minor version.
        minor: i32,
    },
    /// A function that an older or smaller plugin lacks.
    #[error("{doing}: the plugin has no {function} (it speaks version 0.{minor} of the PJRT C API)")]
    Missing {
        /// What was to be done.
        doing: String,
        /// The C API's name of the function.
        function: &'static str,
        /// The plugin's minor version.
        minor: i32,
    },
    /// The plugin says no.
    #[error("{doing}: {code}: {message}")]
    Xla {
        /// What was to be done.
        doing: String,
        /// The kind of error.
        code: Code,
        /// The plugin's own words.
        message: String,
    },
    /// A wait that outlasted its limit. What was waited for may go on; the client that it belongs to is not torn down
    /// any more.
    #[error("{what}: not done after {} s, the limit", limit.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// A program that can't be built.
    #[error(transparent)]
    Graph(#[from] crate::graph::Error),
    /// A call that does not fit the program, buffer or device.
    #[error("{0}")]
    Call(String),
}

/// The kinds of a plugin's errors: `absl::StatusCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// One of [`CODES`], by its number.
    Known(usize),
    /// A number that is none of them.
    Unknown(i32),
}

/// The names of `absl::StatusCode`, by number.
pub const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Code {
    /// The code with this number.
    pub(crate) fn from_number(number: i32) -> Self {
        match usize::try_from(number) {
            Ok(index) if index < CODES.len() => Self::Known(index),
            _ => Self::Unknown(number),
        }
    }

    /// Its name in `absl::StatusCode`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Known(index) => CODES[index],
            Self::Unknown(_) => "unknown code",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(_) => f.write_str(self.name()),
            Self::Unknown(number) => write!(f, "code {number}"),
        }
    }
}
