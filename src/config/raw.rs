//! The file as written: which tables and keys there are, and the kind of each value. What they mean is `resolve`'s.

use std::time::Duration;

use toml::{Spanned, de::DeTable};

use super::{
    announce::RawAnnounce,
    auth_hmac::RawAuthHmac,
    delays::{RawLink, RawStart},
    error::{Findings, Span},
    events::RawEvents,
    group::RawGroup,
    kind::TimeOr,
    manner::{self, RawAddress},
    path::RawPath,
    privileges::RawPrivileges,
    reach::RawReach,
    routing::{RawHop, RawRoute, tables_of},
    ruling::RawRule,
    table::{Table, Written},
    told::{Occasion, RawNotify},
    track::RawTracks,
    webhook::RawWebhook,
    weighed::RawPolicy,
    witness::RawWitness,
};

/// A list of texts with the place of each.
pub(super) type Texts = Vec<Spanned<String>>;

/// The whole file.
#[derive(Debug)]
pub(super) struct RawConfig {
    pub(super) node: Written<String>,
    pub(super) policy_dir: Written<String>,
    pub(super) netns: Written<String>,
    pub(super) realtime_priority: Written<i64>,
    pub(super) lock_memory: Written<bool>,
    pub(super) boot_last_good: Written<bool>,
    pub(super) privileges: RawPrivileges,
    pub(super) start: RawStart,
    pub(super) links: Vec<RawLink>,
    pub(super) secrets_dir: Written<String>,
    pub(super) allow_exec: Written<Texts>,
    pub(super) socket: Written<String>,
    pub(super) state_dir: Written<String>,
    pub(super) probation: Written<Duration>,
    pub(super) auto_rollback: Written<bool>,
    pub(super) events: RawEvents,
    pub(super) mail: Option<RawMail>,
    pub(super) webhooks: Vec<RawWebhook>,
    pub(super) instances: Vec<RawInstance>,
    pub(super) groups: Vec<RawGroup>,
    pub(super) witness: Option<RawWitness>,
}

/// `[mail]`.
#[derive(Debug)]
pub(super) struct RawMail {
    pub(super) header: Span,
    pub(super) to: Written<Texts>,
    pub(super) from: Written<String>,
    pub(super) smtp: Written<String>,
    pub(super) timeout: Written<Duration>,
}

/// `[instance.NAME]`.
#[derive(Debug)]
pub(super) struct RawInstance {
    pub(super) name: Spanned<String>,
    pub(super) header: Span,
    pub(super) netns: Written<String>,
    pub(super) interface: Written<String>,
    pub(super) virtual_router_id: Written<i64>,
    pub(super) priority: Written<i64>,
    pub(super) version: Written<i64>,
    pub(super) advertise: Written<Duration>,
    pub(super) password: Written<String>,
    pub(super) auth_hmac: RawAuthHmac,
    pub(super) checksum: Written<String>,
    pub(super) preempt: Written<bool>,
    pub(super) preempt_delay: Written<Duration>,
    pub(super) addresses: Written<Vec<RawAddress>>,
    pub(super) addresses_excluded: Written<Vec<RawAddress>>,
    pub(super) routes: Vec<RawRoute>,
    pub(super) rules: Vec<RawRule>,
    pub(super) peers: Written<Texts>,
    pub(super) transport: Written<String>,
    pub(super) reach: RawReach,
    pub(super) source: Written<String>,
    pub(super) paths: Vec<RawPath>,
    pub(super) lease: Written<TimeOr>,
    pub(super) claim: Written<String>,
    pub(super) on_conflict: Written<String>,
    pub(super) prefer: Written<String>,
    pub(super) peer_down_adverts: Written<i64>,
    pub(super) down_adverts: Written<i64>,
    pub(super) link_settle: Written<Duration>,
    pub(super) announce: RawAnnounce,
    pub(super) notify: RawNotify,
    pub(super) accept: Written<bool>,
    pub(super) gate: Written<bool>,
    pub(super) virtual_mac: Written<bool>,
    pub(super) virtual_mac_name: Written<String>,
    pub(super) virtual_mac_advertise: Written<String>,
    pub(super) track: RawTracks,
    pub(super) track_own_interface: Written<bool>,
    pub(super) last_resort: Written<String>,
    pub(super) on_error: Written<String>,
    pub(super) error_for: Written<Duration>,
    pub(super) policies: Written<Vec<RawPolicy>>,
}

/// Reads a document; whatever is not understood goes to `out`.
pub(super) fn read(document: &DeTable<'_>, out: &mut Findings) -> RawConfig {
    let (config, tables) = read_tables(document, out);
    let keys = keys();
    for table in &tables {
        table.finish(&keys, out);
    }
    config
}

/// Every key, as one writes it: `node`, `control.socket`, `instance.NAME.priority`.
#[must_use]
pub fn keys() -> Vec<String> {
    let empty = DeTable::new();
    let mut out = Findings::nowhere();
    let (_, mut tables) = read_tables(&empty, &mut out);
    tables.extend(read_instance(Spanned::new(0..0, "NAME".to_owned()), Table::absent("instance.NAME"), &mut out).1);
    let mut webhook = Table::absent("webhook.NAME");
    RawWebhook::read(Spanned::new(0..0, "NAME".to_owned()), &mut webhook, &mut out);
    tables.push(webhook);
    for list in ["instance.NAME.addresses[]", "instance.NAME.addresses_excluded[]"] {
        let mut address = Table::absent(list);
        RawAddress::read(&mut address, &mut out);
        tables.push(address);
    }
    let mut link = Table::absent("interface.NAME");
    RawLink::read(Spanned::new(0..0, "NAME".to_owned()), &mut link, &mut out);
    tables.push(link);
    let mut path = Table::absent("instance.NAME.path.NAME");
    RawPath::read(Spanned::new(0..0, "NAME".to_owned()), &mut path, &mut out);
    tables.push(path);
    let mut nexthop = Table::absent("instance.NAME.routes[].nexthops[]");
    RawHop::read(&mut nexthop, &mut out);
    let mut route = Table::absent("instance.NAME.routes[]");
    RawRoute::read(&mut route, &mut Vec::new(), &mut out);
    let mut rule = Table::absent("instance.NAME.rules[]");
    RawRule::read(&mut rule, &mut out);
    tables.extend([nexthop, route, rule]);
    let mut group = Table::absent("group.NAME");
    RawGroup::read(Spanned::new(0..0, "NAME".to_owned()), &mut group, &mut tables, &mut out);
    tables.push(group);
    let mut policy = Table::absent("instance.NAME.policies[]");
    RawPolicy::read(&mut policy, &mut out);
    tables.push(policy);
    for table in ["instance.NAME.track", "group.NAME.track"] {
        tables.extend(RawTracks::entries(table, &mut out));
    }
    let asked: Vec<String> = tables.iter().flat_map(Table::keys).collect();
    let is_table =
        |key: &str| asked.iter().any(|other| other.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
    asked.iter().filter(|key| !is_table(key)).cloned().collect()
}

fn read_tables<'d>(document: &'d DeTable<'d>, out: &mut Findings) -> (RawConfig, Vec<Table<'d>>) {
    let mut root = Table::root(document);
    let mut control = root.table("control", out);
    let mut policy = root.table("policy", out);
    let mut privileges = root.table("privileges", out);
    let mut events = root.table("events", out);
    let mut mail = root.table("mail", out);
    let mut witness = root.table("witness", out);
    let raw_mail = RawMail {
        header: mail.header(),
        to: mail.texts("to", out),
        from: mail.text("from", out),
        smtp: mail.text("smtp", out),
        timeout: mail.time("timeout", out),
    };
    let mut tables = Vec::new();
    let mut webhooks = Vec::new();
    for (name, mut table) in root.named_tables("webhook", out) {
        webhooks.push(RawWebhook::read(name, &mut table, out));
        tables.push(table);
    }
    let mut instances = Vec::new();
    for (name, table) in root.named_tables("instance", out) {
        let (raw, read) = read_instance(name, table, out);
        instances.push(raw);
        tables.extend(read);
    }
    let mut links = Vec::new();
    for (name, mut table) in root.named_tables("interface", out) {
        links.push(RawLink::read(name, &mut table, out));
        tables.push(table);
    }
    let mut groups = Vec::new();
    for (name, mut table) in root.named_tables("group", out) {
        groups.push(RawGroup::read(name, &mut table, &mut tables, out));
        tables.push(table);
    }
    let config = RawConfig {
        node: root.text("node", out),
        policy_dir: root.text("policy_dir", out),
        netns: root.text("netns", out),
        realtime_priority: root.number("realtime_priority", out),
        lock_memory: root.flag("lock_memory", out),
        boot_last_good: root.flag("boot_last_good", out),
        privileges: RawPrivileges::read(&mut privileges, out),
        start: RawStart::read(&mut root, out),
        links,
        secrets_dir: root.text("secrets_dir", out),
        allow_exec: root.texts("allow_exec", out),
        socket: control.text("socket", out),
        state_dir: control.text("state_dir", out),
        probation: policy.time("probation", out),
        auto_rollback: policy.flag("auto_rollback", out),
        events: RawEvents::read(&mut events, out),
        mail: mail.is_present().then_some(raw_mail),
        webhooks,
        instances,
        groups,
        witness: RawWitness::read(&mut witness, out),
    };
    tables.extend([root, control, policy, privileges, events, mail, witness]);
    (config, tables)
}

fn read_instance<'d>(name: Spanned<String>, mut table: Table<'d>, out: &mut Findings) -> (RawInstance, Vec<Table<'d>>) {
    let mut tables = Vec::new();
    let mut auth = table.table("auth", out);
    let mut auth_hmac = table.table("auth_hmac", out);
    let mut notify = table.table("notify", out);
    let mut track = table.table("track", out);
    let mut paths = Vec::new();
    for (name, mut path) in table.named_tables("path", out) {
        paths.push(RawPath::read(name, &mut path, out));
        tables.push(path);
    }
    let raw = RawInstance {
        name,
        header: table.header(),
        netns: table.text("netns", out),
        interface: table.text("interface", out),
        virtual_router_id: table.number("virtual_router_id", out),
        priority: table.number("priority", out),
        version: table.number("version", out),
        advertise: table.time("advertise", out),
        password: auth.text("password", out),
        auth_hmac: RawAuthHmac::read(&mut auth_hmac, out),
        checksum: table.text("checksum", out),
        preempt: table.flag("preempt", out),
        preempt_delay: table.time("preempt_delay", out),
        addresses: manner::read("addresses", &mut table, &mut tables, out),
        addresses_excluded: manner::read("addresses_excluded", &mut table, &mut tables, out),
        routes: routes(&mut table, &mut tables, out),
        rules: rules(&mut table, &mut tables, out),
        peers: table.texts("peers", out),
        transport: table.text("transport", out),
        reach: RawReach::read(&mut table, out),
        source: table.text("source", out),
        paths,
        lease: table.time_or("lease", &["auto", "off"], out),
        claim: table.text("claim", out),
        on_conflict: table.text("on_conflict", out),
        prefer: table.text("prefer", out),
        peer_down_adverts: table.number("peer_down_adverts", out),
        down_adverts: table.number("down_adverts", out),
        link_settle: table.time("link_settle", out),
        announce: RawAnnounce::read(&mut table, out),
        notify: RawNotify::read(&mut notify, &Occasion::ALL, out),
        accept: table.flag("accept", out),
        gate: table.flag("gate", out),
        virtual_mac: table.flag("virtual_mac", out),
        virtual_mac_name: table.text("virtual_mac_name", out),
        virtual_mac_advertise: table.text("virtual_mac_advertise", out),
        track: RawTracks::read(&mut track, &mut tables, out),
        track_own_interface: table.flag("track_own_interface", out),
        last_resort: table.text("last_resort", out),
        on_error: table.text("on_error", out),
        error_for: table.time("error_for", out),
        policies: RawPolicy::read_list(&mut table, &mut tables, out),
    };
    tables.extend([table, auth, auth_hmac, notify, track]);
    (raw, tables)
}

fn routes<'d>(table: &mut Table<'d>, tables: &mut Vec<Table<'d>>, out: &mut Findings) -> Vec<RawRoute> {
    let mut list = Vec::new();
    for mut route in tables_of("routes", "{ to = \"10.0.0.0/8\", via = \"192.168.0.1\" }", table, out) {
        list.push(RawRoute::read(&mut route, tables, out));
        tables.push(route);
    }
    list
}

fn rules<'d>(table: &mut Table<'d>, tables: &mut Vec<Table<'d>>, out: &mut Findings) -> Vec<RawRule> {
    let mut list = Vec::new();
    for mut rule in tables_of("rules", "{ priority = 500, from = \"10.0.0.0/8\", table = \"100\" }", table, out) {
        list.push(RawRule::read(&mut rule, out));
        tables.push(rule);
    }
    list
}
