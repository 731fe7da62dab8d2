//! What a scenario came to with real packets: expectations, how long two had the address, and who had it beside who had it in
//! the simulation.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use super::{Play, Player, order::Order, watch::Findings};
use crate::{
    lab::{observer::Observer, world::Host},
    sim::{Happening, Outcome},
    words::readable,
};

/// What the simulation does within this time before a look may not have happened yet here, or already.
const BLUR: Duration = Duration::from_millis(1500);
/// What a busy machine adds to a time in which two have the address.
const BUSY: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Verdict {
    unmet: usize,
    too_long: Vec<String>,
    seed: u64,
    /// What chaos came to; else it was held against the simulation.
    findings: Option<Findings>,
    tables: Vec<Table>,
}

/// Who has some addresses when: those that are always where the others are.
#[derive(Debug)]
struct Table {
    addresses: Vec<String>,
    two: Duration,
    nobody: Duration,
    phases: Vec<Phase>,
    /// One after the other, here and in the simulation.
    orders: [Order; 2],
}

/// Who has an address at the end of a phase.
#[derive(Debug, PartialEq, Eq)]
struct Phase {
    at: Duration,
    simulated: BTreeSet<usize>,
    real: BTreeSet<usize>,
    /// The simulation is about to change, or has just done so.
    blurred: bool,
}

impl Verdict {
    pub(super) fn of(
        play: &Play,
        player: &Player,
        (began, end): (Instant, Instant),
        unmet: usize,
        findings: Option<Findings>,
    ) -> Self {
        let mut tables: Vec<Table> = Vec::new();
        let mut too_long = Vec::new();
        for (address, observer) in player.observers() {
            // While all is well the simulation bounds it too; beyond that only where the scenario says so.
            let longest = observer.reigns(began, end).into_iter().filter(|reign| reign.holders.len() > 1);
            let longest = longest.map(|reign| reign.length()).max().unwrap_or_default();
            let bound = play.scenario.two_at_most.map(|most| most + BUSY).filter(|bound| longest > *bound);
            too_long.extend(bound.map(|bound| {
                let what = player.said(address);
                format!("two had {what} for {}, and {} is the bound", readable(longest), readable(bound))
            }));
            let (phases, orders) = if findings.is_none() {
                (phases(play, player, *address, observer, began), orders(play, player, *address, observer, began))
            } else {
                (Vec::new(), <[Order; 2]>::default())
            };
            let table = Table {
                addresses: vec![player.said(address)],
                two: observer.two_holders(began, end),
                nobody: observer.no_holder(began, end),
                phases,
                orders,
            };
            let alike = |known: &&mut Table| known.phases == table.phases && known.certain() == table.certain();
            match tables.iter_mut().find(alike) {
                Some(known) => known.join(table),
                None => tables.push(table),
            }
        }
        Self { unmet, too_long, seed: play.scenario.seed, findings, tables }
    }

    pub(super) fn is_well(&self) -> bool {
        let kept = self.findings.as_ref().is_none_or(|findings| findings.breaches.is_empty());
        self.unmet == 0 && self.too_long.is_empty() && kept && self.differ() == 0
    }

    /// For people.
    pub(super) fn text(&self, names: &[String]) -> String {
        let who = |set: &BTreeSet<usize>| {
            let names: Vec<&str> = set.iter().filter_map(|index| names.get(*index)).map(String::as_str).collect();
            if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") }
        };
        let mut text = String::new();
        for table in &self.tables {
            // Writing to a string cannot fail.
            let _ = table.write(&mut text, self.findings.is_none(), who);
        }
        for why in &self.too_long {
            let _ = writeln!(text, "VIOLATION: {why}");
        }
        let breaches = self.findings.as_ref().map_or(&[][..], |findings| &findings.breaches);
        for line in self.findings.iter().flat_map(|findings| &findings.summary) {
            let _ = writeln!(text, "{line}");
        }
        for breach in breaches {
            let _ =
                writeln!(text, "VIOLATION at {:.3} s (seed {}): {}", breach.at.as_secs_f64(), self.seed, breach.text);
        }
        let _ = match (self.unmet, self.differ(), self.is_well()) {
            (0, 0, true) if self.findings.is_some() => writeln!(text, "No invariant was broken."),
            (0, 0, true) => writeln!(text, "Everything was as expected, and as simulated."),
            (unmet, _, _) if self.findings.is_some() => {
                writeln!(text, "{unmet} not as expected, {} promises broken.", breaches.len())
            }
            (unmet, differ, _) => writeln!(text, "{unmet} not as expected, {differ} not as simulated."),
        };
        text
    }

    fn differ(&self) -> usize {
        let phases = self.tables.iter().flat_map(|table| &table.phases).filter(|phase| phase.differs()).count();
        phases + self.tables.iter().filter(|table| !table.agrees()).count()
    }
}

impl Table {
    fn agrees(&self) -> bool {
        let [real, simulated] = &self.orders;
        real.agrees(simulated)
    }

    fn certain(&self) -> [Vec<usize>; 2] {
        self.orders.each_ref().map(|order| order.certain().collect())
    }

    fn join(&mut self, other: Self) {
        self.addresses.extend(other.addresses);
        self.two = self.two.max(other.two);
        self.nobody = self.nobody.max(other.nobody);
    }

    fn write(
        &self,
        text: &mut String,
        with_phases: bool,
        who: impl Fn(&BTreeSet<usize>) -> String,
    ) -> std::fmt::Result {
        if with_phases {
            let what = self.addresses.join(", ");
            writeln!(text, "\nWho had {what} before each step, here and in the simulation:")?;
        }
        for phase in &self.phases {
            let word = if phase.differs() {
                "DIFFERS"
            } else if phase.blurred {
                "changing"
            } else {
                ""
            };
            let at = phase.at.as_secs_f64();
            writeln!(text, "{at:>10.3} s  {:<12} {:<12} {word}", who(&phase.real), who(&phase.simulated))?;
        }
        if with_phases {
            let [real, simulated] = self.certain();
            let names = |nodes: &[usize]| nodes.iter().map(|node| who(&[*node].into())).collect::<Vec<_>>().join(", ");
            let word = if self.agrees() { "" } else { "  DIFFERS" };
            writeln!(text, "one after the other: {}; in the simulation: {}{word}", names(&real), names(&simulated))?;
        }
        writeln!(text, "\nTwo had it for {}, nobody for {}.", readable(self.two), readable(self.nobody))
    }
}

impl Phase {
    fn differs(&self) -> bool {
        !self.blurred && self.simulated != self.real
    }
}

fn phases(play: &Play, player: &Player, address: IpNet, observer: &Observer, began: Instant) -> Vec<Phase> {
    let steps = play.scenario.steps.iter().filter(|step| matches!(step.what, Happening::Do(_)));
    let mut moments: Vec<Duration> = steps.map(|step| step.at).chain([play.scenario.end]).collect();
    moments.dedup();
    moments.retain(|at| !at.is_zero());
    let reigns = observer.reigns(began, began + play.scenario.end);
    let real = |at: Duration| {
        let moment = began + at;
        let reign = reigns.iter().find(|reign| reign.from < moment && moment <= reign.to);
        let holders = reign.map(|reign| reign.holders.clone()).unwrap_or_default();
        holders.into_iter().filter_map(|host: Host| player.index(host)).collect()
    };
    let phase = |at: Duration| {
        let (simulated, since, until) = simulated(&play.simulated, address, at);
        let blurred = at < since + BLUR || until < at + BLUR && until < play.scenario.end;
        Phase { at, simulated, real: real(at), blurred }
    };
    moments.into_iter().map(phase).collect()
}

/// In which order they had the address, here and in the simulation.
fn orders(play: &Play, player: &Player, address: IpNet, observer: &Observer, began: Instant) -> [Order; 2] {
    let real = observer.reigns(began, began + play.scenario.end).into_iter().map(|reign| {
        let length = reign.length();
        (reign.holders.into_iter().filter_map(|host: Host| player.index(host)).collect(), length)
    });
    let simulated = play.simulated.reigns.iter().filter(|reign| reign.address == address);
    [Order::of(real), Order::of(simulated.map(|reign| (reign.holders.clone(), reign.to.saturating_sub(reign.from))))]
}

/// Who had the address just before a moment, since when and until when.
fn simulated(outcome: &Outcome, address: IpNet, at: Duration) -> (BTreeSet<usize>, Duration, Duration) {
    let mut reigns = outcome.reigns.iter().filter(|reign| reign.address == address);
    let reign = reigns.find(|reign| reign.from < at && at <= reign.to);
    reign.map_or((BTreeSet::new(), Duration::ZERO, at), |reign| {
        // What ends at the moment itself is ended by the step.
        let until = if reign.to == at { Duration::MAX } else { reign.to };
        (reign.holders.clone(), reign.from, until)
    })
}
