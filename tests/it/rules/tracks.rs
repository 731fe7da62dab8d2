//! What is tracked beside an instance's own interface: a fault, or a part of the priority, told and taken back.

use std::{collections::BTreeMap, sync::Arc};

use ha::{
    config::{
        Effect, Instance, LastResort, LinkDelays, ProcessPattern, StartDelays, TrackedFile, TrackedInterface,
        TrackedProcess, WellWhile,
    },
    node::{Event, FileSays, Input, LinkSeen, Role},
    words::{Instant, InterfaceName},
};

use crate::{
    lan::{Lan, Line, config},
    pair::{HANDOVER, SECOND, millis, running},
};

fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

fn interface(any: &[&str], effect: Effect) -> TrackedInterface {
    TrackedInterface { any: any.iter().map(|text| name(text)).collect(), well: WellWhile::There, effect }
}

/// The other interfaces of node 0: up, with or without a carrier.
fn link(lan: &mut Lan, text: &str, carrier: bool) {
    let link = LinkSeen { name: name(text), index: 7, mac: None, up: true, carrier, port_of: None };
    lan.hand_in(0, Input::Link(link));
}

fn gone(lan: &mut Lan, text: &str) {
    lan.hand_in(0, Input::LinkGone(name(text)));
}

/// Node 0 tracks, all of it is well, and it serves.
fn tracking(tracked: &[TrackedInterface], change: impl Fn(&mut Instance)) -> Lan {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 0 {
            instance.tracks.interfaces = tracked.to_vec();
            change(instance);
        }
    });
    for name in ["eth1", "eth2"] {
        link(&mut lan, name, true);
    }
    running(lan)
}

fn bid(lan: &Lan, index: usize) -> Option<u8> {
    lan.stations[index].node.status().instances[0].effective_priority.map(ha::wire::Priority::get)
}

fn said(lan: &Lan, index: usize, name: &str) -> Option<String> {
    let conditions = lan.stations[index].node.status().instances.remove(0).conditions;
    conditions.into_iter().find(|condition| condition.name == name).map(|condition| condition.text)
}

fn reason(lan: &Lan, index: usize) -> String {
    lan.stations[index].node.status().instances.remove(0).reason
}

fn notes(lan: &Lan, index: usize) -> Vec<String> {
    let note = |(_, who, line): &(_, usize, Line)| {
        let Line::Event(Event::Note(text)) = line else { return None };
        (*who == index).then(|| text.clone())
    };
    lan.story.iter().filter_map(note).collect()
}

#[test]
fn an_interface_that_must_be_there_is_a_fault_while_it_is_not() {
    let mut lan = tracking(&[interface(&["eth1"], Effect::Fault)], |_| {});
    for (lose, why) in
        [(Some(false), "interface eth1 has no carrier (tracked)"), (None, "interface eth1 does not exist (tracked)")]
    {
        match lose {
            Some(carrier) => link(&mut lan, "eth1", carrier),
            None => gone(&mut lan, "eth1"),
        }
        assert_eq!((lan.role(0), reason(&lan, 0).as_str()), (Role::Fault, why), "at once");
        assert!(!lan.holds(0));
        lan.run_for(SECOND * 5);
        assert_eq!(lan.holding(), [1]);
        link(&mut lan, "eth1", true);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0], "it comes back by itself");
    }
}

/// Never seen is not up: a node that starts without it does not serve.
#[test]
fn an_interface_that_never_was_there_is_a_fault() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 0 {
            instance.tracks.interfaces = vec![interface(&["eth1"], Effect::Fault)];
        }
    });
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.holding()), (Role::Fault, vec![1]));
}

#[test]
fn a_weight_moves_the_priority_and_says_why() {
    let tracked = [interface(&["eth1"], Effect::Weight(-20)), interface(&["eth2"], Effect::Weight(10))];
    let mut lan = tracking(&tracked, |_| {});
    assert_eq!((bid(&lan, 0), said(&lan, 0, "priority")), (Some(110), None), "what is usual is not worth a word");
    link(&mut lan, "eth2", false);
    assert_eq!((bid(&lan, 0), lan.role(0)), (Some(100), Role::Master));
    assert_eq!(said(&lan, 0, "priority").unwrap(), "interface eth2 has no carrier (-10): this node bids 100 now");
    link(&mut lan, "eth1", false);
    let both = "interface eth1 has no carrier (-20), interface eth2 has no carrier (-10): this node bids 80 now";
    assert_eq!((bid(&lan, 0), said(&lan, 0, "priority").as_deref()), (Some(80), Some(both)));
    assert_eq!(notes(&lan, 0), [both], "each change is said");
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [1], "{}", lan.tale(30));
    assert!(lan.settle_counts().nobody <= HANDOVER, "it is handed over, not dropped");
    link(&mut lan, "eth1", true);
    link(&mut lan, "eth2", true);
    assert_eq!((bid(&lan, 0), said(&lan, 0, "priority")), (Some(110), None));
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn the_priority_stays_between_1_and_254() {
    for (weight, least) in [(-253, 1), (253, 100)] {
        let mut lan = tracking(&[interface(&["eth1"], Effect::Weight(weight))], |_| {});
        assert_eq!(bid(&lan, 0), Some(if weight > 0 { 254 } else { 100 }));
        link(&mut lan, "eth1", false);
        assert_eq!(bid(&lan, 0), Some(least));
    }
}

#[test]
fn of_several_one_is_enough() {
    let mut lan = tracking(&[interface(&["eth1", "eth2"], Effect::Fault)], |_| {});
    link(&mut lan, "eth1", false);
    assert_eq!(lan.role(0), Role::Master);
    gone(&mut lan, "eth2");
    let why = "interface eth1 has no carrier and interface eth2 does not exist (tracked)";
    assert_eq!((lan.role(0), reason(&lan, 0).as_str()), (Role::Fault, why));
    link(&mut lan, "eth1", true);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.role(0), Role::Master);
}

#[test]
fn the_other_way_around_it_is_well_while_it_is_down() {
    let tracked = TrackedInterface { well: WellWhile::Absent, ..interface(&["eth3"], Effect::Fault) };
    let mut lan = tracking(&[tracked], |_| {});
    link(&mut lan, "eth3", true);
    assert_eq!((lan.role(0), reason(&lan, 0).as_str()), (Role::Fault, "interface eth3 is up (tracked)"));
    link(&mut lan, "eth3", false);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.role(0), Role::Master);
}

/// R24: what is tracked counts like a rule of a policy.
#[test]
fn r24_the_last_resort_offers_and_keeps_it_where_nobody_is_better_off() {
    let keep = |instance: &mut Instance| instance.last_resort = LastResort::Keep;
    let mut lan = tracking(&[interface(&["eth1"], Effect::Fault)], keep);
    link(&mut lan, "eth1", false);
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [1]);
    assert!(lan.settle_counts().nobody <= HANDOVER);
    lan.power_off(1);
    lan.run_for(SECOND * 15);
    assert_eq!((lan.holding(), bid(&lan, 0)), (vec![0], Some(1)), "{}", lan.tale(30));
}

/// What is known of an interface before it is tracked counts from the first moment on.
#[test]
fn a_reload_that_tracks_what_is_up_moves_nothing() {
    for up in [true, false] {
        let mut lan = tracking(&[], |_| {});
        link(&mut lan, "eth1", up);
        let mut new = lan.stations[0].configured.clone();
        new.tracks.interfaces = vec![interface(&["eth1"], Effect::Fault)];
        lan.reload(0, new.clone());
        assert_eq!(lan.role(0), if up { Role::Master } else { Role::Fault });
        new.tracks.interfaces.clear();
        lan.reload(0, new);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.role(0), Role::Master);
    }
}

/// A pair in which the interfaces of node 0 are given time.
fn patient(tracked: &[TrackedInterface]) -> Lan {
    let mut lan = tracking(tracked, |_| {});
    let delays = LinkDelays { up: SECOND * 3, down: millis(1500) };
    let links: BTreeMap<_, _> = ["eth0", "eth1"].map(|text| (name(text), delays)).into();
    let config = ha::config::Config { links, ..config(lan.stations[0].configured.clone()) };
    lan.hand_in(0, Input::Reload(Arc::new(config)));
    lan.reset_counts();
    lan
}

#[test]
fn a_short_loss_of_the_own_carrier_moves_nothing() {
    for seed in 0..20 {
        let mut lan = patient(&[]);
        lan.run_for(millis(seed * 53));
        lan.plug(0, false);
        lan.run_for(millis(1400));
        lan.plug(0, true);
        lan.run_for(SECOND * 10);
        assert_eq!((lan.holding(), lan.role(1)), (vec![0], Role::Backup));
        // What is sent without a carrier renews no lease, so the address may lapse until the cable is back.
        assert!(lan.settle_counts().nobody <= millis(500), "seed {seed}: {}", lan.tale(30));
        let losses = notes(&lan, 0).into_iter().filter(|note| note.contains("down_delay"));
        assert_eq!(losses.count(), 1, "it is said, once: {}", lan.tale(30));
    }
}

/// When node 0 advertised, which is now.
fn advertised(lan: &mut Lan) -> Instant {
    let before = lan.sent(0).len();
    lan.run_until(SECOND * 2, |lan| lan.sent(0).len() > before);
    lan.sent(0)[before]
}

/// R10: nothing leaves, so the lease is not renewed. It is said once it has run out; the master goes on if something leaves in
/// time.
#[test]
fn a_lease_that_runs_out_during_a_short_loss_is_said() {
    let mut lan = patient(&[]);
    let last = advertised(&mut lan);
    lan.run_for(millis(900));
    lan.plug(0, false);
    lan.run_for((last + SECOND * 2).saturating_since(lan.now) - millis(1));
    assert_eq!(said(&lan, 0, "lease_lapsed"), None);
    lan.run_for(millis(2));
    let text = said(&lan, 0, "lease_lapsed").unwrap();
    let expected = "interface eth0 has no carrier, and no advertisement has left for longer than the lease (2.00 s)";
    assert!(text.starts_with(expected), "{text}");
    lan.run_for(millis(200));
    assert_eq!((lan.role(0), lan.holds(0)), (Role::Master, false), "{}", lan.tale(20));
    lan.plug(0, true);
    lan.run_for(millis(10));
    assert_eq!((lan.role(0), lan.holds(0)), (Role::Master, true));
    assert_eq!(said(&lan, 0, "lease_lapsed"), None);
    lan.run_for(SECOND * 10);
    assert_eq!((lan.holding(), lan.role(1)), (vec![0], Role::Backup));
}

/// The loss would count later than somebody else may take the address: it gives up before, and says why.
#[test]
fn a_master_without_a_carrier_gives_up_before_the_loss_counts() {
    let mut lan = patient(&[]);
    let links = [(name("eth0"), LinkDelays { up: SECOND, down: SECOND * 10 })].into();
    let config = ha::config::Config { links, ..config(lan.stations[0].configured.clone()) };
    lan.hand_in(0, Input::Reload(Arc::new(config)));
    let last = advertised(&mut lan);
    lan.plug(0, false);
    lan.run_for((last + SECOND * 3).saturating_since(lan.now) - millis(1));
    assert_eq!(lan.role(0), Role::Master);
    assert!(said(&lan, 0, "lease_lapsed").is_some());
    lan.run_for(millis(2));
    assert_eq!((lan.role(0), lan.holds(0)), (Role::Backup, false), "{}", lan.tale(20));
    assert!(
        reason(&lan, 0).starts_with("interface eth0 has no carrier, and no advertisement has left"),
        "{}",
        reason(&lan, 0)
    );
    assert_eq!(said(&lan, 0, "lease_lapsed"), None);
    lan.run_for(SECOND * 4);
    assert_eq!(lan.holding(), [1], "{}", lan.tale(30));
}

/// R9: whoever would lead while its own loss of the carrier does not count yet holds nothing: its first advertisement has not left.
#[test]
fn who_stands_by_without_a_carrier_does_not_hold() {
    let mut lan = patient(&[]);
    let links = [(name("eth0"), LinkDelays { up: SECOND, down: SECOND * 10 })].into();
    let config = ha::config::Config { links, ..config(lan.stations[1].configured.clone()) };
    lan.hand_in(1, Input::Reload(Arc::new(config)));
    lan.plug(1, false);
    for _ in 0..90 {
        lan.run_for(millis(100));
        assert_eq!(lan.holding(), [0], "{}", lan.tale(20));
    }
    let text = said(&lan, 1, "cannot_send").unwrap_or_else(|| lan.tale(20));
    assert!(text.contains("interface eth0 has no carrier"), "{text}");
    lan.plug(1, true);
    lan.run_for(SECOND * 10);
    assert_eq!((lan.holding(), lan.role(1)), (vec![0], Role::Backup));
}

/// It has let go before the other takes over, whenever the cable is pulled.
#[test]
fn a_long_loss_of_the_own_carrier_never_makes_two_holders() {
    for seed in 0..20 {
        let mut lan = patient(&[]);
        lan.run_for(millis(seed * 53));
        lan.plug(0, false);
        lan.run_for(millis(1499));
        assert_eq!(lan.role(0), Role::Master);
        lan.run_for(millis(2));
        assert_eq!((lan.role(0), lan.holds(0)), (Role::Fault, false));
        lan.run_for(SECOND * 6);
        assert_eq!(lan.holding(), [1]);
        lan.plug(0, true);
        lan.run_for(millis(2900));
        assert_eq!(lan.role(0), Role::Fault, "it is not believed at once");
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0]);
        assert!(lan.settle_counts().two <= HANDOVER);
    }
}

/// keepalived's `dont_track_primary`, on both nodes and the address on the interface itself: what nobody reaches goes with its
/// lease, and whoever comes back steps back before it holds.
#[test]
fn an_own_interface_that_is_not_tracked_never_makes_two_holders() {
    let (one, other) = (0, 1);
    for seed in 0..20 {
        let mut lan = running(Lan::with(1 + seed, &[100, 99], |_, instance| instance.track_own_interface = false));
        lan.run_for(millis(seed * 53));
        lan.plug(one, false);
        lan.run_for(SECOND * 6);
        assert_eq!(
            (lan.role(one), lan.holds(one), lan.holding()),
            (Role::Master, false, vec![other]),
            "{}",
            lan.tale(30)
        );
        lan.run_for(millis(seed * 71));
        lan.plug(one, true);
        lan.run_for(SECOND * 10);
        assert_eq!((lan.holding(), lan.role(other)), (vec![one], Role::Backup), "{}", lan.tale(30));
        // Who stands by hears nobody, and thinks that it leads.
        lan.plug(other, false);
        lan.run_for(SECOND * 6);
        assert_eq!((lan.role(other), lan.holds(other), lan.holding()), (Role::Master, false, vec![one]));
        lan.run_for(millis(seed * 71));
        lan.plug(other, true);
        lan.run_for(SECOND * 10);
        assert_eq!((lan.holding(), lan.role(other)), (vec![one], Role::Backup), "{}", lan.tale(30));
        let counts = lan.settle_counts();
        assert!(counts.two <= HANDOVER * 2, "seed {seed}: {:?} {}", counts.two, lan.tale(60));
        assert!(counts.nobody < SECOND * 4, "one silent master is waited for: {:?}", counts.nobody);
    }
}

#[test]
fn a_tracked_interface_is_given_time_too() {
    let mut lan = patient(&[interface(&["eth1"], Effect::Fault), interface(&["eth2"], Effect::Fault)]);
    link(&mut lan, "eth1", false);
    lan.run_for(SECOND);
    assert_eq!(lan.role(0), Role::Master);
    link(&mut lan, "eth1", true);
    lan.run_for(SECOND * 3);
    link(&mut lan, "eth1", false);
    lan.run_for(millis(1499));
    assert_eq!(lan.role(0), Role::Master);
    lan.run_for(millis(2));
    assert_eq!(lan.role(0), Role::Fault);
    link(&mut lan, "eth1", true);
    link(&mut lan, "eth2", false);
    link(&mut lan, "eth2", true);
    lan.run_for(millis(2900));
    assert_eq!(lan.role(0), Role::Fault);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.role(0), Role::Master);
    link(&mut lan, "eth2", false);
    assert_eq!(lan.role(0), Role::Fault, "others are not");
    gone(&mut lan, "eth1");
    link(&mut lan, "eth2", true);
    assert_eq!(lan.role(0), Role::Fault, "what is gone is gone at once");
}

/// A node that has just started takes no part, whoever advertises.
#[test]
fn after_a_start_nothing_is_said_heard_or_taken_before_its_time() {
    for boot in [false, true] {
        let mut lan = Lan::new(1, &[100, 99]);
        let up = lan.now.since_epoch();
        let start = if boot {
            StartDelays { boot: up + SECOND * 20, ..StartDelays::default() }
        } else {
            StartDelays { start: SECOND * 20, ..StartDelays::default() }
        };
        let config = ha::config::Config { start, ..config(lan.stations[0].configured.clone()) };
        lan.start_as(0, &config);
        lan.run_for(SECOND * 19);
        assert_eq!((lan.role(0), lan.holding()), (Role::Fault, vec![1]));
        let text = said(&lan, 0, "start_delay").unwrap();
        assert!(text.starts_with("this node takes no part until the machine has been up for "), "{text}");
        let status = lan.stations[0].node.status().instances.remove(0);
        assert_eq!((status.sent, status.received), (0, 0));
        lan.run_for(SECOND * 2);
        assert_eq!((lan.role(0), said(&lan, 0, "start_delay")), (Role::Backup, None));
        lan.run_for(SECOND * 5);
        assert_eq!(lan.holding(), [0], "{}", lan.tale(30));
    }
}

/// After a restart of the machine's daemon alone, `boot_delay` is long over.
#[test]
fn a_restart_long_after_the_boot_does_not_wait() {
    let mut lan = tracking(&[], |_| {});
    let start = StartDelays { boot: SECOND, ..StartDelays::default() };
    let config = ha::config::Config { start, ..config(lan.stations[0].configured.clone()) };
    lan.start_as(0, &config);
    assert_eq!(lan.role(0), Role::Master, "it goes on within its lease");
}

/// R13: what a process before it held is let go, for this one takes no part yet.
#[test]
fn r13_a_start_that_waits_adopts_nothing() {
    let mut lan = tracking(&[], |_| {});
    let start = StartDelays { start: SECOND * 20, ..StartDelays::default() };
    let config = ha::config::Config { start, ..config(lan.stations[0].configured.clone()) };
    lan.start_as(0, &config);
    assert_eq!((lan.role(0), lan.holds(0)), (Role::Fault, false));
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [1]);
}

fn file(effect: Effect, missing: Option<i64>) -> TrackedFile {
    TrackedFile { path: "/lever".into(), well: WellWhile::Absent, effect, missing }
}

fn says(lan: &mut Lan, says: FileSays) {
    lan.hand_in(0, Input::File { path: "/lever".into(), says });
}

/// Node 0 has a lever, which says 0, and serves.
fn levered(tracked: TrackedFile, change: impl Fn(&mut Instance)) -> Lan {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 0 {
            instance.tracks.files = vec![tracked.clone()];
            change(instance);
        }
    });
    says(&mut lan, FileSays::Number(0));
    running(lan)
}

#[test]
fn a_lever_hands_over_in_order_and_gives_back() {
    for (tracked, number) in
        [(file(Effect::Fault, None), 1), (file(Effect::Fault, None), -254), (file(Effect::Weight(2), None), -127)]
    {
        let mut lan = levered(tracked, |instance| instance.last_resort = LastResort::Keep);
        says(&mut lan, FileSays::Number(number));
        lan.run_for(SECOND * 3);
        assert_eq!((lan.role(0), lan.holding()), (Role::Fault, vec![1]), "{}", lan.tale(30));
        assert_eq!(lan.settle_counts().nobody, std::time::Duration::ZERO, "nobody was without it");
        assert_eq!(said(&lan, 0, "maintenance").unwrap(), format!("file /lever says {number} (tracked)"));
        says(&mut lan, FileSays::Number(0));
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0]);
    }
}

#[test]
fn a_number_times_its_weight_is_added_to_the_priority() {
    let mut lan = levered(file(Effect::Weight(-2), None), |_| {});
    for (number, bids) in [(10, Some(80)), (-10, Some(120)), (126, Some(1)), (i64::MIN, Some(254)), (0, Some(100))] {
        says(&mut lan, FileSays::Number(number));
        assert_eq!(bid(&lan, 0), bids, "{number}");
        assert_eq!(said(&lan, 0, "priority").is_some(), number != 0);
    }
    says(&mut lan, FileSays::Number(3));
    assert_eq!(said(&lan, 0, "priority").unwrap(), "file /lever says 3 (-6): this node bids 94 now");
    says(&mut lan, FileSays::Number(127));
    lan.run_for(SECOND * 3);
    assert_eq!((lan.role(0), bid(&lan, 0)), (Role::Fault, None));
}

/// keepalived takes it for 0. Here nobody knows: the role stays as it is, and a backup does not take.
#[test]
fn r20_a_file_that_cannot_be_read_is_not_known_to_be_well() {
    for unknown in [FileSays::Missing, FileSays::Unusable("it is empty".to_owned())] {
        let mut lan = levered(file(Effect::Fault, None), |_| {});
        says(&mut lan, unknown.clone());
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0], "a master keeps it");
        let text = said(&lan, 0, "track_unknown").unwrap();
        assert!(text.ends_with("(tracked); this node keeps the address and its role meanwhile"), "{text}");
        lan.plug(0, false);
        lan.run_for(SECOND * 6);
        lan.plug(0, true);
        lan.run_for(SECOND * 10);
        assert_eq!((lan.role(0), lan.holding()), (Role::Backup, vec![1]), "a backup does not take it back");
        lan.power_off(1);
        lan.run_for(SECOND * 20);
        assert_eq!(lan.holding(), Vec::<usize>::new());
        says(&mut lan, FileSays::Number(0));
        lan.run_for(SECOND);
        assert_eq!(lan.holding(), [0], "at once when it is known");
    }
}

#[test]
fn a_file_that_may_be_missing_counts_as_what_is_written() {
    let mut lan = levered(file(Effect::Weight(1), Some(-20)), |_| {});
    says(&mut lan, FileSays::Missing);
    assert_eq!(bid(&lan, 0), Some(80));
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [1]);
    says(&mut lan, FileSays::Unusable("it is no regular file".to_owned()));
    lan.power_off(1);
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), Vec::<usize>::new(), "one that cannot be read is not missing");
}

/// Before it was looked at nothing is known of it.
#[test]
fn a_node_that_has_not_read_the_file_yet_does_not_take() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 0 {
            instance.tracks.files = vec![file(Effect::Fault, Some(0))];
        }
    });
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.holding()), (Role::Backup, vec![1]));
    says(&mut lan, FileSays::Missing);
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [0]);
}

fn web() -> ProcessPattern {
    ProcessPattern { name: "web".to_owned(), cmdline: None }
}

fn process(effect: Effect) -> TrackedProcess {
    let (well, delays) = (WellWhile::There, LinkDelays::default());
    TrackedProcess { pattern: web(), min: 1, max: Some(3), well, effect, delays }
}

fn run(lan: &mut Lan, count: Result<u32, &str>) {
    lan.hand_in(0, Input::Processes { pattern: web(), count: count.map_err(str::to_owned) });
}

/// Node 0 has one process, and serves.
fn serving(tracked: TrackedProcess) -> Lan {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 0 {
            instance.tracks.processes = vec![tracked.clone()];
        }
    });
    run(&mut lan, Ok(1));
    running(lan)
}

#[test]
fn a_process_that_ends_is_a_fault_until_it_runs_again() {
    let mut lan = serving(process(Effect::Fault));
    for (count, why) in
        [(0, "process web: 0 running, not 1 to 3 (tracked)"), (4, "process web: 4 running, not 1 to 3 (tracked)")]
    {
        run(&mut lan, Ok(count));
        assert_eq!((lan.role(0), reason(&lan, 0).as_str(), lan.holds(0)), (Role::Fault, why, false));
        lan.run_for(SECOND * 5);
        assert_eq!(lan.holding(), [1]);
        run(&mut lan, Ok(2));
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0]);
    }
}

#[test]
fn a_process_has_a_weight_and_may_be_unwanted() {
    let mut lan = serving(process(Effect::Weight(-20)));
    run(&mut lan, Ok(0));
    assert_eq!(said(&lan, 0, "priority").unwrap(), "process web: 0 running, not 1 to 3 (-20): this node bids 80 now");
    let mut lan = serving(TrackedProcess { min: 0, max: Some(1), ..process(Effect::Fault) });
    run(&mut lan, Ok(2));
    assert_eq!(lan.role(0), Role::Fault);
    let mut lan = serving(TrackedProcess { min: 2, max: None, well: WellWhile::Absent, ..process(Effect::Fault) });
    run(&mut lan, Ok(2));
    assert_eq!(reason(&lan, 0), "process web: 2 running, which is at least 2 (tracked)");
}

#[test]
fn a_process_is_given_time() {
    let delays = LinkDelays { up: SECOND * 3, down: SECOND * 2 };
    let mut lan = serving(TrackedProcess { delays, ..process(Effect::Fault) });
    run(&mut lan, Ok(0));
    lan.run_for(millis(1900));
    run(&mut lan, Ok(1));
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [0], "a restart moves nothing");
    run(&mut lan, Ok(0));
    lan.run_for(millis(1000));
    run(&mut lan, Ok(4));
    lan.run_for(millis(1001));
    assert_eq!(lan.role(0), Role::Fault, "not well is not well");
    run(&mut lan, Ok(1));
    lan.run_for(millis(2900));
    assert_eq!(lan.role(0), Role::Fault);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
}

/// R20: nobody knows, so the role stays as it is.
#[test]
fn r20_processes_that_cannot_be_seen_are_not_known_to_run() {
    let mut lan = serving(process(Effect::Fault));
    run(&mut lan, Err("/proc is mounted with hidepid"));
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
    assert!(
        said(&lan, 0, "track_unknown").unwrap().starts_with("process web: /proc is mounted with hidepid (tracked)")
    );
    run(&mut lan, Ok(0));
    assert_eq!(lan.role(0), Role::Fault);
    run(&mut lan, Err("/proc is mounted with hidepid"));
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.holding()), (Role::Backup, vec![1]));
}

/// A policy with a weight moves the priority, hands over, and says why.
#[test]
fn a_policy_with_a_weight_is_no_fault() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 0 {
            instance.policies = vec!["check_local".to_owned()];
            instance.policy_weights = [("check_local".to_owned(), -20)].into();
        }
    });
    lan = running(lan);
    lan.set_policy(0, false);
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), bid(&lan, 0), lan.holding()), (Role::Backup, Some(80), vec![1]), "{}", lan.tale(20));
    assert!(said(&lan, 0, "priority").unwrap().starts_with("policy check_local: "));
    assert!(lan.settle_counts().nobody <= HANDOVER);
    lan.power_off(1);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0], "it serves where nobody is better off");
    lan.set_policy(0, true);
    lan.run_for(SECOND * 3);
    assert_eq!((bid(&lan, 0), said(&lan, 0, "priority")), (Some(100), None));
}
