//! The addr probe, and every address of this machine, by rtnetlink(7).

use std::{io, net::IpAddr};

use nix::net::if_::if_indextoname;

use super::{
    answer::{Answer, Failure, Fields},
    iface::untold,
    netlink::{self, Table, Want, attributes, u32_at},
};
use crate::policy::probe::{AddrRequest, ErrorKind, Field};

/// `RTM_GETADDR`
const GET_ADDRESS: u16 = 22;
/// The fixed part, `struct ifaddrmsg`.
const FIXED: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;

/// An address of this machine.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) index: u32,
    pub(super) ip: IpAddr,
    pub(super) prefix: u8,
    flags: u32,
}

/// `ok`: there, and usable. Fields: `present`, `dev`, `prefix`. Blocks.
pub(super) fn look(wanted: &AddrRequest) -> Answer {
    let mut fields = Fields::from(["present", "dev", "prefix"].map(|name| (name, Field::Unit)));
    let verdict = all().map_err(|error| untold(&error)).and_then(|addresses| inspect(wanted, &addresses, &mut fields));
    Answer { verdict, fields }
}

fn inspect(wanted: &AddrRequest, addresses: &[Address], fields: &mut Fields) -> Result<String, Failure> {
    let mismatch = |why: String| Err(Failure::new(ErrorKind::Mismatch, why));
    let mut elsewhere = None;
    for address in addresses.iter().filter(|address| address.ip == wanted.address) {
        let dev = name_of(address.index);
        if wanted.dev.as_ref().is_some_and(|wanted| *wanted != dev) {
            elsewhere = Some(dev);
            continue;
        }
        fields.extend([
            ("present", Field::Bool(true)),
            ("dev", Field::Text(dev.clone())),
            ("prefix", Field::Int(address.prefix.into())),
        ]);
        return match address.flags {
            flags if flags & IFA_F_DADFAILED != 0 => mismatch(format!("on {dev}, but another machine has it")),
            flags if flags & IFA_F_TENTATIVE != 0 => mismatch(format!("on {dev}, not usable yet")),
            _ => Ok(format!("on {dev}")),
        };
    }
    fields.insert("present", Field::Bool(false));
    match (elsewhere, &wanted.dev) {
        (Some(dev), Some(wanted)) => mismatch(format!("on {dev}, not on {wanted}")),
        (Some(_) | None, _) => mismatch("not on this machine".to_owned()),
    }
}

/// Every address of every interface.
pub(super) fn all() -> io::Result<Vec<Address>> {
    let answers = netlink::ask(Table::Route, GET_ADDRESS, Want::All, &[0; FIXED])?;
    Ok(answers.iter().filter_map(|answer| read(answer)).collect())
}

fn read(answer: &[u8]) -> Option<Address> {
    let (prefix, mut flags, index) = (*answer.get(1)?, u32::from(*answer.get(2)?), u32_at(answer, 4)?);
    let (mut address, mut local) = (None, None);
    for (kind, value) in attributes(answer.get(FIXED..)?) {
        match kind {
            IFA_ADDRESS => address = ip(value),
            // On a link between two it is this end; the other attribute is the other.
            IFA_LOCAL => local = ip(value),
            IFA_FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(Address { index, ip: local.or(address)?, prefix, flags })
}

/// Four bytes or sixteen.
pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The bytes of an address.
pub(super) fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// What an interface is called; its number if it has just gone.
pub(super) fn name_of(index: u32) -> String {
    let name = if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| format!("interface {index}"))
}
