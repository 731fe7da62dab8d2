//! The whole state × event table of a virtual router as one reviewed snapshot.
//!
//! Our priority is 100 and our interval 1 s; rivals advertise every 2 s, so that what is learned shows. Every time is
//! relative to the event. Where protocol version and preemption differ, a cell has a line for each outcome.

#![allow(clippy::unwrap_used, reason = "a failed conversion is a failed test")]

use std::{fmt::Write as _, time::Duration};

use ha::{
    vrrp::{Event, Reason, Standing, State, Then},
    wire::{Advertisement, Priority, Version},
    words::Instant,
};

use crate::subject::{
    BARRED, DEFER, FAULT, FIT, LISTEN, OFFER, PREEMPT, PROMOTE, SECOND, STEP_BACK, STOP, Subject, advertisement, role,
};

/// When the event happens, in milliseconds. Preparations end a little earlier.
const NOW: u64 = 100_000;

const VARIANTS: [(&str, Version, Option<Duration>); 4] = [
    ("v3", Version::V3, PREEMPT),
    ("v3 nopreempt", Version::V3, None),
    ("v2", Version::V2, PREEMPT),
    ("v2 nopreempt", Version::V2, None),
];

/// The name of a row and the story that leads there.
type Row = (&'static str, fn(&mut Subject));

const ROWS: [Row; 20] = [
    ("initialize, in fault", |_| ()),
    ("initialize, after a stop", |router| {
        router.at(NOW - 600, FIT);
        router.at(NOW - 500, STOP);
    }),
    ("backup, nobody heard", |router| {
        router.at(NOW - 500, FIT);
    }),
    ("backup of a master", backup),
    ("backup of a master, barred", |router| {
        backup(router);
        router.at(NOW - 100, BARRED);
    }),
    ("elected", elected),
    ("elected, barred", |router| {
        elected(router);
        router.at(NOW - 50, BARRED);
    }),
    ("elected, of a master with a longer interval", |router| {
        router.at(NOW - 16_000, FIT);
        router.hears_every(NOW - 15_000, 200, 4 * SECOND);
        router.at(NOW - 60, Event::Timeout);
    }),
    ("backup of a deaf peer", |router| {
        backup(router);
        router.0.defer_preemption(now() + Duration::from_secs(60));
    }),
    ("elected by a resignation", |router| {
        backup(router);
        router.at(NOW - 100, Event::Inherit);
    }),
    ("master, listening", |router| {
        elected(router);
        router.at(NOW - 1, LISTEN);
    }),
    ("master, holding", master),
    ("master, holding, just answered a rival", |router| {
        master(router);
        router.hears(NOW - 1, 50);
    }),
    ("master, holding, barred", |router| {
        master(router);
        router.at(NOW - 100, BARRED);
    }),
    ("master, holding, owner", |router| {
        router.at(NOW - 500, Event::Standing(Standing::Fit(Priority::OWNER)));
    }),
    ("resigning, then stop", |router| {
        master(router);
        router.at(NOW - 10, STOP);
    }),
    ("resigning, then stop, heir heard", |router| {
        master(router);
        router.at(NOW - 10, STOP);
        router.hears(NOW - 5, 50);
    }),
    ("resigning, then follow", |router| {
        master(router);
        router.hears_every(NOW - 10, 200, 2 * SECOND);
    }),
    ("resigning, then resume", |router| {
        master(router);
        router.at(NOW - 10, OFFER);
    }),
    ("resigning, then resume, heir heard", |router| {
        master(router);
        router.at(NOW - 10, OFFER);
        router.hears_every(NOW - 5, 50, 2 * SECOND);
    }),
];

/// Of somebody higher, who advertises every four seconds.
fn backup(router: &mut Subject) {
    router.at(NOW - 3000, FIT);
    router.hears_every(NOW - 500, 200, 4 * SECOND);
}

fn elected(router: &mut Subject) {
    router.at(NOW - 3700, FIT);
    router.at(NOW - 60, Event::Timeout);
}

fn master(router: &mut Subject) {
    router.at(NOW - 500, FIT);
    router.at(NOW - 500, Event::Adopt);
}

/// What happens.
#[derive(Clone, Copy)]
enum Column {
    Told(Event<'static>),
    Heard {
        priority: u8,
        wins_tie: bool,
    },
    /// `Timeout` when it is due.
    Due,
    /// `Timeout` when resigning ends.
    Over,
    /// `Timeout` long after it was due.
    Late,
}

const COLUMNS: [(&str, Column); 27] = [
    ("hears 0", Column::Heard { priority: 0, wins_tie: false }),
    ("hears 50", Column::Heard { priority: 50, wins_tie: true }),
    ("hears 100, lower address", Column::Heard { priority: 100, wins_tie: false }),
    ("hears 100, higher address", Column::Heard { priority: 100, wins_tie: true }),
    ("hears 200", Column::Heard { priority: 200, wins_tie: false }),
    ("timeout, early", Column::Told(Event::Timeout)),
    ("timeout, due", Column::Due),
    ("timeout, over", Column::Over),
    ("timeout, 1000 s late", Column::Late),
    ("standing fault", Column::Told(FAULT)),
    ("standing barred", Column::Told(BARRED)),
    ("standing fit", Column::Told(FIT)),
    ("standing fit 255", Column::Told(Event::Standing(Standing::Fit(Priority::OWNER)))),
    ("promote", Column::Told(PROMOTE)),
    ("promote, listen", Column::Told(LISTEN)),
    ("inherit", Column::Told(Event::Inherit)),
    ("defer", Column::Told(DEFER)),
    ("hold now", Column::Told(Event::HoldAt(Instant::ZERO))),
    ("adopt", Column::Told(Event::Adopt)),
    ("stop", Column::Told(STOP)),
    ("offer", Column::Told(OFFER)),
    ("step back", Column::Told(STEP_BACK)),
    ("relieved", Column::Told(Event::Relieved)),
    ("yield", Column::Told(Event::Yield(Reason::LeaseLapsed))),
    ("shutdown", Column::Told(Event::Shutdown)),
    ("standing barred 50", Column::Told(Event::Standing(Standing::Barred(LOWER)))),
    ("standing fit 50", Column::Told(Event::Standing(Standing::Fit(LOWER)))),
];

const LOWER: Priority = match Priority::new(50) {
    Some(priority) => priority,
    None => Priority::LOWEST,
};

#[test]
fn state_table() {
    let mut table = String::new();
    for row in ROWS {
        write_row(&mut table, row);
    }
    insta::assert_snapshot!(table);
}

fn write_row(table: &mut String, (name, prepare): Row) {
    writeln!(table, "## {name}").unwrap();
    for (state, variants) in grouped(|version, preempt| described(prepared(version, preempt, prepare).0.state(), now()))
    {
        writeln!(table, "{}{state}", prefix(&variants)).unwrap();
    }
    let mut nothing = Vec::new();
    for (event, column) in COLUMNS {
        let outcomes = grouped(|version, preempt| outcome(prepared(version, preempt, prepare), column));
        for (text, variants) in outcomes {
            if text.is_empty() && variants.len() == VARIANTS.len() {
                nothing.push(event);
            } else {
                let text = if text.is_empty() { "nothing" } else { &text };
                writeln!(table, "  {event:<26} {}{text}", prefix(&variants)).unwrap();
            }
        }
    }
    writeln!(table, "  nothing: {}\n", nothing.join("; ")).unwrap();
}

/// What comes out, and for which variants, in the order of the variants.
fn grouped(outcome: impl Fn(Version, Option<Duration>) -> String) -> Vec<(String, Vec<&'static str>)> {
    let mut outcomes: Vec<(String, Vec<&'static str>)> = Vec::new();
    for (name, version, preempt) in VARIANTS {
        let text = outcome(version, preempt);
        match outcomes.iter_mut().find(|(other, _)| *other == text) {
            Some((_, names)) => names.push(name),
            None => outcomes.push((text, vec![name])),
        }
    }
    outcomes
}

fn prefix(variants: &[&str]) -> String {
    match variants {
        [_, _, _, _] => String::new(),
        ["v3", "v3 nopreempt"] => "[v3] ".to_owned(),
        ["v2", "v2 nopreempt"] => "[v2] ".to_owned(),
        ["v3", "v2"] => "[preempt] ".to_owned(),
        ["v3 nopreempt", "v2 nopreempt"] => "[nopreempt] ".to_owned(),
        some => format!("[{}] ", some.join(", ")),
    }
}

fn prepared(version: Version, preempt: Option<Duration>, prepare: fn(&mut Subject)) -> Subject {
    let mut router = Subject::new(version, preempt);
    prepare(&mut router);
    router
}

/// The actions, and the state if it changed; empty if nothing happens.
fn outcome(mut router: Subject, column: Column) -> String {
    let before = router.0.state();
    let heard: Advertisement;
    let (at, event) = match column {
        Column::Told(event) => (now(), event),
        Column::Heard { priority, wins_tie } => {
            heard = advertisement(priority, 2 * SECOND);
            (now(), Event::Advertisement { adv: &heard, wins_tie })
        }
        Column::Due => (router.0.next_timeout().unwrap_or(now()), Event::Timeout),
        Column::Over => match router.0.state() {
            State::Resigning { until, .. } => (until, Event::Timeout),
            State::Initialize | State::Backup { .. } | State::Elected { .. } | State::Master { .. } => {
                return String::new();
            }
        },
        Column::Late => (now() + Duration::from_secs(1000), Event::Timeout),
    };
    let told = router.exactly(at, event);
    let after = router.0.state();
    match (told.is_empty(), after == before) {
        (true, true) => String::new(),
        (true, false) => format!("→ {}", described(after, at)),
        (false, true) => told,
        (false, false) => format!("{told} → {}", described(after, at)),
    }
}

fn now() -> Instant {
    Instant::from_epoch(Duration::from_millis(NOW))
}

/// A state with its timers, relative to `now`.
fn described(state: State, now: Instant) -> String {
    let name = role(state);
    match state {
        State::Initialize => name.to_owned(),
        State::Elected { master_interval, .. } => format!("{name}, interval {:?}", master_interval.as_duration()),
        State::Backup { down_at, master_interval } => {
            format!("{name}, down in {}, interval {:?}", after(down_at, now), master_interval.as_duration())
        }
        State::Master { adver_at, hold_at: None } => format!("{name}, sends in {}", after(adver_at, now)),
        State::Master { adver_at, hold_at: Some(hold_at) } => {
            format!("{name}, holds in {}, sends in {}", after(hold_at, now), after(adver_at, now))
        }
        State::Resigning { until, zero, then } => {
            let zero = zero.map_or("no zero".to_owned(), |(_, at)| format!("zero in {}", after(at, now)));
            format!("{name} for {}, {zero}, then {}", after(until, now), purpose(then, now))
        }
    }
}

fn purpose(then: Then, now: Instant) -> String {
    let backup = |down_at, interval: Duration| format!("down in {}, interval {interval:?}", after(down_at, now));
    match then {
        Then::Stop { relieved: false } => "stop".to_owned(),
        Then::Stop { relieved: true } => "stop, relieved".to_owned(),
        Then::Follow { down_at, master_interval, reason: _ } => {
            format!("follow ({})", backup(down_at, master_interval.as_duration()))
        }
        Then::Resume { relieved: None } => "resume".to_owned(),
        Then::Resume { relieved: Some((down_at, interval)) } => {
            format!("follow the heir ({})", backup(down_at, interval.as_duration()))
        }
    }
}

fn after(at: Instant, now: Instant) -> String {
    let (sign, span) = if at < now { ("-", now.saturating_since(at)) } else { ("", at.saturating_since(now)) };
    format!("{sign}{}.{:03}", span.as_secs(), span.subsec_millis())
}
