//! A scenario as it goes: a world, its steps, and what came of them.

use std::{collections::BTreeSet, time::Duration};

use ipnet::IpNet;

use super::{Happening, Scenario};
use crate::{
    policy::Engine,
    sim::{Entry, Mutation, Violation, What, World, world::BEGINNING},
};

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Where chance came from.
    pub seed: u64,
    /// The names of the machines, in order.
    pub names: Vec<String>,
    /// What happened.
    pub log: Vec<Entry>,
    /// What must not be, and was.
    pub violations: Vec<Violation>,
    /// How many expectations were not met.
    pub disappointed: usize,
    /// Who had which address when.
    pub reigns: Vec<Reign>,
}

/// A time in which nothing changed for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reign {
    /// The address.
    pub address: IpNet,
    /// From when, since the beginning.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// Whose kernels have it, by number.
    pub holders: BTreeSet<usize>,
}

/// Plays it to its end.
#[must_use]
pub fn play(scenario: &Scenario, engine: &Engine, mutation: Option<Mutation>) -> Outcome {
    let mut world = scenario.world(engine, mutation);
    let disappointed = run(scenario, &mut world);
    let reigns = reigns(&world.log, world.elapsed());
    Outcome {
        seed: scenario.seed,
        names: scenario.names(),
        log: world.log,
        violations: world.violations,
        disappointed,
        reigns,
    }
}

/// How many expectations were not met.
fn run(scenario: &Scenario, world: &mut World) -> usize {
    let names = scenario.names();
    let mut disappointed = 0;
    for step in &scenario.steps {
        world.run_until(BEGINNING + step.at);
        match &step.what {
            Happening::Do(act) => world.perform(act),
            Happening::Expect(expectation) => {
                let found = expectation.look(world);
                disappointed += usize::from(found.is_err());
                let text = expectation.text(&names);
                let what = text.strip_prefix("expect ").unwrap_or(&text).to_owned();
                world.note_of_all(What::Expected { what, found });
            }
        }
    }
    world.run_until(BEGINNING + scenario.end);
    disappointed
}

/// Who had which address when, as the log tells it.
fn reigns(log: &[Entry], end: Duration) -> Vec<Reign> {
    let mut open: Vec<Reign> = Vec::new();
    let mut closed = Vec::new();
    for entry in log {
        let Some(machine) = entry.machine else { continue };
        let (addresses, takes) = match &entry.what {
            What::Takes(addresses) => (addresses, true),
            What::LetsGo(addresses) | What::Lapsed(addresses) => (addresses, false),
            What::Act(_)
            | What::Role { .. }
            | What::Raised { .. }
            | What::Cleared { .. }
            | What::Bids { .. }
            | What::LowerHeard { .. }
            | What::Note(_)
            | What::Verdict { .. }
            | What::Sent { .. }
            | What::Expected { .. }
            | What::Violated(_) => continue,
        };
        for address in addresses {
            let at = open.iter().position(|reign| reign.address == *address).unwrap_or_else(|| {
                let from = Duration::ZERO;
                open.push(Reign { address: *address, from, to: end, holders: BTreeSet::new() });
                open.len() - 1
            });
            let Some(reign) = open.get_mut(at) else { continue };
            let before = reign.clone();
            if takes {
                reign.holders.insert(machine)
            } else {
                reign.holders.remove(&machine)
            };
            if reign.holders != before.holders {
                reign.from = entry.at;
                if entry.at > before.from {
                    closed.push(Reign { to: entry.at, ..before });
                }
            }
        }
    }
    closed.extend(open);
    closed.sort_by_key(|reign| (reign.address, reign.from));
    closed
}
