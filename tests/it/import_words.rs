//! Every word of keepalived that is essential or common, by the tables of the study of 177 public configurations, and what
//! becomes of it: so that none is missing without a word.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own machinery")]

use ha::import::{
    Files, Machine, import,
    ledger::{Fate, Place},
};

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Root,
    Global,
    Script,
    Process,
    Instance,
    /// In `virtual_ipaddress`.
    Addresses,
    Group,
}

use At::{Addresses, Global, Group, Instance, Process, Root, Script};
use Fate::{Dropped, Mapped, Refused};

/// What a line comes to: in the files that are written where it is mapped, else in what is said of it.
type Word = (At, &'static str, Fate, &'static str);

/// Blocks, comments, quotes, booleans, includes, conditions.
const GRAMMAR: &[Word] = &[
    (Global, "router_id ha1 # the first", Mapped, "node = \"ha1\""),
    (Global, "router_id \"ha 1\"", Mapped, "node = \"ha 1\""),
    (Instance, "! nothing", Mapped, ""),
    (Instance, "@node1 priority 120", Mapped, "priority = 120"),
    (Instance, "@^node1 priority 120", Dropped, ""),
    (Instance, "nopreempt off", Mapped, ""),
    (Instance, "prioritee 120", Dropped, "unknown keyword"),
    (Instance, "priority 120 state BACKUP", Dropped, "keepalived ignores what follows"),
    (Root, "include more.conf", Mapped, ""),
];

/// Identity and election.
const ELECTION: &[Word] = &[
    (Instance, "virtual_router_id 52", Mapped, "virtual_router_id = 52"),
    (Instance, "interface eth9", Mapped, "interface = \"eth9\""),
    (Instance, "state MASTER", Mapped, "priority decides"),
    (Instance, "state BACKUP", Mapped, "every node starts as backup"),
    (Instance, "priority 150", Mapped, "priority = 150"),
    (Instance, "advert_int 5", Mapped, "advertise = \"5s\""),
    (Instance, "version 3", Mapped, "version = 3"),
    (Instance, "nopreempt", Mapped, "preempt = false"),
    (Instance, "preempt_delay 30", Mapped, "preempt_delay = \"30s\""),
    (Instance, "skip_check_adv_addr", Dropped, "stays backup while the addresses answer"),
];

/// Transport and authentication.
const TRANSPORT: &[Word] = &[
    (Instance, "unicast_peer { 192.168.0.21 }", Mapped, "peers = [\"192.168.0.21\"]"),
    (Instance, "unicast_peer { 192.168.0.21 min_ttl 250 max_ttl 254 }", Mapped, "min_ttl = 250"),
    (Instance, "mcast_src_ip 192.168.0.20", Mapped, "source = \"192.168.0.20\""),
    (Instance, "unicast_src_ip 192.168.0.20", Dropped, "for unicast only"),
    (Instance, "check_unicast_src", Dropped, "hears only the peers"),
    (Instance, "authentication { auth_type PASS; auth_pass 1111 }", Refused, ""),
    (Instance, "authentication {\n auth_type PASS\n auth_pass 1111\n }", Mapped, "auth.password"),
];

/// Addresses, routes, devices.
const ADDRESSES: &[Word] = &[
    (Addresses, "10.0.0.9/24", Mapped, "\"10.0.0.9/24\""),
    (Addresses, "10.0.0.9/24 brd +", Mapped, "broadcast = \"auto\""),
    (Addresses, "10.0.0.9/24 brd 10.0.0.255", Mapped, "broadcast = \"10.0.0.255\""),
    (Addresses, "10.0.0.9/24 dev eth1", Mapped, "device = \"eth1\""),
    (Addresses, "10.0.0.9/24 scope link", Mapped, "scope = \"link\""),
    (Addresses, "10.0.0.9/24 label eth0:9", Mapped, "label = \"eth0:9\""),
    (Addresses, "10.0.0.9/32 peer 10.0.0.8", Mapped, "peer = \"10.0.0.8\""),
    (Addresses, "10.0.0.9/24 home", Dropped, "marks its addresses"),
    (Addresses, "10.0.0.9/24 -nodad", Dropped, "so anyway"),
    (Addresses, "10.0.0.9/24 mngtmpaddr", Dropped, "no temporary addresses"),
    (Addresses, "10.0.0.9/24 noprefixroute", Mapped, "network_route = false"),
    (Addresses, "10.0.0.9/24 autojoin", Refused, "multicast address only"),
    (Addresses, "10.0.0.9/24 no_track", Mapped, "track = false"),
    (Addresses, "10.0.0.9/24 preferred_lft 0", Dropped, "ha's lease"),
    (Addresses, "10.0.0.9/24 use_vmac", Refused, "have one MAC address"),
    (Addresses, "10.0.0.9/24 dev eth1 use_vmac", Mapped, "device = \"eth1\", virtual_mac = true"),
    (Instance, "virtual_ipaddress_excluded { fd00::9/64 }", Mapped, "addresses_excluded = [\"fd00::9/64\"]"),
    (Instance, "virtual_routes { 10.3.0.0/16 via 192.168.0.1 metric 50 }", Mapped, "metric = 50"),
    (Instance, "virtual_routes { 10.3.0.0/16 via 192.168.0.1 no_track }", Mapped, "track = false"),
    (Instance, "virtual_rules { from 10.8.0.0/16 table 100 preference 500 }", Mapped, "priority = 500"),
    (Instance, "use_vmac", Mapped, "virtual_mac = true"),
    (Instance, "use_vmac_addr", Mapped, "each address on another interface"),
    (Instance, "use_vmac vrrp51", Mapped, "virtual_mac_name = \"vrrp51\""),
    (Instance, "vmac_xmit_base", Dropped, ""),
    (Instance, "accept", Dropped, "so anyway"),
    (Instance, "no_accept", Mapped, "accept = false"),
    (Instance, "dont_track_primary", Mapped, "track_own_interface = false"),
];

/// Gratuitous ARP and neighbour advertisements, of an instance and of all.
const ANNOUNCEMENTS: &[Word] = &[
    (Instance, "garp_master_repeat 2", Mapped, "announce_repeat = 2"),
    (Instance, "garp_master_delay 10", Mapped, "announce_delay = \"10s\""),
    (Instance, "garp_master_refresh 60", Mapped, "announce_refresh = \"60s\""),
    (Instance, "garp_master_refresh_repeat 2", Mapped, "announce_refresh_repeat = 2"),
    (Global, "vrrp_garp_master_repeat 2", Mapped, "announce_repeat = 2"),
    (Global, "vrrp_garp_master_delay 10", Mapped, "announce_delay = \"10s\""),
    (Global, "vrrp_garp_master_refresh 60", Mapped, "announce_refresh = \"60s\""),
    (Global, "vrrp_garp_master_refresh_repeat 2", Mapped, "announce_refresh_repeat = 2"),
    (Global, "vrrp_garp_lower_prio_repeat 2", Mapped, "announce_lower_repeat = 2"),
    (Global, "vrrp_garp_lower_prio_delay 10", Mapped, "announce_lower_delay = \"10s\""),
    (Global, "vrrp_garp_interval 0.01", Mapped, "announce_interval = \"10ms\""),
    (Global, "vrrp_gna_interval 0.01", Mapped, ""),
    (Global, "vrrp_min_garp", Mapped, "announce_repeat = 1"),
];

/// Tracking.
const TRACKING: &[Word] = &[
    (Instance, "track_script { chk weight -20 }", Mapped, "policies = [\"chk\"]"),
    (Instance, "track_script { chk weight 20 reverse }", Mapped, "policies = [\"chk\"]"),
    (Instance, "track_script { chk weight -20 noreverse }", Mapped, "policies = [\"chk\"]"),
    (Instance, "track_script { chk_typo }", Refused, "chk_typo"),
    (Instance, "track_interface { eth1 }", Mapped, "track.interfaces = [\"eth1\"]"),
    (Instance, "track_interface { eth1 weight -20 reverse }", Mapped, "reverse = true"),
    (Instance, "track_process { web }", Mapped, "track.processes"),
    (Process, "process /usr/sbin/nginx", Mapped, "track.processes = [\"nginx\"]"),
    (Process, "process nginx -x\nparam_match initial", Mapped, "cmdline"),
    (Process, "full_command", Mapped, ""),
    (Process, "weight -20", Mapped, "weight = -20"),
    (Process, "quorum 2", Mapped, "min = 2"),
    (Process, "quorum_max 3", Mapped, "max = 3"),
    (Process, "delay 1", Mapped, "up_delay = \"1s\""),
    (Process, "fork_delay 1", Mapped, "up_delay = \"1s\""),
    (Process, "terminate_delay 1", Mapped, "down_delay = \"1s\""),
    (Script, "script \"/usr/bin/pgrep haproxy\"", Mapped, "process(\"haproxy\""),
    (Script, "interval 2", Mapped, "INTERVAL = \"2s\""),
    (Script, "timeout 3", Mapped, "timeout: \"3s\""),
    (Script, "weight -20", Mapped, "weight: 20"),
    (Script, "rise 4", Mapped, "rise: 4"),
    (Script, "fall 4", Mapped, "fall: 4"),
    (Script, "user haproxy", Mapped, ""),
];

/// Notifications, of an instance and of a group.
const NOTIFICATIONS: &[Word] = &[
    (Instance, "notify_master /etc/n.sh", Mapped, "notify.master = [\"/etc/n.sh\"]"),
    (Instance, "notify_backup \"/etc/n.sh b\"", Mapped, "notify.backup = [\"/etc/n.sh\", \"b\"]"),
    (Instance, "notify_fault /etc/n.sh", Mapped, "notify.fault = [\"/etc/n.sh\"]"),
    (Instance, "notify /etc/n.sh", Mapped, "notify.run = [\"/etc/n.sh\"]"),
    (Instance, "notify_stop /etc/n.sh", Mapped, "notify.stop = [\"/etc/n.sh\"]"),
    (Instance, "notify_master_rx_lower_pri /etc/n.sh", Mapped, "notify.lower_priority = [\"/etc/n.sh\"]"),
    (Group, "notify_master /etc/n.sh", Mapped, "notify.master = [\"/etc/n.sh\"]"),
    (Group, "notify_backup /etc/n.sh", Mapped, "notify.backup = [\"/etc/n.sh\"]"),
    (Group, "notify_fault /etc/n.sh", Mapped, "notify.fault = [\"/etc/n.sh\"]"),
    (Group, "notify /etc/n.sh", Mapped, "notify.run = [\"/etc/n.sh\"]"),
    (Group, "notify_stop /etc/n.sh", Mapped, "notify.stop = [\"/etc/n.sh\"]"),
    (Group, "smtp_alert", Mapped, ""),
    (Group, "group { VI_1 VI_2 }", Mapped, "instances = [\"VI_1\", \"VI_2\"]"),
];

/// Everything else, for the whole node.
const NODE: &[Word] = &[
    (Global, "vrrp_startup_delay 5", Mapped, "start_delay = \"5s\""),
    (Global, "vrrp_delay_after_boot 60", Mapped, "boot_delay = \"60s\""),
    (Global, "script_user haproxy", Mapped, ""),
    (Global, "enable_script_security", Dropped, "allow_exec"),
    (Global, "notification_email { ops@example.org }", Mapped, "to = [\"ops@example.org\"]"),
    (Global, "notification_email_from ha@example.org", Mapped, "from = \"ha@example.org\""),
    (Global, "smtp_server 192.0.2.25 2525", Mapped, "smtp = \"192.0.2.25:2525\""),
    (Global, "smtp_connect_timeout 10", Mapped, "timeout = \"10s\""),
    (Global, "smtp_helo_name node1", Dropped, "this machine's name"),
    (Global, "smtp_alert", Mapped, ""),
    (Global, "smtp_alert_vrrp", Mapped, ""),
    (Global, "no_email_faults", Dropped, "mails faults too"),
    (Global, "vrrp_version 3", Mapped, "version = 3"),
    (Global, "vrrp_mcast_group4 224.0.0.99", Mapped, "multicast_group = \"224.0.0.99\""),
    (Global, "vrrp_mcast_group6 ff02::99", Mapped, ""),
    (Global, "vrrp_skip_check_adv_addr", Dropped, "stays backup while the addresses answer"),
    (Global, "vrrp_check_unicast_src", Dropped, "hears only the peers"),
    (Global, "vrrp_strict", Refused, "remove the line on both nodes"),
    (Global, "default_interface eth1", Dropped, "static addresses"),
    (Global, "dynamic_interfaces", Dropped, "waits for an interface"),
    (Global, "max_auto_priority 50", Dropped, "realtime_priority"),
    (Global, "min_auto_priority_delay 100", Dropped, "realtime_priority"),
    (Global, "reload_check_config", Dropped, "checks every configuration"),
    (Root, "interface_up_down_delays { eth0 1 2 }", Mapped, "down_delay = \"1s\""),
];

/// Words that few write, among them those that came with 2.2.8, 2.3 and 2.4: each is known by its name.
const RARE: &[Word] = &[
    (Instance, "no_virtual_ipaddress", Refused, "at least one address"),
    (Instance, "timer_expired_backup 200", Dropped, "woke up late"),
    (Instance, "thread_timer_expired", Dropped, "woke up late"),
    (Instance, "owner_ignore_adverts", Refused, "owner"),
    (Instance, "v3_checksum_as_v2", Dropped, ""),
    (Instance, "vmac_garp_intvl all", Refused, "instance's interface only"),
    (Instance, "garp_extra_if all", Refused, "instance's interface only"),
    (Instance, "use_vmac name vrrp51", Mapped, "virtual_mac_name = \"vrrp51\""),
    (Instance, "use_vmac vrrp51 netlink_notify_msg", Dropped, "lets the kernel tell of its device"),
    (Instance, "use_vmac group 7", Refused, "no group of interfaces"),
    (Instance, SIGNED, Mapped, "auth_hmac.active_key = 1"),
    (Instance, UNSIGNED, Refused, "without it keepalived neither signs nor checks"),
    (Root, "linkbeat_use_polling", Dropped, "carrier from the kernel"),
    (Root, "namespace_with_ipsets", Dropped, "nftables"),
    (Global, "vrrp_owner_ignore_adverts", Refused, "owner"),
    (Global, "vrrp_vmac_garp_intvl 5", Refused, "instance's interface only"),
    (Global, "v3_checksum_as_v2", Refused, "in each vrrp_instance"),
    (Global, "use_symlink_paths", Dropped, "allow_exec"),
    (Global, "dbus_no_interface_name nothing", Dropped, "D-Bus"),
    (Global, "snmp_vs_stats_update_interval 5", Dropped, "SNMP"),
    (Global, "snmp_rs_stats_update_interval 5", Dropped, "SNMP"),
    (Global, "json_version 2", Dropped, "reports in its own way"),
    (Global, "state_dump_file /tmp/state", Dropped, "reports in its own way"),
    (Global, "iproute_usr_dir /usr/share/iproute2", Dropped, "routing tables"),
    (Global, "process_name keepalived", Dropped, "scheduled"),
    (Global, "vrrp_process_name vrrp", Dropped, "scheduled"),
    (Global, "checker_process_name checker", Dropped, "scheduled"),
    (Global, "lvs_process_name lvs", Dropped, "scheduled"),
    (Global, "bfd_process_name bfd", Dropped, "scheduled"),
    (Global, "checker_cpu_affinity 1", Dropped, "scheduled"),
    (Global, "checker_rlimit_rttime 1000", Dropped, "scheduled"),
    (Global, "checker_rlimit_rtime 1000", Dropped, "scheduled"),
    (Global, "bfd_cpu_affinity 1", Dropped, "scheduled"),
    (Global, "bfd_rlimit_rttime 1000", Dropped, "scheduled"),
    (Global, "bfd_rlimit_rtime 1000", Dropped, "scheduled"),
    (Global, "nftables_ipvs", Refused, "no load balancing"),
    (Global, "nftables_ipvs_priority 10", Refused, "no load balancing"),
    (Global, "nftables_ipvs_start_fwmark 1000", Refused, "no load balancing"),
    (Global, "lvs_timeouts tcp 100", Refused, "no load balancing"),
    (Global, "lvs_flush_onstop", Refused, "no load balancing"),
    (Global, "lvs_netlink_cmd_rcv_bufs_force on", Dropped, "own sockets"),
    (Global, "lvs_netlink_monitor_rcv_bufs_force on", Dropped, "own sockets"),
    (Global, "rs_init_notifies", Dropped, "load balancing"),
    (Global, "no_checker_emails", Dropped, "load balancing"),
];

const SIGNED: &str =
    "auth_hmac {\n key 1 hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n active_key 1\n}";
const UNSIGNED: &str = "auth_hmac {\n key 1 hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n}";

const ALL: [&[Word]; 9] = [GRAMMAR, ELECTION, TRANSPORT, ADDRESSES, ANNOUNCEMENTS, TRACKING, NOTIFICATIONS, NODE, RARE];

struct Beside;

impl Files for Beside {
    fn list(&self, _: &str) -> Vec<String> {
        vec!["more.conf".to_owned()]
    }

    fn exists(&self, path: &str) -> bool {
        self.read(path).is_ok()
    }

    fn read(&self, path: &str) -> Result<String, String> {
        path.ends_with("more.conf").then(|| "# nothing more\n".to_owned()).ok_or("it is not there".to_owned())
    }
}

/// A configuration with this line in it, and the line's number.
fn around(at: At, line: &str) -> (String, usize) {
    let here = |place: At| if place == at { format!("{line}\n") } else { String::new() };
    // Of what is there anyway the last one counts.
    let mail =
        ["notification_email {\n ops@example.com\n}", "smtp_server 192.0.2.1", "notification_email_from a@example.com"];
    let first_word = line.split(' ').next();
    let mail = mail.iter().filter(|other| other.split(' ').next() != first_word);
    let mail: String = mail.map(|line| format!("{line}\n")).collect();
    let process = if line.starts_with("process ") { "" } else { "process nginx\n" };
    let script = if line.starts_with("script ") { "" } else { "script \"/bin/ping -c 1 192.0.2.9\"\n" };
    let group = if line.starts_with("group ") { "" } else { "group {\n VI_1\n VI_2\n}\n" };
    let text = [
        format!("global_defs {{\n{}{mail}}}\n", here(Global)),
        here(Root),
        format!("vrrp_script chk {{\n{}{script}}}\n", here(Script)),
        format!("vrrp_track_process web {{\n{}{process}}}\n", here(Process)),
        "vrrp_instance VI_1 {\ninterface eth0\nvirtual_router_id 51\npriority 100\nadvert_int 1\n".to_owned(),
        // Mail is about instances with an alert.
        if at == Global { "smtp_alert\n" } else { "" }.to_owned(),
        if at == Script { "track_script {\n chk\n}\n" } else { "" }.to_owned(),
        if at == Process { "track_process {\n web\n}\n" } else { "" }.to_owned(),
        here(Instance),
        format!("virtual_ipaddress {{\n192.168.0.60/24\n{}}}\n}}\n", here(Addresses)),
        "vrrp_instance VI_2 {\ninterface eth0\nvirtual_router_id 99\npriority 100\n".to_owned(),
        "virtual_ipaddress {\n192.168.0.99/24\n}\n}\n".to_owned(),
        if at == Group { format!("vrrp_sync_group G {{\n{}{group}}}\n", here(Group)) } else { String::new() },
    ]
    .concat();
    let first = line.lines().next().unwrap();
    let number = text.lines().position(|it| it == first).unwrap() + 1;
    (text, number)
}

fn wrong(word: &Word) -> Option<String> {
    let (at, line, fate, says) = *word;
    let (text, number) = around(at, line);
    let machine = Machine { name: "node1".to_owned(), id: "node1".to_owned() };
    let import = import("keepalived.conf", &text, &machine, &Beside);
    let place = Place { file: 0, line: number };
    let became = import.ledger.fate(place);
    let notes: Vec<&str> = import.ledger.notes(place).iter().map(|note| note.text.as_str()).collect();
    let written: String = import.outputs.iter().map(|output| output.text.as_str()).collect();
    let about = format!("{at:?}: {line}\n  became {became:?}, {notes:?}\n  refused: {}", import.refusals());
    let is_comment = line.starts_with(['!', '#', '@']);
    if became != Some(fate) && !(is_comment && became.is_none()) {
        return Some(format!("{about}\n  should be {fate:?}"));
    }
    if import.is_refused() != (fate == Refused) {
        return Some(about);
    }
    let is_said = notes.iter().any(|note| note.contains(says)) || (fate == Mapped && written.contains(says));
    if !is_said { Some(format!("{about}\n  should say {says:?}\n{written}")) } else { None }
}

#[test]
fn no_word_that_is_essential_or_common_is_missing_without_a_word() {
    let words = ALL.iter().flat_map(|words| words.iter());
    let wrong: Vec<String> = words.filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}\n{} in all", wrong.join("\n"), wrong.len());
}
