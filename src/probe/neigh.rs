//! The neigh probe: the kernel's own table of neighbours, by rtnetlink(7). No packet is sent.

use std::net::IpAddr;

use super::{
    addr::ip,
    answer::{Answer, Failure, Fields},
    iface::untold,
    netlink::{self, Table, Want, attributes, u16_at},
};
use crate::{
    policy::probe::{ErrorKind, Field, NeighRequest},
    words::MacAddr,
};

/// `RTM_GETNEIGH`
const GET_NEIGHBOUR: u16 = 30;
/// The fixed part, `struct ndmsg`.
const FIXED: usize = 12;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

/// The states of neighbour unreachability detection (RFC 4861, 7.3.2) and those that Linux adds; the best first, for an
/// address that several interfaces know.
const STATES: [(u16, &str); 8] = [
    (0x80, "permanent"),
    (0x02, "reachable"),
    (0x08, "delay"),
    (0x10, "probe"),
    (0x04, "stale"),
    (0x40, "noarp"),
    (0x01, "incomplete"),
    (0x20, "failed"),
];

/// `ok`: its link-layer address is known. Fields: `state`, `mac`. Blocks.
pub(super) fn look(wanted: &NeighRequest) -> Answer {
    let table = netlink::ask(Table::Route, GET_NEIGHBOUR, Want::All, &[0; FIXED]);
    let (state, mac, verdict) = match table {
        Err(error) => (Field::Unit, None, Err(untold(&error))),
        Ok(entries) => {
            let entries = entries.iter().filter_map(|entry| read(entry, wanted.address));
            let best = entries.min_by_key(|(state, _)| STATES.iter().position(|(_, name)| name == state));
            let (state, mac) = best.unwrap_or(("", None));
            let verdict = match NeighRequest::judge_state(state) {
                (true, why) => Ok(why),
                (false, why) => Err(Failure::new(ErrorKind::Mismatch, why)),
            };
            (if state.is_empty() { Field::Unit } else { Field::text(state) }, mac, verdict)
        }
    };
    let mac = mac.map_or(Field::Unit, |mac| Field::Text(mac.to_string()));
    Answer { verdict, fields: Fields::from([("state", state), ("mac", mac)]) }
}

fn read(entry: &[u8], wanted: IpAddr) -> Option<(&'static str, Option<MacAddr>)> {
    let state = u16_at(entry, 8)?;
    let mut is_it = false;
    let mut mac = None;
    for (kind, value) in attributes(entry.get(FIXED..)?) {
        match kind {
            NDA_DST => is_it = ip(value) == Some(wanted),
            NDA_LLADDR => mac = <[u8; 6]>::try_from(value).ok().map(MacAddr),
            _ => {}
        }
    }
    let (_, name) = STATES.iter().find(|(bit, _)| state & bit != 0)?;
    is_it.then_some((*name, mac))
}
