//! `ha run`: the daemon; its exit codes are with [`crate::daemon::run`].

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::CONFIG;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
}

pub(super) fn perform(arguments: &Arguments) -> ExitCode {
    crate::daemon::run(&arguments.config)
}
