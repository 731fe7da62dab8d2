//! The iface probe: an interface as rtnetlink(7) has it.

use std::{
    collections::BTreeMap,
    fs, io,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use ipnet::IpNet;

use super::{
    addr,
    answer::{Answer, Failure, Fields},
    netlink::{self, Table, Want, attributes, u32_at},
};
use crate::policy::probe::{ErrorKind, Field, IfaceRequest};

/// `RTM_GETLINK`
const GET_LINK: u16 = 18;
/// The fixed part, `struct ifinfomsg`.
const FIXED: usize = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_STATS64: u16 = 23;
const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 1 << 16;
/// Interfaces whose errors are remembered.
const SEEN_MAX: usize = 256;

/// The errors that each interface had when it was last asked for, by its number.
#[derive(Debug, Default)]
pub(super) struct Errors(Mutex<BTreeMap<u32, (Instant, u64)>>);

struct Link {
    index: u32,
    flags: u32,
    name: String,
    mtu: Option<u32>,
    master: Option<u32>,
    errors: Option<u64>,
}

/// `ok`: up, with carrier. Fields: `up`, `carrier`, `speed`, `mtu`, `addrs`, `slaves_up`, `errors_rate`. Blocks.
pub(super) fn look(errors: &Errors, wanted: &IfaceRequest) -> Answer {
    let mut fields = unknown();
    let verdict = links().and_then(|links| inspect(errors, wanted, &links, &mut fields));
    Answer { verdict, fields }
}

fn unknown() -> Fields {
    let names = ["up", "carrier", "speed", "mtu", "addrs", "slaves_up", "errors_rate"];
    names.map(|name| (name, Field::Unit)).into()
}

fn inspect(errors: &Errors, wanted: &IfaceRequest, links: &[Link], fields: &mut Fields) -> Result<String, Failure> {
    let mismatch = |why: String| Err(Failure::new(ErrorKind::Mismatch, why));
    let Some(link) = links.iter().find(|link| link.name == wanted.interface) else {
        return mismatch(format!("no interface {}", wanted.interface));
    };
    let addresses = addr::all().map_err(|error| untold(&error))?;
    let own = addresses.iter().filter(|address| address.index == link.index);
    let slaves = links.iter().filter(|other| other.master == Some(link.index) && other.is_up() && other.has_carrier());
    fields.extend([
        ("up", Field::Bool(link.is_up())),
        ("carrier", Field::Bool(link.has_carrier())),
        ("speed", speed(link)),
        ("mtu", link.mtu.map_or(Field::Unit, |mtu| Field::Int(mtu.into()))),
        ("addrs", Field::List(own.map(|own| Field::Text(net(own))).collect())),
        ("slaves_up", Field::Int(i64::try_from(slaves.count()).unwrap_or(i64::MAX))),
        ("errors_rate", link.errors.and_then(|seen| errors.rate(link.index, seen)).map_or(Field::Unit, Field::Float)),
    ]);
    match (link.is_up(), link.has_carrier()) {
        (false, _) => mismatch("down".to_owned()),
        (true, false) => mismatch("no carrier".to_owned()),
        (true, true) => Ok("up".to_owned()),
    }
}

fn net(address: &addr::Address) -> String {
    IpNet::new(address.ip, address.prefix).map_or_else(|_| address.ip.to_string(), |net| net.to_string())
}

/// The kernel does not tell: nothing is known of the network.
pub(super) fn untold(error: &io::Error) -> Failure {
    Failure::of_socket(error).during("rtnetlink")
}

fn links() -> Result<Vec<Link>, Failure> {
    let answers = netlink::ask(Table::Route, GET_LINK, Want::All, &[0; FIXED]).map_err(|error| untold(&error))?;
    Ok(answers.iter().filter_map(|answer| read(answer)).collect())
}

fn read(answer: &[u8]) -> Option<Link> {
    let (index, flags) = (u32_at(answer, 4)?, u32_at(answer, 8)?);
    let mut link = Link { index, flags, name: String::new(), mtu: None, master: None, errors: None };
    for (kind, value) in attributes(answer.get(FIXED..)?) {
        match kind {
            IFLA_IFNAME => link.name = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
            IFLA_MTU => link.mtu = u32_at(value, 0),
            IFLA_MASTER => link.master = u32_at(value, 0),
            // After packets and bytes, received and sent.
            IFLA_STATS64 => {
                link.errors = u64_at(value, 32).zip(u64_at(value, 40)).map(|(rx, tx)| rx.saturating_add(tx))
            }
            _ => {}
        }
    }
    Some(link)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl Link {
    const fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    const fn has_carrier(&self) -> bool {
        self.flags & IFF_LOWER_UP != 0
    }
}

/// Mbit/s. /sys shows the network namespace in which it was mounted; an interface of another one must not be taken for this.
fn speed(link: &Link) -> Field {
    let of = |file: &str| fs::read_to_string(format!("/sys/class/net/{}/{file}", link.name)).ok();
    let number = |text: Option<String>| text.and_then(|text| text.trim().parse::<i64>().ok());
    match (number(of("ifindex")) == Some(link.index.into())).then(|| number(of("speed"))).flatten() {
        Some(speed) if speed > 0 => Field::Int(speed),
        Some(_) | None => Field::Unit,
    }
}

impl Errors {
    /// Errors a second since the last look; nothing at the first one.
    fn rate(&self, index: u32, errors: u64) -> Option<f64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        let (at, before) = seen.insert(index, (Instant::now(), errors))?;
        let new = f64::from(u32::try_from(errors.saturating_sub(before)).unwrap_or(u32::MAX));
        Some(new / at.elapsed().as_secs_f64().max(0.001))
    }
}
