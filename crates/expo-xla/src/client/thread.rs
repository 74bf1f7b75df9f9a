//! Calls that may hang inside a plugin, on a thread that is left alone when they do.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::error::{Error, Result};

/// XLA's passes recurse deeper than the 2 MiB of Rust's threads allow; what is not used is not taken.
const STACK: usize = 64 << 20;

/// Runs `work` and waits for it no longer than `limit`. Then the thread goes on by itself, with all that `work` holds.
pub fn limited<T: Send + 'static>(what: &str, limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, receiver) = sync_channel(1);
    let run = move || {
        // Nobody listens any more after the limit.
        let _ = sender.send(work());
    };
    let thread = std::thread::Builder::new().name("pjrt".to_owned()).stack_size(STACK).spawn(run);
    let thread = thread.map_err(|error| Error::Call(format!("{what}: no thread for it: {error}")))?;
    match receiver.recv_timeout(limit) {
        Ok(result) => {
            // It has nothing left to do; waiting for its end keeps threads from adding up.
            let _ = thread.join();
            Ok(result)
        }
        Err(RecvTimeoutError::Timeout) => Err(Error::Timeout { what: what.to_owned(), limit }),
        Err(RecvTimeoutError::Disconnected) => Err(Error::Call(format!("{what}: its thread ended without a result"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_is_told_by_name_and_limit() {
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        let error = limited("compiling x", Duration::from_millis(20), move || never.recv()).unwrap_err();
        assert_eq!(error.to_string(), "compiling x: not done after 0.02 s, the limit");
    }

    #[test]
    fn a_result_comes_back() {
        assert_eq!(limited("adding", Duration::from_secs(60), || 1 + 1).unwrap(), 2);
    }
}
