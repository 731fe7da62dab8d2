//! ARP (RFC 826) or neighbour discovery (RFC 4861) of one interface, as whole Ethernet frames: who has an address?
//!
//! It listens beside the kernel, which answers questions and keeps its own neighbour table. Frames this machine sends are
//! not seen.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
};

use nix::net::if_::if_nametoindex;
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use socket2::{Domain, SockAddr, SockFilter, Socket, Type};

use super::frames;
use crate::{
    node::{Ask, NeighborFrame},
    words::{Family, InterfaceName, MacAddr},
};

/// An ARP frame or a neighbour message with its options is shorter.
const FRAME_MAX: usize = 1514;

/// How many unreadable frames one call passes over before it reports that nothing waits; the descriptor stays readable.
const SKIP_MAX: usize = 64;

/// A packet socket bound to an interface by its number: made anew, the interface needs a new socket.
#[derive(Debug)]
pub struct NeighborSocket {
    socket: Socket,
    interface: InterfaceName,
    index: u32,
    family: Family,
}

impl NeighborSocket {
    /// Listens for ARP (IPv4), or for neighbour solicitations and advertisements (IPv6).
    ///
    /// # Errors
    /// The interface is not there, or `CAP_NET_RAW` is missing.
    pub fn open(interface: &InterfaceName, family: Family) -> io::Result<Self> {
        let index = if_nametoindex(interface.as_str())?;
        // Protocol 0: deaf until the filter is in place.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
        let (protocol, filter) = match family {
            Family::V4 => (libc::ETH_P_ARP, only(&TO_THIS_MACHINE)),
            Family::V6 => (libc::ETH_P_IPV6, only(&NEIGHBOR_DISCOVERY)),
        };
        socket.attach_filter(&filter)?;
        socket.bind(&link_layer(index, protocol)?)?;
        Ok(Self { socket, interface: interface.clone(), index, family })
    }

    /// The number of the interface it is bound to.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Its family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The next readable frame that waits, if one does.
    ///
    /// # Errors
    /// An error of the socket, reported once by the kernel; reading can go on.
    pub fn receive(&mut self) -> io::Result<Option<NeighborFrame>> {
        let mut buffer = [0; FRAME_MAX];
        for _ in 0..SKIP_MAX {
            let length = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                // Told once after the interface went down; links have their own reporter.
                Err(Errno::NETDOWN | Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => return Ok(None),
                received => received?.0,
            };
            let frame = buffer.get(..length).unwrap_or_default();
            if let Some(frame) = frames::parse(&self.interface, self.family, frame) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Asks the link who has an address. `own_mac` is where the answer goes.
    ///
    /// # Errors
    /// The interface is down, or the addresses are not of this family.
    pub fn ask(&self, ask: &Ask, own_mac: MacAddr) -> io::Result<()> {
        let frame = frames::ask(self.family, ask, own_mac)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an address of the other family"))?;
        self.transmit(&frame)
    }

    /// Says to everybody that each address is at `own_mac`: gratuitous ARP in the form of a request, or unsolicited
    /// neighbour advertisements that replace what is cached (RFC 9568, 6.4.1). Tries all, then reports the first failure.
    ///
    /// # Errors
    /// The interface is down, or an address is not of this family.
    pub fn announce(&self, addresses: &[IpAddr], own_mac: MacAddr) -> io::Result<()> {
        let router = self.family == Family::V6 && forwards(&self.interface);
        let mut result = Ok(());
        for address in addresses {
            let sent = frames::announce(self.family, *address, own_mac, router)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an address of the other family"))
                .and_then(|frame| self.transmit(&frame));
            result = result.and(sent);
        }
        result
    }

    fn transmit(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.socket, frame, SendFlags::empty())?;
        Ok(())
    }
}

impl AsFd for NeighborSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether the interface routes IPv6; decides the router flag of an advertisement.
fn forwards(interface: &InterfaceName) -> bool {
    std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/forwarding")).is_ok_and(|it| it.trim() == "1")
}

/// The address of a packet socket.
fn link_layer(index: u32, protocol: i32) -> io::Result<SockAddr> {
    let protocol = u16::try_from(protocol).map_err(|_| io::ErrorKind::InvalidInput)?;
    let family = u16::try_from(libc::AF_PACKET).map_err(|_| io::ErrorKind::InvalidInput)?;
    let index = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the storage is zeroed, aligned for and at least as large as every socket address; the fields that are not
    // written stay zero, and `length` is the size of the address that was written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, stored| {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = family;
            (*link).sll_protocol = protocol.to_be();
            (*link).sll_ifindex = index;
            *stored = length;
            Ok(())
        })?
    };
    Ok(address)
}

/// One test of a classic BPF program (`linux/filter.h`): load, compare, go on or drop the packet.
#[derive(Clone, Copy)]
struct Test {
    load: u16,
    at: u32,
    compare: u16,
    with: u32,
    /// Where it goes on: if true (else drop), or if false (else drop).
    passes_if: bool,
}

const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

/// `SKF_AD_OFF + SKF_AD_PKTTYPE`: how the frame came to the machine.
const PACKET_TYPE: u32 = 0xffff_f004;

/// Of host, broadcast, multicast, other host, outgoing: the first three.
const TO_THIS_MACHINE: [Test; 1] =
    [Test { load: LOAD_BYTE, at: PACKET_TYPE, compare: JUMP_GREATER, with: 2, passes_if: false }];

/// IPv6 without extension headers, next header ICMPv6, type solicitation or advertisement.
const NEIGHBOR_DISCOVERY: [Test; 4] = [
    Test { load: LOAD_BYTE, at: PACKET_TYPE, compare: JUMP_GREATER, with: 2, passes_if: false },
    Test { load: LOAD_BYTE, at: 20, compare: JUMP_EQUAL, with: 58, passes_if: true },
    Test { load: LOAD_BYTE, at: 54, compare: JUMP_GREATER, with: 134, passes_if: true },
    Test { load: LOAD_BYTE, at: 54, compare: JUMP_GREATER, with: 136, passes_if: false },
];

/// The program that lets a packet pass if every test does.
fn only(tests: &[Test]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    for test in tests {
        program.push(SockFilter::new(test.load, 0, 0, test.at));
        // A jump skips that many instructions: the next one drops the packet.
        let (if_true, if_false) = if test.passes_if { (1, 0) } else { (0, 1) };
        program.push(SockFilter::new(test.compare, if_true, if_false, test.with));
        program.push(SockFilter::new(RETURN, 0, 0, 0));
    }
    program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    program
}
