//! Limits on what a chat template may take: it comes with a model, and a model may come from anybody.
//!
//! Memory is bounded by fuel, whatever allocator the program has: MiniJinja's pays for instructions and for data that it makes, and what this room's operations,
//! filters and methods make beyond that, they pay for themselves. Lists that MiniJinja makes when they are asked for, which nobody pays for, may not be long
//! (`__bounded__` in [`super::operators`]). A program whose allocator counts has a second limit behind that, [`MEMORY`].
//!
//! So is comparing and hashing what holds the same list many times. What fuel doesn't bound is bounded here: the depth of the syntax tree and of nested values, by
//! a stack that is large enough for the deepest that source and fuel allow; and time, for what nobody thought of.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::thread_limit::limit_this_thread;

/// Most work one rendering may do, in MiniJinja's fuel: about an instruction, or 64 bytes of data or output, each. So no rendering is longer than 64 MB.
pub(super) const FUEL: u64 = 1_000_000;

/// Longest source. The longest of published models have about 30 kB.
pub(super) const MOST_SOURCE: usize = 1 << 17;

/// Most characters of a template's own message that an error shows.
pub(super) const MOST_MESSAGE: usize = 300;

/// Stack for the recursion that source (a level of the syntax tree for each byte) and fuel (two for each level of a list) allow. Only what is used takes memory.
const STACK: usize = 512 << 20;

/// Longest time for one rendering; most take less than a millisecond.
pub(super) const TIME: Duration = Duration::from_secs(10);

/// Most memory for one rendering, where the allocator counts: several times what fuel lets it make.
pub(super) const MEMORY: usize = 512 << 20;

/// How often a rendering is asked whether it stopped for want of memory. Time is counted in these, so that a process that is suspended loses none.
const LOOK: Duration = Duration::from_millis(10);

/// Most renderings of a template that are given up; what they took is not given back.
const MOST_GIVEN_UP: usize = 4;

/// What work took too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Ten seconds.
    Time,
    /// 512 MiB.
    Memory,
    /// So many renderings before it that nothing more is tried.
    Before,
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time => write!(f, "takes longer than {} s", TIME.as_secs()),
            Self::Memory => write!(f, "takes more than {} MiB of memory", MEMORY >> 20),
            Self::Before => write!(f, "took too much time or memory for {MOST_GIVEN_UP} conversations before this one"),
        }
    }
}

/// A thread with a large stack that does one thing after the other, each in at most [`TIME`] and [`MEMORY`]; it is there from the first on.
#[derive(Default)]
pub(super) struct Worker {
    standing: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
    thread: Option<Thread>,
    given_up: usize,
}

type Job = Box<dyn FnOnce() + Send>;

struct Thread {
    jobs: Sender<Job>,
    /// Whether it stopped for want of memory.
    exceeded: &'static AtomicBool,
}

impl Worker {
    /// Does `work`. Where it takes too much, its thread is given up: it goes on until it wants too much memory, and then stops with what it has.
    pub(super) fn limited<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<Result<T, Excess>> {
        self.within(TIME, work)
    }

    fn within<T: Send + 'static>(&self, time: Duration, work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<Result<T, Excess>> {
        // Held to the end, so that no other work is waited for.
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.given_up == MOST_GIVEN_UP {
            return Ok(Err(Excess::Before));
        }
        let thread = match standing.thread.take() {
            Some(thread) => thread,
            None => spawn()?,
        };
        let (sender, receiver) = channel();
        let exceeded = thread.exceeded;
        let job: Job = Box::new(move || {
            limit_this_thread(MEMORY, exceeded);
            // Nobody listens any more when the time is over.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        });
        // A thread that is there takes what it is sent.
        let _ = thread.jobs.send(job);
        let mut looks = time.as_millis() / LOOK.as_millis();
        let excess = loop {
            match receiver.recv_timeout(LOOK) {
                Ok(result) => {
                    standing.thread = Some(thread);
                    return result.map(Ok).or_else(|panic| resume_unwind(panic));
                }
                Err(_) if exceeded.load(Ordering::Acquire) => break Excess::Memory,
                Err(_) if looks == 0 => break Excess::Time,
                Err(_) => looks -= 1,
            }
        };
        standing.given_up += 1;
        Ok(Err(excess))
    }
}

fn spawn() -> std::io::Result<Thread> {
    let (jobs, receiver) = channel::<Job>();
    // The allocator can hold no count of who still looks at it.
    let exceeded = Box::leak(Box::new(AtomicBool::new(false)));
    std::thread::Builder::new().name("chat-template".into()).stack_size(STACK).spawn(move || receiver.into_iter().for_each(|job| job()))?;
    Ok(Thread { jobs, exceeded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_is_given_up() {
        let worker = Worker::default();
        let name = || std::thread::current().id();
        let first = worker.limited(name).expect("a thread");
        assert_eq!(worker.limited(name).expect("a thread"), first, "one thread serves all");
        let (sender, receiver) = channel::<()>();
        assert_eq!(worker.within(Duration::from_millis(10), move || receiver.recv().is_ok()).expect("a thread"), Err(Excess::Time));
        assert_ne!(worker.limited(name).expect("a thread"), first, "another takes its place");
        for _ in 1..MOST_GIVEN_UP {
            assert_eq!(worker.within(Duration::ZERO, || std::thread::sleep(Duration::from_secs(1))).expect("a thread"), Err(Excess::Time));
        }
        assert_eq!(worker.limited(|| ()).expect("a thread"), Err(Excess::Before), "not for ever");
        drop(sender);
    }

    #[test]
    fn a_panic_comes_through_and_the_thread_stays() {
        let worker = Worker::default();
        let panic = catch_unwind(AssertUnwindSafe(|| worker.limited(|| panic!("as it was")))).expect_err("a panic");
        assert_eq!(panic.downcast_ref(), Some(&"as it was"));
        assert_eq!(worker.limited(|| 7).expect("a thread"), Ok(7));
    }
}
