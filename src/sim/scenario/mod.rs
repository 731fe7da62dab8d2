//! Stories as operators write them: which nodes there are, what happens to them and when, and what is expected.
//!
//! One statement a line; `#` begins a comment. config/scenarios.md has the whole language.
//!
//! ```text
//! node a node1.toml
//! node b node2.toml
//! at 5s expect a leads
//! at 5s pull a
//! at 10s expect b leads
//! ```

mod expectation;
mod play;
mod read;
mod words;

use std::{collections::BTreeMap, fmt, time::Duration};

pub use expectation::{Claim, Expectation};
pub use play::{Outcome, Reign, play};
pub use read::read;

use super::{Act, Setup};
use crate::{config::Config, policy::Policy};

/// A story, with everything it names.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where chance comes from.
    pub seed: u64,
    /// The machines.
    pub nodes: Vec<Node>,
    /// What happens, in the order of time.
    pub steps: Vec<Step>,
    /// When it is over.
    pub end: Duration,
}

/// A machine, and the file its statement names.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its configuration as the statement has it.
    pub file: String,
    /// The machine.
    pub setup: Setup,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub struct Step {
    /// Since the beginning.
    pub at: Duration,
    /// Its line in the file, from 1; 0: in none.
    pub line: usize,
    /// What.
    pub what: Happening,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Something is done.
    Do(Act),
    /// Something must be so.
    Expect(Expectation),
}

/// A file that a scenario names.
#[derive(Clone, Debug)]
pub struct File {
    /// What it says.
    pub config: Config,
    /// The policies of its instances.
    pub policies: BTreeMap<String, Policy>,
}

/// What is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what is known.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl Scenario {
    /// The names of the machines, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.setup.name.clone()).collect()
    }
}

/// As a file that can be read again.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for Node { file, setup } in &self.nodes {
            let word = match setup.kind {
                super::Kind::Ha => "node",
                super::Kind::Keepalived => "keepalived",
            };
            write!(f, "{word} {} {file}", setup.name)?;
            for (interface, addresses) in &setup.addresses {
                addresses.iter().try_for_each(|address| write!(f, " {interface}={address}"))?;
            }
            writeln!(f)?;
        }
        let names = self.names();
        for step in &self.steps {
            let text = match &step.what {
                Happening::Do(act) => act.text(&names),
                Happening::Expect(expectation) => expectation.text(&names),
            };
            writeln!(f, "at {} {text}", super::world::time(step.at))?;
        }
        writeln!(f, "end {}", super::world::time(self.end))
    }
}
