//! What a hook would do, without doing it.

use std::{sync::Arc, time::Duration};

use super::{
    Clock, Context, Engine, Hook, HookEvent, Policy, Ran, Work, action::Performer, fake::FakeProber, hook,
    rehearsal::VirtualClock,
};

/// As long as the daemon gives a hook; the clock stands still here.
const TIME: Duration = Duration::from_secs(30);

/// Runs a hook of the policy on fakes that succeed at everything: nothing is done, and what would be is told.
#[must_use]
pub fn preview_hook(engine: &Engine, policy: &Policy, hook: Hook, event: HookEvent, context: &Context) -> Ran {
    let performer: Arc<dyn Performer> = Arc::new(FakeProber::default());
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    hook::run_hook(engine, policy, &Work::Hook(hook, event), context, &performer, &clock, TIME)
}
