//! Calls that may hang inside a plugin, on a thread that is left alone when they do.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};

/// XLA's passes recurse deeper than the 2 MiB of Rust's threads allow; what is not used is not taken.
const STACK: usize = 64 << 20;

/// Runs `work` on a thread of its own and waits for it no longer than `limit`. Then the thread goes on by itself,
/// with all that `work` holds.
pub fn limited<T: Send + 'static>(what: &str, limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, receiver) = sync_channel(1);
    spawn(what, move || answer(&sender, work))?;
    wait(what, limit, &receiver)
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread for calls that come one after another; it ends with this value, after the call that it is at.
#[derive(Debug)]
pub struct Worker {
    jobs: Mutex<Sender<Job>>,
}

impl Worker {
    /// Starts the thread; `what` is for the error where the system has none.
    pub fn new(what: &str) -> Result<Self> {
        let (jobs, receiver) = channel::<Job>();
        spawn(what, move || receiver.iter().for_each(|job| job()))?;
        Ok(Self { jobs: Mutex::new(jobs) })
    }

    /// Runs `work` after all that was given before, and waits for it no longer than `limit`.
    pub fn limited<T: Send + 'static>(&self, what: &str, limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (sender, receiver) = sync_channel(1);
        let job: Job = Box::new(move || answer(&sender, work));
        // The thread ends before this value only if a job panics; then nobody answers, which `wait` tells.
        let _ = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).send(job);
        wait(what, limit, &receiver)
    }
}

fn spawn(what: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name("pjrt".to_owned()).stack_size(STACK).spawn(run);
    thread.map(drop).map_err(|error| Error::Call(format!("{what}: no thread for it: {error}")))
}

fn answer<T>(sender: &SyncSender<T>, work: impl FnOnce() -> T) {
    // Nobody listens any more after the limit.
    let _ = sender.send(work());
}

fn wait<T>(what: &str, limit: Duration, receiver: &Receiver<T>) -> Result<T> {
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => Error::Timeout { what: what.to_owned(), limit },
        RecvTimeoutError::Disconnected => Error::Call(format!("{what}: its thread ended without a result")),
    })
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
    fn a_worker_does_one_after_another_and_is_left_alone_when_it_hangs() {
        let worker = Worker::new("working").unwrap();
        assert_eq!(worker.limited("first", Duration::from_secs(60), || 1).unwrap(), 1);
        let (keep, never) = std::sync::mpsc::channel::<()>();
        let error = worker.limited("second", Duration::from_millis(20), move || never.recv()).unwrap_err();
        assert_eq!(error.to_string(), "second: not done after 0.02 s, the limit");
        // It stands behind the second.
        let error = worker.limited("third", Duration::from_millis(20), || ()).unwrap_err();
        assert_eq!(error.to_string(), "third: not done after 0.02 s, the limit");
        drop(keep);
        assert_eq!(worker.limited("fourth", Duration::from_secs(60), || 4).unwrap(), 4);
    }

    #[test]
    fn a_result_comes_back() {
        assert_eq!(limited("adding", Duration::from_secs(60), || 1 + 1).unwrap(), 2);
    }
}
