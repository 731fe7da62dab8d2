//! `ha man`: the manual pages, from the command line itself. 0, or 1 if a page cannot be written.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::{Code, output};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write every page here, as ha.1, ha-check.1, …; else ha.1 is printed
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let Some(directory) = &arguments.directory else { return print() };
    match write(directory) {
        Ok(()) => Code::OK,
        Err(error) => {
            output::complain(&format!("the manual pages cannot be written to {}: {error}", directory.display()));
            Code(1)
        }
    }
}

fn print() -> Code {
    let mut page = Vec::new();
    if let Err(error) = Man::new(super::Arguments::command()).render(&mut page) {
        output::complain(&format!("the manual page cannot be made: {error}"));
        return Code::SYSTEM;
    }
    output::print(&String::from_utf8_lossy(&page));
    Code::OK
}

/// A page for each command and each command beneath one; those of `help` would say nothing of their own.
fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(super::Arguments::command().disable_help_subcommand(true), directory)
}
