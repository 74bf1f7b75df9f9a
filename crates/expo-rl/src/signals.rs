//! Ctrl-C, SIGTERM and the end of the terminal (SIGHUP): the first asks for an orderly end, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
#[cfg(unix)]
use signal_hook::consts::{SIGHUP, SIGXFSZ};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What a shell adds to the number of the signal that ended a process.
pub const EXIT_CODE_OF_SIGNAL: i32 = 128;

/// The signals that ask a process to end.
pub fn asking_to_end() -> Vec<i32> {
    let mut signals = vec![SIGINT, SIGTERM];
    // `nohup` ignores the terminal's end for good reason.
    #[cfg(unix)]
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    signals
}

/// Whether the process was started with `signal` ignored; taken for true where it can't be known.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Signals caught since it was made.
pub struct Signals {
    /// The number of the first signal; 0: none yet.
    first: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches signals from here on. A second one ends the process at once, with nothing cleaned up; files that are written durably are whole or not there.
    pub fn catch() -> anyhow::Result<Self> {
        let (asked, first) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        #[cfg(unix)]
        // A file that may not grow (`ulimit -f`) is an error of the write, as a full disk is.
        flag::register(SIGXFSZ, Arc::default()).context("signals can't be caught")?;
        for signal in asking_to_end() {
            // In this order: it looks at the flag before the same signal sets it.
            flag::register_conditional_shutdown(signal, EXIT_CODE_OF_SIGNAL + signal, asked.clone())
                .and_then(|_| flag::register(signal, asked.clone()))
                .and_then(|_| flag::register_usize(signal, first.clone(), signal as usize))
                .context("signals can't be caught")?;
        }
        Ok(Self { first })
    }

    /// The exit code that tells of the signal that came; `None`: none came.
    pub fn exit_code(&self) -> Option<u8> {
        match self.first.load(Ordering::SeqCst) {
            0 => None,
            signal => u8::try_from(EXIT_CODE_OF_SIGNAL as usize + signal).ok(),
        }
    }
}
