//! When a gate fell and rose, the last times.

use crate::words::Instant;

/// So many are remembered.
const MOST: usize = 8;

/// The last changes; each is the opposite of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// The latest last.
    at: [Instant; MOST],
    count: usize,
}

impl Changes {
    pub(super) fn push(&mut self, now: Instant) {
        self.at.rotate_left(1);
        if let Some(last) = self.at.last_mut() {
            *last = now;
        }
        self.count = (self.count + 1).min(MOST);
    }

    /// The oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Instant> + ExactSizeIterator + use<> {
        self.at.into_iter().skip(MOST - self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_ones_are_remembered_in_order() {
        let at = |second| Instant::from_epoch(Duration::from_secs(second));
        let mut changes = Changes::default();
        assert_eq!(changes.iter().len(), 0);
        changes.push(at(1));
        assert_eq!(changes.iter().collect::<Vec<_>>(), [at(1)]);
        (2..20).for_each(|second| changes.push(at(second)));
        assert_eq!(changes.iter().collect::<Vec<_>>(), (12..20).map(at).collect::<Vec<_>>());
    }
}
