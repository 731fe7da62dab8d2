//! `ha completions SHELL`: what a shell completes, from the command line itself.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Code, output};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "ha", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    Code::OK
}
