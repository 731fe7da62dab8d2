//! The fuzzer's way into `bodies/policy.rs`.

#![no_main]

#[path = "../bodies/policy.rs"]
mod policy;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: ha::linux::CountingAllocator = ha::linux::CountingAllocator;

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::run(data));
