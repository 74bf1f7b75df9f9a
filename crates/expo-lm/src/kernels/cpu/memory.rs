//! The allocator: large buffers in huge pages, all larger ones on cache lines. It counts what limited threads take.
//!
//! Weights, gradients and activations are read from beginning to end. With pages of 4 KiB each page costs a walk of the page table and stops the
//! processor's prefetcher; with huge pages of 2 MiB both all but vanish. And a vector load that starts on a cache line touches one line instead of two.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::thread_limit::{give_back, take};

/// Bytes of a huge page on the platforms that have them in this size.
const HUGE_PAGE: usize = 2 << 20;

/// Allocations of at least this many bytes begin on a huge page.
const LARGE: usize = 2 * HUGE_PAGE;

/// Allocations of at least this many bytes begin on a cache line.
const MEDIUM: usize = 1024;

const CACHE_LINE: usize = 64;

/// The system's allocator with alignment by size; a binary makes it its own by `#[global_allocator]`.
pub struct Allocator;

impl Allocator {
    /// The layout that is really asked for; the same at release as at allocation, since it depends on the layout alone.
    fn aligned(layout: Layout) -> Layout {
        let align = match layout.size() {
            LARGE.. => HUGE_PAGE,
            MEDIUM.. => CACHE_LINE,
            _ => 1,
        };
        // A layout whose size is too near the end of the address space for the alignment keeps its own.
        layout.align_to(align).unwrap_or(layout)
    }
}

// SAFETY: every method hands a layout of at least the size and alignment asked for to the system's allocator, and `dealloc` the same one that `alloc`
// did. `realloc` is the trait's own: allocate, copy, release.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller's contract; see above.
        let memory = unsafe { System.alloc(Self::aligned(layout)) };
        advise_huge_pages(memory, layout.size());
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() < LARGE {
            take(layout.size());
            // SAFETY: the caller's contract; see above.
            return unsafe { System.alloc_zeroed(Self::aligned(layout)) };
        }
        // SAFETY: the caller's contract; the memory has `layout.size()` bytes. Written after the advice, so that huge pages are what is touched.
        unsafe {
            let memory = self.alloc(layout);
            if !memory.is_null() {
                memory.write_bytes(0, layout.size());
            }
            memory
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: `memory` came from `alloc` with this layout.
        unsafe { System.dealloc(memory, Self::aligned(layout)) }
    }
}

/// Asks for huge pages under a large allocation. Only a hint: where it is refused, small pages serve.
#[cfg(all(target_os = "linux", not(miri)))]
fn advise_huge_pages(memory: *mut u8, size: usize) {
    if size >= LARGE && !memory.is_null() {
        // SAFETY: the range is inside one allocation; the advice changes no content.
        unsafe { libc::madvise(memory.cast(), size / HUGE_PAGE * HUGE_PAGE, libc::MADV_HUGEPAGE) };
    }
}

// Miri knows no `madvise`.
#[cfg(any(not(target_os = "linux"), miri))]
fn advise_huge_pages(_memory: *mut u8, _size: usize) {}

/// Asks for a slice's cache lines ahead of their use.
pub fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in slice.chunks(64 / size_of::<T>().clamp(1, 64)) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing into the program and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::thread_limit::limit_this_thread;

    #[test]
    fn a_thread_beyond_its_limit_stops() {
        static EXCEEDED: AtomicBool = AtomicBool::new(false);
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            limit_this_thread(1 << 20, &EXCEEDED);
            let layout = Layout::from_size_align(1000 << 10, 8).unwrap();
            for round in 0..10 {
                // SAFETY: the layout is not empty; the memory is released with it.
                unsafe { Allocator.dealloc(Allocator.alloc(layout), layout) };
                sender.send(round).unwrap();
            }
            // SAFETY: as above; the thread stops in the second call.
            for memory in unsafe { [Allocator.alloc(layout), Allocator.alloc_zeroed(layout)] } {
                // SAFETY: as above.
                unsafe { Allocator.dealloc(memory, layout) };
            }
            sender.send(10).unwrap();
        });
        assert!((0..10).all(|round| receiver.recv() == Ok(round)), "what is given back may be taken again");
        while !EXCEEDED.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        assert!(receiver.recv_timeout(Duration::from_millis(1)).is_err(), "it never goes on");
    }

    #[test]
    fn alignment_follows_size_and_zeroed_memory_is_zero() {
        for (size, align, expected) in [(8, 8, 8), (5000, 4, CACHE_LINE), (LARGE + 3, 16, HUGE_PAGE), (100, 4096, 4096)] {
            if cfg!(miri) && size > LARGE {
                // Would take it minutes.
                continue;
            }
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the layout is not empty; the memory is read inside its size after it was zeroed, and released with its layout.
            unsafe {
                let memory = Allocator.alloc(layout);
                assert_eq!(memory as usize % expected, 0, "{size} bytes");
                memory.write_bytes(7, size);
                Allocator.dealloc(memory, layout);
                let memory = Allocator.alloc_zeroed(layout);
                assert!(std::slice::from_raw_parts(memory, size).iter().all(|byte| *byte == 0));
                let grown = Allocator.realloc(memory, layout, 2 * size);
                assert!(std::slice::from_raw_parts(grown, size).iter().all(|byte| *byte == 0));
                Allocator.dealloc(grown, Layout::from_size_align(2 * size, align).unwrap());
            }
        }
    }
}
