//! What holds of a virtual router whatever happens to it: random stories, checked after every step.

use std::time::Duration;

use proptest::prelude::*;

use super::{Action, Config, Event, Reason, Standing, State, VirtualRouter};
use crate::{
    wire::{AdverInterval, Advertisement, Priority, Version, Vrid},
    words::Instant,
};

/// One step of a story without an author.
#[derive(Clone, Debug)]
enum Step {
    Wait(Duration),
    /// Waits for what is due, and is this late.
    Due(Duration),
    Hear {
        priority: u8,
        centis: u16,
        wins_tie: bool,
    },
    Tell(Event<'static>),
    DeferPreemption(Duration),
}

fn short() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), (0..30_000_u64).prop_map(Duration::from_micros)]
}

fn pause() -> impl Strategy<Value = Duration> {
    prop_oneof![4 => short(), 1 => (0..20_000_u64).prop_map(Duration::from_millis)]
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(100), Just(1), Just(255), 1..=255_u8].prop_map(|number| Priority::new(number).unwrap())
}

fn event() -> impl Strategy<Value = Event<'static>> {
    prop_oneof![
        1 => Just(Event::Standing(Standing::Fault)),
        1 => priority().prop_map(|priority| Event::Standing(Standing::Barred(priority))),
        4 => priority().prop_map(|priority| Event::Standing(Standing::Fit(priority))),
        2 => Just(Event::Timeout),
        6 => short().prop_map(|listen| Event::Promote { listen }),
        2 => Just(Event::Inherit),
        1 => short().prop_map(|at_least| Event::Defer { at_least }),
        1 => short().prop_map(|patience| Event::StepBack { patience }),
        2 => Just(Event::Adopt),
        2 => short().prop_map(|after| Event::HoldAt(Instant::ZERO + after)),
        3 => (pause(), any::<bool>()).prop_map(|(patience, offer)| Event::Resign { patience, offer }),
        1 => Just(Event::Relieved),
        1 => Just(Event::Yield(Reason::LeaseLapsed)),
        1 => Just(Event::Shutdown),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let number = prop_oneof![Just(0), Just(100), 0..=255_u8];
    prop_oneof![
        1 => pause().prop_map(Step::Wait),
        3 => pause().prop_map(Step::Due),
        3 => (number, 1..=400_u16, any::<bool>())
            .prop_map(|(priority, centis, wins_tie)| Step::Hear { priority, centis, wins_tie }),
        6 => event().prop_map(Step::Tell),
        1 => pause().prop_map(Step::DeferPreemption),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let version = prop_oneof![Just(Version::V2), Just(Version::V3)];
    (version, 1..=4_u8, proptest::option::of(pause())).prop_map(|(version, secs, preempt)| {
        let interval = AdverInterval::from_secs(secs).unwrap();
        Config { version, interval, preempt, down_adverts: 3 }
    })
}

/// A router, the moment, and what the outside believes of it.
struct Observed {
    router: VirtualRouter,
    now: Instant,
    holds: bool,
}

impl Observed {
    fn new(config: Config) -> Self {
        Self { router: VirtualRouter::new(config), now: Instant::from_epoch(Duration::from_secs(1000)), holds: false }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Wait(pause) => self.now = self.now + *pause,
            Step::Due(late) => {
                let due = self.router.next_timeout().unwrap_or(self.now);
                self.now = self.now.max(due + *late);
                self.handle(Event::Timeout);
                // Who leads by it holds in the turn after.
                self.handle(Event::Timeout);
                assert!(self.router.next_timeout().is_none_or(|next| self.now < next), "everything due was done");
            }
            Step::Hear { priority, centis, wins_tie } => {
                let adv = Advertisement {
                    vrid: Vrid::new(1).unwrap(),
                    priority: Priority::new(*priority),
                    interval: AdverInterval::from_centis(*centis).unwrap(),
                    addresses: Vec::new(),
                };
                self.handle(Event::Advertisement { adv: &adv, wins_tie: *wins_tie });
            }
            Step::Tell(event) => self.handle(*event),
            Step::DeferPreemption(pause) => self.router.defer_preemption(self.now + *pause),
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        let (before, served) = (self.router.state(), self.router.serves());
        let mut out = Vec::new();
        self.router.handle(self.now, event, &mut out);
        let (after, serves) = (self.router.state(), self.router.serves());
        let mut told = before;
        for action in &out {
            match action {
                Action::Hold => assert!(!std::mem::replace(&mut self.holds, true), "held twice"),
                Action::Release => assert!(std::mem::replace(&mut self.holds, false), "released twice"),
                Action::Announce | Action::AnnounceAgain => assert!(self.holds, "announced what it does not hold"),
                Action::Send(Some(_)) => assert!(served || serves, "only who serves advertises"),
                Action::Send(None) => assert!(served && !matches!(after, State::Master { .. }), "who resigns goes"),
                Action::Became(state, _) => told = *state,
            }
        }
        assert_eq!(self.holds, self.router.holds());
        assert!(serves || !self.holds, "only who serves holds");
        assert_eq!(std::mem::discriminant(&told), std::mem::discriminant(&after), "every change of role is told");
        if !served && serves && !matches!(event, Event::Adopt) {
            assert!(matches!(self.router.standing(), Standing::Fit(_)), "only who is fit begins to serve");
        }
        if self.router.standing() == Standing::Fault {
            assert_eq!(after, State::Initialize);
        }
    }

    /// As a node does it: its standing is told when it changed, and an elected router is promoted.
    fn left_alone_and_fit(&mut self) {
        let fit = Standing::Fit(Priority::new(100).unwrap());
        if self.router.standing() != fit {
            self.take(&Step::Tell(Event::Standing(fit)));
        }
        self.take(&Step::Tell(Event::Promote { listen: Duration::from_millis(2) }));
        self.take(&Step::Due(Duration::ZERO));
    }
}

proptest! {
    /// The invariants are checked after every event.
    #[test]
    fn whatever_happens_it_stays_consistent(config in config(), steps in proptest::collection::vec(step(), 0..80)) {
        let mut observed = Observed::new(config);
        for step in &steps {
            observed.take(step);
        }
    }

    /// Nothing that happened keeps a router from serving once it is fit and hears nobody: no state is a trap.
    #[test]
    fn a_fit_router_that_hears_nobody_serves_in_the_end(
        config in config(),
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut observed = Observed::new(config);
        for step in &steps {
            observed.take(step);
        }
        for _ in 0..12 {
            observed.left_alone_and_fit();
        }
        prop_assert!(observed.holds, "{:?}", observed.router);
    }
}
