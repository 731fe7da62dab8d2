//! What the benchmarks share: the two programs that are compared, a pair of them in a lab of its own, and how figures are
//! shown beside each other.

pub mod machine;
pub mod pair;
pub mod table;

use std::str::FromStr;

/// Whose figure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Maker {
    /// This package's.
    Ha,
    /// The incumbent's.
    Keepalived,
}

impl Maker {
    /// Both, in the order of the columns.
    pub const ALL: [Self; 2] = [Self::Ha, Self::Keepalived];

    /// The name of the program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ha => "ha",
            Self::Keepalived => "keepalived",
        }
    }
}

/// What goes wrong ends a benchmark, in a sentence.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The value after `--name`, or the usual one.
///
/// # Errors
/// It is no such value.
pub fn option<T>(arguments: &[String], name: &str, usual: T) -> Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
    value.map_or(Ok(usual), |value| value.parse().map_err(|error| format!("{name} {value}: {error}").into()))
}

/// The arguments that are neither options nor their values.
pub fn names(arguments: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            option if option.starts_with("--") => drop(arguments.next()),
            name => names.push(name.to_owned()),
        }
    }
    names
}
