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

use super::{Act, Mutation, Setup, World};
use crate::{
    config::Config,
    policy::{Engine, Policy},
};

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
    /// How late kernels remove an address whose lifetime is over.
    pub kernel_late: Duration,
    /// Nobody may share an address for longer, whatever happens; `None`: it is bounded only while all is well.
    pub two_at_most: Option<Duration>,
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
    /// Its machines before anything happens to them.
    #[must_use]
    pub fn world(&self, engine: &Engine, mutation: Option<Mutation>) -> World {
        let setups = self.nodes.iter().map(|node| node.setup.clone()).collect();
        let mut world = World::new(self.seed, engine, setups);
        world.mutate(mutation);
        world.kernel_late = self.kernel_late;
        world.two_at_most = self.two_at_most;
        world
    }

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
        writeln!(f, "late {}", super::world::time(self.kernel_late))?;
        if let Some(most) = self.two_at_most {
            writeln!(f, "two {}", super::world::time(most))?;
        }
        for Node { file, setup } in &self.nodes {
            let word = match setup.kind {
                super::Kind::Ha => "node",
                super::Kind::Keepalived => "keepalived",
            };
            write!(f, "{word} {} {file}", setup.name)?;
            if setup.release != super::Release::default() {
                write!(f, " {}", setup.release.word())?;
            }
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
