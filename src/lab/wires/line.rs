//! What becomes of the packets on their way: how long each takes, and which come twice.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::sim::Dice;

/// How a network treats its packets. The default passes each at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// How long a packet is under way, at least and at most.
    pub delay: (Duration, Duration),
    /// How many of a hundred arrive twice.
    pub duplicates: u32,
}

/// Packets that are under way. Each has its own time, as in the simulation: one that was sent later may arrive before.
#[derive(Debug)]
pub(super) struct Line<T> {
    waiting: BTreeMap<(Instant, u64), T>,
    sequence: u64,
    dice: Dice,
}

impl<T: Clone> Line<T> {
    pub(super) fn new(seed: u64) -> Self {
        Self { waiting: BTreeMap::new(), sequence: 0, dice: Dice::new(seed) }
    }

    /// A packet was sent.
    pub(super) fn send(&mut self, now: Instant, manner: Manner, packet: T) {
        if manner.duplicates > 0 && self.dice.roll(100) < u64::from(manner.duplicates) {
            self.put(now, manner, packet.clone());
        }
        self.put(now, manner, packet);
    }

    /// One that has arrived by now.
    pub(super) fn arrived(&mut self, now: Instant) -> Option<T> {
        self.next().filter(|at| *at <= now)?;
        self.waiting.pop_first().map(|(_, packet)| packet)
    }

    /// When the next one arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    fn put(&mut self, now: Instant, manner: Manner, packet: T) {
        let (least, most) = manner.delay;
        let spread = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        let takes = least + Duration::from_micros(self.dice.roll(spread.saturating_add(1)));
        self.sequence += 1;
        self.waiting.insert((now + takes, self.sequence), packet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What arrives of a hundred packets, one each millisecond, and how many milliseconds each took at least.
    fn hundred(manner: Manner) -> Vec<(u32, u128)> {
        let (began, mut line) = (Instant::now(), Line::new(7));
        for number in 0..100 {
            line.send(began + MS * number, manner, number);
        }
        let mut arrived = Vec::new();
        while let Some(at) = line.next() {
            assert_eq!(line.arrived(at - Duration::from_nanos(1)), None, "not before its time");
            let number = line.arrived(at).unwrap();
            arrived.push((number, (at - (began + MS * number)).as_millis()));
        }
        arrived
    }

    #[test]
    fn unless_it_is_told_everything_passes_at_once_and_in_its_order() {
        assert_eq!(hundred(Manner::default()), (0..100).map(|number| (number, 0)).collect::<Vec<_>>());
    }

    #[test]
    fn a_delay_is_kept_and_the_order_is_not() {
        let all = hundred(Manner { delay: (MS * 5, MS * 25), duplicates: 0 });
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|(_, took)| (5..=25).contains(took)), "{all:?}");
        assert!(all.iter().any(|(_, took)| *took < 10) && all.iter().any(|(_, took)| *took > 20), "{all:?}");
        assert!(!all.is_sorted_by_key(|(number, _)| *number));
        // One time for all keeps it.
        assert!(hundred(Manner { delay: (MS * 5, MS * 5), duplicates: 0 }).is_sorted_by_key(|(number, _)| *number));
    }

    #[test]
    fn some_come_twice_and_none_is_lost() {
        let numbers = |duplicates| {
            let all = hundred(Manner { delay: (MS, MS * 30), duplicates });
            let mut numbers: Vec<u32> = all.into_iter().map(|(number, _)| number).collect();
            numbers.sort_unstable();
            numbers
        };
        let (some, all) = (numbers(30), numbers(100));
        assert!((110..=150).contains(&some.len()), "{}", some.len());
        assert_eq!(all.len(), 200);
        for mut numbers in [some, all] {
            numbers.dedup();
            assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_same_seed_is_the_same_chance() {
        let manner = Manner { delay: (MS, MS * 30), duplicates: 30 };
        assert_eq!(hundred(manner), hundred(manner));
    }
}
