//! Routes and rules in a real kernel: as `ip` shows them.

use super::{
    super::namespace::{Far, alone, ip, ip_shows, name},
    *,
};
use crate::{
    config::{Hop, MAIN_TABLE, Refusal, RuleAction, Scope, Way},
    words::Family,
};

fn hop(via: &str) -> Hop {
    Hop { via: Some(via.parse().unwrap()), device: None, onlink: false, weight: 1 }
}

fn route(destination: &str, hops: Vec<Hop>) -> Route {
    let destination: ipnet::IpNet = destination.parse().unwrap();
    Route {
        destination,
        way: Way::Hops(hops),
        source: None,
        table: MAIN_TABLE,
        metric: Route::usual_metric(Family::of(destination.addr())),
        scope: None,
        mtu: None,
        advmss: None,
        tracked: true,
    }
}

fn rule(priority: u32, table: u32) -> Rule {
    Rule {
        family: Family::V4,
        priority,
        inverted: false,
        from: None,
        to: None,
        fwmark: None,
        iif: None,
        oif: None,
        uidrange: None,
        ip_proto: None,
        sport: None,
        dport: None,
        action: RuleAction::Table(table),
        suppress_prefixlength: None,
        tracked: true,
    }
}

fn routing(routes: Vec<Route>, rules: Vec<Rule>) -> Routing {
    Routing { routes, rules }
}

/// Sets it, without a word of complaint, and nothing was there before.
#[track_caller]
fn set(routes: &mut Routes, wanted: &Routing) {
    assert_eq!(routes.apply("web", wanted, None), Outcome::default());
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_form_of_a_route_is_as_ip_shows_it() {
    alone(|| {
        let _far = Far::connect();
        let mut routes = Routes::open().unwrap();
        let device = Some(name("va"));
        let refused = |refusal| Route { way: Way::Refused(refusal), ..route("10.9.0.0/16", vec![]) };
        let via = || vec![hop("192.168.0.2")];
        let forms = [
            (route("0.0.0.0/0", via()), "default via 192.168.0.2 dev va proto 112"),
            (
                Route { source: Some("192.168.0.1".parse().unwrap()), metric: 50, ..route("10.0.0.0/8", via()) },
                "10.0.0.0/8 via 192.168.0.2 dev va proto 112 src 192.168.0.1 metric 50",
            ),
            (
                Route { mtu: Some(1400), advmss: Some(1360), ..route("10.0.0.0/8", via()) },
                "10.0.0.0/8 via 192.168.0.2 dev va proto 112 mtu 1400 advmss 1360",
            ),
            (
                route("10.0.0.0/8", vec![Hop { via: None, device: device.clone(), ..hop("192.168.0.2") }]),
                "10.0.0.0/8 dev va proto 112 scope link",
            ),
            (
                Route {
                    scope: Some(Scope::Global),
                    ..route("10.0.0.0/8", vec![Hop { via: None, device: device.clone(), ..hop("192.168.0.2") }])
                },
                "10.0.0.0/8 dev va proto 112",
            ),
            (
                route("10.0.0.0/8", vec![Hop { device: device.clone(), onlink: true, ..hop("172.16.0.1") }]),
                "10.0.0.0/8 via 172.16.0.1 dev va proto 112 onlink",
            ),
            (
                route("10.0.0.0/8", vec![Hop { device: device.clone(), ..hop("fe80::2") }]),
                "10.0.0.0/8 via inet6 fe80::2 dev va proto 112",
            ),
            (
                route("10.0.0.0/8", vec![Hop { weight: 3, ..hop("192.168.0.2") }, hop("192.168.0.3")]),
                "10.0.0.0/8 proto 112 nexthop via 192.168.0.2 dev va weight 3 nexthop via 192.168.0.3 dev va weight 1",
            ),
            (refused(Refusal::Blackhole), "blackhole 10.9.0.0/16 proto 112"),
            (refused(Refusal::Unreachable), "unreachable 10.9.0.0/16 proto 112"),
            (refused(Refusal::Prohibit), "prohibit 10.9.0.0/16 proto 112"),
            (refused(Refusal::Throw), "throw 10.9.0.0/16 proto 112"),
            (route("::/0", vec![hop("fd00::2")]), "default via fd00::2 dev va proto 112 metric 1024 pref medium"),
            (
                Route { metric: 7, ..route("fd01::/64", vec![Hop { device, ..hop("fe80::2") }]) },
                "fd01::/64 via fe80::2 dev va proto 112 metric 7 pref medium",
            ),
        ];
        for (wanted, shown) in forms {
            set(&mut routes, &routing(vec![wanted.clone()], vec![]));
            let family = if wanted.destination.addr().is_ipv4() { "-4" } else { "-6" };
            let shows = || {
                let all = ip_shows(&format!("{family} route show"));
                let ours: Vec<&str> = all.lines().filter(|line| !line.contains("proto kernel")).collect();
                words(&ours.join(" "))
            };
            assert_eq!(shows(), shown, "{wanted}");
            set(&mut routes, &Routing::default());
            assert_eq!(shows(), "", "{wanted}");
        }
        let elsewhere = Route { table: 1000, ..route("10.0.0.0/8", via()) };
        set(&mut routes, &routing(vec![elsewhere], vec![]));
        assert_eq!(words(&ip_shows("route show table 1000")), "10.0.0.0/8 via 192.168.0.2 dev va proto 112");
    });
}

#[test]
fn every_form_of_a_rule_is_as_ip_shows_it() {
    alone(|| {
        let mut routes = Routes::open().unwrap();
        let bare = || rule(500, 1000);
        let forms = [
            (bare(), "500: from all lookup 1000 proto 112"),
            (
                Rule { from: Some("10.0.0.0/8".parse().unwrap()), to: Some("10.1.0.1/32".parse().unwrap()), ..bare() },
                "500: from 10.0.0.0/8 to 10.1.0.1 lookup 1000 proto 112",
            ),
            (Rule { fwmark: Some((0x10, 0xff)), ..bare() }, "500: from all fwmark 0x10/0xff lookup 1000 proto 112"),
            (Rule { fwmark: Some((1, u32::MAX)), ..bare() }, "500: from all fwmark 0x1 lookup 1000 proto 112"),
            (
                Rule { iif: Some(name("lo")), oif: Some(name("lo")), ..bare() },
                "500: from all iif lo oif lo lookup 1000 proto 112",
            ),
            (
                Rule {
                    uidrange: Some((0, 0)),
                    ip_proto: Some(6),
                    sport: Some((80, 80)),
                    dport: Some((1, 99)),
                    ..bare()
                },
                "500: from all uidrange 0-0 ipproto tcp sport 80 dport 1-99 lookup 1000 proto 112",
            ),
            (
                Rule { inverted: true, from: Some("10.0.0.0/8".parse().unwrap()), ..bare() },
                "500: not from 10.0.0.0/8 lookup 1000 proto 112",
            ),
            (
                Rule { suppress_prefixlength: Some(0), ..bare() },
                "500: from all lookup 1000 suppress_prefixlength 0 proto 112",
            ),
            (Rule { action: RuleAction::Refused(Refusal::Prohibit), ..bare() }, "500: from all prohibit proto 112"),
            (Rule { action: RuleAction::L3mdev, ..bare() }, "500: from all lookup [l3mdev-table] proto 112"),
        ];
        for (wanted, shown) in forms {
            set(&mut routes, &routing(vec![], vec![wanted.clone()]));
            let shows =
                || words(ip_shows("rule show").lines().find(|line| line.starts_with("500:")).unwrap_or_default());
            assert_eq!(shows(), shown, "{wanted}");
            set(&mut routes, &Routing::default());
            assert_eq!(shows(), "", "{wanted}");
        }
        set(&mut routes, &routing(vec![], vec![Rule { family: Family::V6, ..bare() }]));
        assert!(ip_shows("-6 rule show").contains("500:") && !ip_shows("rule show").contains("500:"));
    });
}

#[test]
fn what_somebody_removes_is_put_back_unless_it_is_not_tracked() {
    alone(|| {
        let _far = Far::connect();
        let mut routes = Routes::open().unwrap();
        let loose = Route { tracked: false, ..route("10.2.0.0/16", vec![hop("192.168.0.2")]) };
        let wanted = routing(vec![route("10.1.0.0/16", vec![hop("192.168.0.2")]), loose], vec![rule(500, 1000)]);
        set(&mut routes, &wanted);
        set(&mut routes, &wanted);
        ip("route del 10.1.0.0/16");
        ip("route del 10.2.0.0/16");
        ip("rule del priority 500");
        let restored = routes.apply("web", &wanted, None).restored;
        assert_eq!(restored, ["the route 10.1.0.0/16 via 192.168.0.2", "the rule 500: from all lookup 1000"]);
        assert_eq!(ip_shows("route show proto 112").lines().count(), 1);
    });
}

#[test]
fn nobody_elses_is_touched() {
    alone(|| {
        let _far = Far::connect();
        let mut routes = Routes::open().unwrap();
        ip("route add 10.1.0.0/16 via 192.168.0.9");
        ip("rule add priority 500 lookup 7");
        let wanted = routing(vec![route("10.1.0.0/16", vec![hop("192.168.0.2")])], vec![rule(500, 1000)]);
        set(&mut routes, &wanted);
        let before = ["10.1.0.0/16 via 192.168.0.2 dev va proto 112", "10.1.0.0/16 via 192.168.0.9 dev va"];
        let shown = || ip_shows("route show 10.1.0.0/16").lines().map(words).collect::<Vec<_>>();
        assert_eq!(shown(), before, "it comes first");
        // Whoever replaces the first one takes ours away.
        ip("route del 10.1.0.0/16 proto 112");
        assert_eq!(routes.apply("web", &wanted, None).restored, ["the route 10.1.0.0/16 via 192.168.0.2"]);
        assert_eq!(shown(), before);
        set(&mut routes, &Routing::default());
        assert_eq!(routes.remove(&wanted.keys()), Ok(vec![]));
        assert_eq!(shown(), ["10.1.0.0/16 via 192.168.0.9 dev va"]);
        assert!(ip_shows("rule show").contains("lookup 7"));
        // Over IPv6 the kernel would make one route of both.
        ip("-6 route add fd01::/64 dev va");
        let six = Route {
            way: Way::Hops(vec![Hop { via: None, device: Some(name("va")), ..hop("::1") }]),
            ..route("fd01::/64", vec![])
        };
        let failed = routes.apply("web", &routing(vec![six], vec![]), None).failed;
        assert!(failed.len() == 1 && failed[0].contains("not of ha"), "{failed:?}");
    });
}

/// A process before this one has left them: taken over if they are wanted, whatever they looked like, else removed.
#[test]
fn what_was_left_behind_is_taken_over_or_removed() {
    alone(|| {
        let _far = Far::connect();
        let left = routing(vec![route("10.1.0.0/16", vec![hop("192.168.0.9")])], vec![rule(500, 1000)]);
        set(&mut Routes::open().unwrap(), &left);
        let mut routes = Routes::open().unwrap();
        let wanted = routing(vec![route("10.1.0.0/16", vec![hop("192.168.0.2")])], vec![rule(500, 1000)]);
        set(&mut routes, &wanted);
        let shown = words(&ip_shows("route show proto 112"));
        assert_eq!(
            shown, "10.1.0.0/16 via 192.168.0.2 dev va 10.1.0.0/16 via 192.168.0.9 dev va",
            "what counts is first"
        );
        let removed = Routes::open().unwrap().remove(&wanted.keys()).unwrap();
        assert_eq!(removed, ["the rule 500", "the route to 10.1.0.0/16 in table 254 with metric 0"]);
        assert_eq!(ip_shows("route show proto 112"), "");
        assert!(!ip_shows("rule show").contains("500:"));
    });
}

/// Whoever gives up what another instance has takes nothing from it.
#[test]
fn what_another_instance_has_stays() {
    alone(|| {
        let _far = Far::connect();
        let mut routes = Routes::open().unwrap();
        let wanted = routing(vec![route("10.1.0.0/16", vec![hop("192.168.0.2")])], vec![rule(500, 1000)]);
        set(&mut routes, &wanted);
        assert_eq!(routes.remove(&wanted.keys()), Ok(vec![]));
        let other = routing(vec![route("10.1.0.0/16", vec![hop("192.168.0.9")])], vec![]);
        let failed = routes.apply("mail", &other, None).failed;
        assert!(
            failed.len() == 1 && failed[0].ends_with("the instance web has another one in its place"),
            "{failed:?}"
        );
        assert_eq!(words(&ip_shows("route show proto 112")), "10.1.0.0/16 via 192.168.0.2 dev va");
        assert!(ip_shows("rule show").contains("500:"));
    });
}

/// What could not be looked after, or was set although nobody said so, is removed all the same.
#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    alone(|| {
        let _far = Far::connect();
        let mut routes = Routes::open().unwrap();
        let wanted = routing(vec![route("10.1.0.0/16", vec![hop("192.168.0.2")])], vec![rule(500, 1000)]);
        let late = Some(Instant::ZERO);
        set(&mut routes, &wanted);
        assert_eq!(routes.apply("web", &wanted, late).failed.len(), 2);
        set(&mut routes, &Routing::default());
        assert_eq!(ip_shows("route show proto 112"), "");
        assert!(!ip_shows("rule show").contains("500:"));
        // Looked for at the start, then written without an answer.
        assert_eq!(routes.remove(&wanted.keys()), Ok(vec![]));
        assert_eq!(routes.apply("web", &wanted, late).failed.len(), 2);
        ip("route add 10.1.0.0/16 via 192.168.0.2 proto 112");
        ip("rule add priority 500 lookup 1000 protocol 112");
        set(&mut routes, &Routing::default());
        assert_eq!(routes.remove(&wanted.keys()).unwrap().len(), 2);
        assert_eq!(ip_shows("route show proto 112"), "");
        assert!(!ip_shows("rule show").contains("500:"));
    });
}

/// To the kernel the metric 0 of a route that is to go means any.
#[test]
fn another_metric_is_another_route() {
    alone(|| {
        let _far = Far::connect();
        let mut routes = Routes::open().unwrap();
        let low = routing(vec![route("10.1.0.0/16", vec![hop("192.168.0.2")])], vec![]);
        let high = Route { metric: 50, mtu: Some(1400), ..route("10.1.0.0/16", vec![hop("192.168.0.3")]) };
        let high = routing(vec![high], vec![]);
        let shown = || ip_shows("route show proto 112").lines().map(words).collect::<Vec<_>>();
        let [first, second] =
            ["10.1.0.0/16 via 192.168.0.2 dev va", "10.1.0.0/16 via 192.168.0.3 dev va metric 50 mtu 1400"];
        set(&mut routes, &low);
        assert_eq!(routes.apply("mail", &high, None), Outcome::default());
        assert_eq!(shown(), [first, second]);
        // Its own is gone already, and the other instance's must not go in its stead.
        ip("route del 10.1.0.0/16 metric 0 via 192.168.0.2");
        set(&mut routes, &Routing::default());
        assert_eq!(shown(), [second]);
        assert_eq!(
            routes.remove(&low.keys()),
            Ok(vec!["the route to 10.1.0.0/16 in table 254 with metric 0".to_owned()])
        );
        assert_eq!(shown(), [second], "what went along is there again");
        assert_eq!(routes.remove(&low.keys()), Ok(vec![]), "it is looked for once");
        set(&mut routes, &low);
        assert_eq!(routes.apply("mail", &Routing::default(), None), Outcome::default());
        assert_eq!(shown(), [first]);
    });
}

#[test]
fn two_instances_may_want_the_same() {
    alone(|| {
        let _far = Far::connect();
        let mut routes = Routes::open().unwrap();
        let wanted = routing(vec![route("10.1.0.0/16", vec![hop("192.168.0.2")])], vec![]);
        set(&mut routes, &wanted);
        assert_eq!(routes.apply("mail", &wanted, None), Outcome::default());
        set(&mut routes, &Routing::default());
        assert_ne!(ip_shows("route show proto 112"), "");
        assert_eq!(routes.apply("mail", &Routing::default(), None), Outcome::default());
        assert_eq!(ip_shows("route show proto 112"), "");
    });
}
