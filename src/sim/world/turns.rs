//! Time: whose turn it is.

use std::{cmp::Reverse, time::Duration};

use super::World;
use crate::{
    node::{Ears, Input},
    sim::mutation::Mutation,
    words::Instant,
};

impl World {
    /// Everything until this moment happens.
    pub fn run_until(&mut self, end: Instant) {
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.turn();
        }
        self.now = self.now.max(end);
        self.count();
        self.look_at_promises();
    }

    /// The same, for this long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    fn next_moment(&self) -> Option<Instant> {
        let packet = self.queue.peek().map(|Reverse((at, _, _))| *at);
        // One that does not run, or has nothing to do any more, does not wake.
        let wakes =
            self.machines.iter().filter_map(|machine| machine.next().map(|due| machine.wakes_at.unwrap_or(due)));
        let ports = self.machines.iter().flat_map(|machine| &machine.ports);
        let leases = ports.flat_map(|port| port.held.values().flatten().copied());
        packet.into_iter().chain(wakes).chain(leases).min().map(|at| at.max(self.now))
    }

    fn turn(&mut self) {
        self.expire();
        while let Some(Reverse((_, id, to))) = self.queue.peek().copied().filter(|Reverse((at, ..))| *at <= self.now) {
            self.queue.pop();
            if let Some(delivery) = self.deliveries.remove(&id) {
                self.tell(to, delivery);
            }
        }
        for index in 0..self.machines.len() {
            if self.gets_to_run(index) {
                self.run(index);
            }
        }
        self.count();
        self.look_at_promises();
    }

    /// Something is due on it, and it is not late.
    fn gets_to_run(&mut self, index: usize) -> bool {
        let now = self.now;
        if self.machines[index].next().is_none_or(|due| due > now) {
            self.machines[index].wakes_at = None;
            return false;
        }
        let slow = self.machines[index].slow;
        if slow.is_zero() {
            self.machines[index].wakes_at = None;
            return true;
        }
        match self.machines[index].wakes_at {
            None => {
                let late = self.random(u64::try_from(slow.as_micros()).unwrap_or(u64::MAX));
                self.machines[index].wakes_at = Some(now + Duration::from_micros(late + 1));
                false
            }
            Some(at) if at > now => false,
            Some(_) => {
                self.machines[index].wakes_at = None;
                true
            }
        }
    }

    /// A turn of a driver: packets, messages, the clock.
    fn run(&mut self, index: usize) {
        let now = self.now;
        if self.mutation == Some(Mutation::ClockBeforePackets) {
            self.machines[index].handle_timeout(now, Ears::Drained);
            self.drain(index);
        }
        while let Some(delivery) = self.machines[index].backlog.pop_front() {
            self.deliver(index, delivery);
        }
        self.judge(index);
        let mut says = self.machines[index].asking.turn(now, index, &mut self.etcd);
        if self.mutation == Some(Mutation::WitnessIgnored) {
            says = self.machines[index].asking.wished(says);
        }
        for says in says {
            self.machines[index].handle_input(now, Input::Witness(says));
            self.drain(index);
        }
        self.machines[index].handle_timeout(now, Ears::Drained);
        self.drain(index);
        self.check_turn(index);
        if self.machines[index].daemon.is_stopped() {
            self.machines[index].alive = false;
        }
    }
}

impl super::Machine {
    /// When it is its turn.
    fn next(&self) -> Option<Instant> {
        if !self.runs() {
            return None;
        }
        let unread = (!self.backlog.is_empty()).then_some(Instant::ZERO);
        let judges = self.judges.iter().map(super::judging::Judging::next);
        unread.into_iter().chain(self.due_at()).chain(judges).chain(self.asking.next()).min()
    }
}
