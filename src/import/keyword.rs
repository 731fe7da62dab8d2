//! The words of keepalived, and what becomes of each. One table: where `ha` learns something, one row changes.

/// Where a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    /// At the top of the file.
    Root,
    /// In `global_defs`.
    Global,
    /// In `vrrp_script`.
    Script,
    /// In `track_file`, at the top of the file.
    File,
    /// In `vrrp_track_process`.
    Process,
    /// In `vrrp_instance`.
    Instance,
    /// Behind an address in `virtual_ipaddress`.
    Address,
    /// In `vrrp_sync_group`.
    Group,
}

/// What becomes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// It is read; so many words may follow it, the rest keepalived ignores.
    Mapped(usize),
    /// It is left out, for this reason.
    Dropped(&'static str),
    /// It cannot be left out; this is what to do.
    Refused(&'static str),
}

use Becomes::{Dropped, Mapped, Refused};
use Context::{Address, File, Global, Group, Instance, Process, Root, Script};

const ANY: usize = usize::MAX;
pub(super) const ANNOUNCES: &str =
    "ha announces in its own rhythm: at the takeover, when another node lets go, and every announce_refresh";
const CHECKS_SOURCES: &str = "ha hears only the peers in any case";
const NOT_LVS: &str =
    "ha does no load balancing: keep keepalived for it in a file of its own, and remove this block here";
const NOT_BFD: &str = "ha speaks no BFD: remove it, or ask the neighbour with ping or arping in a policy";
const SCHEDULING: &str = "how the process is scheduled is the unit's and realtime_priority's business";
const KERNEL: &str = "a matter of keepalived's own sockets";
const REPORTS: &str = "ha reports in its own way: ha status, the journal";
const DEFAULT: &str = "it is so anyway";
const DIFFERING: &str = "in version 2 ha does not believe an advertisement whose list of addresses differs: it says so (condition peer_rejected), \
                         and stays backup while the addresses answer. Change both nodes together; version 3 believes it";
const ANSWERS: &str = "ha answers a lower master at once (RFC 9568), so that it gives way an interval earlier";
const OWNERS: &str = "an owner of ha gives way to another owner with a higher address: deaf to each other both would serve. Remove the line";
const ELSEWHERE: &str = "ha announces on the instance's interface only: remove the line";
const FILTERS: &str = "accept = false has a table of nftables of its own; virtual MAC addresses need none";

/// Every word, with what becomes of it.
pub const KEYWORDS: &[(Context, &str, Becomes)] = &[
    (Root, "global_defs", Mapped(0)),
    (Root, "vrrp_instance", Mapped(1)),
    (Root, "vrrp_script", Mapped(1)),
    (Root, "vrrp_sync_group", Mapped(1)),
    (Root, "vrrp_track_process", Mapped(1)),
    (Process, "process", Mapped(ANY)),
    (Process, "param_match", Mapped(1)),
    (Process, "full_command", Mapped(0)),
    (Process, "weight", Mapped(2)),
    (Process, "quorum", Mapped(1)),
    (Process, "quorum_max", Mapped(1)),
    (Process, "delay", Mapped(1)),
    (Process, "fork_delay", Mapped(1)),
    (Process, "terminate_delay", Mapped(1)),
    (Root, "track_file", Mapped(1)),
    (Root, "vrrp_track_file", Mapped(1)),
    (File, "file", Mapped(1)),
    (File, "weight", Mapped(2)),
    (File, "init_file", Mapped(2)),
    (Root, "bfd_instance", Refused(NOT_BFD)),
    (
        Root,
        "static_ipaddress",
        Refused("give the machine these addresses by its own network configuration, and remove this block"),
    ),
    (
        Root,
        "static_routes",
        Refused("give the machine these routes by its own network configuration, and remove this block"),
    ),
    (
        Root,
        "static_rules",
        Refused("give the machine these rules by its own network configuration, and remove this block"),
    ),
    (Root, "track_group", Refused("it belongs to static addresses and routes: remove it with them")),
    (Root, "interface_up_down_delays", Mapped(0)),
    (
        Root,
        "linkbeat_interfaces",
        Refused("ha learns of the carrier from the kernel: remove this block unless the driver cannot tell"),
    ),
    (Root, "garp_group", Mapped(0)),
    (Root, "linkbeat_use_polling", Dropped("ha learns of the carrier from the kernel")),
    (Root, "namespace_with_ipsets", Dropped(FILTERS)),
    (Root, "virtual_server", Refused(NOT_LVS)),
    (Root, "virtual_server_group", Refused(NOT_LVS)),
    (Root, "SSL", Refused(NOT_LVS)),
    (Root, "net_namespace", Mapped(1)),
    (Root, "net_namespace_ipvs", Refused(NOT_LVS)),
    (Root, "instance", Dropped("it names files of keepalived; where it is used by ${_INSTANCE} it is written out")),
    (Root, "use_pid_dir", Dropped("ha has no file of this kind")),
    (Root, "child_wait_time", Dropped("ha has no child processes of this kind")),
    (Root, "process_names", Dropped("ha has no child processes of this kind")),
    (Root, "config_copy_directory", Dropped("ha reads its own file once")),
    (Root, "tmp_config_directory", Dropped("ha reads its own file once")),
    (Root, "reload_check_config", Dropped("ha checks every configuration before it runs it")),
    (Root, "include_check", Dropped("every include must be there for the import")),
    (Group, "group", Mapped(ANY)),
    (
        Group,
        "sync_group_tracking_weight",
        Dropped("it is so anyway: what a check adds to the priority of one member, ha adds to all"),
    ),
    (
        Group,
        "global_tracking",
        Dropped("it is so anyway: what a check adds to the priority of one member, ha adds to all"),
    ),
    (Group, "smtp_alert", Mapped(1)),
    (Group, "notify", Mapped(3)),
    (Group, "notify_master", Mapped(3)),
    (Group, "notify_backup", Mapped(3)),
    (Group, "notify_fault", Mapped(3)),
    (Group, "notify_stop", Mapped(3)),
    (Group, "notify_priority_changes", Mapped(1)),
    (Group, "track_interface", Mapped(0)),
    (Group, "track_script", Mapped(0)),
    (Group, "track_process", Mapped(0)),
    (Group, "track_file", Mapped(0)),
    (Group, "track_bfd", Refused(NOT_BFD)),
    (Global, "router_id", Mapped(1)),
    (Global, "notification_email", Mapped(0)),
    (Global, "notification_email_from", Mapped(1)),
    (Global, "smtp_server", Mapped(2)),
    (Global, "smtp_connect_timeout", Mapped(1)),
    (Global, "smtp_alert", Mapped(1)),
    (Global, "smtp_alert_vrrp", Mapped(1)),
    (Global, "smtp_alert_checker", Dropped("it is about load balancing")),
    (Global, "smtp_helo_name", Dropped("ha says this machine's name")),
    (Global, "no_email_faults", Dropped("ha mails faults too")),
    (Global, "vrrp_version", Mapped(1)),
    (Global, "vrrp_garp_master_refresh", Mapped(1)),
    (Global, "vrrp_no_swap", Mapped(1)),
    (Global, "script_user", Mapped(2)),
    (
        Global,
        "enable_script_security",
        Dropped("ha runs only what allow_exec lists, and only if nobody else can write it"),
    ),
    (
        Global,
        "vrrp_strict",
        Refused(
            "in this mode keepalived sends no password, and answers no ping on the addresses unless its priority is 255: ha cannot do that; \
        remove the line on both nodes",
        ),
    ),
    (Global, "vrrp_iptables", Dropped(FILTERS)),
    (Global, "vrrp_ipsets", Dropped(FILTERS)),
    (Global, "nftables", Dropped(FILTERS)),
    (Global, "nftables_priority", Dropped(FILTERS)),
    (Global, "nftables_counters", Dropped(FILTERS)),
    (Global, "nftables_ifindex", Dropped(FILTERS)),
    (Global, "nftables_ipvs", Refused(NOT_LVS)),
    (Global, "nftables_ipvs_priority", Refused(NOT_LVS)),
    (Global, "nftables_ipvs_start_fwmark", Refused(NOT_LVS)),
    (Global, "disable_local_igmp", Dropped("a device of ha is up on the master only, and joins no group of its own")),
    (Global, "vmac_prefix", Refused("write the name behind use_vmac of each instance, and remove the line")),
    (Global, "vmac_addr_prefix", Refused("in ha the device on eth1 is called ha-51-eth1: remove the line")),
    (Global, "vrrp_mcast_group4", Mapped(1)),
    (Global, "vrrp_mcast_group6", Mapped(1)),
    (Global, "vrrp_skip_check_adv_addr", Dropped(DIFFERING)),
    (Global, "vrrp_check_unicast_src", Dropped(CHECKS_SOURCES)),
    (Global, "vrrp_garp_master_delay", Mapped(1)),
    (Global, "vrrp_garp_master_repeat", Mapped(1)),
    (Global, "vrrp_garp_master_refresh_repeat", Mapped(1)),
    (Global, "vrrp_garp_lower_prio_delay", Mapped(1)),
    (Global, "vrrp_garp_lower_prio_repeat", Mapped(1)),
    (Global, "vrrp_garp_interval", Mapped(1)),
    (Global, "vrrp_gna_interval", Mapped(1)),
    (Global, "vrrp_min_garp", Mapped(1)),
    (Global, "vrrp_garp_extra_if", Refused(ELSEWHERE)),
    (Global, "vrrp_vmac_garp_intvl", Refused(ELSEWHERE)),
    (Global, "vrrp_lower_prio_no_advert", Dropped(ANSWERS)),
    (Global, "vrrp_higher_prio_send_advert", Dropped(DEFAULT)),
    (Global, "vrrp_owner_ignore_adverts", Refused(OWNERS)),
    (Global, "vrrp_down_timer_adverts", Mapped(1)),
    (Global, "vrrp_startup_delay", Mapped(1)),
    (Global, "vrrp_delay_after_boot", Mapped(1)),
    (Global, "vrrp_notify_priority_changes", Mapped(1)),
    (Global, "v3_checksum_as_v2", Refused("write it in each vrrp_instance instead")),
    (Global, "vrrp_rt_priority", Dropped(SCHEDULING)),
    (Global, "vrrp_priority", Dropped(SCHEDULING)),
    (Global, "vrrp_rlimit_rttime", Dropped(SCHEDULING)),
    (Global, "vrrp_rlimit_rtime", Dropped(SCHEDULING)),
    (Global, "vrrp_cpu_affinity", Dropped(SCHEDULING)),
    (Global, "max_auto_priority", Dropped(SCHEDULING)),
    (Global, "min_auto_priority_delay", Dropped(SCHEDULING)),
    (Global, "checker_priority", Dropped(SCHEDULING)),
    (Global, "checker_rt_priority", Dropped(SCHEDULING)),
    (Global, "checker_no_swap", Dropped(SCHEDULING)),
    (Global, "bfd_priority", Dropped(SCHEDULING)),
    (Global, "bfd_rt_priority", Dropped(SCHEDULING)),
    (Global, "bfd_no_swap", Dropped(SCHEDULING)),
    (Global, "process_names", Dropped(SCHEDULING)),
    (Global, "process_name", Dropped(SCHEDULING)),
    (Global, "vrrp_process_name", Dropped(SCHEDULING)),
    (Global, "checker_process_name", Dropped(SCHEDULING)),
    (Global, "lvs_process_name", Dropped(SCHEDULING)),
    (Global, "bfd_process_name", Dropped(SCHEDULING)),
    (Global, "checker_cpu_affinity", Dropped(SCHEDULING)),
    (Global, "checker_rlimit_rttime", Dropped(SCHEDULING)),
    (Global, "checker_rlimit_rtime", Dropped(SCHEDULING)),
    (Global, "bfd_cpu_affinity", Dropped(SCHEDULING)),
    (Global, "bfd_rlimit_rttime", Dropped(SCHEDULING)),
    (Global, "bfd_rlimit_rtime", Dropped(SCHEDULING)),
    (Global, "notify_fifo", Mapped(3)),
    (
        Global,
        "notify_fifo_script",
        Refused(
            "ha starts no program for a FIFO: start it as a unit of its own that reads events.fifo, and remove the line",
        ),
    ),
    (Global, "vrrp_notify_fifo", Mapped(3)),
    (
        Global,
        "vrrp_notify_fifo_script",
        Refused(
            "ha starts no program for a FIFO: start it as a unit of its own that reads events.fifo, and remove the line",
        ),
    ),
    (Global, "lvs_notify_fifo", Refused(NOT_LVS)),
    (Global, "lvs_notify_fifo_script", Refused(NOT_LVS)),
    (Global, "fifo_write_vrrp_states_on_reload", Dropped("it is about FIFOs")),
    (Global, "startup_script", Refused("write it as ExecStartPre= of the unit, and remove the line")),
    (Global, "startup_script_timeout", Dropped("it is about startup_script")),
    (Global, "shutdown_script", Refused("write it as ExecStopPost= of the unit, and remove the line")),
    (Global, "shutdown_script_timeout", Dropped("it is about shutdown_script")),
    (Global, "default_interface", Dropped("it is for static addresses and load balancing")),
    (Global, "dynamic_interfaces", Dropped("ha waits for an interface that is not there")),
    (
        Global,
        "net_namespace",
        Refused(
            "keepalived does not know it here, and stays in its own network: write it at the top of the file, or remove it",
        ),
    ),
    (Global, "lvs_sync_daemon", Refused(NOT_LVS)),
    (Global, "lvs_flush", Refused(NOT_LVS)),
    (Global, "lvs_flush_on_stop", Refused(NOT_LVS)),
    (Global, "lvs_flush_onstop", Refused(NOT_LVS)),
    (Global, "lvs_timeouts", Refused(NOT_LVS)),
    (Global, "rs_init_notifies", Dropped("it is about load balancing")),
    (Global, "no_checker_emails", Dropped("it is about load balancing")),
    (Global, "lvs_id", Dropped("an old name for a label")),
    (Global, "checker_log_all_failures", Dropped("it is about load balancing")),
    (Global, "log_unknown_vrids", Dropped(REPORTS)),
    (Global, "enable_snmp_keepalived", Refused("ha speaks no SNMP: remove the line")),
    (Global, "enable_snmp_vrrp", Refused("ha speaks no SNMP: remove the line")),
    (Global, "enable_snmp_checker", Refused("ha speaks no SNMP: remove the line")),
    (Global, "enable_snmp_rfc", Refused("ha speaks no SNMP: remove the line")),
    (Global, "enable_snmp_rfcv2", Refused("ha speaks no SNMP: remove the line")),
    (Global, "enable_snmp_rfcv3", Refused("ha speaks no SNMP: remove the line")),
    (Global, "enable_traps", Refused("ha speaks no SNMP: remove the line")),
    (Global, "snmp_socket", Dropped("it is about SNMP")),
    (Global, "snmp_vs_stats_update_interval", Dropped("it is about SNMP")),
    (Global, "snmp_rs_stats_update_interval", Dropped("it is about SNMP")),
    (Global, "enable_dbus", Refused("ha is not on D-Bus: remove the line, and use ha status")),
    (Global, "dbus_service_name", Dropped("it is about D-Bus")),
    (Global, "dbus_no_interface_name", Dropped("it is about D-Bus")),
    (Global, "use_symlink_paths", Dropped("ha runs what allow_exec lists")),
    (Global, "reload_check_config", Dropped("ha checks every configuration before it runs it")),
    (Global, "reload_time_file", Refused("ha has no timed reload: remove the line")),
    (Global, "reload_repeat", Dropped("it is about reload_time_file")),
    (Global, "reload_file", Dropped("it is about how keepalived reloads")),
    (Global, "config_save_dir", Dropped("ha keeps the last good configuration by itself")),
    (Global, "data_use_instance", Dropped(REPORTS)),
    (Global, "state_dump_file", Dropped(REPORTS)),
    (Global, "stats_dump_file", Dropped(REPORTS)),
    (Global, "json_dump_file", Dropped(REPORTS)),
    (Global, "json_version", Dropped(REPORTS)),
    (Global, "umask", Dropped("ha sets the mode of each file it writes")),
    (Global, "random_seed", Dropped("it is about ${_RANDOM}")),
    (Global, "iproute_usr_dir", Dropped("names of routing tables are not used")),
    (Global, "iproute_etc_dir", Dropped("names of routing tables are not used")),
    (Global, "set_supplementary_groups", Dropped("it is about the users of scripts")),
    (Global, "vrrp_rx_bufs_policy", Dropped(KERNEL)),
    (Global, "vrrp_rx_bufs_multiplier", Dropped(KERNEL)),
    (Global, "vrrp_netlink_cmd_rcv_bufs", Dropped(KERNEL)),
    (Global, "vrrp_netlink_cmd_rcv_bufs_force", Dropped(KERNEL)),
    (Global, "vrrp_netlink_monitor_rcv_bufs", Dropped(KERNEL)),
    (Global, "vrrp_netlink_monitor_rcv_bufs_force", Dropped(KERNEL)),
    (Global, "lvs_netlink_cmd_rcv_bufs", Dropped(KERNEL)),
    (Global, "lvs_netlink_monitor_rcv_bufs", Dropped(KERNEL)),
    (Global, "lvs_netlink_cmd_rcv_bufs_force", Dropped(KERNEL)),
    (Global, "lvs_netlink_monitor_rcv_bufs_force", Dropped(KERNEL)),
    (Global, "process_monitor_rcv_bufs", Dropped(KERNEL)),
    (Global, "process_monitor_rcv_bufs_force", Dropped(KERNEL)),
    (Script, "script", Mapped(ANY)),
    (Script, "interval", Mapped(1)),
    (Script, "timeout", Mapped(1)),
    (Script, "weight", Mapped(2)),
    (Script, "rise", Mapped(1)),
    (Script, "fall", Mapped(1)),
    (Script, "user", Mapped(2)),
    (
        Script,
        "init_fail",
        Dropped(
            "it has no effect in keepalived either; in ha a rule that is not known yet keeps the node from serving",
        ),
    ),
    (Instance, "state", Mapped(1)),
    (Instance, "interface", Mapped(1)),
    (Instance, "virtual_router_id", Mapped(1)),
    (Instance, "priority", Mapped(1)),
    (Instance, "advert_int", Mapped(1)),
    (Instance, "version", Mapped(1)),
    (Instance, "nopreempt", Mapped(1)),
    (Instance, "preempt", Dropped(DEFAULT)),
    (Instance, "preempt_delay", Mapped(1)),
    (Instance, "authentication", Mapped(0)),
    (Instance, "virtual_ipaddress", Mapped(0)),
    (Instance, "unicast_peer", Mapped(0)),
    (Instance, "unicast_src_ip", Mapped(1)),
    (Instance, "mcast_src_ip", Mapped(1)),
    (Instance, "v3_checksum_as_v2", Mapped(1)),
    (Instance, "garp_master_refresh", Mapped(1)),
    (Instance, "track_script", Mapped(0)),
    (Instance, "smtp_alert", Mapped(1)),
    (Instance, "virtual_ipaddress_excluded", Mapped(0)),
    (Instance, "virtual_routes", Mapped(0)),
    (Instance, "virtual_rules", Mapped(0)),
    (
        Instance,
        "no_virtual_ipaddress",
        Refused("an instance of ha has at least one address: write the address that moves"),
    ),
    (Instance, "track_interface", Mapped(0)),
    (Instance, "track_process", Mapped(0)),
    (Instance, "track_file", Mapped(0)),
    (Instance, "track_bfd", Refused(NOT_BFD)),
    (Instance, "track_src_ip", Dropped("ha waits while its source address is missing")),
    (Instance, "use_vmac", Mapped(ANY)),
    (Instance, "vmac_xmit_base", Mapped(0)),
    (Instance, "dont_track_primary", Mapped(0)),
    (Instance, "use_vmac_addr", Mapped(0)),
    (Instance, "use_ipvlan", Refused("ha has no ipvlan: remove the line")),
    (Instance, "accept", Mapped(0)),
    (Instance, "no_accept", Mapped(0)),
    (
        Instance,
        "strict_mode",
        Refused(
            "in this mode keepalived sends no password, and answers no ping on the addresses: ha cannot do that; remove the line on both nodes",
        ),
    ),
    (Instance, "notify_master", Mapped(3)),
    (Instance, "notify_backup", Mapped(3)),
    (Instance, "notify_fault", Mapped(3)),
    (Instance, "notify_stop", Mapped(3)),
    (Instance, "notify_deleted", Mapped(3)),
    (Instance, "notify_master_rx_lower_pri", Mapped(3)),
    (Instance, "notify", Mapped(3)),
    (Instance, "notify_priority_changes", Mapped(1)),
    (Instance, "down_timer_adverts", Mapped(1)),
    (Instance, "timer_expired_backup", Dropped("ha looks for another holder whenever it woke up late")),
    (Instance, "thread_timer_expired", Dropped("ha looks for another holder whenever it woke up late")),
    (Instance, "lower_prio_no_advert", Dropped(ANSWERS)),
    (Instance, "higher_prio_send_advert", Dropped(DEFAULT)),
    (Instance, "owner_ignore_adverts", Refused(OWNERS)),
    (Instance, "skip_check_adv_addr", Dropped(DIFFERING)),
    (Instance, "check_unicast_src", Dropped(CHECKS_SOURCES)),
    (Instance, "unicast_ttl", Mapped(1)),
    (Instance, "unicast_fault_no_peer", Dropped("ha does not start without a peer in unicast")),
    (Instance, "mcast_dst_ip", Mapped(1)),
    (Instance, "vrf", Refused("ha has no VRF of its own: name the interface instead")),
    (
        Instance,
        "old_unicast_checksum",
        Refused("it is for keepalived 1.3.6 and older: update the other node first, and remove the line"),
    ),
    (Instance, "kernel_rx_buf_size", Dropped(KERNEL)),
    (Instance, "linkbeat_use_polling", Dropped("ha learns of the carrier from the kernel")),
    (Instance, "promote_secondaries", Dropped("ha sets it before it holds an address")),
    (Instance, "garp_master_delay", Mapped(1)),
    (Instance, "garp_master_repeat", Mapped(1)),
    (Instance, "garp_master_refresh_repeat", Mapped(1)),
    (Instance, "garp_lower_prio_delay", Mapped(1)),
    (Instance, "garp_lower_prio_repeat", Mapped(1)),
    (Instance, "garp_extra_if", Refused(ELSEWHERE)),
    (Instance, "vmac_garp_intvl", Refused(ELSEWHERE)),
    (Instance, "debug", Dropped("it does nothing in keepalived")),
    (Instance, "native_ipv6", Dropped("the family is that of the addresses")),
    (Instance, "lvs_sync_daemon_interface", Refused(NOT_LVS)),
    (Instance, "auth_hmac", Mapped(0)),
    (Address, "dev", Mapped(1)),
    (Address, "brd", Mapped(1)),
    (Address, "broadcast", Mapped(1)),
    (Address, "label", Mapped(1)),
    (Address, "scope", Mapped(1)),
    (Address, "peer", Mapped(1)),
    (Address, "home", Dropped("ha marks its addresses by itself")),
    (Address, "-nodad", Dropped(DEFAULT)),
    (Address, "nodad", Dropped(DEFAULT)),
    (
        Address,
        "mngtmpaddr",
        Refused("the kernel makes no temporary address beside one that lives as short as ha's lease: remove the word"),
    ),
    (Address, "noprefixroute", Mapped(0)),
    (
        Address,
        "autojoin",
        Refused(
            "the kernel takes it for a multicast address only, so keepalived never holds this one: remove the word",
        ),
    ),
    (Address, "no_track", Mapped(0)),
    (Address, "preferred_lft", Dropped("the lifetime of the address is ha's lease")),
    (Address, "use_vmac", Mapped(0)),
];

/// What becomes of a word; `None`: keepalived does not know it either.
#[must_use]
pub fn becomes(context: Context, word: &str) -> Option<Becomes> {
    KEYWORDS.iter().find(|(at, name, _)| *at == context && *name == word).map(|(_, _, becomes)| *becomes)
}

/// Where a word stands that is unknown where it was written.
#[must_use]
pub fn elsewhere(word: &str) -> Option<&'static str> {
    KEYWORDS.iter().find(|(_, name, _)| *name == word).map(|(at, _, _)| match at {
        Root => "at the top of the file",
        Global => "in global_defs",
        Script => "in vrrp_script",
        File => "in track_file",
        Process => "in vrrp_track_process",
        Instance => "in vrrp_instance",
        Address => "behind an address",
        Group => "in vrrp_sync_group",
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_is_there_once_and_says_what_to_do() {
        let mut seen = BTreeSet::new();
        for (context, name, becomes) in KEYWORDS {
            assert!(seen.insert((*context, *name)), "{name} is there twice");
            match becomes {
                Mapped(_) => {}
                Dropped(why) | Refused(why) => assert!(!why.is_empty() && !why.ends_with('.'), "{name}"),
            }
        }
    }
}
