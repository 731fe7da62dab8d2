//! What everything outside the protocol says of a router: links, policies, operators only contribute.

use crate::wire::Priority;

/// Whether a router may take part, and with which priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Must not take part.
    Fault,
    /// Listens and never becomes master; a master stays one. Bids this priority.
    Barred(Priority),
    /// May take part, bidding this priority.
    Fit(Priority),
}

impl Standing {
    /// The priority it bids, if it takes part.
    #[must_use]
    pub const fn priority(self) -> Option<Priority> {
        match self {
            Self::Fault => None,
            Self::Barred(priority) | Self::Fit(priority) => Some(priority),
        }
    }
}

/// The only place where a priority differs from the configured one: the sum of base and weights, kept within 1 and 254.
/// The order of the weights does not matter, and an owner's priority never moves.
#[must_use]
pub fn standing(base: Priority, weights: impl IntoIterator<Item = i32>) -> Priority {
    if base.is_owner() {
        return base;
    }
    let total: i64 = i64::from(base.get()) + weights.into_iter().map(i64::from).sum::<i64>();
    u8::try_from(total.clamp(1, 254)).ok().and_then(Priority::new).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stays_within_the_range_and_ignores_the_order(base in 1u8..=254, mut weights in proptest::collection::vec(any::<i32>(), 0..6)) {
            let base = Priority::new(base).unwrap();
            let one = standing(base, weights.iter().copied());
            weights.reverse();
            prop_assert_eq!(one, standing(base, weights));
            prop_assert!((1..=254).contains(&one.get()));
        }

        #[test]
        fn an_owner_never_moves(weights in proptest::collection::vec(any::<i32>(), 0..6)) {
            prop_assert_eq!(standing(Priority::OWNER, weights), Priority::OWNER);
        }
    }

    #[test]
    fn weights_add_up() {
        let base = Priority::new(100).unwrap();
        assert_eq!(standing(base, [-20, -10]).get(), 70);
        assert_eq!(standing(base, [-20, -100]).get(), 1);
        assert_eq!(standing(base, [200]).get(), 254);
    }
}
