//! What passes on the switches, as everything that was done to the network together has it.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::lab::{
    trouble::Result,
    world::{Host, World},
};

/// Advertisements, of both families.
const ADVERTISEMENTS: [&str; 2] = ["ip protocol 112", "ip6 nexthdr 112"];
const PINGS: [&str; 2] = ["ip protocol icmp", "icmpv6 type echo-request"];
/// What of a connection carries something that is said; its beginning and its end do not.
const SAID: &str = "tcp flags & psh == psh";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Switch {
    /// From, to: nothing passes.
    pub(super) cut: BTreeSet<(Host, Host)>,
    /// From, to: no advertisement passes.
    pub(super) filtered: BTreeSet<(Host, Host)>,
    /// The arbiter does not answer these.
    pub(super) blind: BTreeSet<Host>,
    /// The witness gets nothing from these.
    pub(super) away: BTreeSet<Host>,
    /// These get no answer of the witness, which hears them.
    pub(super) unheard: BTreeSet<Host>,
    /// So many of a hundred packets between nodes are lost.
    pub(super) loss: u32,
    /// There are rules.
    ruled: bool,
}

impl Switch {
    /// Cuts these off from the other nodes and from the client.
    pub(super) fn separate(&mut self, inside: &[Host], nodes: &[Host]) {
        for host in inside {
            let others = nodes.iter().copied().chain([Host::Client]);
            for other in others.filter(|other| !inside.contains(other)) {
                self.cut.extend([(*host, other), (other, *host)]);
            }
        }
    }

    /// Everything passes again that was cut or filtered.
    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.filtered.clear();
    }

    /// Tells the kernel.
    pub(super) fn rule(&mut self, world: &World, nodes: &[Host]) -> Result<()> {
        let rules = self.rules(world, nodes);
        if rules.is_empty() && !self.ruled {
            return Ok(());
        }
        self.ruled = true;
        world.rule_the_switch(&rules).map(drop)
    }

    fn rules(&self, world: &World, nodes: &[Host]) -> String {
        let mut rules = String::new();
        let mut push = |from: Host, to: Host, what: &str| {
            for here in world.cables(from) {
                for there in world.cables(to).filter(|there| there.wire == here.wire) {
                    // Writing to a string cannot fail.
                    let _ = writeln!(rules, "iifname {} oifname {} {what} drop", here.port(), there.port());
                }
            }
        };
        self.cut.iter().for_each(|(from, to)| push(*from, *to, ""));
        for what in ADVERTISEMENTS {
            self.filtered.iter().for_each(|(from, to)| push(*from, *to, what));
        }
        for what in PINGS {
            for host in &self.blind {
                [Host::Arbiter, Host::Witness].into_iter().for_each(|other| push(*host, other, what));
            }
        }
        self.away.iter().for_each(|host| push(*host, Host::Witness, ""));
        self.unheard.iter().for_each(|host| push(Host::Witness, *host, SAID));
        if self.loss > 0 {
            let share = format!("numgen random mod 100 < {}", self.loss);
            for one in nodes {
                nodes.iter().filter(|other| *other != one).for_each(|other| push(*one, *other, &share));
            }
        }
        rules
    }
}
