//! The arping probe: is somebody at this address on the link? ARP (RFC 826) or neighbour solicitation (RFC 4861).
//!
//! Decided like a ping: ok with the `min`-th answer, else at the deadline. Answers carry no number, so at most one
//! counts for each request. Needs CAP_NET_RAW.

use std::{
    io::{self, Read, Write},
    net::IpAddr,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::{
    Shared,
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    links::{self, Link},
};
use crate::{
    policy::probe::{ArpingRequest, ErrorKind, Field, ProbeRequest},
    wire::{arp, ndisc},
    words::{Family, MacAddr},
};

/// The thread keeps the deadline itself; beyond this it is left behind.
const GRACE: Duration = Duration::from_millis(50);
/// Time between two requests, if the deadline leaves that much.
const GAP: Duration = Duration::from_millis(200);
/// An Ethernet frame of the usual size; longer ones are none of ours.
const FRAME_MAX: usize = 1514;
/// `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;

/// `ok`: `min` answers. Fields: `received`, `mac` (of the last answer).
pub(super) async fn probe(
    shared: &Shared,
    request: &ProbeRequest,
    arping: &ArpingRequest,
    deadline: Deadline,
) -> Answer {
    let (request, arping) = (request.clone(), arping.clone());
    let work = move || {
        let mut seen = Seen::default();
        let verdict = ask(&request, &arping, deadline, &mut seen);
        seen.into_answer(verdict)
    };
    shared.exchanges.run(deadline.later(GRACE), work).await.unwrap_or_else(|failure| {
        let failure = if failure.error == ErrorKind::Timeout { deadline.passed() } else { failure };
        Seen::default().into_answer(Err(failure))
    })
}

#[derive(Default)]
struct Seen {
    sent: u16,
    received: u16,
    mac: Option<MacAddr>,
}

impl Seen {
    fn replies(&self) -> String {
        format!("{}/{} replies", self.received, self.sent)
    }

    fn into_answer(self, verdict: Result<String, Failure>) -> Answer {
        let mac = self.mac.map_or(Field::Unit, |mac| Field::Text(mac.to_string()));
        Answer { verdict, fields: Fields::from([("received", Field::Int(self.received.into())), ("mac", mac)]) }
    }
}

fn ask(request: &ProbeRequest, arping: &ArpingRequest, deadline: Deadline, seen: &mut Seen) -> Result<String, Failure> {
    let link = links::towards(arping.target, request.iface.as_deref())?;
    let (hardware, mac) = ethernet(&link)?;
    let question = question(mac, request.bind.or(link.source), arping.target);
    let of_socket = |error: io::Error| Failure::of_socket(&error).during(&link.name);
    let socket = open(arping.target, &hardware).map_err(|error| not_opened(error, &link))?;
    let gap = GAP.min(deadline.left() / u32::from(arping.count.max(1)));
    let mut next_at = Instant::now();
    while !deadline.left().is_zero() {
        if seen.sent < arping.count && Instant::now() >= next_at {
            (&socket).write_all(&question).map_err(of_socket)?;
            seen.sent += 1;
            next_at += gap;
        }
        let patience = if seen.sent < arping.count { next_at.saturating_duration_since(Instant::now()) } else { GAP };
        let frame = receive(&socket, patience.min(deadline.left())).map_err(of_socket)?;
        if let Some(mac) = frame.and_then(|frame| answer(&frame, arping.target))
            && seen.received < seen.sent
        {
            seen.received += 1;
            seen.mac = Some(mac);
        }
        if seen.received >= arping.min {
            return Ok(seen.replies());
        }
    }
    Err(Failure::new(ErrorKind::Timeout, format!("timeout, {}", seen.replies())))
}

fn ethernet(link: &Link) -> Result<(LinkAddr, MacAddr), Failure> {
    let hardware = link.hardware.filter(|hardware| hardware.hatype() == ETHERNET);
    let found = hardware.and_then(|hardware| Some((hardware, MacAddr(hardware.addr()?))));
    found.ok_or_else(|| Failure::new(ErrorKind::Unreachable, format!("{} is not an Ethernet interface", link.name)))
}

fn question(mac: MacAddr, source: Option<IpAddr>, target: IpAddr) -> Vec<u8> {
    match (target, source) {
        (IpAddr::V4(target), Some(IpAddr::V4(source))) => arp::ask(mac, Some(source), target, None).to_vec(),
        (IpAddr::V4(target), Some(IpAddr::V6(_)) | None) => arp::ask(mac, None, target, None).to_vec(),
        (IpAddr::V6(target), Some(IpAddr::V6(source))) => ndisc::ask(mac, Some(source), target, None),
        (IpAddr::V6(target), Some(IpAddr::V4(_)) | None) => ndisc::ask(mac, None, target, None),
    }
}

/// Who says that it has `target`.
fn answer(frame: &[u8], target: IpAddr) -> Option<MacAddr> {
    match target {
        IpAddr::V4(target) => arp::parse(frame)
            .filter(|seen| seen.operation == arp::Operation::Reply && seen.sender_ip == target)
            .map(|seen| seen.sender_mac),
        IpAddr::V6(target) => ndisc::parse(frame)
            .filter(|seen| matches!(seen.message, ndisc::Message::Advertisement(_)) && seen.target == target)
            .map(|seen| seen.mac()),
    }
}

/// A packet socket bound to the interface; it hears the protocol of the answer only.
fn open(target: IpAddr, hardware: &LinkAddr) -> io::Result<Socket> {
    let protocol: u16 = match Family::of(target) {
        Family::V4 => 0x0806,
        Family::V6 => 0x86dd,
    };
    let protocol = Protocol::from(i32::from(protocol.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    match Family::of(target) {
        Family::V4 => {}
        Family::V6 => socket.attach_filter(&ADVERTISEMENTS_ONLY.map(filter))?,
    }
    // Its protocol is zero, which means the socket's.
    bind(socket.as_raw_fd(), hardware)?;
    Ok(socket)
}

fn not_opened(error: io::Error, link: &Link) -> Failure {
    let failure = Failure::of_socket(&error);
    let denied = failure.error == ErrorKind::Denied;
    let failure =
        if denied { Failure { why: "this process lacks CAP_NET_RAW".to_owned(), ..failure } } else { failure };
    failure.during(&link.name)
}

/// Of all IPv6 of the interface, neighbour advertisements: next header 58 at byte 20 of the frame, type 136 at byte 54.
const ADVERTISEMENTS_ONLY: [(u16, u8, u8, u32); 6] = [
    (LOAD_BYTE, 0, 0, 20),
    (JUMP_IF_EQUAL, 0, 3, 58),
    (LOAD_BYTE, 0, 0, 54),
    (JUMP_IF_EQUAL, 0, 1, 136),
    (RETURN, 0, 0, u32::MAX),
    (RETURN, 0, 0, 0),
];
/// `BPF_LD | BPF_B | BPF_ABS`
const LOAD_BYTE: u16 = 0x30;
/// `BPF_JMP | BPF_JEQ | BPF_K`
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;

fn filter((code, jump_true, jump_false, k): (u16, u8, u8, u32)) -> SockFilter {
    SockFilter::new(code, jump_true, jump_false, k)
}

/// One frame, or none within `patience`.
fn receive(socket: &Socket, patience: Duration) -> io::Result<Option<Vec<u8>>> {
    // Zero would mean "for ever" to the kernel.
    socket.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
    let mut frame = vec![0; FRAME_MAX];
    let mut reader = socket;
    match reader.read(&mut frame) {
        Ok(length) => {
            frame.truncate(length);
            Ok(Some(frame))
        }
        Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => Ok(None),
        Err(error) => Err(error),
    }
}
