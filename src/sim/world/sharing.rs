//! Two machines have an address: how long they may, as it follows from what was wrong with either of them and between them.
//!
//! Every cause that occurs excuses them until some time after it is over; the excuse that ends last counts. What is not excused is
//! `two_holders`. Each time is a sum of named ones (`patience`).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{
    Kind, Machine, World,
    patience::{ADOPTING, Sum, listening},
    taking::minds,
    understanding::understand_each_other,
};
use crate::{
    config::{Instance, lease_length},
    words::{Instant, readable},
};

/// From the first advertisement of whoever takes over until whoever led lets go (R16).
const LETS_GO: Duration = Duration::from_millis(20);

/// What is remembered of machines, networks, and who shares an address with whom.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    machines: BTreeMap<usize, Was>,
    /// The last moment at which not everything passed between two.
    apart: BTreeMap<(usize, usize), Instant>,
    /// Which advertisements have not been heard between two while nothing else was wrong, since when, and until when.
    deaf: BTreeMap<(usize, usize), Deaf>,
    pairs: BTreeMap<Which, Pair>,
}

/// An address, and the two that have it.
type Which = (IpAddr, usize, usize);

/// What was wrong with a machine.
#[derive(Clone, Debug, Default)]
struct Was {
    /// The last moment at which a port of it was not plugged in.
    unplugged: BTreeMap<usize, Instant>,
    /// It could not run or send: since when, and until when.
    hindered: Option<(Instant, Instant)>,
    /// How late it could be, and the last moment at which it could.
    late: Option<(Duration, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    since: Instant,
    told: bool,
}

/// See [`Sharing`].
#[derive(Clone, Copy, Debug)]
struct Deaf {
    ways: [bool; 2],
    since: Instant,
    until: Instant,
}

/// What passes between two machines.
enum Passage {
    /// Everything, both ways.
    Clear,
    /// Advertisements of the first do not reach the other one, or the other way round; questions and answers do.
    Filtered([bool; 2]),
    Broken,
}

/// Until when something excuses them.
struct Excuse {
    from: Instant,
    sum: Sum,
}

impl Excuse {
    fn end(&self) -> Instant {
        self.from + self.sum.total()
    }
}

impl World {
    /// After every step.
    pub(super) fn look_at_sharing(&mut self) {
        let mut sharing = std::mem::take(&mut self.sharing);
        self.see_causes(&mut sharing);
        let found = self.judge_sharing(&mut sharing);
        self.sharing = sharing;
        for text in found {
            self.violated(None, "two_holders", text);
        }
    }

    fn see_causes(&self, sharing: &mut Sharing) {
        let now = self.now;
        for (index, machine) in self.machines.iter().enumerate() {
            let was = sharing.machines.entry(index).or_default();
            let unplugged = machine.ports.iter().enumerate().filter(|(_, port)| !port.plugged);
            was.unplugged.extend(unplugged.map(|(at, _)| (at, now)));
            let goes_on = |at: Instant| was.hindered.filter(|(_, until)| *until == at).map(|(since, _)| since);
            if !machine.runs() || machine.mute {
                let since = goes_on(self.looked_at).unwrap_or(now);
                was.hindered = Some((since, now));
            }
            if !machine.is_prompt(now) {
                let known = was.late.filter(|(_, until)| *until == self.looked_at).map_or(Duration::ZERO, |(by, _)| by);
                was.late = Some((known.max(machine.slow), now));
            }
            for other in index + 1..self.machines.len() {
                let pair = (index, other);
                match self.between(index, other) {
                    Passage::Clear => {}
                    Passage::Broken => drop(sharing.apart.insert(pair, now)),
                    Passage::Filtered(ways) => {
                        let known = sharing.deaf.get(&pair);
                        let known = known.filter(|deaf| deaf.until == self.looked_at && deaf.ways == ways);
                        let since = known.map_or(now, |deaf| deaf.since);
                        sharing.deaf.insert(pair, Deaf { ways, since, until: now });
                    }
                }
            }
        }
    }

    fn between(&self, one: usize, other: usize) -> Passage {
        let ways = [(one, other), (other, one)];
        if !self.air.loses_nothing() || ways.iter().any(|way| self.air.cut.contains(way)) {
            return Passage::Broken;
        }
        let ways = ways.map(|way| self.air.filtered.contains(&way));
        if ways.contains(&true) { Passage::Filtered(ways) } else { Passage::Clear }
    }

    fn judge_sharing(&self, sharing: &mut Sharing) -> Vec<String> {
        // With whatever prefix: it is the same to a client.
        let mut holders: BTreeMap<IpAddr, BTreeSet<usize>> = BTreeMap::new();
        for (net, holding) in &self.holders {
            holders.entry(net.addr()).or_default().extend(holding.by());
        }
        let mut both = BTreeMap::new();
        let mut found = Vec::new();
        for (address, by) in holders.into_iter().filter(|(_, by)| by.len() > 1) {
            for (one, other) in by.iter().flat_map(|one| by.range(one + 1..).map(move |other| (*one, *other))) {
                let which = (address, one, other);
                let mut pair = sharing.pairs.get(&which).copied().unwrap_or(Pair { since: self.now, told: false });
                let excuse = (!pair.told).then(|| self.excuse(sharing, which, pair.since)).flatten();
                if let Some(excuse) = excuse.filter(|excuse| excuse.end() < self.now) {
                    pair.told = true;
                    found.push(self.tell_sharing(which, pair.since, &excuse));
                }
                both.insert(which, pair);
            }
        }
        sharing.pairs = both;
        found
    }

    fn tell_sharing(&self, (address, one, other): Which, since: Instant, excuse: &Excuse) -> String {
        format!(
            "{} and {} have {address} for {}, and nothing has excused that for {}; it may be {}",
            self.machines[one].name,
            self.machines[other].name,
            readable(self.now.saturating_since(since)),
            readable(self.now.saturating_since(excuse.from)),
            excuse.sum
        )
    }

    /// The excuse that ends last; none: it is not judged.
    fn excuse(&self, sharing: &Sharing, (address, one, other): Which, since: Instant) -> Option<Excuse> {
        let machines = [one, other].map(|index| &self.machines[index]);
        // What a killed keepalived leaves behind answers and says nothing: see `check_leads`.
        if machines.iter().any(|machine| machine.has_left()) {
            return None;
        }
        let both = [serving(machines[0], address)?, serving(machines[1], address)?];
        let interval = both.iter().map(|it| it.advertise.as_duration()).max()?;
        let was = [one, other].map(|index| sharing.machines.get(&index).cloned().unwrap_or_default());
        let late: Duration =
            was.iter().filter_map(|was| was.late).filter(|(_, until)| *until >= since).map(|(by, _)| by).sum();
        let handover = self.handover_between(&both, late);
        let mut excuses = vec![Excuse { from: since, sum: handover.clone() }];
        let mut until = |from: Instant, sum: Sum| excuses.push(Excuse { from, sum: sum.beside(handover.clone()) });
        let meets = || Sum::of("the next advertisement (R19)", interval);
        let finds = || Sum::of("until one finds that it is not heard, or not alone (R19)", interval * 5);
        let apart = sharing.apart.get(&(one, other)).copied().into_iter();
        let unplugged = was.iter().zip(machines).zip(both).filter_map(|((was, machine), it)| {
            let ports = was.unplugged.iter().filter(|(port, _)| is_on_the_way(machine, **port, it, address));
            ports.map(|(_, at)| *at).max()
        });
        let apart = apart.chain(unplugged).max();
        if let Some(at) = apart {
            until(at, meets());
        }
        let met = apart.map_or(since, |at| at.max(since));
        match sharing.deaf.get(&(one, other)) {
            Some(deaf) if deaf.until == self.now => until(met.max(deaf.since), finds()),
            Some(deaf) => until(deaf.until, meets()),
            None => {}
        }
        if !understand_each_other(machines, both) {
            // Where nobody asks before it takes, nothing decides.
            machines.iter().zip(both).find(|(machine, it)| minds(machine, it))?;
            until(met, finds());
        }
        for (was, (machine, instance)) in was.iter().zip(machines.iter().zip(both)) {
            if let Some((from, to)) = was.hindered {
                if to < self.now {
                    until(to, meets());
                } else {
                    let lease = lease_length(Some(instance).filter(|_| machine.kind == Kind::Ha)?, None).length?;
                    until(from, Sum::of("lease (R8)", lease).and("how late the kernel is", self.kernel_late));
                }
            }
            until(machine.started_at, Sum::of("adoption (R13)", ADOPTING));
            until(machine.forged_at, meets());
        }
        excuses.into_iter().max_by_key(Excuse::end)
    }

    /// From the moment at which one has told the other until that one has let go.
    fn handover_between(&self, instances: &[&Instance; 2], late: Duration) -> Sum {
        Sum::of("handing over (R16)", LETS_GO)
            .and("listening for a rival (R36)", instances.iter().map(|it| listening(it)).max().unwrap_or_default())
            .and("how late they read that and let go (R29)", late * 2)
            .beside(self.way_there_and_back())
    }
}

/// The instance with this address.
fn serving(machine: &Machine, address: IpAddr) -> Option<&Instance> {
    machine.config.instances.iter().find(|instance| instance.held_addresses().any(|held| held.addr() == address))
}

/// It advertises there, or has the address there.
fn is_on_the_way(machine: &Machine, port: usize, instance: &Instance, address: IpAddr) -> bool {
    let mut nets = instance.held_addresses().filter(|net| net.addr() == address);
    machine.ports.get(port).is_some_and(|port| {
        port.interface == instance.interface || nets.any(|net| *instance.wire_of(net) == port.interface)
    })
}
