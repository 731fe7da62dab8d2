//! The listening probe: the kernel's own list of sockets, by sock_diag(7). Nothing is connected to and no process started.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use super::{
    answer::{Answer, Failure, Fields},
    netlink::{self, Table, Want, attributes, u32_at},
};
use crate::policy::probe::{ErrorKind, Field, ListeningRequest, Transport};

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// Bits of `TCP_LISTEN` and, for a UDP socket without a peer, `TCP_CLOSE`.
const LISTEN: u32 = 1 << 10;
const UNCONNECTED: u32 = 1 << 7;
/// The fixed part of an answer, `struct inet_diag_msg`.
const FIXED: usize = 72;
/// `INET_DIAG_SKV6ONLY`
const V6_ONLY: u16 = 11;
/// Sockets whose owners are remembered.
const OWNERS_MAX: usize = 256;

/// Who has which socket, as far as it was found out. Looking through every process's files is dear, and a socket keeps its
/// number and mostly its owner.
#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<BTreeMap<u32, Option<u32>>>);

/// A socket that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    at: SocketAddr,
    v6_only: bool,
    inode: u32,
}

/// `ok`: a socket listens there. Fields: `pid`, `process`, where they can be seen. Blocks.
pub(super) fn look(owners: &Owners, wanted: &ListeningRequest) -> Answer {
    match waiting(wanted) {
        Err(failure) => answer(Err(failure), None),
        Ok(sockets) => match sockets.iter().find(|socket| wanted.addr.is_none_or(|addr| socket.covers(addr))) {
            Some(socket) => {
                let owner = owners.of(socket.inode);
                let by = owner.as_ref().map_or_else(String::new, |(pid, name)| format!(", {name} ({pid})"));
                answer(Ok(format!("listens on {}{by}", socket.at)), owner)
            }
            None => answer(Err(nobody(wanted, &sockets)), None),
        },
    }
}

fn answer(verdict: Result<String, Failure>, owner: Option<(u32, String)>) -> Answer {
    let (pid, process) =
        owner.map_or((Field::Unit, Field::Unit), |(pid, name)| (Field::Int(pid.into()), Field::Text(name)));
    Answer { verdict, fields: Fields::from([("pid", pid), ("process", process)]) }
}

fn nobody(wanted: &ListeningRequest, others: &[Waiting]) -> Failure {
    let at = Port(wanted);
    let elsewhere = others.first().map(|socket| format!("; somebody does on {}", socket.at)).unwrap_or_default();
    Failure::new(ErrorKind::Refused, format!("nobody listens on {at}{elsewhere}"))
}

struct Port<'r>(&'r ListeningRequest);

impl fmt::Display for Port<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (port, proto) = (self.0.port, self.0.proto.as_str());
        match self.0.addr {
            Some(addr) => write!(f, "{} ({proto})", SocketAddr::new(addr, port)),
            None => write!(f, "port {port} ({proto})"),
        }
    }
}

impl Waiting {
    /// Whether somebody who asks for this address comes to this socket.
    fn covers(&self, addr: IpAddr) -> bool {
        match (self.at.ip(), addr) {
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(_)) => !self.v6_only,
            (own, addr) if own.is_unspecified() => own.is_ipv4() == addr.is_ipv4(),
            (own, addr) => own.to_canonical() == addr.to_canonical(),
        }
    }
}

/// Every socket that waits on the port.
fn waiting(wanted: &ListeningRequest) -> Result<Vec<Waiting>, Failure> {
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let answers = netlink::ask(Table::Sockets, BY_FAMILY, Want::All, &question(family, wanted));
        let answers = answers.map_err(|error| unasked(&error))?;
        sockets
            .extend(answers.iter().filter_map(|answer| read(answer)).filter(|socket| socket.at.port() == wanted.port));
    }
    Ok(sockets)
}

fn unasked(error: &io::Error) -> Failure {
    let hint = match error.raw_os_error() {
        Some(libc::ENOENT) => "; is the module tcp_diag or udp_diag missing?",
        _ => "",
    };
    Failure::internal(format!("the kernel does not tell its sockets: {error}{hint}"))
}

/// `struct inet_diag_req_v2`: any address, any port.
fn question(family: i32, wanted: &ListeningRequest) -> Vec<u8> {
    let (protocol, states) = match wanted.proto {
        Transport::Tcp => (libc::IPPROTO_TCP, LISTEN),
        Transport::Udp => (libc::IPPROTO_UDP, UNCONNECTED),
    };
    let byte = |number: i32| u8::try_from(number).unwrap_or_default();
    let mut question = vec![byte(family), byte(protocol), 0, 0];
    question.extend(states.to_ne_bytes());
    question.extend([0; 48]);
    question
}

fn read(answer: &[u8]) -> Option<Waiting> {
    let port = u16::from_be_bytes(answer.get(4..6)?.try_into().ok()?);
    let ip = match i32::from(*answer.first()?) {
        libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(answer.get(8..12)?).ok()?),
        libc::AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(answer.get(8..24)?).ok()?),
        _ => return None,
    };
    let v6_only = attributes(answer.get(FIXED..)?).any(|(kind, value)| kind == V6_ONLY && value.first() == Some(&1));
    Some(Waiting { at: SocketAddr::new(ip, port), v6_only, inode: u32_at(answer, 68)? })
}

impl Owners {
    /// The process that has the socket, and its name.
    fn of(&self, inode: u32) -> Option<(u32, String)> {
        let known = self.known().get(&inode).copied();
        let pid = match known {
            Some(None) => return None,
            Some(Some(pid)) if has(pid, inode) => Some(pid),
            Some(Some(_)) | None => find(inode),
        };
        let mut known = self.known();
        if known.len() >= OWNERS_MAX {
            known.clear();
        }
        known.insert(inode, pid);
        drop(known);
        let name = fs::read_to_string(format!("/proc/{}/comm", pid?)).ok()?;
        Some((pid?, name.trim_end().to_owned()))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Option<u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(inode: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?;
    let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| has(*pid, inode))
}

/// One of the process's files is this socket.
fn has(pid: u32, inode: u32) -> bool {
    let socket = format!("socket:[{inode}]");
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(at: &str, v6_only: bool) -> Waiting {
        Waiting { at: at.parse().unwrap(), v6_only, inode: 0 }
    }

    #[test]
    fn a_socket_covers_the_addresses_by_which_it_is_reached() {
        let covers = |at: &str, addr: &str| waiting(at, false).covers(addr.parse().unwrap());
        assert!(covers("0.0.0.0:80", "192.168.0.60") && covers("192.168.0.60:80", "192.168.0.60"));
        assert!(covers("[::]:80", "192.168.0.60") && covers("[::]:80", "fd00::60"));
        assert!(covers("[::ffff:192.168.0.60]:80", "192.168.0.60"));
        assert!(!covers("127.0.0.1:80", "192.168.0.60") && !covers("0.0.0.0:80", "fd00::60"));
        assert!(!covers("192.168.0.6:80", "192.168.0.60"));
        assert!(!waiting("[::]:80", true).covers("192.168.0.60".parse().unwrap()), "IPV6_V6ONLY");
    }
}
