//! `ha lab`: 0 every step held, 1 one did not, 3 one could not be made here; 69, 71 or 77 where there can be no lab.

use clap::Args;

use super::{Code, paint::Paint};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Leave the pair up at the end, and say how to enter it
    #[arg(long)]
    stay: bool,
    /// Run keepalived instead of ha on this node
    #[arg(long, value_name = "NODE", value_parser = clap::value_parser!(u8).range(1..=2))]
    keepalived: Option<u8>,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let Arguments { json, stay, keepalived } = *arguments;
    let code = crate::lab::run(crate::lab::Options { json, stay, keepalived, colour: Paint::of_stdout().is_on() });
    Code(u8::try_from(code).unwrap_or(1))
}
