//! So many bad ones of the last few: for what is lossy by nature.

/// No window is longer.
pub(super) const LONGEST: u32 = 64;

/// The last observations; those that said nothing are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The latest in the lowest bit; 1 is bad.
    bits: u64,
}

impl Window {
    /// No window is longer.
    pub const LONGEST: u32 = LONGEST;

    /// As it was written down.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { bits }
    }

    /// As it can be written down.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.bits
    }

    /// One more.
    pub const fn push(&mut self, bad: bool) {
        self.bits = self.bits << 1 | bad as u64;
    }

    /// Bad ones of the last `of`. What was not seen yet was not bad.
    #[must_use]
    pub fn bad(self, of: u32) -> u32 {
        let mask = 1_u64.checked_shl(of).unwrap_or(0).wrapping_sub(1);
        (self.bits & mask).count_ones()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_counts_the_bad_ones_of_the_last(story in prop::collection::vec(any::<bool>(), 0..200), of in 1_u32..=LONGEST) {
            let mut window = Window::default();
            for end in 1..=story.len() {
                window.push(story[end - 1]);
                let seen = &story[..end];
                let bad = seen[end.saturating_sub(of as usize)..].iter().filter(|bad| **bad).count();
                prop_assert_eq!(window.bad(of) as usize, bad);
                prop_assert_eq!(Window::from_bits(window.bits()), window);
            }
        }
    }
}
