//! What this project adds inside the state machine, each rule by its number.

use std::time::Duration;

use ha::{
    vrrp::{Config, Event, Reason, Standing, State},
    wire::{Priority, Version},
    words::Instant,
};

use crate::subject::{
    BARRED, DEFER, FAULT, FIT, LISTEN, OFFER, PREEMPT, PROMOTE, SECOND, STOP, Subject, advertisement, interval,
    priority,
};

// ---- Preemption, and what holds it back ----

#[test]
fn a_preempt_delay_is_counted_from_being_fit() {
    let mut router = Subject::new(Version::V3, Some(Duration::from_secs(5)));
    router.at(0, FIT);
    router.hears(1000, 50);
    router.hears(4999, 50);
    assert_eq!(router.state(), "backup (until 8.608, interval 1s)");
    router.hears(5000, 50);
    assert_eq!(router.state(), "backup (until 8.608, interval 1s)", "from now on it is discarded");
}

#[test]
fn a_preempt_delay_starts_again_with_each_fault_and_bar() {
    for interruption in [Standing::Fault, Standing::Barred(priority(100))] {
        let mut router = Subject::new(Version::V3, Some(Duration::from_secs(5)));
        router.at(0, FIT);
        router.at(4000, Event::Standing(interruption));
        router.at(4100, FIT);
        router.hears(6000, 50);
        assert_eq!(router.state(), "backup (until 9.609, interval 1s)", "{interruption:?}");
    }
}

/// Nobody there: the delay holds back preemption, not a takeover.
#[test]
fn a_preempt_delay_does_not_delay_a_takeover() {
    let mut router = Subject::new(Version::V3, Some(Duration::from_secs(60)));
    router.at(0, FIT);
    assert_eq!(router.at(3610, Event::Timeout), "elected MasterDown");
}

#[test]
fn a_priority_that_changes_does_not_restart_the_preempt_delay() {
    let mut router = Subject::new(Version::V3, Some(Duration::from_secs(3)));
    router.at(0, FIT);
    router.at(2900, Event::Standing(Standing::Fit(priority(150))));
    router.hears(3000, 50);
    assert_eq!(router.state(), "backup (until 3.609, interval 1s)");
}

/// A policy fails while it waits out a master that it was higher than, and has just heard.
#[test]
fn whoever_falls_below_a_master_that_it_passed_over_obeys_it() {
    for last in [Event::Timeout, FIT] {
        let mut router = Subject::backup();
        router.hears(3000, 90);
        assert_eq!(router.state(), "backup (until 3.609, interval 1s)");
        assert_eq!(router.at(3500, Event::Standing(Standing::Fit(priority(80)))), "");
        assert_eq!(router.state(), "backup (until 6.687, interval 1s)", "as if it had been obeyed when it was heard");
        assert_eq!(router.at(3700, last), "");
        assert_eq!(router.state(), "backup (until 6.687, interval 1s)");
    }
}

#[test]
fn whoever_falls_below_it_while_it_waits_for_leave_follows_again() {
    let mut router = Subject::elected();
    assert_eq!(router.hears(3620, 90), "");
    let fell = Event::Standing(Standing::Fit(priority(80)));
    assert_eq!(router.at(3630, fell), "backup HigherPriority");
    assert_eq!(router.state(), "backup (until 7.307, interval 1s)");
}

/// Whoever may not lead any more does not preempt either.
#[test]
fn whoever_is_barred_obeys_the_master_that_it_passed_over() {
    let mut router = Subject::elected();
    router.hears(3620, 90);
    assert_eq!(router.at(3630, BARRED), "backup AnotherLeads");
}

/// It is silent, or has resigned: the timer that runs counts.
#[test]
fn a_master_that_was_passed_over_long_ago_or_resigned_is_obeyed_no_more() {
    let fell = Event::Standing(Standing::Fit(priority(80)));
    let mut router = Subject::elected();
    router.hears(3620, 90);
    assert_eq!(router.at(7400, fell), "");
    assert_eq!(router.state(), "elected");
    let mut router = Subject::elected();
    router.hears(3620, 90);
    router.hears(3630, 0);
    assert_eq!(router.at(3640, fell), "");
    assert_eq!(router.state(), "elected");
}

#[test]
fn r19a_a_router_with_a_deaf_peer_obeys_lower_masters_for_a_while() {
    for (preempt, ours) in [(PREEMPT, 100), (PREEMPT, 255), (None, 255)] {
        let mut router = Subject::new(Version::V3, preempt);
        router.at(0, Event::Standing(Standing::Fit(priority(ours))));
        router.at(0, Event::Adopt);
        assert_eq!(router.at(1500, Event::Yield(Reason::PeerDeaf)), "release, backup PeerDeaf");
        router.0.defer_preemption(Instant::from_epoch(Duration::from_secs(60)));
        router.hears(59_999, 50);
        let obeying = router.0.state();
        assert!(
            matches!(obeying, State::Backup { down_at, .. } if down_at > Instant::from_epoch(Duration::from_secs(62)))
        );
        router.hears(60_000, 50);
        assert_eq!(router.0.state(), obeying, "then it preempts again");
    }
}

#[test]
fn r19a_an_owner_with_a_deaf_peer_does_not_lead_at_once() {
    let owner = Event::Standing(Standing::Fit(Priority::OWNER));
    let minding = |mut router: Subject| {
        router.0.defer_preemption(Instant::from_epoch(Duration::from_secs(60)));
        router
    };
    assert_eq!(minding(Subject::new(Version::V3, PREEMPT)).at(4000, owner), "backup Startup");
    assert_eq!(minding(Subject::backup()).at(2000, owner), "");
    assert_eq!(minding(Subject::elected()).at(4000, owner), "");
    assert_eq!(minding(Subject::backup()).at(60_000, owner), "send 255, master Owner, hold, announce");
}

// ---- A changed configuration ----

#[test]
fn a_shorter_interval_brings_the_next_advertisement_forward() {
    let mut router = Subject::new(Version::V3, PREEMPT);
    let every = |centis| Config { version: Version::V3, interval: interval(centis), preempt: PREEMPT, down_adverts: 3 };
    let millis = |millis| Instant::from_epoch(Duration::from_millis(millis));
    router.0.reconfigure(millis(0), every(30 * SECOND));
    router.at(0, FIT);
    router.at(0, Event::Adopt);
    router.0.reconfigure(millis(2000), every(SECOND));
    assert_eq!(router.story(4500), "3.000 send 100; 4.000 send 100");
    router.0.reconfigure(millis(4500), every(30 * SECOND));
    assert_eq!(router.state(), "master (sends at 5.000)", "a longer one puts off nothing");
}

// ---- R16 Resigning ----

#[test]
fn r16_priority_zero_is_sent_three_times_and_the_addresses_are_held() {
    let mut router = Subject::master();
    assert_eq!(router.at(200, STOP), "send 0, resigning Stopped");
    assert_eq!(router.story(2000), "0.220 send 0; 0.260 send 0; 1.300 release, initialize Stopped");
}

#[test]
fn r16_the_heirs_advertisement_ends_it_20_ms_later() {
    let mut router = Subject::master();
    router.at(200, STOP);
    router.story(300);
    assert_eq!(router.hears(800, 50), "");
    assert!(router.0.holds());
    assert_eq!(router.story(2000), "0.820 release, initialize Relieved");
}

/// It was understood.
#[test]
fn r16_whoever_is_heard_ends_the_repetitions() {
    for ask in [STOP, OFFER] {
        let mut router = Subject::master();
        router.at(200, ask);
        router.hears(205, 50);
        let told = router.story(2000);
        assert!(told.starts_with("0.225 release, "), "{told}");
    }
}

/// Our own node says it three times, 60 ms in all: the heir must not start over with each.
#[test]
fn r16_repeated_zeros_do_not_restart_the_skew_time() {
    let mut router = Subject::backup();
    router.hears(1000, 200);
    for millis in [1500, 1520, 1560] {
        router.hears(millis, 0);
        assert_eq!(router.state(), "backup (until 2.109, interval 1s)");
    }
}

#[test]
fn r16_a_zero_does_not_lengthen_a_timer_that_is_nearly_due() {
    let mut router = Subject::backup();
    router.hears(3500, 0);
    assert_eq!(router.state(), "backup (until 3.609, interval 1s)");
}

#[test]
fn r16_more_advertisements_do_not_lengthen_it() {
    let mut router = Subject::master();
    router.at(200, STOP);
    router.story(300);
    router.hears(800, 50);
    router.hears(815, 50);
    assert_eq!(router.story(2000), "0.820 release, initialize Relieved");
}

#[test]
fn r16_never_longer_than_its_patience() {
    let mut router = Subject::master();
    router.at(200, STOP);
    router.story(1290);
    router.hears(1295, 50);
    assert_eq!(router.story(2000), "1.300 release, initialize Relieved");
}

#[test]
fn r16_a_foreign_announcement_relieves_within_milliseconds() {
    let mut router = Subject::master();
    router.at(200, STOP);
    assert_eq!(router.at(210, Event::Relieved), "", "calls on their way are still answered");
    assert_eq!(router.story(2000), "0.213 release, initialize Relieved");
}

#[test]
fn r16_somebody_else_who_resigns_relieves_nobody() {
    let mut router = Subject::master();
    router.at(200, STOP);
    assert_eq!(router.hears(210, 0), "");
    assert_eq!(router.story(2000), "0.220 send 0; 0.260 send 0; 1.300 release, initialize Stopped");
}

#[test]
fn r16_asked_again_it_releases_at_once() {
    let mut router = Subject::master();
    router.at(200, STOP);
    assert_eq!(router.at(230, STOP), "release, initialize Stopped");
}

/// Only the second request to *stop* is impatient: a master that offered, or was overruled, is asked for the first time.
#[test]
fn r16_the_first_stop_after_an_offer_still_hands_over() {
    let mut router = Subject::master();
    router.at(200, OFFER);
    assert_eq!(router.at(210, STOP), "");
    assert_eq!(router.story(2000), "0.220 send 0; 0.260 send 0; 1.300 release, initialize Stopped");

    let mut router = Subject::master();
    router.hears(200, 200);
    assert_eq!(router.at(210, STOP), "");
    assert_eq!(router.story(2000), "0.220 release, initialize Relieved");
}

/// Only healthy nodes hold on.
#[test]
fn r16_a_fault_releases_at_once() {
    let mut router = Subject::master();
    assert_eq!(router.at(200, FAULT), "send 0, release, initialize Fault");

    let mut router = Subject::master();
    router.at(200, STOP);
    assert_eq!(router.at(210, FAULT), "release, initialize Fault");
}

#[test]
fn r16_a_backup_stops_without_a_word() {
    assert_eq!(Subject::backup().at(200, STOP), "initialize Stopped");
    assert_eq!(Subject::elected().at(4000, STOP), "initialize Stopped");
}

/// A frozen process does not make up for the zeros it missed.
#[test]
fn r16_a_late_zero_is_sent_once() {
    let mut router = Subject::master();
    router.at(200, STOP);
    assert_eq!(router.at(900, Event::Timeout), "send 0");
    assert_eq!(router.story(2000), "0.940 send 0; 1.300 release, initialize Stopped");
}

/// A lease that lapses while it stops must not make it listen again.
#[test]
fn r16_it_still_stops_when_it_must_let_go_at_once() {
    let mut router = Subject::master();
    router.at(200, STOP);
    assert_eq!(router.at(900, Event::Yield(Reason::LeaseLapsed)), "release, initialize LeaseLapsed");
}

/// Otherwise a standing that is the same as before would not be told, and it would never come back.
#[test]
fn r16_once_stopped_it_waits_to_be_told_its_standing_anew() {
    let mut router = Subject::master();
    router.at(200, STOP);
    router.story(2000);
    assert_eq!(router.0.standing(), Standing::Fault);
    assert_eq!(router.at(2100, Event::Adopt), "");
    assert_eq!(router.at(2100, FIT), "backup Startup");
}

// ---- R17, R19c: the only heir, and a rival that claims first ----

#[test]
fn r17_the_only_heir_does_not_wait() {
    let mut router = Subject::backup();
    router.hears(1000, 200);
    router.hears(1500, 0);
    assert_eq!(router.at(1500, Event::Inherit), "elected MasterResigned");
    assert_eq!(router.at(1500, LISTEN), "send 100, master MasterResigned");
    assert_eq!(router.at(1502, Event::Timeout), "hold, announce");
}

#[test]
fn r17_who_inherits_still_yields_to_somebody_higher() {
    let mut router = Subject::backup();
    router.at(1500, Event::Inherit);
    router.at(1500, LISTEN);
    assert_eq!(router.hears(1501, 200), "backup HigherPriority");
}

#[test]
fn r17_who_waits_for_leave_when_the_master_resigns_has_it_from_there() {
    let mut router = Subject::elected();
    assert_eq!(router.at(3700, Event::Inherit), "");
    assert_eq!(router.at(3700, PROMOTE), "send 100, master MasterResigned, hold, announce");
}

#[test]
fn r17_a_barred_heir_is_not_promoted() {
    let mut router = Subject::backup();
    router.at(100, BARRED);
    router.at(1500, Event::Inherit);
    assert_eq!(router.at(1500, LISTEN), "");
}

#[test]
fn r19c_defer_waits_one_skew_time_again() {
    let mut router = Subject::backup();
    assert_eq!(router.at(3600, DEFER), "");
    assert_eq!(router.state(), "backup (until 4.209, interval 1s)");

    let mut router = Subject::elected();
    router.at(4000, DEFER);
    assert_eq!(router.state(), "backup (until 4.609, interval 1s)");
}

#[test]
fn r19c_the_skew_time_is_that_of_the_master_that_fell_silent() {
    let mut router = Subject::backup();
    router.hears_every(1000, 200, 4 * SECOND);
    assert_eq!(router.at(15_500, Event::Timeout), "elected MasterDown");
    router.at(15_500, DEFER);
    assert_eq!(router.state(), "backup (until 17.937, interval 4s)");
}

/// A rival's probe may come early: then the timer that runs is the later one.
#[test]
fn r19c_defer_never_shortens_the_wait() {
    let mut router = Subject::backup();
    router.at(1000, DEFER);
    assert_eq!(router.state(), "backup (until 3.609, interval 1s)");
}

// ---- R20 Barred ----

#[test]
fn r20_a_barred_router_is_elected_and_never_promoted() {
    let mut router = Subject::new(Version::V3, PREEMPT);
    assert_eq!(router.at(0, BARRED), "backup Startup");
    assert_eq!(router.at(3610, Event::Timeout), "elected MasterDown");
    assert_eq!(router.at(3610, PROMOTE), "");
    assert_eq!(router.at(9000, PROMOTE), "");
    router.at(9500, FIT);
    assert_eq!(router.at(9500, PROMOTE), "send 100, master MasterDown, hold, announce");
}

/// It bids its priority, so it must not wait out a master that it may not replace.
#[test]
fn r20_a_barred_router_obeys_lower_masters() {
    for ours in [100, 255] {
        for preempt in [None, PREEMPT] {
            let mut router = Subject::new(Version::V3, preempt);
            router.at(0, Event::Standing(Standing::Barred(priority(ours))));
            router.hears(3000, 50);
            assert!(router.0.next_timeout() > Some(Instant::from_epoch(Duration::from_secs(6))), "{ours} {preempt:?}");
        }
    }
}

#[test]
fn r20_a_barred_owner_leads_once_it_may() {
    let mut router = Subject::new(Version::V3, PREEMPT);
    assert_eq!(router.at(0, Event::Standing(Standing::Barred(Priority::OWNER))), "backup Startup");
    let told = router.at(100, Event::Standing(Standing::Fit(Priority::OWNER)));
    assert_eq!(told, "send 255, master Owner, hold, announce");
}

#[test]
fn r20_a_barred_master_stays_one_and_obeys() {
    let mut router = Subject::master();
    assert_eq!(router.at(500, BARRED), "");
    assert_eq!(router.at(1000, Event::Timeout), "send 100");
    assert_eq!(router.hears(1100, 50), "send 100, announce");
    assert_eq!(router.hears(1200, 200), "send 100, resigning HigherPriority");
    assert_eq!(router.at(1220, Event::Timeout), "release, backup HigherPriority");
}

#[test]
fn r20_a_barred_master_hands_over_when_asked() {
    let mut router = Subject::master();
    router.at(100, BARRED);
    assert_eq!(router.at(200, STOP), "send 0, resigning Stopped");
}

// ---- R13: the process before this one was master ----

#[test]
fn r13_an_adopted_master_goes_on_at_once_even_if_barred() {
    for standing in [FIT, BARRED] {
        let mut router = Subject::new(Version::V3, PREEMPT);
        router.at(0, standing);
        assert_eq!(router.at(1, Event::Adopt), "send 100, master Adopted, hold, announce");
    }
}

#[test]
fn r13_a_faulty_router_adopts_nothing() {
    let mut router = Subject::new(Version::V3, PREEMPT);
    router.at(0, FAULT);
    assert_eq!(router.at(1, Event::Adopt), "");
}

// ---- R10: waking late ----

#[test]
fn r10_it_lets_go_without_a_word_and_listens_for_a_full_down_interval() {
    let mut router = Subject::master();
    assert_eq!(router.at(9000, Event::Yield(Reason::LeaseLapsed)), "release, backup LeaseLapsed");
    assert_eq!(router.state(), "backup (until 12.609, interval 1s)");
}

/// Frozen while it handed over: what it knew of the new master is stale, so it listens anew.
#[test]
fn r10_a_loser_that_wakes_late_listens_for_a_full_down_interval() {
    let mut router = Subject::master();
    router.hears(300, 200);
    assert_eq!(router.at(9000, Event::Timeout), "release, backup HigherPriority");
    assert_eq!(router.state(), "backup (until 12.609, interval 1s)");
}

// ---- R23: offering ----

#[test]
fn r23_an_offer_that_nobody_takes_is_withdrawn_without_a_gap() {
    let mut router = Subject::master();
    assert_eq!(router.at(200, OFFER), "send 0, resigning Offered");
    assert!(router.0.holds());
    let told = router.story(2000);
    assert_eq!(told, "0.220 send 0; 0.260 send 0; 1.300 send 100, master OfferDeclined, announce");
    assert_eq!(router.state(), "master (sends at 2.300)");
}

/// "Resumes at priority 1": the priority is whatever the standing says by then.
#[test]
fn r23_it_resumes_with_the_priority_of_its_standing() {
    let mut router = Subject::master();
    router.at(200, OFFER);
    router.at(210, Event::Standing(Standing::Fit(Priority::LOWEST)));
    assert_eq!(router.story(1300), "0.220 send 0; 0.260 send 0; 1.300 send 1, master OfferDeclined, announce");
}

#[test]
fn r23_an_offer_that_is_taken_ends_as_backup() {
    let mut router = Subject::master();
    router.at(200, OFFER);
    router.story(300);
    router.hears_every(800, 50, 2 * SECOND);
    assert_eq!(router.story(1000), "0.820 release, backup Relieved");
    assert_eq!(router.state(), "backup (until 8.018, interval 2s)");
}

#[test]
fn r23_a_foreign_announcement_takes_it_too() {
    let mut router = Subject::master();
    router.at(200, OFFER);
    assert_eq!(router.at(210, Event::Relieved), "", "calls on their way are still answered");
    assert_eq!(router.story(2000), "0.213 release, backup Relieved");
    assert_eq!(router.state(), "backup (until 3.819, interval 1s)");
}

/// Both offer at the same time: neither has taken anything.
#[test]
fn r23_the_others_offer_does_not_take_ours() {
    let mut router = Subject::master();
    router.at(200, OFFER);
    router.hears(205, 0);
    assert_eq!(router.story(1300), "0.220 send 0; 0.260 send 0; 1.300 send 100, master OfferDeclined, announce");
}

/// It has nothing to hand over yet; whoever wants may have it, and if nobody does, it is back after a down interval.
#[test]
fn r23_a_master_that_still_listens_offers_by_stepping_back() {
    let mut router = Subject::elected();
    router.at(4000, LISTEN);
    assert_eq!(router.at(4001, OFFER), "send 0, backup Offered");
    assert_eq!(router.at(8000, Event::Timeout), "elected MasterDown");
}

// ---- R34: no silent resignation ----

#[test]
fn r34_a_loser_sends_a_last_advertisement_and_holds_for_20_ms() {
    let mut router = Subject::master();
    assert_eq!(router.hears(300, 200), "send 100, resigning HigherPriority");
    assert!(router.0.holds());
    assert_eq!(router.story(1000), "0.320 release, backup HigherPriority");
}

#[test]
fn r34_the_winners_announcement_ends_it() {
    let mut router = Subject::master();
    router.hears(300, 200);
    assert_eq!(router.at(301, Event::Relieved), "", "calls on their way are still answered");
    assert_eq!(router.story(2000), "0.304 release, backup HigherPriority");
    assert_eq!(router.state(), "backup (until 3.909, interval 1s)");
}

#[test]
fn r34_the_winners_further_advertisements_neither_lengthen_it_nor_are_lost() {
    let mut router = Subject::master();
    router.hears(300, 200);
    assert_eq!(router.hears(310, 200), "", "one last advertisement, not two");
    assert_eq!(router.story(1000), "0.320 release, backup HigherPriority");
    assert_eq!(router.state(), "backup (until 3.919, interval 1s)");
}

/// 6.4.2 holds for a backup that has yet to let go, too.
#[test]
fn r34_a_winner_that_resigns_meanwhile_leaves_one_skew_time() {
    let mut router = Subject::master();
    router.hears(300, 200);
    router.hears(310, 0);
    router.hears(315, 0);
    assert_eq!(router.story(900), "0.320 release, backup HigherPriority");
    assert_eq!(router.state(), "backup (until 0.919, interval 1s)");
}

#[test]
fn r34_a_winner_announces_again_when_the_other_lets_go() {
    let mut router = Subject::master();
    assert_eq!(router.hears(300, 50), "send 100, announce");
    assert_eq!(router.hears(320, 0), "send 100, announce");
}

// ---- R35: after a thaw ----

#[test]
fn r35_a_master_asserts_itself_at_most_four_times_an_interval() {
    let mut router = Subject::master();
    let answers: Vec<u64> = (1..2000).filter(|millis| !router.hears(*millis, 50).is_empty()).collect();
    assert_eq!(answers, [1, 251, 501, 751, 1001, 1251, 1501, 1751]);
}

/// The whole of a backlog, lower advertisements and resignations, is worth one answer.
#[test]
fn r35_a_backlog_is_answered_once() {
    let mut router = Subject::master();
    let answers = [50, 0, 50, 0, 0, 0].map(|priority| router.hears(500, priority));
    assert_eq!(answers, ["send 100, announce", "", "", "", "", ""]);
}

/// A peer that resigns says so three times (R16), 20 ms apart: each is answered, for any answer may be lost.
#[test]
fn r35_repeated_resignations_are_each_answered() {
    let mut router = Subject::master();
    let answers = [500, 520, 560].map(|millis| router.hears(millis, 0));
    assert_eq!(answers, ["send 100, announce"; 3]);
    assert_eq!(router.state(), "master (sends at 1.560)");
}

// ---- R36: listen before holding ----

#[test]
fn r36_a_new_master_advertises_first_and_holds_after_listening() {
    let mut router = Subject::elected();
    assert_eq!(router.at(4000, LISTEN), "send 100, master MasterDown");
    assert!(!router.0.holds());
    assert_eq!(router.story(5500), "4.002 hold, announce; 5.000 send 100");
}

#[test]
fn r36_a_higher_rival_heard_meanwhile_decides_before_any_address_is_held() {
    let mut router = Subject::elected();
    router.at(4000, LISTEN);
    assert_eq!(router.hears(4001, 101), "backup HigherPriority");
    assert_eq!(router.state(), "backup (until 7.610, interval 1s)");
}

#[test]
fn r36_an_equal_rival_is_decided_by_the_address() {
    let equal = advertisement(100, SECOND);
    let mut router = Subject::elected();
    router.at(4000, LISTEN);
    assert_eq!(router.at(4001, Event::Advertisement { adv: &equal, wins_tie: true }), "backup HigherAddress");

    let mut router = Subject::elected();
    router.at(4000, LISTEN);
    assert_eq!(router.at(4001, Event::Advertisement { adv: &equal, wins_tie: false }), "send 100");
    assert_eq!(router.at(4002, Event::Timeout), "hold, announce");
}

/// It answers, but does not announce what it does not hold.
#[test]
fn r36_a_lower_rival_is_answered_without_announcing() {
    let mut router = Subject::elected();
    router.at(4000, LISTEN);
    assert_eq!(router.hears(4001, 50), "send 100");

    let mut router = Subject::elected();
    router.at(4000, LISTEN);
    assert_eq!(router.hears(4001, 0), "send 100");
}

#[test]
fn r36_who_must_go_while_listening_has_nothing_to_release() {
    for (event, told) in [
        (FAULT, "send 0, initialize Fault"),
        (Event::Shutdown, "send 0, initialize Stopped"),
        (STOP, "send 0, initialize Stopped"),
        (Event::Yield(Reason::SecondHolder), "backup SecondHolder"),
    ] {
        let mut router = Subject::elected();
        router.at(4000, LISTEN);
        assert_eq!(router.at(4001, event), told);
    }
}

/// While a takeover waits for leave, whoever advertises first and may not be preempted has it.
#[test]
fn elected_steps_back_for_whoever_it_must_obey() {
    for (ours, theirs, preempt, told) in [
        (100, 200, PREEMPT, "backup HigherPriority"),
        (100, 100, PREEMPT, "backup AnotherLeads"),
        (100, 50, None, "backup AnotherLeads"),
    ] {
        let mut router = Subject::new(Version::V3, preempt);
        router.at(0, Event::Standing(Standing::Fit(priority(ours))));
        router.at(3610, Event::Timeout);
        assert_eq!(router.hears(3700, theirs), told, "{theirs}");
        assert_eq!(router.state(), "backup (until 7.309, interval 1s)");
    }
    assert_eq!(Subject::elected().hears(3700, 50), "", "one that it preempts does not matter");
    assert_eq!(Subject::elected().hears(3700, 0), "", "nor one that resigns");
}
