//! Whether somebody waits for what is done on another thread, and until when.
//!
//! Who waits may give up, and says then that nothing was changed. Who is about to change something takes it on first. One of the two
//! comes first, and the other goes by it: what was given up is not done later, and what was taken on is waited for.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// See the module. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Awaited {
    until: Instant,
    word: Arc<Mutex<Word>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Waits,
    GivenUp,
    TakenOn,
}

impl Awaited {
    /// For so long from now on.
    pub(super) fn within(time: Duration) -> Self {
        Self { until: Instant::now() + time, word: Arc::new(Mutex::new(Word::Waits)) }
    }

    /// When it is given up, unless it is taken on before.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    /// Whether nobody waits any more.
    pub(super) fn is_given_up(&self) -> bool {
        *self.lock() == Word::GivenUp
    }

    /// Right before something is changed. `false`: nobody waits any more, and nothing may be.
    pub(super) fn take_on(&self) -> bool {
        self.becomes(Word::TakenOn)
    }

    /// `false`: it is taken on, and is to be waited for.
    pub(super) fn give_up(&self) -> bool {
        self.becomes(Word::GivenUp)
    }

    fn becomes(&self, wanted: Word) -> bool {
        let mut word = self.lock();
        if *word == Word::Waits {
            *word = wanted;
        }
        *word == wanted
    }

    fn lock(&self) -> MutexGuard<'_, Word> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up when it is dropped.
#[derive(Debug)]
pub(super) struct Waits(pub(super) Awaited);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_first_decides() {
        let awaited = Awaited::within(Duration::ZERO);
        assert!(!awaited.is_given_up(), "time does not give up by itself");
        assert!(awaited.take_on() && awaited.take_on() && !awaited.give_up() && !awaited.is_given_up());
        let awaited = Awaited::within(Duration::ZERO);
        drop(Waits(awaited.clone()));
        assert!(awaited.is_given_up() && awaited.give_up() && !awaited.take_on());
    }
}
