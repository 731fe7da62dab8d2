//! Time: whose turn it is, and what must hold after each.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a world of its own: its machines are numbered by it")]

use super::*;

impl Lan {
    pub(super) fn next_moment(&self) -> Option<Instant> {
        let packet = self.queue.peek().map(|Reverse((at, _, _))| *at);
        let running = || self.stations.iter().filter(|station| station.runs());
        // Reading takes time, and whoever has something to read is awake.
        let (unread, drained): (Vec<_>, Vec<_>) = running().partition(|station| !station.backlog.is_empty());
        let unread = (!unread.is_empty()).then(|| self.now + Duration::from_micros(500));
        let timers = drained.into_iter().filter_map(|station| station.node.poll_timeout()).map(|(at, _)| at);
        let judges = running().filter(|station| station.judges).map(Station::judge_at);
        let asking = running().filter_map(|station| station.asking.next());
        let expiry = self.stations.iter().flat_map(|station| station.kernel.values().flatten().copied());
        let all = packet.into_iter().chain(timers).chain(judges).chain(asking).chain(expiry).chain(unread);
        all.min().map(|at| at.max(self.now))
    }

    pub(super) fn advance_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }

    pub(super) fn turn(&mut self) {
        self.expire();
        while let Some(Reverse((at, id, to))) = self.queue.peek().copied() {
            if at > self.now {
                break;
            }
            self.queue.pop();
            if let Some(delivery) = self.deliveries.remove(&id).filter(|_| !self.stations[to].dead) {
                self.stations[to].backlog.push_back(delivery);
            }
        }
        for index in 0..self.stations.len() {
            if !self.stations[index].runs() {
                continue;
            }
            if self.stations[index].judges && self.stations[index].judge_at() <= self.now {
                self.stations[index].judged_at = self.now;
                let verdict = self.stations[index].verdict.clone();
                self.judge(index, verdict);
            }
            let ears = self.read(index);
            self.ask_the_witness(index);
            let now = self.now;
            self.stations[index].node.handle_timeout(now, ears);
            self.drain(index);
            self.check(index, ears);
        }
    }

    /// Hands in what waits, as much as it reads in a turn.
    pub(super) fn read(&mut self, index: usize) -> Ears {
        let limit = self.stations[index].reads.unwrap_or(usize::MAX);
        for _ in 0..limit {
            let Some(delivery) = self.stations[index].backlog.pop_front() else { return Ears::Drained };
            self.deliver(index, &delivery);
        }
        if self.stations[index].backlog.is_empty() { Ears::Drained } else { Ears::Behind }
    }

    pub(super) fn wish(&mut self, index: usize, wish: Wish) {
        let now = self.now;
        let witnessed = self.stations[index].configured.witness;
        self.stations[index].asking.want(now, wish, witnessed);
    }

    /// A moment that is sooner because of the witness.
    pub(super) fn is_before_its_witness_ends(&self, index: usize, at: Instant, interval: Duration) -> bool {
        self.stations[index].configured.witness.is_some() && self.now <= at && at <= self.now + interval
    }

    fn ask_the_witness(&mut self, index: usize) {
        let now = self.now;
        for says in self.stations[index].asking.turn(now, index, &mut self.etcd) {
            self.hand_in(index, Input::Witness(says));
        }
    }

    /// What must hold after each turn, whatever the story.
    pub(super) fn check(&mut self, index: usize, ears: Ears) {
        let now = self.now;
        let station = &mut self.stations[index];
        station.node.check_invariants().unwrap();
        let serves = station.node.status().instances.iter().any(|instance| instance.role == Role::Master);
        let role = station.node.status().instances.first().map(|instance| instance.role);
        let adopts = station.asking.has_just_begun(now);
        let allowed = serves || adopts || station.misplaced;
        assert!(station.kernel.is_empty() || allowed, "node{index} holds as {role:?}\n{}", self.tale(40));
        let station = &mut self.stations[index];
        let due = ears == Ears::Drained && station.node.poll_timeout().is_some_and(|(at, _)| at <= now);
        station.spins = match station.spins {
            (at, count) if due && at == now => (now, count + 1),
            _ => (now, u32::from(due)),
        };
        let (spins, wake) = (station.spins.1, station.node.poll_timeout());
        assert!(spins <= SPINS_MAX, "node{index} is busy with {wake:?} at {now:?}\n{}", self.tale(40));
    }

    pub(super) fn expire(&mut self) {
        for index in 0..self.stations.len() {
            let now = self.now;
            let before = self.stations[index].kernel.len();
            self.stations[index].kernel.retain(|_, until| until.is_none_or(|until| now < until));
            if self.stations[index].kernel.len() != before {
                self.count();
                self.schedule(now, index, Delivery::Kernel);
            }
        }
    }
}
