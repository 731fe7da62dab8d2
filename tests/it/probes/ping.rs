//! ping: loopback answers, nobody answers, many at once, no privilege.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use ha::policy::probe::{ErrorKind, Field, PingRequest, ProbeKind, ProbeOutcome, ProbeRequest, Prober};
use socket2::{Domain, Protocol, Socket, Type};

use super::{World, assert_outcome, assert_took, float, ping, request};

/// Nobody has it (RFC 6890), and the route to it, if there is one, ends nowhere.
const NOBODY: &str = "192.0.2.99";

fn may_ping(domain: Domain, protocol: Protocol) -> bool {
    [Type::RAW, Type::DGRAM].iter().any(|kind| Socket::new(domain, *kind, Some(protocol)).is_ok())
}

/// Whether the test can be made at all; says so if not.
fn permitted() -> bool {
    let permitted = may_ping(Domain::IPV4, Protocol::ICMPV4) && may_ping(Domain::IPV6, Protocol::ICMPV6);
    if !permitted {
        eprintln!("skipped: this process may not ping");
    }
    permitted
}

fn of(ping: PingRequest) -> ProbeRequest {
    request(ProbeKind::Ping(ping))
}

#[test]
fn loopback_answers_in_both_families() {
    if !permitted() {
        return;
    }
    let world = World::new();
    for host in ["127.0.0.1", "::1"] {
        let outcome = world.probe(&of(ping(host)));
        assert_outcome(&outcome, true, ErrorKind::None, "1/1 replies");
        assert_eq!((&outcome.fields["sent"], &outcome.fields["received"]), (&Field::Int(1), &Field::Int(1)));
        assert_eq!(outcome.fields["loss"], Field::Float(0.0));
        let (rtt, rtt_max) = (float(&outcome, "rtt"), float(&outcome, "rtt_max"));
        assert!(0.0 < rtt && rtt <= rtt_max && rtt_max < 1.0, "{rtt} {rtt_max}");
    }
}

#[test]
fn the_first_sufficient_reply_decides() {
    if !permitted() {
        return;
    }
    let outcome = World::new().probe(&of(PingRequest { count: 3, ..ping("127.0.0.1") }));
    assert_outcome(&outcome, true, ErrorKind::None, "1/1 replies");
    assert!(outcome.elapsed < Duration::from_millis(200), "did not wait for the second");
}

#[test]
fn all_replies_are_awaited_if_all_are_wanted() {
    if !permitted() {
        return;
    }
    let gap = Duration::from_millis(50);
    let outcome = World::new().probe(&of(PingRequest { count: 3, min: 3, gap, ..ping("127.0.0.1") }));
    assert_outcome(&outcome, true, ErrorKind::None, "3/3 replies");
    assert!(outcome.elapsed >= gap * 2, "spaced by the gap");
}

#[test]
fn the_source_and_the_interface_are_as_told() {
    if !permitted() {
        return;
    }
    let world = World::new();
    let source: IpAddr = "127.0.0.9".parse().unwrap();
    let told = ProbeRequest { bind: Some(source), iface: Some("lo".to_owned()), ..of(ping("127.0.0.1")) };
    assert_outcome(&world.probe(&told), true, ErrorKind::None, "1/1 replies");
    let foreign = ProbeRequest { bind: Some("192.0.2.7".parse().unwrap()), ..of(ping("127.0.0.1")) };
    let why = "192.0.2.7: cannot assign requested address";
    assert_outcome(&world.probe(&foreign), false, ErrorKind::Unreachable, why);
    let missing = ProbeRequest { iface: Some("nosuch0".to_owned()), ..of(ping("127.0.0.1")) };
    assert_outcome(&world.probe(&missing), false, ErrorKind::Unreachable, "no interface nosuch0");
    let mixed = ProbeRequest { bind: Some(source), ..of(ping("::1")) };
    assert_outcome(&world.probe(&mixed), false, ErrorKind::Dns, "::1 has no IPv4 address");
}

/// Bound to loopback, so that no router can have an opinion.
fn into_the_void(count: u16) -> ProbeRequest {
    let silent = PingRequest { count, gap: Duration::from_millis(50), ..ping(NOBODY) };
    ProbeRequest { timeout: Duration::from_millis(300), iface: Some("lo".to_owned()), ..of(silent) }
}

#[test]
fn nobody_answers_within_one_deadline_for_all() {
    if !permitted() {
        return;
    }
    let outcome = World::new().probe(&into_the_void(3));
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout, 0/3 replies");
    assert_took(&outcome, Duration::from_millis(300));
    assert_eq!(outcome.fields["loss"], Field::Float(1.0));
    assert_eq!(outcome.fields["rtt"], Field::Unit);
}

#[test]
fn concurrent_pings_never_take_each_others_replies() {
    if !permitted() {
        return;
    }
    let world = World::new();
    let all = PingRequest { count: 5, min: 5, gap: Duration::from_millis(10), ..ping("127.0.0.1") };
    let began_at = Instant::now();
    let living: Vec<_> = (0..50).map(|_| world.prober.start(&of(all.clone()))).collect();
    let dead: Vec<_> = (0..10).map(|_| world.prober.start(&into_the_void(1))).collect();
    let outcomes: Vec<ProbeOutcome> = living.iter().map(|pending| pending.recv().unwrap()).collect();
    assert!(outcomes.iter().all(|outcome| outcome.why == "5/5 replies"), "{outcomes:?}");
    for pending in dead {
        assert_outcome(&pending.recv().unwrap(), false, ErrorKind::Timeout, "timeout, 0/1 replies");
    }
    assert!(began_at.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_name_is_looked_up() {
    if !permitted() {
        return;
    }
    let outcome = World::new().probe(&of(ping("localhost")));
    assert_outcome(&outcome, true, ErrorKind::None, "1/1 replies");
}
