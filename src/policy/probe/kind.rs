//! A kind of probe as the policy language has it.

use rhai::Dynamic;

use super::{
    ProbeKind, addr, arping, cert, cpu, disk, dns, exec, file, http, iface, listening, load, memory, neigh, ping,
    pressure, process, route, service, target::Target, tcp, time_sync, udp, unix_socket,
};
use crate::policy::{
    language::{Choice, Function, choice},
    options::Options,
};

/// A kind of probe: its place in the language, and how a call of it is read.
#[derive(Debug)]
pub(in crate::policy) struct Kind {
    pub(in crate::policy) function: Function,
    pub(in crate::policy) target: Target,
    pub(in crate::policy) reach: Reach,
    /// Reads what only this kind takes; the target is of the kind that `target` says.
    pub(in crate::policy) read: fn(&Dynamic, &Options<'_>) -> Result<ProbeKind, String>,
}

/// How far a probe goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) enum Reach {
    /// It stays on this machine.
    Machine,
    /// It asks the network: the host in its target, as far as the text tells.
    Network(fn(&str) -> Option<String>),
    /// It asks the network: the host in this option, if it is given.
    Server(&'static str, fn(&str) -> Option<String>),
}

/// Every kind, in the order in which they are explained.
pub(in crate::policy) static KINDS: [Kind; 23] = [
    http::KIND,
    ping::KIND,
    arping::KIND,
    tcp::KIND,
    udp::KIND,
    unix_socket::KIND,
    dns::KIND,
    cert::KIND,
    service::KIND,
    file::KIND,
    listening::KIND,
    process::KIND,
    disk::KIND,
    memory::KIND,
    load::KIND,
    cpu::KIND,
    pressure::KIND,
    time_sync::KIND,
    iface::KIND,
    route::KIND,
    addr::KIND,
    neigh::KIND,
    exec::KIND,
];

const MACHINE_OPTIONS: [Choice; 2] = [
    choice("timeout", "duration", "\"2s\"", "How long the answer may take."),
    choice("name", "text", "", "What reports call it instead of its target."),
];

const NETWORK_OPTIONS: [Choice; 5] = [
    choice("timeout", "duration", "\"2s\"", "How long the answer may take."),
    choice("name", "text", "", "What reports call it instead of its target."),
    choice("bind", "text", "", "Source address: an address of this machine."),
    choice("iface", "text", "", "Interface to use."),
    choice("family", "number", "", "4 or 6, where a name has addresses of both families."),
];

/// The kind of this name.
pub(in crate::policy) fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.function.name == name)
}

/// The options that a probe of this name takes because it is one; none if it is none.
pub(in crate::policy) fn common_options(name: &str) -> &'static [Choice] {
    match kind(name).map(|kind| kind.reach) {
        Some(Reach::Network(_) | Reach::Server(..)) => &NETWORK_OPTIONS,
        Some(Reach::Machine) => &MACHINE_OPTIONS,
        None => &[],
    }
}

/// `HOST:PORT` and `[HOST]:PORT`.
pub(super) fn host_of_endpoint(target: &str) -> Option<String> {
    target.rsplit_once(':').map(|(host, _)| unbracketed(host))
}

pub(super) fn unbracketed(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// The target as the text it is.
pub(super) fn text(target: &Dynamic) -> String {
    target.to_string()
}
