//! `ha api`: the policy language, for editors and for people. Both texts come from the list that the engine is held against,
//! so they cannot say anything else than the program does.

mod definitions;
mod reference;

use clap::Args;

use super::{Code, output};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The reference of the policy language as Markdown, instead of the definitions for editors
    #[arg(long)]
    doc: bool,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    output::print(&if arguments.doc { reference::text() } else { definitions::text() });
    Code::OK
}
