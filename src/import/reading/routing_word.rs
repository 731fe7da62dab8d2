//! The words of `virtual_routes` and `virtual_rules`, as keepalived 2.2.7 takes them, and what becomes of each.

use crate::import::keyword::Becomes::{self, Dropped, Mapped, Refused};

const OURS: &str = "ha marks what it sets by itself";
const STATIC_ONLY: &str = "it is about static addresses, routes and rules: remove the word";
const COMES_FIRST: &str = "ha sets a route before others of the same metric";
const METRICS: &str = "ha sets of these only mtu and advmss: remove the word with its value";
const TOS: &str =
    "ha does not route by the type of service: remove the word with its value, or mark such packets and write fwmark";
const REALMS: &str = "ha sets no realms: remove the word with its value";

/// The words of a route, with how many values follow.
pub(super) const ROUTE: &[(&str, Becomes)] = &[
    ("to", Mapped(1)),
    ("src", Mapped(1)),
    ("via", Mapped(1)),
    ("gw", Mapped(1)),
    ("or", Mapped(1)),
    ("dev", Mapped(1)),
    ("oif", Mapped(1)),
    ("table", Mapped(1)),
    ("metric", Mapped(1)),
    ("priority", Mapped(1)),
    ("preference", Mapped(1)),
    ("scope", Mapped(1)),
    ("mtu", Mapped(1)),
    ("advmss", Mapped(1)),
    ("weight", Mapped(1)),
    ("nexthop", Mapped(0)),
    ("onlink", Mapped(0)),
    ("inet", Mapped(0)),
    ("inet6", Mapped(0)),
    ("no_track", Mapped(0)),
    ("blackhole", Mapped(0)),
    ("unreachable", Mapped(0)),
    ("prohibit", Mapped(0)),
    ("throw", Mapped(0)),
    ("unicast", Mapped(0)),
    ("prepend", Dropped(COMES_FIRST)),
    ("add", Dropped(COMES_FIRST)),
    ("append", Refused("ha sets a route before others of the same metric: write a higher metric instead of this word")),
    ("protocol", Dropped(OURS)),
    ("track_group", Refused(STATIC_ONLY)),
    ("tos", Refused(TOS)),
    ("dsfield", Refused(TOS)),
    ("realm", Refused(REALMS)),
    ("realms", Refused(REALMS)),
    ("encap", Refused("ha sets no routes into tunnels of this kind: set the route by a program in notify.master")),
    ("vrf", Refused("write table with the number of the VRF's table instead (ip -d link show)")),
    ("as", Refused("write an address of one family: remove the word")),
    ("hoplimit", Refused(METRICS)),
    ("rtt", Refused(METRICS)),
    ("rttvar", Refused(METRICS)),
    ("reordering", Refused(METRICS)),
    ("window", Refused(METRICS)),
    ("cwnd", Refused(METRICS)),
    ("ssthresh", Refused(METRICS)),
    ("rto_min", Refused(METRICS)),
    ("initcwnd", Refused(METRICS)),
    ("initrwnd", Refused(METRICS)),
    ("features", Refused(METRICS)),
    ("quickack", Refused(METRICS)),
    ("congctl", Refused(METRICS)),
    ("fastopen_no_cookie", Refused(METRICS)),
    ("pref", Refused("ha sets no preference of routers: remove the word with its value")),
    ("expires", Refused("ha sets routes without an end: remove the word with its value")),
    ("ttl-propagate", Refused("ha sets no routes of MPLS: remove the word with its value")),
    ("local", Refused("ha sets no routes of this kind: remove the line")),
    ("broadcast", Refused("ha sets no routes of this kind: remove the line")),
    ("multicast", Refused("ha sets no routes of this kind: remove the line")),
    ("anycast", Refused("ha sets no routes of this kind: remove the line")),
    ("nat", Refused("ha sets no routes of this kind: remove the line")),
    ("xresolve", Refused("ha sets no routes of this kind: remove the line")),
];

/// The words of a rule, with how many values follow.
pub(super) const RULE: &[(&str, Becomes)] = &[
    ("from", Mapped(1)),
    ("to", Mapped(1)),
    ("table", Mapped(1)),
    ("lookup", Mapped(1)),
    ("preference", Mapped(1)),
    ("priority", Mapped(1)),
    ("order", Mapped(1)),
    ("fwmark", Mapped(1)),
    ("iif", Mapped(1)),
    ("dev", Mapped(1)),
    ("oif", Mapped(1)),
    ("uidrange", Mapped(1)),
    ("ip_proto", Mapped(1)),
    ("ipproto", Mapped(1)),
    ("sport", Mapped(1)),
    ("dport", Mapped(1)),
    ("suppress_prefixlength", Mapped(1)),
    ("suppress_prefixlen", Mapped(1)),
    ("l3mdev", Mapped(0)),
    ("not", Mapped(0)),
    ("inet", Mapped(0)),
    ("inet6", Mapped(0)),
    ("no_track", Mapped(0)),
    ("blackhole", Mapped(0)),
    ("unreachable", Mapped(0)),
    ("prohibit", Mapped(0)),
    ("protocol", Dropped(OURS)),
    ("track_group", Refused(STATIC_ONLY)),
    ("tos", Refused(TOS)),
    ("dsfield", Refused(TOS)),
    ("realms", Refused(REALMS)),
    ("realm", Refused(REALMS)),
    ("goto", Refused("ha sets no rules that jump: write for which packets which table is asked")),
    ("nop", Refused("a rule that does nothing is only the aim of a goto: remove the line")),
    ("nat", Refused("the kernel has no rules of this kind any more: remove the line")),
    ("map-to", Refused("the kernel has no rules of this kind any more: remove the line")),
    ("suppress_ifgroup", Refused("ha knows no groups of interfaces: remove the word with its value")),
    ("tun_id", Refused("ha does not route by tunnels: remove the word with its value")),
    ("type", Refused("write blackhole, unreachable or prohibit alone, or remove the words")),
];

/// What becomes of a word; `None`: keepalived does not know it either, and leaves the whole line out.
pub(super) fn becomes(words: &[(&str, Becomes)], word: &str) -> Option<Becomes> {
    words.iter().find(|(name, _)| *name == word).map(|(_, becomes)| *becomes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_is_there_once_and_says_what_to_do() {
        for words in [ROUTE, RULE] {
            let mut seen = BTreeSet::new();
            for (name, becomes) in words {
                assert!(seen.insert(name), "{name} is there twice");
                match becomes {
                    Mapped(_) => {}
                    Dropped(why) | Refused(why) => assert!(!why.is_empty() && !why.ends_with('.'), "{name}"),
                }
            }
        }
    }
}
