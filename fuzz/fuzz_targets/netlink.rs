//! The fuzzer's way into `bodies/netlink.rs`.

#![no_main]

#[path = "../bodies/netlink.rs"]
mod netlink;

libfuzzer_sys::fuzz_target!(|data: &[u8]| netlink::run(data));
