//! `ha lab`: 0 only if every step held.

use clap::Args;

use super::Code;

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
    let code = crate::lab::run(crate::lab::Options { json, stay, keepalived });
    Code(u8::try_from(code).unwrap_or(1))
}
