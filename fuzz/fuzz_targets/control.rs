//! The fuzzer's way into `bodies/control.rs`.

#![no_main]

#[path = "../bodies/control.rs"]
mod control;

libfuzzer_sys::fuzz_target!(|data: &[u8]| control::run(data));
