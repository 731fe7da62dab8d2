//! In which order the nodes had an address, here and in the simulation.

use std::{collections::BTreeSet, time::Duration};

/// Who has an address for so long here has it in the simulation too, and the other way round: what is shorter may be a moment
/// of a change, which a busy machine stretches.
const CERTAIN: Duration = Duration::from_secs(3);

/// A time in which one node alone had the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    node: usize,
    length: Duration,
}

/// The turns of one address, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Order(Vec<Turn>);

impl Order {
    /// Of times with their holders. Two, or nobody, between two times of one node do not end its turn.
    pub(super) fn of(times: impl Iterator<Item = (BTreeSet<usize>, Duration)>) -> Self {
        let mut turns: Vec<Turn> = Vec::new();
        for (holders, length) in times {
            let Some(node) = holders.first().copied().filter(|_| holders.len() == 1) else { continue };
            match turns.last_mut().filter(|turn| turn.node == node) {
                Some(turn) => turn.length += length,
                None => turns.push(Turn { node, length }),
            }
        }
        Self(turns)
    }

    /// Each of them has, in its order, every turn that is certain in the other.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.has_all_of(other) && other.has_all_of(self)
    }

    fn has_all_of(&self, other: &Self) -> bool {
        let mut all = self.0.iter();
        other.certain().all(|wanted| all.any(|turn| turn.node == wanted))
    }

    /// Who had it for long, one after the other.
    pub(super) fn certain(&self) -> impl Iterator<Item = usize> {
        let mut nodes: Vec<usize> = self.0.iter().filter(|turn| turn.length >= CERTAIN).map(|turn| turn.node).collect();
        nodes.dedup();
        nodes.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(times: &[(&[usize], u64)]) -> Order {
        Order::of(
            times.iter().map(|(holders, millis)| (holders.iter().copied().collect(), Duration::from_millis(*millis))),
        )
    }

    #[test]
    fn what_is_long_is_in_the_other_one_in_its_order() {
        let real =
            order(&[(&[], 3600), (&[0], 9000), (&[0, 1], 3), (&[1], 8000), (&[], 20), (&[1], 100), (&[0], 5000)]);
        assert_eq!(real.certain().collect::<Vec<_>>(), [0, 1, 0]);
        assert!(real.agrees(&order(&[(&[0], 9100), (&[1], 8000), (&[0], 5000)])));
        // A short turn may be in one of them only, a long one may be short in the other.
        assert!(real.agrees(&order(&[(&[0], 9000), (&[1], 2000), (&[0], 5000), (&[1], 2900)])));
        assert!(!real.agrees(&order(&[(&[0], 9000), (&[1], 8000)])), "the return is missing");
        assert!(!real.agrees(&order(&[(&[1], 9000), (&[0], 8000), (&[1], 5000)])), "another order");
        assert!(!order(&[(&[0], 9000)]).agrees(&real));
    }
}
