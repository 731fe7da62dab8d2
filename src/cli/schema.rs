//! `ha schema NAME`: the JSON Schema of what a command prints with `--json`, or of the configuration. The files are those of
//! `config/schema`; a test holds real outputs and real configurations against them.

use clap::{Args, ValueEnum};

use super::{Code, output};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The command whose document it describes; or `config`, for editors
    name: Name,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    Check,
    Test,
    Probe,
    Status,
    Sim,
    Storm,
    Config,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    output::print(match arguments.name {
        Name::Check => include_str!("../../config/schema/check.json"),
        Name::Test => include_str!("../../config/schema/test.json"),
        Name::Probe => include_str!("../../config/schema/probe.json"),
        Name::Status => include_str!("../../config/schema/status.json"),
        Name::Sim => include_str!("../../config/schema/sim.json"),
        Name::Storm => include_str!("../../config/schema/storm.json"),
        Name::Config => include_str!("../../config/schema/config.json"),
    });
    Code::OK
}
