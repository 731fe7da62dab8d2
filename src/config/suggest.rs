//! "Did you mean": the nearest of the words that would have been understood.

/// What keepalived calls it, and what it is called here.
const KEEPALIVED: &[(&str, &str)] = &[
    ("advert_int", "advertise"),
    ("auth_pass", "auth.password"),
    ("auth_type", "auth.password (a version 2 instance that has one uses PASS)"),
    ("authentication", "auth.password"),
    ("brd", "broadcast"),
    ("down_timer_adverts", "down_adverts, and peer_down_adverts for the peer's"),
    ("dont_track_primary", "track_own_interface = false"),
    ("garp_lower_prio_delay", "announce_lower_delay"),
    ("garp_lower_prio_repeat", "announce_lower_repeat"),
    ("garp_master_delay", "announce_delay"),
    ("garp_master_refresh", "announce_refresh"),
    ("garp_master_refresh_repeat", "announce_refresh_repeat"),
    ("garp_master_repeat", "announce_repeat"),
    ("gw", "via"),
    ("interface_up_down_delays", "up_delay and down_delay, in [interface.NAME]"),
    ("lookup", "table"),
    ("mcast_src_ip", "source"),
    ("nexthop", "nexthops"),
    ("no_track", "track = false"),
    ("no_accept", "accept = false"),
    ("nopreempt", "preempt = false"),
    ("noprefixroute", "network_route = false"),
    ("preference", "priority"),
    ("notification_email", "to, in [mail]"),
    ("notification_email_from", "from, in [mail]"),
    ("router_id", "node"),
    ("smtp_connect_timeout", "timeout, in [mail]"),
    ("smtp_server", "smtp, in [mail]"),
    ("state", "priority: the higher one is master"),
    ("track_interface", "track.interfaces"),
    ("track_script", "policies"),
    ("unicast_peer", "peers, with transport = \"unicast\""),
    ("unicast_src_ip", "source"),
    ("v3_checksum_as_v2", "checksum = \"rfc9568\""),
    ("virtual_ipaddress", "addresses"),
    ("virtual_ips", "addresses"),
    ("virtual_routes", "routes"),
    ("virtual_rules", "rules"),
    ("vrid", "virtual_router_id"),
    ("use_vmac", "virtual_mac = true"),
    ("vrrp_delay_after_boot", "boot_delay"),
    ("vrrp_instance", "[instance.NAME]"),
    ("vrrp_startup_delay", "start_delay"),
    ("vrrp_sync_group", "[group.NAME]"),
    ("vrrp_version", "version, in [instance.NAME]"),
];

/// The candidate that differs least from `word`, if one is near enough to be meant.
pub(super) fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    let near = (word.chars().count() / 3).max(1);
    candidates
        .iter()
        .map(|candidate| (distance(&word, &plain(candidate)), *candidate))
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Our word for one of keepalived's.
pub(super) fn translated(word: &str) -> Option<&'static str> {
    KEEPALIVED.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours)
}

/// How many letters must be put in, left out or replaced to turn one word into the other. Long words count as far.
fn distance(from: &str, to: &str) -> usize {
    const LONGEST: usize = 40;
    if from.len() > LONGEST || to.len() > LONGEST {
        return usize::MAX;
    }
    let mut costs: Vec<usize> = (0..=to.chars().count()).collect();
    for (row, a) in from.chars().enumerate() {
        let mut diagonal = row;
        let mut left = row + 1;
        let mut next = vec![left];
        for (b, above) in to.chars().zip(costs.iter().skip(1)) {
            left = (diagonal + usize::from(a != b)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        costs = next;
    }
    costs.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changed_letters() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("peers", "peers", 0),
            ("peer", "peers", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn only_near_words_are_meant() {
        let keys = ["priority", "peers", "policies", "policy_dir"];
        assert_eq!(nearest("prioritty", &keys), Some("priority"));
        assert_eq!(nearest("Policy-Dir", &keys), Some("policy_dir"));
        assert_eq!(nearest("peer", &keys), Some("peers"));
        assert_eq!(nearest("weight", &keys), None);
    }

    #[test]
    fn keepalived_is_understood() {
        assert_eq!(translated("advert_int"), Some("advertise"));
        assert_eq!(translated("advertise"), None);
    }
}
