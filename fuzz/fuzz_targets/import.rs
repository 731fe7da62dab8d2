//! The fuzzer's way into `bodies/import.rs`.

#![no_main]

#[path = "../bodies/import.rs"]
mod import;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: ha::linux::CountingAllocator = ha::linux::CountingAllocator;

libfuzzer_sys::fuzz_target!(|data: &[u8]| import::run(data));
