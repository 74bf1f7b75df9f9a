//! A limit on the memory of threads that run what comes from outside: counted here, by an allocator that asks.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a thread may still take, and where it says that it wanted more.
#[derive(Clone, Copy)]
struct Limit {
    left: usize,
    exceeded: &'static AtomicBool,
}

thread_local! {
    // Without a destructor, so that it is there as long as the thread allocates.
    static LIMIT: Cell<Option<Limit>> = const { Cell::new(None) };
}

/// From here on this thread may take `bytes` more than it gives back. An allocation can't be refused without ending the process, nor unwound: a thread
/// that wants more sets `exceeded` and never goes on. Holds where the
/// binary's allocator counts, as [`crate::kernels::cpu::memory::Allocator`] does.
pub(crate) fn limit_this_thread(bytes: usize, exceeded: &'static AtomicBool) {
    LIMIT.set(Some(Limit { left: bytes, exceeded }));
}

/// Counts `size` bytes that this thread takes.
pub(crate) fn take(size: usize) {
    let Some(limit) = LIMIT.get() else { return };
    match limit.left.checked_sub(size) {
        Some(left) => LIMIT.set(Some(Limit { left, ..limit })),
        None => {
            limit.exceeded.store(true, Ordering::Release);
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
    }
}

/// Counts `size` bytes that this thread gives back.
pub(crate) fn give_back(size: usize) {
    if let Some(limit) = LIMIT.get() {
        LIMIT.set(Some(Limit { left: limit.left.saturating_add(size), ..limit }));
    }
}
