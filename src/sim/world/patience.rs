//! How long something may take: a sum of times, each with its name and its rule, for a violation to print.

use std::{fmt, time::Duration};

use super::{Machine, World, promised::Seen};
use crate::{
    config::Instance,
    wire::{AdverInterval, Priority},
    words::{Instant, readable},
};

/// What turns and packets take beyond everything that has a name.
const TURNS: Duration = Duration::from_millis(2);
/// How long a new process may look whether it goes on with what the one before it held (R13).
pub(super) const ADOPTING: Duration = Duration::from_millis(550);
/// How long a node stays away after it could not send (`cannot_send`).
const TROUBLE: Duration = Duration::from_secs(5);
/// How long whoever has no key goes on without seeing its peer, and what its turn may be late (`arbiter`).
const HAS_LET_GO: Duration = Duration::from_secs(3);
/// Two rounds of questions to the witness, the first of them too late to be answered in time.
const ROUNDS: Duration = Duration::from_millis(1500);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum(Vec<(&'static str, Duration)>);

impl Sum {
    pub(super) fn of(name: &'static str, time: Duration) -> Self {
        Self::default().and(name, time)
    }

    /// What takes no time is not spoken of.
    pub(super) fn and(mut self, name: &'static str, time: Duration) -> Self {
        if !time.is_zero() {
            self.0.push((name, time));
        }
        self
    }

    /// Both.
    pub(super) fn beside(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn total(&self) -> Duration {
        self.0.iter().map(|(_, time)| *time).sum()
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.0.iter().map(|(name, time)| format!("{} {name}", readable(*time)));
        write!(f, "{} = {}", readable(self.total()), each.collect::<Vec<_>>().join(" + "))
    }
}

impl World {
    /// Turns and packets on their way.
    pub(super) fn way_there_and_back(&self) -> Sum {
        Sum::of("turns and packets", TURNS + self.air.delay.1 * 2)
    }

    /// From the moment from which nothing stands against it and nobody speaks, until a machine holds; so many rivals have asked
    /// since.
    pub(super) fn patience_of(
        &self,
        index: usize,
        instance: &Instance,
        seen: &Seen,
        rank: Priority,
        (base, rivals): (Instant, u32),
    ) -> Sum {
        let machine = &self.machines[index];
        let version = instance.protocol.version();
        let interval = self.slowest(index, instance);
        let down = interval.down_interval_of(instance.down_adverts, version, rank);
        let spacing = (down / 8).clamp(Duration::from_millis(2), Duration::from_millis(50));
        let defers = interval.skew_time(version, rank).max(spacing * 5) * rivals;
        let away = (seen.hindered_at + TROUBLE).saturating_since(base);
        // What was asked before the first word of somebody else is asked again.
        let settled = seen.carrier_since.max(machine.started_at) + instance.link_settle + spacing * 2;
        let settles = settled.saturating_since(base + away + down);
        let witness = instance.witness.map_or(Duration::ZERO, |witness| witness.ttl + HAS_LET_GO + ROUNDS);
        Sum::of("down interval (RFC 9568, 6.4.2)", down)
            .and("away after a send that failed (R9)", away)
            .and("until the link has settled (R4)", settles)
            .and("asking who has it, begun anew with the first word of somebody else (R3, R4)", spacing * 3)
            .and("letting rivals go first, each once (R19c)", defers)
            .and("the lease of the witness, its end, and questions", witness)
            .and("listening for a rival (R36)", listening(instance))
            .beside(self.way_there_and_back())
    }

    /// How seldom a master of this virtual router may advertise.
    pub(super) fn slowest(&self, index: usize, instance: &Instance) -> AdverInterval {
        let others = self.others_of(index, instance).map(|(_, theirs)| theirs.advertise);
        others.chain([instance.advertise]).max().unwrap_or(instance.advertise)
    }

    /// The other machines with this virtual router.
    pub(super) fn others_of<'a>(
        &'a self,
        index: usize,
        instance: &'a Instance,
    ) -> impl Iterator<Item = (&'a Machine, &'a Instance)> {
        let others = self.machines.iter().enumerate().filter(move |(other, _)| *other != index);
        others.filter_map(|(_, other)| Some((other, super::taking::counterpart(other, instance)?)))
    }
}

/// How long a new master listens before it holds.
pub(super) fn listening(instance: &Instance) -> Duration {
    (instance.advertise.as_duration() / 20).min(Duration::from_millis(2))
}
