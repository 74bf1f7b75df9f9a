//! An allocator that counts, so that a reader that believes a size in a file is found.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use expo_lm::kernels::cpu::memory::Allocator;

/// The product's allocator with a count of what is taken.
pub struct Counting;

/// Bytes taken now.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// Most bytes taken at once since [`reset`].
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Begins a measurement. Returns the bytes that are taken now.
pub fn reset() -> usize {
    let live = LIVE.load(Relaxed);
    PEAK.store(live, Relaxed);
    live
}

/// Most bytes taken at once since [`reset`], which returned `before`, beyond those.
pub fn peak(before: usize) -> usize {
    PEAK.load(Relaxed).saturating_sub(before)
}

fn took(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: every call is handed on to the product's allocator as it came; the counts touch no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { Allocator.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above.
        unsafe { Allocator.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { Allocator.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Both may exist for a moment, but where they do is the system's choice: only the difference is counted.
        took(new_size.saturating_sub(layout.size()));
        LIVE.fetch_sub(layout.size().saturating_sub(new_size), Relaxed);
        // SAFETY: as above.
        unsafe { Allocator.realloc(memory, layout, new_size) }
    }
}
