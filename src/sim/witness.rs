//! A witness in virtual time: one etcd, and what each machine's daemon asks of it. Its faults are those that matter to a node:
//! it is away, away from one machine, slow, its answers are lost, it forgets.
//!
//! What is asked happens at once and is answered late, which is the worst for whoever asked: the lease runs meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    config::Witnessed,
    node::{Seat, Wish, WitnessSays},
    words::Instant,
};

/// How long a daemon waits for an answer, and how soon it asks again after none, or for what it did not get.
const TIMEOUT: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_millis(250);
/// Who puts keys there that are no machine's, and how long they stay.
const NOBODY: usize = usize::MAX;
const NEVER: Duration = Duration::from_secs(1 << 30);

/// The cluster.
#[derive(Debug)]
pub struct Etcd {
    /// It answers nobody.
    pub down: bool,
    /// It does not answer these.
    pub away_from: BTreeSet<usize>,
    /// It does what these ask, and they do not get to know.
    pub unheard_by: BTreeSet<usize>,
    /// How long an answer takes.
    pub takes: Duration,
    /// The lease of each machine, and its end.
    leases: BTreeMap<usize, Instant>,
    keys: BTreeMap<String, usize>,
    /// How the machines are called, in their order.
    names: Vec<String>,
}

impl Default for Etcd {
    fn default() -> Self {
        Self {
            down: false,
            away_from: BTreeSet::new(),
            unheard_by: BTreeSet::new(),
            takes: Duration::from_millis(2),
            leases: BTreeMap::new(),
            keys: BTreeMap::new(),
            names: Vec::new(),
        }
    }
}

/// What the daemon of one machine asks.
#[derive(Debug, Default)]
pub struct Asking {
    wish: Option<Wish>,
    ttl: Duration,
    due: Instant,
    /// What it is about to be told, and when.
    coming: Option<(Instant, Vec<WitnessSays>)>,
    has_lease: bool,
    began: Instant,
    asked_at: Instant,
    /// Something else is wanted since it asked.
    news: bool,
}

impl Etcd {
    /// For machines that are called so, in their order.
    #[must_use]
    pub fn of(names: Vec<String>) -> Self {
        Self { names, ..Self::default() }
    }

    /// Whoever has it; the end of a lease is the end of its keys.
    #[must_use]
    pub fn holder(&self, now: Instant, key: &str) -> Option<usize> {
        let holder = self.keys.get(key).copied()?;
        self.leases.get(&holder).is_some_and(|end| now < *end).then_some(holder)
    }

    /// It answers everybody again, at once. What it knows stays.
    pub(super) fn mend(&mut self) {
        let Self { takes, .. } = Self::default();
        (self.down, self.takes) = (false, takes);
        self.away_from.clear();
        self.unheard_by.clear();
    }

    /// Every lease is gone, as after a loss of its data.
    pub fn forget(&mut self) {
        self.leases.clear();
        self.keys.clear();
    }

    /// Somebody who is no machine puts a value there, in place of what is there, without a lease.
    pub fn put(&mut self, now: Instant, key: &str) {
        self.leases.insert(NOBODY, now + NEVER);
        self.keys.insert(key.to_owned(), NOBODY);
    }

    /// And removes it.
    pub fn delete(&mut self, key: &str) {
        self.keys.remove(key);
    }

    /// One round; nothing if nobody hears it.
    fn round(&mut self, now: Instant, who: usize, asking: &mut Asking) -> Option<Vec<WitnessSays>> {
        if self.down || self.away_from.contains(&who) {
            return None;
        }
        let mut says = Vec::new();
        let ended: Vec<usize> = self.leases.iter().filter(|(_, end)| **end <= now).map(|(who, _)| *who).collect();
        for who in ended {
            self.leases.remove(&who);
            self.keys.retain(|_, holder| *holder != who);
        }
        if asking.has_lease && !self.leases.contains_key(&who) {
            says.push(WitnessSays::Lost { why: "its lease has ended in etcd".to_owned() });
        }
        asking.has_lease = true;
        self.leases.insert(who, now + asking.ttl);
        let wish = asking.wish.clone().unwrap_or_default();
        self.keys.retain(|key, holder| *holder != who || wish.keep.contains(key));
        for set in &wish.take {
            if set.iter().all(|key| self.keys.get(key).is_none_or(|holder| *holder == who)) {
                self.keys.extend(set.iter().map(|key| (key.clone(), who)));
            }
        }
        let name = |holder: usize| self.names.get(holder).cloned().unwrap_or_else(|| format!("node{holder}"));
        let seat = |(key, holder): (&String, &usize)| match *holder {
            NOBODY => Seat::Unleased(key.clone()),
            holder if holder == who => Seat::Ours,
            holder => Seat::Another(name(holder)),
        };
        let seats = self.keys.iter().map(|it| (it.0.clone(), seat(it))).collect();
        says.push(WitnessSays::Answered { asked_at: now, ttl: asking.ttl, seats });
        (!self.unheard_by.contains(&who)).then_some(says)
    }
}

impl Asking {
    /// The node wants this from now on; `witnessed`: what its configuration says.
    pub(super) fn want(&mut self, now: Instant, wish: Wish, witnessed: Option<Witnessed>) {
        if let Some(witnessed) = witnessed {
            self.ttl = witnessed.ttl;
        }
        self.wish = Some(wish);
        self.due = now;
        self.news = true;
    }

    /// It asks although nothing is wanted yet, as every daemon with a witness does.
    pub(super) fn begin(now: Instant, witnessed: Option<Witnessed>) -> Self {
        let Some(witnessed) = witnessed else { return Self::default() };
        Self { wish: Some(Wish::default()), ttl: witnessed.ttl, due: now, began: now, ..Self::default() }
    }

    /// The process may wait for its first word before it goes on with what the one before it held.
    pub(super) fn has_just_begun(&self, now: Instant) -> bool {
        self.wish.is_some() && now <= self.began + Duration::from_millis(550)
    }

    /// When something happens here.
    pub(super) fn next(&self) -> Option<Instant> {
        match &self.coming {
            Some((at, _)) => Some(*at),
            None => self.wish.as_ref().map(|_| self.due),
        }
    }

    /// What a node is told that believes what it wants to.
    pub(super) fn wished(&self, says: Vec<WitnessSays>) -> Vec<WitnessSays> {
        let keys = self.wish.iter().flat_map(|wish| &wish.take).flatten();
        let seats: BTreeMap<String, Seat> = keys.map(|key| (key.clone(), Seat::Ours)).collect();
        let told = |_| WitnessSays::Answered { asked_at: self.asked_at, ttl: self.ttl, seats: seats.clone() };
        says.into_iter().map(told).collect()
    }

    /// What the node is told now.
    pub(super) fn turn(&mut self, now: Instant, who: usize, etcd: &mut Etcd) -> Vec<WitnessSays> {
        if let Some((_, says)) = self.coming.take_if(|(at, _)| *at <= now) {
            let wish = self.wish.clone().unwrap_or_default();
            let is_ours = |seats: &BTreeMap<String, Seat>| {
                wish.take.iter().flatten().all(|key| seats.get(key) == Some(&Seat::Ours))
            };
            let met = says.iter().any(|says| matches!(says, WitnessSays::Answered { seats, .. } if is_ours(seats)));
            let next = if met { self.asked_at + Witnessed::renewed_every(self.ttl) } else { now + AGAIN };
            // What was wanted meanwhile is asked for at once.
            self.due = if std::mem::take(&mut self.news) { now } else { next.max(now) };
            return says;
        }
        if self.wish.is_some() && self.coming.is_none() && self.due <= now {
            self.news = false;
            self.asked_at = now;
            let answer = etcd.round(now, who, self);
            self.coming = Some(match answer {
                Some(says) if etcd.takes < TIMEOUT => (now + etcd.takes, says),
                Some(_) | None => (now + TIMEOUT, vec![WitnessSays::Silent { why: "timeout after 500 ms".to_owned() }]),
            });
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_key_is_called_as_in_the_scenario() {
        let mut etcd = Etcd::of(vec!["left".to_owned(), "right".to_owned()]);
        let mut seat_of = |who| {
            let wish = Wish { take: BTreeSet::from([BTreeSet::from(["ipv4-51".to_owned()])]), ..Wish::default() };
            let mut asking = Asking { wish: Some(wish), ttl: Duration::from_secs(10), ..Asking::default() };
            let says = etcd.round(Instant::ZERO, who, &mut asking).unwrap();
            match &says[..] {
                [WitnessSays::Answered { seats, .. }] => seats["ipv4-51"].clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((seat_of(0), seat_of(1)), (Seat::Ours, Seat::Another("left".to_owned())));
    }
}
