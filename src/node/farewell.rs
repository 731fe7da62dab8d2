//! What a node's hooks have to do before a planned release (R18): a stop, a drain, maintenance.
//!
//! While `on_release` runs the router stays a master that advertises and holds, so that whatever the hook moves or drains
//! still has its address. It gets one second; then the router resigns, finished or not. Whoever must let go at once (fault,
//! preempted, conflict, asked to stop twice) does not come through here: its hooks run after the release.

use std::time::Duration;

use super::{
    Output,
    bearing::Bearing,
    instance::{Instance, Outbox},
};
use crate::{vrrp::State, words::Instant};

/// How long a planned release waits for its hooks.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of the hooks before a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseHook {
    /// No policy of the instance has `on_release`, and no program is told of a stop.
    Absent,
    /// One has.
    Present,
    /// What was asked for then, by [`Output::BeforeRelease`], is done, well or not.
    Finished { asked_at: Instant },
}

/// Where a release stands with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Farewell {
    /// There is nothing to wait for.
    #[default]
    Unwanted,
    /// A planned release will wait.
    Wanted,
    /// It has asked and waits, for [`PATIENCE`] at most.
    Running { asked_at: Instant },
    /// It has waited.
    Over,
}

impl Instance {
    /// Takes what was said of the hooks.
    pub(super) fn release_hook(&mut self, now: Instant, hook: ReleaseHook, out: &mut Outbox) {
        self.farewell = match (hook, self.farewell) {
            (ReleaseHook::Absent, _) => Farewell::Unwanted,
            (ReleaseHook::Present, Farewell::Unwanted) => Farewell::Wanted,
            // One that comes late, of an earlier release, ends no other.
            (ReleaseHook::Finished { asked_at: of }, Farewell::Running { asked_at }) if of == asked_at => {
                Farewell::Over
            }
            (ReleaseHook::Present, Farewell::Wanted | Farewell::Running { .. } | Farewell::Over)
            | (ReleaseHook::Finished { .. }, _) => self.farewell,
        };
        self.reassess(now, out);
    }

    /// A release is planned: whether it waits for the hooks. Asks for them the first time.
    pub(super) fn says_farewell(&mut self, now: Instant, why: &str, out: &mut Outbox) -> bool {
        let holds = matches!(self.router.state(), State::Master { hold_at: None, .. });
        if !holds || matches!(self.bearing_unless_stopped(now), Bearing::Fault { .. }) {
            return false;
        }
        match self.farewell {
            Farewell::Unwanted | Farewell::Over => false,
            Farewell::Running { asked_at } => now < asked_at + PATIENCE,
            Farewell::Wanted => {
                self.farewell = Farewell::Running { asked_at: now };
                let (instance, why) = (self.config.name.clone(), why.to_owned());
                out.push_back(Output::BeforeRelease { instance, why, asked_at: now });
                true
            }
        }
    }

    /// It has hooks to wait for before a planned release, or waits for them.
    pub(super) fn has_farewell(&self, now: Instant) -> bool {
        let holds = matches!(self.router.state(), State::Master { hold_at: None, .. });
        holds
            && match self.farewell {
                Farewell::Wanted => true,
                Farewell::Running { asked_at } => now < asked_at + PATIENCE,
                Farewell::Unwanted | Farewell::Over => false,
            }
    }

    /// Those of its group are to be waited for: all hand over together.
    pub(super) fn awaits_farewells(&self) -> bool {
        self.ties.farewell && matches!(self.router.state(), State::Master { hold_at: None, .. })
    }

    /// No release is planned (any more): the next one waits again.
    pub(super) const fn forget_farewell(&mut self) {
        self.farewell = match self.farewell {
            Farewell::Unwanted => Farewell::Unwanted,
            Farewell::Wanted | Farewell::Running { .. } | Farewell::Over => Farewell::Wanted,
        };
    }

    /// When it has waited long enough.
    pub(super) fn next_farewell(&self) -> Option<Instant> {
        match (self.farewell, self.router.state()) {
            (Farewell::Running { asked_at }, State::Master { .. }) => Some(asked_at + PATIENCE),
            (Farewell::Unwanted | Farewell::Wanted | Farewell::Running { .. } | Farewell::Over, _) => None,
        }
    }

    /// Said while it waits.
    pub(super) fn releasing(&self) -> Option<String> {
        self.next_farewell().map(|_| {
            "on_release or notify.stop runs before the address is handed over; this node goes on serving meanwhile, for a second at most"
                .to_owned()
        })
    }
}
