//! Parse, dispatch, exit code.

use std::process::ExitCode;

/// So that a policy can be told that it takes too much memory.
#[global_allocator]
static ALLOCATOR: ha::linux::CountingAllocator = ha::linux::CountingAllocator;

fn main() -> ExitCode {
    // Before any thread, and before anything is parsed: the lab starts this program to become another one.
    ha::lab::become_program();
    ha::cli::main(std::env::args_os())
}
