//! Parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread, and before anything is parsed: the lab starts this program to become another one.
    ha::lab::become_program();
    ha::cli::main(std::env::args_os())
}
