//! The thread of a pair: waits, evaluates, waits.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::{Duration, Instant as Tick},
};

use tokio::sync::watch;

use super::{
    Wishes, lock,
    pair::{Pair, why_panicked},
    pause,
};
use crate::{
    daemon::policies::library::{Generation, Shelf},
    node::{NodeStatus, Pace, facts},
    policy::Context,
};

/// How long the first evaluation waits for the node to have an address of its own.
const FIRST_ADDRESS: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) pair: Arc<Mutex<Pair>>,
    pub(super) shelf: watch::Receiver<Shelf>,
    pub(super) pace: watch::Receiver<Pace>,
    pub(super) status: watch::Receiver<Arc<NodeStatus>>,
    /// Its sender is gone: nobody wants to know any more.
    pub(super) over: watch::Receiver<()>,
    pub(super) wishes: Arc<Wishes>,
}

impl Worker {
    /// Until nobody wants to know any more, the library or the node is gone, or this was left behind.
    pub(super) fn run(mut self) {
        while let Some(generation) = self.next_to_evaluate() {
            let begun = Tick::now();
            let asked = *self.pace.borrow_and_update();
            let Some(context) = self.context(asked) else { return };
            let Some(in_transition) = self.evaluate(&generation, context, asked) else { return };
            let due = |pace| next_tick(begun, Tick::now(), generation.policy.period(pace == Pace::Fast, in_transition));
            if !self.wait(asked, due) {
                return;
            }
        }
    }

    /// The version to evaluate, once there is one. `None`: the policy is not in stock any more.
    fn next_to_evaluate(&mut self) -> Option<Arc<Generation>> {
        loop {
            let now = self.shelf.borrow_and_update().clone();
            match now {
                Shelf::Running(generation) => return Some(generation),
                Shelf::Empty(why) => lock(&self.pair).never_loaded(why),
                Shelf::Unread => {}
            }
            let (shelf, over) = (&mut self.shelf, &mut self.over);
            pause::wait(changed(shelf, over), None)??;
        }
    }

    /// What the node says of itself, once it knows the instance. `None`: the node is gone.
    fn context(&mut self, pace: Pace) -> Option<Context> {
        let fast = pace == Pace::Fast;
        // Before the kernel has told its addresses, a probe of the node's own service would fail for no reason.
        let patient = lock(&self.pair).is_new();
        let until = Tick::now() + FIRST_ADDRESS;
        loop {
            let status = Arc::clone(&self.status.borrow_and_update());
            let context = {
                let pair = lock(&self.pair);
                facts::context(&status, pair.instance(), pair.now(), pair.started(), fast)
            };
            let waits = match &context {
                Some(context) => patient && context.node.addr.is_empty() && Tick::now() < until,
                None => true,
            };
            if !waits {
                return context;
            }
            let patience = context.is_some().then_some(until);
            if let Some(changed) = pause::wait(changed(&mut self.status, &mut self.over), patience) {
                changed?;
            }
        }
    }

    /// Whether to look again soon. `None`: what it came to is nobody's business.
    fn evaluate(&self, generation: &Arc<Generation>, context: Context, pace: Pace) -> Option<bool> {
        let (number, work) = lock(&self.pair).begin(generation, context, pace);
        // What it remembers is complete after each step: a panic leaves nothing half done that anybody reads.
        let done = catch_unwind(AssertUnwindSafe(|| work.perform())).map_err(|payload| why_panicked(&*payload));
        if self.over.has_changed().is_err() {
            return None;
        }
        lock(&self.pair).end(number, generation, done)
    }

    /// Until it is due, another version is there, or the node wants to know at once: it asked for `Fast` after the last
    /// evaluation, at pace `before`, had begun. `false`: the daemon ends.
    fn wait(&mut self, mut before: Pace, due: impl Fn(Pace) -> Tick) -> bool {
        loop {
            let now = *self.pace.borrow_and_update();
            if (before, now) == (Pace::Normal, Pace::Fast) {
                return true;
            }
            before = now;
            let Self { shelf, pace, over, wishes, .. } = self;
            let what = pause::wait(
                async {
                    tokio::select! {
                        biased;
                        _ = over.changed() => Some(false),
                        changed = shelf.changed() => Some(changed.is_ok()),
                        changed = pace.changed() => if changed.is_err() { Some(false) } else { None },
                        () = wishes.wake.notified() => Some(true),
                    }
                },
                Some(due(now)),
            );
            match what {
                None => return true,
                Some(Some(goes_on)) => return goes_on,
                Some(None) => {}
            }
        }
    }
}

/// `None`: it does not change any more.
async fn changed<T>(what: &mut watch::Receiver<T>, over: &mut watch::Receiver<()>) -> Option<()> {
    tokio::select! {
        biased;
        _ = over.changed() => None,
        changed = what.changed() => changed.ok(),
    }
}

/// The first tick of the series that began at `begun` which is not over at `now`.
fn next_tick(begun: Tick, now: Tick, period: Duration) -> Tick {
    let since = now.saturating_duration_since(begun).as_nanos();
    let missed = since.checked_div(period.as_nanos()).unwrap_or(0);
    begun + period.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_ticks_are_skipped() {
        let begun = Tick::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let next = |now| next_tick(begun, at(now), Duration::from_millis(100));
        assert_eq!((next(5), next(99), next(100), next(250)), (at(100), at(100), at(200), at(300)));
    }
}
