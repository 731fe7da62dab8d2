//! How restless observations are: the share of the last ones that differ from the one before.

/// So many observations are looked at, one more than steps between them.
const LOOKED_AT: u32 = 21;

/// The last observations that said something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recent {
    /// The latest in the lowest bit; 1 is ok.
    bits: u32,
    count: u32,
}

impl Recent {
    pub(super) fn push(&mut self, ok: bool) {
        self.bits = self.bits << 1 | u32::from(ok);
        self.count = (self.count + 1).min(LOOKED_AT);
    }

    /// In percent of the twenty steps before, however few there were yet: 100 if every observation differed from the last.
    pub(super) fn restlessness(&self) -> f64 {
        let steps = self.count.saturating_sub(1);
        let mask = 1_u32.checked_shl(steps).unwrap_or(0).wrapping_sub(1);
        let changes = ((self.bits ^ self.bits >> 1) & mask).count_ones();
        f64::from(changes) * 100.0 / f64::from(LOOKED_AT - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_share_of_steps_that_changed(story in prop::collection::vec(any::<bool>(), 0..60)) {
            let mut recent = Recent::default();
            story.iter().for_each(|ok| recent.push(*ok));
            let looked_at = &story[story.len().saturating_sub(21)..];
            let changes = looked_at.windows(2).filter(|pair| pair[0] != pair[1]).count();
            prop_assert!((recent.restlessness() - changes as f64 * 5.0).abs() < 1e-9);
        }
    }
}
