//! Addresses in a real kernel.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        clock::BootClock,
        namespace::{Far, address, alone, eventually, ip, ip_shows, name},
        rtnl::Seen,
    },
    *,
};
use crate::{
    config::{Manner, NetworkRoute, Scope},
    node::Lifetime,
};

const SECOND: Duration = Duration::from_secs(1);

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// For two seconds, with nothing configured besides.
fn hold(addresses: &[&str]) -> Hold {
    Hold {
        instance: "web".to_owned(),
        interface: name("va"),
        addresses: nets(addresses),
        manners: BTreeMap::new(),
        configured: nets(addresses),
        lifetime: Lifetime::For(2 * SECOND),
        not_after: None,
    }
}

fn held(holder: &Holder) -> Vec<IpNet> {
    holder.held().flat_map(|(_, _, addresses)| addresses).collect()
}

fn is_there(wanted: &str) -> bool {
    address("va", wanted).is_some()
}

#[test]
fn a_held_address_is_marked_usable_and_goes_by_itself() {
    alone(|| {
        let _far = Far::connect();
        let mut holder = Holder::open().unwrap();
        for (wanted, short) in [("192.168.0.60/24", "192.168.0.60"), ("fd00::60/128", "fd00::60")] {
            holder.apply(&hold(&[wanted])).unwrap();
            let start = Instant::now();
            let seen = address("va", short).unwrap();
            assert_eq!((seen.marked, seen.usable, seen.remaining), (kernel_keeps_marks(), true, Some(2 * SECOND)));
            assert_eq!(held(&holder), nets(&[wanted]));
            eventually("the end of the lease", || (!is_there(short)).then_some(()));
            let lasted = start.elapsed();
            println!("{wanted}: {lasted:?}");
            assert!(lasted > 2 * SECOND - Duration::from_millis(20) && lasted < 3 * SECOND + SECOND / 5, "{lasted:?}");
        }
    });
}

#[test]
fn renewing_keeps_it_and_the_mark() {
    alone(|| {
        let _far = Far::connect();
        let mut holder = Holder::open().unwrap();
        let mut wanted = hold(&["192.168.0.60/24", "fd00::60/64", "fd00::61/128"]);
        wanted.lifetime = Lifetime::For(SECOND);
        let end = Instant::now() + 2 * SECOND + SECOND / 2;
        while Instant::now() < end {
            holder.apply(&wanted).unwrap();
            for short in ["192.168.0.60", "fd00::60", "fd00::61"] {
                let seen = address("va", short).unwrap();
                assert_eq!((seen.marked, seen.usable), (kernel_keeps_marks(), true));
            }
            thread::sleep(SECOND / 4);
        }
        assert_eq!(ip_shows("-6 addr show dev va to fd00::61").matches("deprecated").count(), 1);
        assert_eq!(ip_shows("-6 addr show dev va to fd00::60").matches("deprecated").count(), 0);
        // And for ever, and leased again.
        wanted.lifetime = Lifetime::Forever;
        holder.apply(&wanted).unwrap();
        assert_eq!(address("va", "192.168.0.60").unwrap().remaining, None);
        assert_eq!(address("va", "fd00::61").unwrap().remaining, None);
        wanted.lifetime = Lifetime::For(SECOND);
        holder.apply(&wanted).unwrap();
        assert_eq!(address("va", "192.168.0.60").unwrap().remaining, Some(SECOND));
        assert_eq!(address("va", "fd00::60").unwrap().remaining, Some(SECOND));
    });
}

#[test]
fn nothing_is_written_too_late() {
    alone(|| {
        let _far = Far::connect();
        let mut holder = Holder::open().unwrap();
        let mut late = hold(&["192.168.0.60/24"]);
        late.not_after = Some(BootClock.now() - Duration::from_millis(7));
        let why = holder.apply(&late).unwrap_err();
        assert!(why.starts_with("192.168.0.60/24 not renewed on va: "), "{why}");
        assert!(!is_there("192.168.0.60"));
        assert_eq!(held(&holder), []);
        late.not_after = Some(BootClock.now() + SECOND);
        holder.apply(&late).unwrap();
        assert!(is_there("192.168.0.60"));
        // Too late to renew is not too late to let go.
        let none = Hold { addresses: Vec::new(), not_after: Some(BootClock.now() - SECOND), ..late };
        holder.apply(&none).unwrap();
        assert!(!is_there("192.168.0.60"));
    });
}

#[test]
fn exactly_what_is_wanted_is_held() {
    alone(|| {
        let _far = Far::connect();
        let mut holder = Holder::open().unwrap();
        holder.apply(&hold(&["192.168.0.60/24", "192.168.0.61/32", "fd00::60/128"])).unwrap();
        // Less, another prefix, the same again.
        let fewer = hold(&["192.168.0.60/32", "fd00::60/128"]);
        for _ in 0..2 {
            holder.apply(&fewer).unwrap();
            assert!(!is_there("192.168.0.61"));
            assert_eq!(address("va", "192.168.0.60").unwrap().address, "192.168.0.60/32".parse().unwrap());
            assert_eq!(held(&holder).len(), 2);
        }
        for _ in 0..2 {
            holder.apply(&Hold { addresses: Vec::new(), ..fewer.clone() }).unwrap();
            assert!(!is_there("192.168.0.60") && !is_there("fd00::60"));
        }
        assert_eq!(held(&holder), []);
        assert!(is_there("192.168.0.1") && is_there("fd00::1") && is_there("fe80::1"));
    });
}

#[test]
fn what_is_configured_and_not_wanted_goes_whoever_put_it_there() {
    alone(|| {
        let _far = Far::connect();
        ip("addr add 192.168.0.60/32 dev va");
        ip("addr add fd00::60/64 dev va nodad");
        ip("addr add 192.168.0.62/24 dev va");
        let mut holder = Holder::open().unwrap();
        let mut web = hold(&["192.168.0.60/24", "fd00::60/128"]);
        web.addresses.clear();
        holder.apply(&web).unwrap();
        assert!(!is_there("192.168.0.60") && !is_there("fd00::60"));
        assert!(is_there("192.168.0.62") && is_there("fd00::1"));
    });
}

#[test]
fn an_address_is_put_there_as_it_is_written_and_goes_again() {
    alone(|| {
        let _far = Far::connect();
        let mut holder = Holder::open().unwrap();
        let mut web = hold(&["192.168.0.60/24", "192.168.0.61/24", "10.9.0.1/32", "fd00:9::60/64"]);
        let shown = || [ip_shows("addr show dev va"), ip_shows("-6 route show dev va")].concat();
        holder.apply(&web).unwrap();
        assert!(!shown().contains("va:web") && shown().contains("fd00:9::/64"), "{}", shown());
        // In another manner while it is held: nobody else's address moves.
        let manners = [
            ("192.168.0.60/24", Manner { label: Some("va:web".to_owned()), ..Manner::default() }),
            ("192.168.0.61/24", Manner { broadcast: Some([192, 168, 0, 255].into()), ..Manner::default() }),
            ("10.9.0.1/32", Manner { peer: Some([10, 9, 0, 2].into()), scope: Some(Scope::Link), ..Manner::default() }),
            ("fd00:9::60/64", Manner { network_route: NetworkRoute::LeftOut, ..Manner::default() }),
        ];
        web.manners = manners.map(|(address, manner)| (address.parse().unwrap(), manner)).into();
        for _ in 0..2 {
            holder.apply(&web).unwrap();
            for line in [
                "192.168.0.60/24 scope global secondary dynamic va:web",
                "192.168.0.61/24 brd 192.168.0.255 scope global secondary",
                "10.9.0.1 peer 10.9.0.2/32 scope link",
            ] {
                let text = shown();
                let plain = text.replace(" proto 0x70", "");
                assert!(plain.contains(line), "{line}: {text}");
            }
            // The route that was made ends with the lease that made it.
            let route = ip_shows("-6 route show dev va fd00:9::/64");
            assert!(route.is_empty() || route.contains("expires"), "{route}");
            assert!(shown().contains("fd00:9::60/64 scope global nodad dynamic noprefixroute"), "{}", shown());
            assert_eq!(held(&holder).len(), 4);
        }
        let until = Instant::now() + 4 * SECOND;
        while Instant::now() < until {
            holder.apply(&web).unwrap();
            thread::sleep(SECOND / 4);
        }
        let route = ip_shows("-6 route show dev va fd00:9::/64");
        assert!(route.is_empty() || route.contains("expires -"), "renewals do not prolong it: {route}");
        holder.apply(&Hold { addresses: Vec::new(), ..web.clone() }).unwrap();
        let gone = || !["192.168.0.60", "192.168.0.61", "10.9.0.1", "fd00:9::60"].iter().any(|it| is_there(it));
        assert!(gone(), "{}", shown());
        // What a predecessor left, with its far end, goes too.
        ip("addr add 10.9.0.1 peer 10.9.0.2/32 dev va");
        holder.apply(&Hold { addresses: Vec::new(), ..web.clone() }).unwrap();
        assert!(gone() && is_there("192.168.0.1"), "{}", shown());
        // And what is there in another manner when it is first held is brought into the one that is wanted.
        ip("addr add 192.168.0.60/24 dev va");
        holder.apply(&web).unwrap();
        assert!(shown().contains("va:web"), "{}", shown());
        // The next process finds it as it wants it and leaves it alone, or brings it into its own manner.
        let mut next = Holder::open().unwrap();
        let mut events = Rtnl::open(super::super::rtnl::GROUPS).unwrap();
        next.apply(&web).unwrap();
        while let Some(seen) = events.events().unwrap() {
            assert!(!seen.iter().any(|seen| matches!(seen, Seen::DelAddress(_))), "{seen:?}");
        }
        web.manners.clear();
        Holder::open().unwrap().apply(&web).unwrap();
        assert!(is_there("192.168.0.60") && !shown().contains("va:web"), "{}", shown());
    });
}

#[test]
fn an_address_of_two_instances_goes_with_the_second() {
    alone(|| {
        let _far = Far::connect();
        let mut holder = Holder::open().unwrap();
        let web = hold(&["192.168.0.60/24"]);
        let mail = Hold { instance: "mail".to_owned(), ..web.clone() };
        holder.apply(&web).unwrap();
        holder.apply(&mail).unwrap();
        holder.apply(&Hold { addresses: Vec::new(), ..web }).unwrap();
        assert!(is_there("192.168.0.60"));
        holder.release_all().unwrap();
        assert!(!is_there("192.168.0.60"));
    });
}

#[test]
fn many_addresses_in_one_go() {
    alone(|| {
        let _far = Far::connect();
        let mut holder = Holder::open().unwrap();
        let all: Vec<String> = (0..500).map(|at| format!("10.1.{}.{}/32", at / 250, at % 250)).collect();
        let texts: Vec<&str> = all.iter().map(String::as_str).collect();
        let start = Instant::now();
        holder.apply(&hold(&texts)).unwrap();
        println!("500 added in {:?}", start.elapsed());
        assert!(is_there("10.1.0.0") && is_there("10.1.1.249"));
        assert_eq!(held(&holder).len(), 500);
        holder.release_all().unwrap();
        assert!(!is_there("10.1.0.0") && !is_there("10.1.1.249"));
    });
}

#[test]
fn an_interface_that_is_gone_or_made_anew() {
    alone(|| {
        let far = Far::connect();
        let mut holder = Holder::open().unwrap();
        let web = hold(&["192.168.0.60/24"]);
        holder.apply(&web).unwrap();
        ip("link del va");
        let why = holder.apply(&web).unwrap_err();
        assert!(why.starts_with("192.168.0.60/24 cannot be held on va: there is no such interface"), "{why}");
        holder.release_all().unwrap();
        assert_eq!(held(&holder), []);
        drop(far);
        let _far = Far::connect();
        holder.apply(&web).unwrap();
        ip("link del va");
        let _far = Far::connect();
        holder.apply(&web).unwrap();
        assert!(is_there("192.168.0.60"));
        // Renamed, it is still let go of.
        ip("link set va down");
        ip("link set va name wan");
        ip("link set wan up");
        assert!(address("wan", "192.168.0.60").is_some());
        holder.release_all().unwrap();
        assert!(address("wan", "192.168.0.60").is_none());
    });
}

#[test]
fn errors_of_the_kernel_are_sentences_and_the_rest_is_done() {
    alone(|| {
        let _far = Far::connect();
        let mut holder = Holder::open().unwrap();
        holder.apply(&hold(&["192.168.0.61/24"])).unwrap();
        fs::write("/proc/sys/net/ipv6/conf/va/disable_ipv6", "1").unwrap();
        let why = holder.apply(&hold(&["fd00::60/128", "192.168.0.60/24"])).unwrap_err();
        assert!(
            why.contains("fd00::60/128 is not held on va: the kernel refused it") && why.contains("disable_ipv6"),
            "{why}"
        );
        assert!(is_there("192.168.0.60") && !is_there("192.168.0.61"));
        assert_eq!(held(&holder), nets(&["192.168.0.60/24"]));
    });
}

/// Rule R12: the virtual address is the first of its network.
#[test]
fn the_end_of_the_first_address_of_a_network_leaves_the_others() {
    alone(|| {
        let _far = Far::connect();
        let switch = "/proc/sys/net/ipv4/conf/va/promote_secondaries";
        fs::write("/proc/sys/net/ipv4/conf/all/promote_secondaries", "0").unwrap();
        fs::write(switch, "0").unwrap();
        let mut holder = Holder::open().unwrap();
        let vip = hold(&["10.0.0.60/24"]);
        holder.apply(&vip).unwrap();
        ip("addr add 10.0.0.1/24 dev va");
        assert_eq!(fs::read_to_string(switch).unwrap().trim(), "1");
        eventually("the end of the lease", || (!is_there("10.0.0.60")).then_some(()));
        assert!(is_there("10.0.0.1"));
        assert!(ip_shows("route show dev va").contains("10.0.0.0/24"));
        // The other way to set the switch.
        fs::write(switch, "0").unwrap();
        let index = holder.netlink.index_of(&name("va")).unwrap();
        let results = holder.netlink.change(vec![promote_secondaries(index)], None).unwrap();
        results.into_iter().collect::<io::Result<()>>().unwrap();
        assert_eq!(fs::read_to_string(switch).unwrap().trim(), "1");
        assert_eq!(holder.take_warnings(), [""; 0]);
    });
}

/// Somebody put the virtual address there before its own one, and this node has never held it.
#[test]
fn what_was_never_held_takes_nothing_along_when_it_is_removed() {
    alone(|| {
        let _far = Far::connect();
        for switch in ["all", "va"].map(|of| format!("/proc/sys/net/ipv4/conf/{of}/promote_secondaries")) {
            fs::write(switch, "0").unwrap();
        }
        ip("addr add 10.0.0.60/24 dev va");
        ip("addr add 10.0.0.1/24 dev va");
        let mut holder = Holder::open().unwrap();
        let removed = holder.remove(&name("va"), &["10.0.0.60".parse().unwrap()], Which::Any).unwrap();
        assert_eq!(removed, nets(&["10.0.0.60/24"]));
        assert!(!is_there("10.0.0.60") && is_there("10.0.0.1"));
    });
}

/// Somebody turns the switch back while the address is held, and the interface's own one is the second of its network.
#[test]
fn what_takes_others_along_is_looked_at_before_each_removal() {
    alone(|| {
        let _far = Far::connect();
        let back = || {
            for switch in ["all", "va"].map(|of| format!("/proc/sys/net/ipv4/conf/{of}/promote_secondaries")) {
                fs::write(switch, "0").unwrap();
            }
        };
        back();
        let mut holder = Holder::open().unwrap();
        holder.apply(&hold(&["10.0.0.60/24"])).unwrap();
        ip("addr add 10.0.0.1/24 dev va");
        back();
        holder.apply(&hold(&[])).unwrap();
        assert!(!is_there("10.0.0.60") && is_there("10.0.0.1"));
        assert_eq!(holder.take_warnings(), [""; 0]);
    });
}

/// As from a router advertisement: the interface's own address and its route have a lifetime.
#[test]
fn a_lease_does_not_cut_down_the_route_of_the_interface() {
    alone(|| {
        let _far = Far::connect();
        ip("addr add fd02::1/64 dev va valid_lft 1000 preferred_lft 1000 nodad");
        let mut holder = Holder::open().unwrap();
        let mut vip = hold(&["fd00::60/64", "fd01::60/64", "fd02::60/64"]);
        vip.lifetime = Lifetime::For(SECOND);
        for _ in 0..3 {
            holder.apply(&vip).unwrap();
        }
        let route = |net: &str| ip_shows(&format!("-6 route show dev va {net}"));
        assert!(route("fd01::/64").contains("fd01::/64"), "alone in its network it makes the route");
        let gone = |short: &&str| !is_there(short);
        let leases = ["fd00::60", "fd01::60", "fd02::60"];
        eventually("the end of the leases", || leases.iter().all(gone).then_some(()));
        assert!(route("fd00::/64").contains("fd00::/64") && !route("fd00::/64").contains("expires"));
        let own = route("fd02::/64");
        let (_, rest) = own.split_once("expires ").expect(&own);
        let seconds: u32 = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
        assert!(seconds > 900, "{own}");
    });
}

#[test]
fn what_is_left_behind_is_removed_by_name_and_mark() {
    alone(|| {
        let _far = Far::connect();
        let mut first = Holder::open().unwrap();
        let mut web = hold(&["192.168.0.60/24", "fd00::60/64"]);
        web.lifetime = Lifetime::Forever;
        first.apply(&web).unwrap();
        drop(first);
        ip("addr add 192.168.0.61/24 dev va");
        let named: Vec<IpAddr> =
            ["192.168.0.60", "192.168.0.61", "192.168.0.62", "fd00::60"].map(|text| text.parse().unwrap()).to_vec();
        let mut second = Holder::open().unwrap();
        if kernel_keeps_marks() {
            let removed = second.remove(&name("va"), &named, Which::Marked).unwrap();
            assert_eq!(removed, web.addresses);
            assert!(is_there("192.168.0.61"));
        }
        second.remove(&name("va"), &named, Which::Any).unwrap();
        assert!(!is_there("192.168.0.61") && is_there("192.168.0.1"));
        assert_eq!(second.remove(&name("nowhere"), &named, Which::Any).unwrap(), []);
    });
}
