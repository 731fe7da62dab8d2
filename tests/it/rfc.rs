//! One test per clause of RFC 9568 sections 6.1 and 6.4, and of RFC 3768 where version 2 differs.
//!
//! What the clauses say of ARP, neighbour discovery and forwarding is the kernel's part: here it shows as hold, release
//! and announce.

use std::time::Duration;

use ha::{
    vrrp::{Config, Event, Reason, Standing, VirtualRouter},
    wire::{AdverInterval, Priority, Version},
    words::Instant,
};
use proptest::prelude::*;

use crate::subject::{DEFER, FIT, OFFER, PREEMPT, PROMOTE, SECOND, STOP, Subject, advertisement, interval, priority};

// ---- 6.1 Parameters per virtual router ----

/// `(256 - priority) * interval / 256`, for every priority and every interval.
#[test]
fn s6_1_skew_time_is_a_share_of_the_interval() {
    for centis in 1..=4095_u16 {
        for number in 1..=255_u8 {
            let exact = u128::from(256 - u16::from(number)) * u128::from(centis) * 10_000_000 / 256;
            assert_eq!(
                interval(centis).skew_time(Version::V3, priority(number)).as_nanos(),
                exact,
                "{number} {centis}"
            );
        }
    }
}

/// RFC 3768: `(256 - priority) / 256` seconds, whatever the interval.
#[test]
fn rfc3768_s6_1_skew_time_is_a_share_of_a_second() {
    for secs in [1, 2, 60, 255] {
        let interval = AdverInterval::from_secs(secs).unwrap();
        assert_eq!(interval.skew_time(Version::V2, priority(255)), Duration::from_nanos(3_906_250));
        assert_eq!(interval.skew_time(Version::V2, priority(100)), Duration::from_nanos(609_375_000));
        assert_eq!(interval.skew_time(Version::V2, priority(1)), Duration::from_nanos(996_093_750));
    }
}

/// `3 * interval + skew`.
#[test]
fn s6_1_down_interval_is_three_intervals_and_the_skew_time() {
    assert_eq!(interval(SECOND).down_interval(Version::V3, priority(100)), Duration::from_nanos(3_609_375_000));
    assert_eq!(interval(1).down_interval(Version::V3, priority(254)), Duration::from_nanos(30_078_125));
    assert_eq!(interval(4095).down_interval(Version::V3, priority(1)), Duration::from_nanos(163_640_039_062));
    let longest = AdverInterval::from_secs(255).unwrap();
    assert_eq!(longest.down_interval(Version::V2, priority(1)), Duration::from_nanos(765_996_093_750));
}

proptest! {
    /// What skew is for: the higher priority is first, whatever the interval.
    #[test]
    fn s6_1_the_higher_priority_has_the_shorter_timer(centis in 1_u16..=4095, a in 1_u8..=255, b in 1_u8..=255) {
        prop_assume!(a > b);
        for version in [Version::V2, Version::V3] {
            let (high, low) = (priority(a), priority(b));
            prop_assert!(interval(centis).skew_time(version, high) < interval(centis).skew_time(version, low));
            prop_assert!(interval(centis).down_interval(version, high) < interval(centis).down_interval(version, low));
        }
    }
}

/// "The router that owns the addresses always preempts, independent of the setting of this flag."
#[test]
fn s6_1_an_owner_preempts_whatever_is_configured() {
    for preempt in [None, Some(Duration::ZERO), Some(Duration::from_secs(60))] {
        let mut router = Subject::new(Version::V3, preempt);
        router.at(0, Event::Standing(Standing::Fit(Priority::OWNER)));
        router.at(100, Event::Yield(Reason::LeaseLapsed));
        router.hears(1000, 254);
        router.hears(2000, 254);
        assert_eq!(router.at(3110, Event::Timeout), "elected MasterDown", "{preempt:?}");
        assert_eq!(router.hears(3120, 254), "");
        assert_eq!(router.at(3130, PROMOTE), "send 255, master MasterDown, hold, announce");
    }
}

// ---- 6.4.1 Initialize ----

#[test]
fn s6_4_1_an_owner_sends_announces_and_is_master() {
    let mut router = Subject::new(Version::V3, None);
    let told = router.at(5000, Event::Standing(Standing::Fit(Priority::OWNER)));
    assert_eq!(told, "send 255, master Owner, hold, announce");
}

#[test]
fn s6_4_1_an_owner_sets_the_adver_timer_to_its_interval() {
    let mut router = Subject::new(Version::V3, None);
    router.at(5000, Event::Standing(Standing::Fit(Priority::OWNER)));
    assert_eq!(router.state(), "master (sends at 6.000)");
}

/// "Startup" of an owner is whenever it becomes fit, and then nobody else may lead.
#[test]
fn s6_4_1_an_owner_that_becomes_fit_later_leads_at_once() {
    let owner = Event::Standing(Standing::Fit(Priority::OWNER));
    for mut router in [Subject::backup(), Subject::elected()] {
        assert_eq!(router.at(4000, owner), "send 255, master Owner, hold, announce");
    }
    assert_eq!(Subject::master().at(4000, owner), "", "it leads already");
}

#[test]
fn s6_4_1_everybody_else_listens_for_a_down_interval_of_its_own() {
    for version in [Version::V2, Version::V3] {
        let mut router = Subject::new(version, PREEMPT);
        assert_eq!(router.at(5000, FIT), "backup Startup");
        assert_eq!(router.state(), "backup (until 8.609, interval 1s)");
    }
}

#[test]
fn s6_4_1_nothing_else_matters() {
    let resigned = advertisement(0, SECOND);
    let higher = advertisement(200, SECOND);
    for event in [
        Event::Advertisement { adv: &resigned, wins_tie: false },
        Event::Advertisement { adv: &higher, wins_tie: true },
        Event::Timeout,
        PROMOTE,
        Event::Inherit,
        DEFER,
        Event::Adopt,
        STOP,
        OFFER,
        Event::Relieved,
        Event::Yield(Reason::LeaseLapsed),
        Event::Shutdown,
    ] {
        let mut router = Subject::new(Version::V3, PREEMPT);
        assert_eq!(router.at(5000, event), "", "{event:?}");
        assert_eq!(router.state(), "initialize");
        assert_eq!(router.0.next_timeout(), None);
    }
}

// ---- 6.4.2 Backup ----

/// "MUST NOT respond to ARP requests", "MUST NOT accept packets addressed to the IPvX address(es)".
#[test]
fn s6_4_2_a_backup_does_not_hold_the_addresses() {
    let mut router = Subject::backup();
    assert!(!router.0.holds());
    router.at(10_000, Event::Timeout);
    assert!(!router.0.holds());
}

#[test]
fn s6_4_2_shutdown_is_silent() {
    let mut router = Subject::backup();
    assert_eq!(router.at(1000, Event::Shutdown), "initialize Stopped");
    assert_eq!(router.0.next_timeout(), None);
}

#[test]
fn s6_4_2_the_timer_fires_exactly_at_the_down_interval() {
    let mut router = Subject::backup();
    let down_at = Instant::from_epoch(Duration::from_nanos(3_609_375_000));
    assert_eq!(router.0.next_timeout(), Some(down_at));
    assert_eq!(router.exactly(down_at - Duration::from_nanos(1), Event::Timeout), "");
    assert_eq!(router.exactly(down_at, Event::Timeout), "elected MasterDown");
}

#[test]
fn s6_4_2_after_the_timer_it_sends_announces_and_is_master() {
    let mut router = Subject::elected();
    assert_eq!(router.at(4000, PROMOTE), "send 100, master MasterDown, hold, announce");
}

#[test]
fn s6_4_2_after_the_timer_it_sets_the_adver_timer() {
    let mut router = Subject::elected();
    router.at(4000, PROMOTE);
    assert_eq!(router.state(), "master (sends at 5.000)");
}

#[test]
fn s6_4_2_priority_zero_sets_the_timer_to_the_skew_time() {
    let mut router = Subject::backup();
    assert_eq!(router.hears(1000, 0), "");
    assert_eq!(router.state(), "backup (until 1.609, interval 1s)");
}

/// The skew time is that of the master that was heard, not of ours, and its parting word does not change it.
#[test]
fn s6_4_2_priority_zero_uses_the_interval_learned_before() {
    let mut router = Subject::backup();
    router.hears_every(1000, 200, 4 * SECOND);
    router.hears_every(2000, 0, SECOND);
    assert_eq!(router.state(), "backup (until 4.437, interval 4s)");
}

#[test]
fn s6_4_2_a_higher_priority_resets_the_timer() {
    let mut router = Subject::backup();
    assert_eq!(router.hears(3000, 200), "");
    assert_eq!(router.state(), "backup (until 6.609, interval 1s)");
}

/// No comparison of addresses here: only masters break ties.
#[test]
fn s6_4_2_an_equal_priority_resets_the_timer_whoever_has_the_higher_address() {
    let equal = advertisement(100, SECOND);
    for wins_tie in [false, true] {
        let mut router = Subject::backup();
        assert_eq!(router.at(3000, Event::Advertisement { adv: &equal, wins_tie }), "");
        assert_eq!(router.state(), "backup (until 6.609, interval 1s)");
    }
}

#[test]
fn s6_4_2_without_preempt_mode_a_lower_priority_resets_the_timer() {
    let mut router = Subject::new(Version::V3, None);
    router.at(0, FIT);
    assert_eq!(router.hears(3000, 50), "");
    assert_eq!(router.state(), "backup (until 6.609, interval 1s)");
}

#[test]
fn s6_4_2_the_masters_interval_is_learned() {
    let mut router = Subject::backup();
    router.hears_every(3000, 200, 10);
    assert_eq!(router.state(), "backup (until 3.360, interval 100ms)");
}

/// The skew time is computed again from what was learned, with our own priority as it is now.
#[test]
fn s6_4_2_skew_and_down_interval_are_recomputed() {
    let mut router = Subject::backup();
    router.at(100, Event::Standing(Standing::Fit(priority(1))));
    router.hears_every(3000, 200, 4095);
    assert_eq!(router.state(), "backup (until 166.640, interval 40.95s)");
}

#[test]
fn rfc3768_s6_4_2_the_masters_interval_is_not_learned() {
    let mut router = Subject::new(Version::V2, PREEMPT);
    router.at(0, FIT);
    router.hears_every(3000, 200, 4 * SECOND);
    assert_eq!(router.state(), "backup (until 6.609, interval 1s)");
}

#[test]
fn rfc3768_s6_4_2_priority_zero_waits_a_share_of_a_second() {
    let four_seconds = Config {
        version: Version::V2,
        interval: AdverInterval::from_secs(4).unwrap(),
        preempt: PREEMPT,
        down_adverts: 3,
    };
    let mut router = Subject(VirtualRouter::new(four_seconds));
    router.at(0, FIT);
    router.hears_every(1000, 0, 4 * SECOND);
    assert_eq!(router.state(), "backup (until 1.609, interval 4s)");
}

#[test]
fn s6_4_2_a_preempting_backup_discards_a_lower_priority() {
    let mut router = Subject::backup();
    assert_eq!(router.hears_every(3000, 99, 5), "");
    assert_eq!(router.state(), "backup (until 3.609, interval 1s)");
}

#[test]
fn s6_4_2_so_it_preempts_when_the_timer_fires() {
    let mut router = Subject::backup();
    for second in 1..=3 {
        router.hears(second * 1000, 99);
    }
    assert_eq!(router.at(3610, Event::Timeout), "elected MasterDown");
    assert_eq!(router.at(3610, PROMOTE), "send 100, master MasterDown, hold, announce");
}

// ---- 6.4.3 Master ----

/// "MUST respond to ARP requests".
#[test]
fn s6_4_3_a_master_holds_the_addresses() {
    assert!(Subject::master().0.holds());
}

#[test]
fn s6_4_3_shutdown_sends_priority_zero_and_lets_go() {
    let mut router = Subject::master();
    assert_eq!(router.at(200, Event::Shutdown), "send 0, release, initialize Stopped");
    assert_eq!(router.0.next_timeout(), None);
}

#[test]
fn s6_4_3_the_adver_timer_sends_and_starts_again() {
    let mut router = Subject::master();
    assert_eq!(router.at(999, Event::Timeout), "");
    assert_eq!(router.at(1000, Event::Timeout), "send 100");
    assert_eq!(router.at(1000, Event::Timeout), "");
    // Late once: the beat stays. Late by more than an interval: nothing is made up for.
    assert_eq!(router.at(2300, Event::Timeout), "send 100");
    assert_eq!(router.state(), "master (sends at 3.000)");
    assert_eq!(router.at(9900, Event::Timeout), "send 100");
    assert_eq!(router.state(), "master (sends at 10.900)");
}

/// "A master always sends at its own interval", whatever others say.
#[test]
fn s6_4_3_a_lower_router_does_not_teach_its_interval() {
    let mut router = Subject::master();
    router.hears_every(500, 50, 10);
    router.at(1000, Event::Timeout);
    assert_eq!(router.state(), "master (sends at 2.000)");
}

#[test]
fn s6_4_3_priority_zero_is_answered_and_resets_the_adver_timer() {
    let mut router = Subject::master();
    assert_eq!(router.hears(300, 0), "send 100, announce");
    assert_eq!(router.state(), "master (sends at 1.300)");
}

#[test]
fn s6_4_3_a_higher_priority_leads() {
    let mut router = Subject::master();
    router.hears(300, 101);
    assert_eq!(router.at(320, Event::Timeout), "release, backup HigherPriority");
    assert_eq!(router.state(), "backup (until 3.909, interval 1s)");
}

#[test]
fn s6_4_3_an_equal_priority_from_a_higher_address_leads() {
    let equal = advertisement(100, SECOND);
    let mut router = Subject::master();
    router.at(300, Event::Advertisement { adv: &equal, wins_tie: true });
    assert_eq!(router.at(320, Event::Timeout), "release, backup HigherAddress");
}

#[test]
fn s6_4_3_an_equal_priority_from_a_lower_address_does_not() {
    let equal = advertisement(100, SECOND);
    let mut router = Subject::master();
    let told = router.at(300, Event::Advertisement { adv: &equal, wins_tie: false });
    assert_eq!(told, "send 100, announce");
    assert_eq!(router.state(), "master (sends at 1.000)");
}

#[test]
fn s6_4_3_the_new_masters_interval_is_learned() {
    let mut router = Subject::master();
    router.hears_every(300, 200, 10);
    router.at(320, Event::Timeout);
    assert_eq!(router.state(), "backup (until 0.660, interval 100ms)");
}

#[test]
fn rfc3768_s6_4_3_the_new_masters_interval_is_not_learned() {
    let mut router = Subject::new(Version::V2, PREEMPT);
    router.at(0, FIT);
    router.at(0, Event::Adopt);
    router.hears_every(300, 200, 4 * SECOND);
    router.at(320, Event::Timeout);
    assert_eq!(router.state(), "backup (until 3.909, interval 1s)");
}

/// `Preempt_Mode` is the backup's: a master yields to whoever is higher.
#[test]
fn s6_4_3_preempt_mode_does_not_matter_to_a_master() {
    let mut router = Subject::new(Version::V3, None);
    router.at(0, FIT);
    router.at(0, Event::Adopt);
    assert_eq!(router.hears(100, 50), "send 100, announce");
    assert_eq!(router.hears(300, 200), "send 100, resigning HigherPriority");
}

/// New in RFC 9568. Version 2 does not ask for it; keepalived does it there too, and the loser learns sooner.
#[test]
fn s6_4_3_a_lower_priority_is_answered_at_once_and_the_timer_runs_on() {
    for version in [Version::V2, Version::V3] {
        let mut router = Subject::new(version, PREEMPT);
        router.at(0, FIT);
        router.at(0, Event::Adopt);
        assert_eq!(router.hears(300, 99), "send 100, announce");
        assert_eq!(router.state(), "master (sends at 1.000)");
    }
}
