//! The system's allocator, counting for each thread what it holds, so that a policy can be told that it holds too much.
//!
//! Nothing is refused here: an allocation that fails ends a program. A count costs an addition.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::policy::{grown, shrunk};

/// To be the `#[global_allocator]` of a program that evaluates policies.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator;

/// Buffers from this size on go back to the system as soon as they are free.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 128 * 1024;

/// Keeps glibc from keeping large buffers: it would take the largest one that was ever freed for the usual size, and a thousand
/// instances would cost twice the memory (benches/scale.rs).
pub fn return_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator, which glibc allows at any time; a refusal changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

// SAFETY: every call goes to the system's allocator as it came, and what that returns is returned. Counting allocates
// nothing and cannot panic: it adds to a plain cell of the thread, without initialiser or destructor.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promise about the layout is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: the pointer came from the system's allocator, through `alloc`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size);
        shrunk(layout.size());
        // SAFETY: as above; the new size is the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
