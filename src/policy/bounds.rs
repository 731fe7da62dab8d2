//! What one call of a policy's function may use: steps, time, memory and stack.
//!
//! The script engine counts steps only where no function of its own calls back (`map`, `filter` and `sort` start from the
//! same number again and again), and it has no idea of memory. So both are counted here, for the thread that evaluates.
//! Whoever exceeds a bound is told so at the next variable, where the place is known, and is stopped soon after that.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use super::Clock;
use crate::words::Instant;

/// Steps one call of a policy's function may take: some ten milliseconds.
pub(super) const MOST_STEPS: u64 = 100_000;
/// Steps all constants of a policy may take together; nothing waits for them but the loading of policies.
pub(super) const MOST_STEPS_OF_CONSTANTS: u64 = 10_000;
/// Memory an evaluation may hold; one that asks 64 services for 64 KiB each fits.
pub(super) const MOST_HELD: u64 = 8 * 1024 * 1024;
/// Stack that a thread needs which loads or evaluates policies. What a script may nest (functions, expressions, and values
/// by the memory they may hold) takes less; a page that was never touched costs nothing.
pub const STACK: usize = 32 * 1024 * 1024;
/// How often the time is looked at; a look costs as much as a step.
const STEPS_PER_LOOK: u64 = 64;
/// Steps from the discovery to the end, in which to come upon a variable.
const STEPS_TO_GO: u64 = 256;

/// A bound that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    Steps(u64),
    Time,
    Memory,
}

thread_local! {
    /// What runs on this thread, the outermost first: a test runs evaluations inside.
    static WATCHES: RefCell<Vec<Account>> = const { RefCell::new(Vec::new()) };
    /// Bytes this thread has allocated and not freed; what another thread frees is not subtracted.
    static HELD: Cell<u64> = const { Cell::new(0) };
}

struct Account {
    until: Option<(Arc<dyn Clock>, Instant)>,
    most_steps: u64,
    steps: u64,
    held_before: u64,
    excess: Option<(Excess, u64)>,
}

/// Bounds for as long as it lives.
pub(super) struct Watch(());

impl Watch {
    /// Until then, by this clock, in so many steps.
    pub(super) fn begin(until: Option<(Arc<dyn Clock>, Instant)>, most_steps: u64) -> Self {
        let account = Account { until, most_steps, steps: 0, held_before: HELD.get(), excess: None };
        WATCHES.with_borrow_mut(|watches| watches.push(account));
        Self(())
    }

    /// One of the limits of time has passed.
    pub(super) fn is_over() -> bool {
        WATCHES.with_borrow(|watches| is_over(watches))
    }

    /// A bound that the innermost call has exceeded.
    pub(super) fn exceeded() -> Option<Excess> {
        WATCHES.with_borrow(|watches| watches.last()?.excess.map(|(excess, _)| excess))
    }

    /// Counts a step. `Some`: it must be the last.
    pub(super) fn step() -> Option<Excess> {
        WATCHES.with_borrow_mut(|watches| {
            let held = held_since(watches.first()?.held_before);
            let (steps, most_steps) = {
                let innermost = watches.last_mut()?;
                innermost.steps += 1;
                (innermost.steps, innermost.most_steps)
            };
            let excess = if held > MOST_HELD {
                Some(Excess::Memory)
            } else if steps > most_steps {
                Some(Excess::Steps(most_steps))
            } else {
                (steps.is_multiple_of(STEPS_PER_LOOK) && is_over(watches)).then_some(Excess::Time)
            };
            let innermost = watches.last_mut()?;
            innermost.excess = innermost.excess.or_else(|| Some((excess?, steps + STEPS_TO_GO)));
            // Some steps may double what is held: memory is not waited for.
            innermost.excess.filter(|(_, last)| steps >= *last || held > 2 * MOST_HELD).map(|(excess, _)| excess)
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHES.with_borrow_mut(Vec::pop);
    }
}

fn is_over(watches: &[Account]) -> bool {
    watches.iter().filter_map(|watch| watch.until.as_ref()).any(|(clock, until)| clock.now() >= *until)
}

/// Another thread may have freed what this one allocated, or the other way round.
fn held_since(before: u64) -> u64 {
    let held = HELD.get().wrapping_sub(before);
    if held > u64::MAX / 2 { 0 } else { held }
}

/// An allocator tells that this thread has so many bytes more. Where no allocator tells, memory is not bounded.
pub fn grown(bytes: usize) {
    HELD.set(HELD.get().wrapping_add(count(bytes)));
}

/// An allocator tells that this thread has so many bytes less.
pub fn shrunk(bytes: usize) {
    HELD.set(HELD.get().wrapping_sub(count(bytes)));
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_elsewhere_is_not_a_debt() {
        let before = HELD.get();
        shrunk(1000);
        assert_eq!(held_since(before), 0);
        grown(3000);
        assert_eq!(held_since(before), 2000);
        shrunk(2000);
    }

    #[test]
    fn who_exceeds_a_bound_is_told_and_then_stopped() {
        let _watch = Watch::begin(None, 10);
        for _ in 0..10 {
            assert_eq!((Watch::step(), Watch::exceeded()), (None, None));
        }
        assert_eq!((Watch::step(), Watch::exceeded()), (None, Some(Excess::Steps(10))));
        let more = (0..).position(|_| Watch::step().is_some());
        assert_eq!(more, Some(255));
    }

    #[test]
    fn memory_that_grows_fast_is_not_waited_for() {
        let _watch = Watch::begin(None, 1000);
        let most = usize::try_from(MOST_HELD).unwrap();
        grown(most + 1);
        assert_eq!((Watch::step(), Watch::exceeded()), (None, Some(Excess::Memory)));
        grown(most);
        assert_eq!(Watch::step(), Some(Excess::Memory));
        shrunk(2 * most + 1);
    }

    #[test]
    fn what_runs_inside_has_steps_of_its_own() {
        let _outer = Watch::begin(None, 10);
        {
            let _inner = Watch::begin(None, 1000);
            assert!((0..500).all(|_| Watch::step().is_none()));
        }
        assert!((0..10).all(|_| Watch::step().is_none()));
        assert_eq!(Watch::exceeded(), None);
    }
}
