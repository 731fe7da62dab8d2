//! `global_defs`.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    announce::{self, Announce},
    delays, events, last, patience, reach, sorted, value,
};
use crate::import::{
    keyword::Context,
    ledger::{Fate, Ledger},
    outline::{Entry, Outline, list, quoted, time},
    tree::Node,
};

/// What instances need to know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::import) struct Globals {
    pub(in crate::import) version: Option<i64>,
    /// How instances announce.
    pub(in crate::import) announce: Announce,
    /// Of `vrrp_mcast_group4` and `vrrp_mcast_group6`.
    pub(in crate::import) groups: [Option<IpAddr>; 2],
    /// How many advertisements may be missed.
    pub(in crate::import) down_adverts: Option<i64>,
    pub(in crate::import) script_user: Option<String>,
    pub(in crate::import) script_group: Option<String>,
    /// Members of sync groups, as they are written.
    pub(in crate::import) members: BTreeSet<String>,
    /// Those of which keepalived ignores the checks and files with a weight.
    pub(in crate::import) weightless: BTreeSet<String>,
    /// What `smtp_alert` of an instance is where it is not written.
    pub(in crate::import) mails: bool,
    /// There is a `[mail]`.
    pub(in crate::import) has_mail: bool,
}

impl Globals {
    /// `script_user`: `user`, or `user:group`.
    pub(in crate::import) fn user_of_scripts(&self) -> Option<String> {
        let user = self.script_user.as_ref()?;
        Some(with_group(user, self.script_group.as_deref().unwrap_or_default()))
    }
}

/// `user`, or `user:group` if there is one.
pub(super) fn with_group(user: &str, group: &str) -> String {
    if group.is_empty() { user.to_owned() } else { format!("{user}:{group}") }
}

/// Reads every `global_defs`; `node` is the name of this machine, `mails` whether an instance wants mail.
pub(in crate::import) fn globals(
    blocks: &[&Node],
    node: &str,
    mails: bool,
    out: &mut Outline,
    ledger: &mut Ledger,
) -> Globals {
    let inner: Vec<Node> = blocks.iter().flat_map(|block| block.inner()).cloned().collect();
    for block in blocks {
        ledger.mapped(block.place, "");
        out.comments.extend(block.comments.iter().chain(&block.trailing).cloned());
    }
    let read = sorted(Context::Global, &inner, ledger);
    for node in inner.iter().filter(|node| !read.contains(node)) {
        out.comments.extend(node.all_comments());
    }
    name(last("router_id", &read, ledger), node, out, ledger);
    let mut globals = Globals::default();
    if let Some(node) = last("vrrp_version", &read, ledger) {
        globals.version = value::number(node, 2, 3, ledger);
        ledger.mapped(node.place, "written in each instance");
    }
    globals.announce = announce::global(&read, ledger);
    globals.down_adverts = patience::global(&read, ledger);
    globals.groups = ["vrrp_mcast_group4", "vrrp_mcast_group6"].map(|keyword| {
        last(keyword, &read, ledger).and_then(|node| reach::group(node, keyword.ends_with('6'), ledger))
    });
    if let Some(node) = last("script_user", &read, ledger) {
        globals.script_user = Some(node.text(1).to_owned());
        globals.script_group = Some(node.text(2).to_owned()).filter(|group| !group.is_empty());
        ledger.mapped(node.place, "probes run in ha itself; programs that are started get it as their user");
    }
    if let Some(node) = last("vrrp_no_swap", &read, ledger) {
        let entry = Entry::of("lock_memory", value::truth(node, ledger).to_string(), node);
        ledger.mapped(node.place, format!("lock_memory = {}", entry.value));
        out.root.push(entry);
    }
    for keyword in ["smtp_alert", "smtp_alert_vrrp"] {
        if let Some(node) = last(keyword, &read, ledger) {
            globals.mails = value::truth(node, ledger);
            ledger.mapped(node.place, "[mail]");
        }
    }
    events::global(&read, out, ledger);
    delays::start(&read, out, ledger);
    mail(&read, mails || globals.mails, out, ledger);
    globals.has_mail = !out.mail.is_empty();
    globals
}

fn name(router_id: Option<&Node>, node: &str, out: &mut Outline, ledger: &mut Ledger) {
    let Some(written) = router_id else {
        return out.root.push(Entry::plain("node", quoted(node)));
    };
    let name: String = written.text(1).trim().chars().filter(|letter| !letter.is_control()).take(60).collect();
    let name = if name.is_empty() { node.to_owned() } else { name };
    ledger.mapped(written.place, format!("node = {}", quoted(&name)));
    out.root.push(Entry::of("node", quoted(&name), written));
}

/// keepalived mails about instances only where it is told to.
fn mail(read: &[&Node], wanted: bool, out: &mut Outline, ledger: &mut Ledger) {
    let to = last("notification_email", read, ledger);
    let from = last("notification_email_from", read, ledger);
    let smtp = last("smtp_server", read, ledger);
    let timeout = last("smtp_connect_timeout", read, ledger);
    let nodes: Vec<&Node> = [to, from, smtp, timeout].into_iter().flatten().collect();
    let recipients: Vec<String> = to.iter().flat_map(|to| to.inner()).map(|one| one.text(0).to_owned()).collect();
    let why = if !wanted {
        "keepalived mails about instances only with smtp_alert, which is not written: write [mail] in ha.toml for mail"
    } else if recipients.is_empty() || smtp.is_none() || from.is_none() {
        "keepalived sends no mail without notification_email, notification_email_from and smtp_server: write [mail] in ha.toml for mail"
    } else {
        ""
    };
    if !why.is_empty() {
        for node in nodes {
            node.note_all(Fate::Dropped, why, ledger);
            out.comments.extend(node.all_comments());
        }
        return;
    }
    for node in nodes {
        let (key, value) = match node.keyword() {
            "notification_email" => ("to", list(&recipients)),
            "notification_email_from" => ("from", quoted(node.text(1))),
            "smtp_server" => ("smtp", quoted(&server(node))),
            _ => match value::seconds(node, 100_000, 600_000_000, ledger) {
                Some(micros) => ("timeout", quoted(&time(micros))),
                None => continue,
            },
        };
        node.note_all(Fate::Mapped, &format!("mail.{key} = {value}"), ledger);
        out.mail.push(Entry::of(key, value, node));
    }
    let order = ["to", "from", "smtp", "timeout"];
    out.mail.sort_by_key(|entry| order.iter().position(|key| *key == entry.key));
}

fn server(node: &Node) -> String {
    let host = node.text(1);
    let port = if node.words.len() > 2 { node.text(2) } else { "25" };
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether one of the instances asks for mail by itself.
pub(in crate::import) fn mails(instances: &[&Node]) -> bool {
    let off: BTreeSet<&str> = ["off", "false", "no"].into();
    let asks = |node: &Node| node.keyword() == "smtp_alert" && !off.contains(node.text(1));
    instances.iter().any(|instance| instance.inner().iter().any(asks))
}
