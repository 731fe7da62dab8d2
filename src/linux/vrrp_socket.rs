//! VRRP datagrams of one interface and one family: IP protocol 112, by multicast or unicast (RFC 9568, 5.1).
//!
//! What arrives is handed on unchecked but for the IP header, which is read here. The checksum of a message is `wire`'s in
//! both families: the kernel's own for IPv6 (`IPV6_CHECKSUM`) is left off, so that a wrong one is counted and not lost.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    net::if_::if_nametoindex,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

use crate::words::{Family, InterfaceName};

/// Room for every datagram that can be a VRRP message: 255 IPv6 addresses, and the largest IPv4 header.
pub const DATAGRAM_MAX: usize = 8 + 255 * 16 + 60 + 8;

const PROTOCOL: i32 = 112;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
const HOP_LIMIT: u32 = 255;

/// Internetwork control (CS6), as every VRRP speaker marks its packets.
const TRAFFIC_CLASS: u32 = 0xc0;

/// What a thread that was held up for seconds under 10 ms advertisements of many routers must not lose.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// A socket bound to an interface by its number: made anew, the interface needs a new socket.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    index: u32,
    family: Family,
}

/// A datagram, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'b> {
    /// Sender.
    pub source: IpAddr,
    /// The group, or an address of this machine.
    pub destination: IpAddr,
    /// TTL or hop limit, as received.
    pub hop_limit: u8,
    /// Exactly what the IP header's length says; empty if that length makes no sense.
    pub payload: &'b [u8],
}

impl VrrpSocket {
    /// Opens the socket and joins the group.
    ///
    /// # Errors
    /// The interface is not there, the family is switched off on it, or `CAP_NET_RAW` is missing.
    pub fn open(interface: &InterfaceName, family: Family) -> io::Result<Self> {
        let index = if_nametoindex(interface.as_str())?;
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(PROTOCOL)))?;
        socket.bind_device(Some(interface.as_str().as_bytes()))?;
        large_receive_buffer(&socket)?;
        match family {
            Family::V4 => prepare_v4(&socket, index)?,
            Family::V6 => prepare_v6(&socket, index)?,
        }
        Ok(Self { socket, index, family })
    }

    /// Opens a socket that only sends: what arrives is dropped by the kernel, instead of filling the buffer of a socket that
    /// nobody reads.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_deaf(interface: &InterfaceName, family: Family) -> io::Result<Self> {
        /// `BPF_RET | BPF_K` with 0: no packet passes.
        const NOTHING: u16 = 0x06;
        let socket = Self::open(interface, family)?;
        socket.socket.attach_filter(&[SockFilter::new(NOTHING, 0, 0, 0)])?;
        Ok(socket)
    }

    /// Joins another group than the one of the RFC, which stays.
    ///
    /// # Errors
    /// It is no group of this family, or the kernel has no room for it.
    pub fn join(&self, group: IpAddr) -> io::Result<()> {
        match (self.family, group) {
            (Family::V4, IpAddr::V4(group)) => {
                self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.index))
            }
            (Family::V6, IpAddr::V6(group)) => self.socket.join_multicast_v6(&group, self.index),
            (Family::V4, IpAddr::V6(_)) | (Family::V6, IpAddr::V4(_)) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "a group of the other family"))
            }
        }
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

    /// The next datagram that waits, if one does. One that does not fit into `buffer` is cut off.
    ///
    /// # Errors
    /// An error of the socket, reported once by the kernel; reading can go on.
    pub fn receive<'b>(&mut self, buffer: &'b mut [u8]) -> io::Result<Option<Received<'b>>> {
        let received = match self.family {
            Family::V4 => receive_v4(&self.socket, buffer),
            Family::V6 => receive_v6(&self.socket, buffer),
        };
        match received {
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(received) => Ok(Some(received)),
        }
    }

    /// Sends one message out of the interface. `source` must be an address of it.
    ///
    /// # Errors
    /// The interface is down, the source is not there, no way to the destination, or the addresses are not of this
    /// family. A missing carrier is no error: the kernel drops the packet silently.
    pub fn send(&self, source: IpAddr, destination: IpAddr, payload: &[u8]) -> io::Result<()> {
        match (self.family, source, destination) {
            (Family::V4, IpAddr::V4(source), IpAddr::V4(destination)) => {
                let information = libc::in_pktinfo {
                    ipi_ifindex: signed(self.index)?,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let to = SockaddrIn::from(SocketAddrV4::new(destination, 0));
                self.send_with(ControlMessage::Ipv4PacketInfo(&information), &to, payload)
            }
            (Family::V6, IpAddr::V6(source), IpAddr::V6(destination)) => {
                let information = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                    ipi6_ifindex: self.index,
                };
                let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, self.index));
                self.send_with(ControlMessage::Ipv6PacketInfo(&information), &to, payload)
            }
            (Family::V4 | Family::V6, IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "an address of the other family"))
            }
        }
    }

    fn send_with<A: nix::sys::socket::SockaddrLike>(
        &self,
        information: ControlMessage<'_>,
        to: &A,
        payload: &[u8],
    ) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        sendmsg(fd, &[IoSlice::new(payload)], &[information], MsgFlags::empty(), Some(to))?;
        Ok(())
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Beyond the limit of the machine where the privilege is there, else up to it.
pub(super) fn large_receive_buffer(socket: &impl AsFd) -> io::Result<()> {
    if set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
        set_socket_recv_buffer_size(socket, RECEIVE_BUFFER)?;
    }
    Ok(())
}

fn prepare_v4(socket: &Socket, index: u32) -> io::Result<()> {
    socket.set_ttl_v4(HOP_LIMIT)?;
    socket.set_multicast_ttl_v4(HOP_LIMIT)?;
    socket.set_multicast_loop_v4(false)?;
    // Only the group joined here, not those of other programs.
    socket.set_multicast_all_v4(false)?;
    socket.set_tos_v4(TRAFFIC_CLASS)?;
    setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))
}

fn prepare_v6(socket: &Socket, index: u32) -> io::Result<()> {
    socket.set_unicast_hops_v6(HOP_LIMIT)?;
    socket.set_multicast_hops_v6(HOP_LIMIT)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_multicast_all_v6(false)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_tclass_v6(TRAFFIC_CLASS)?;
    setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?;
    socket.join_multicast_v6(&GROUP_V6, index)
}

/// IPv4 hands out the whole packet; the kernel has checked the header and cut padding off.
fn receive_v4<'b>(socket: &Socket, buffer: &'b mut [u8]) -> nix::Result<Received<'b>> {
    let length = {
        let mut parts = [IoSliceMut::new(buffer)];
        recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, None, MsgFlags::empty())?.bytes
    };
    Ok(without_header(buffer.get(..length).unwrap_or_default()))
}

/// Takes an IPv4 packet apart.
fn without_header(packet: &[u8]) -> Received<'_> {
    let Some((header, _)) = packet.split_first_chunk::<20>() else {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        return Received { source: nobody, destination: nobody, hop_limit: 0, payload: &[] };
    };
    let [first, _, high, low, _, _, _, _, hop_limit, _, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    let header_length = usize::from(first & 0x0f) * 4;
    let total_length = usize::from(u16::from_be_bytes([high, low]));
    Received {
        source: IpAddr::from([s0, s1, s2, s3]),
        destination: IpAddr::from([d0, d1, d2, d3]),
        hop_limit,
        payload: packet.get(header_length..total_length).unwrap_or_default(),
    }
}

/// IPv6 hands out what follows the header, and the header's fields on the side.
fn receive_v6<'b>(socket: &Socket, buffer: &'b mut [u8]) -> nix::Result<Received<'b>> {
    let mut control = cmsg_space!(libc::in6_pktinfo, libc::c_int);
    let nobody = Ipv6Addr::UNSPECIFIED;
    let (mut destination, mut hop_limit) = (nobody, 0);
    let (length, source) = {
        let mut parts = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::Ipv6PacketInfo(information) = part {
                destination = Ipv6Addr::from(information.ipi6_addr.s6_addr);
            } else if let ControlMessageOwned::Ipv6HopLimit(hops) = part {
                hop_limit = u8::try_from(hops).unwrap_or(0);
            }
        }
        (message.bytes, message.address.map_or(nobody, |address| address.ip()))
    };
    let payload = buffer.get(..length).unwrap_or_default();
    Ok(Received { source: source.into(), destination: destination.into(), hop_limit, payload })
}

fn signed(index: u32) -> io::Result<i32> {
    i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{
        super::namespace::{Far, a_moment, alone, eventually, ip, name},
        *,
    };

    const MESSAGE: &[u8] = &[0x31, 51, 100, 1, 0, 100, 0xab, 0xcd, 192, 168, 0, 60];

    fn ends(family: Family) -> (Far, VrrpSocket, VrrpSocket) {
        let far = Far::connect();
        let near = VrrpSocket::open(&name("va"), family).unwrap();
        let there = far.run(move || VrrpSocket::open(&name("vb"), family).unwrap());
        (far, near, there)
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Source, destination, hop limit, payload.
    fn next(socket: &mut VrrpSocket) -> (IpAddr, IpAddr, u8, Vec<u8>) {
        let mut buffer = vec![0; DATAGRAM_MAX];
        eventually("a datagram", || {
            let received = socket.receive(&mut buffer).unwrap()?;
            Some((received.source, received.destination, received.hop_limit, received.payload.to_vec()))
        })
    }

    fn nothing_waits(socket: &mut VrrpSocket) {
        a_moment();
        assert_eq!(socket.receive(&mut [0; DATAGRAM_MAX]).unwrap(), None);
    }

    #[test]
    fn multicast_arrives_as_it_was_sent() {
        alone(|| {
            for (family, source, group) in
                [(Family::V4, "192.168.0.1", "224.0.0.18"), (Family::V6, "fe80::1", "ff02::12")]
            {
                let (_far, mut near, mut there) = ends(family);
                near.send(at(source), at(group), MESSAGE).unwrap();
                assert_eq!(next(&mut there), (at(source), at(group), 255, MESSAGE.to_vec()));
                nothing_waits(&mut there);
                nothing_waits(&mut near);
                ip("link del va");
            }
        });
    }

    #[test]
    fn another_group_is_heard_once_it_is_joined() {
        alone(|| {
            for (family, source, group) in
                [(Family::V4, "192.168.0.1", "224.0.0.99"), (Family::V6, "fe80::1", "ff02::99")]
            {
                let (_far, near, mut there) = ends(family);
                near.send(at(source), at(group), MESSAGE).unwrap();
                nothing_waits(&mut there);
                there.join(at(group)).unwrap();
                near.send(at(source), at(group), MESSAGE).unwrap();
                assert_eq!(next(&mut there), (at(source), at(group), 255, MESSAGE.to_vec()));
                ip("link del va");
            }
        });
    }

    #[test]
    fn unicast_arrives_as_it_was_sent_from_the_source_that_was_asked_for() {
        alone(|| {
            for (family, source, destination) in
                [(Family::V4, "192.168.0.9", "192.168.0.2"), (Family::V6, "fd00::9", "fd00::2")]
            {
                let (_far, near, mut there) = ends(family);
                let refused = near.send(at(source), at(destination), MESSAGE).unwrap_err();
                assert!(refused.raw_os_error().is_some(), "{refused}");
                let prefix = if family == Family::V4 { "24" } else { "64 nodad" };
                ip(&format!("addr add dev va {source}/{prefix}"));
                near.send(at(source), at(destination), MESSAGE).unwrap();
                assert_eq!(next(&mut there), (at(source), at(destination), 255, MESSAGE.to_vec()));
                ip("link del va");
            }
        });
    }

    #[test]
    fn what_is_short_long_or_of_another_protocol() {
        alone(|| {
            for (family, source, group) in
                [(Family::V4, "192.168.0.1", "224.0.0.18"), (Family::V6, "fe80::1", "ff02::12")]
            {
                let (_far, near, mut there) = ends(family);
                let largest = vec![7; 8 + 255 * 16];
                for payload in [&[][..], &[0x31], &largest] {
                    near.send(at(source), at(group), payload).unwrap();
                    assert_eq!(next(&mut there).3, payload);
                }
                let other = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(113))).unwrap();
                other.send_to(MESSAGE, &std::net::SocketAddr::new(at("192.168.0.2"), 0).into()).unwrap();
                nothing_waits(&mut there);
                ip("link del va");
            }
        });
    }

    #[test]
    fn packets_are_marked_as_network_control() {
        alone(|| {
            let (far, near, _there) = ends(Family::V4);
            let raw = far.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(PROTOCOL))).unwrap());
            raw.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            near.send(at("192.168.0.1"), at("192.168.0.2"), MESSAGE).unwrap();
            let mut packet = [0; 64];
            let length = (&raw).read(&mut packet).unwrap();
            assert_eq!((length, packet[1]), (20 + MESSAGE.len(), 0xc0));
        });
    }

    #[test]
    fn only_the_own_interface_is_heard() {
        alone(|| {
            let (far, _near, there) = ends(Family::V4);
            ip("link add da type veth peer name db");
            ip("link set da up");
            ip("link set db up");
            ip("addr add 10.0.0.1/24 dev da");
            let mut heard = VrrpSocket::open(&name("va"), Family::V4).unwrap();
            let mut deaf = VrrpSocket::open(&name("da"), Family::V4).unwrap();
            far.run(move || {
                for destination in ["224.0.0.18", "10.0.0.1"] {
                    there.send(at("192.168.0.2"), at(destination), MESSAGE).unwrap();
                }
            });
            assert_eq!(next(&mut heard).1, at("224.0.0.18"));
            assert_eq!(next(&mut heard).1, at("10.0.0.1"));
            nothing_waits(&mut deaf);
        });
    }

    #[test]
    fn a_deaf_one_sends_and_keeps_nothing() {
        alone(|| {
            let (far, near, mut there) = ends(Family::V4);
            let deaf = far.run(|| VrrpSocket::open_deaf(&name("vb"), Family::V4).unwrap());
            near.send(at("192.168.0.1"), at("224.0.0.18"), MESSAGE).unwrap();
            assert_eq!(next(&mut there).1, at("224.0.0.18"), "the other socket there hears it");
            let mut deaf = deaf;
            nothing_waits(&mut deaf);
            deaf.send(at("192.168.0.2"), at("224.0.0.18"), MESSAGE).unwrap();
            let mut near = near;
            assert_eq!(next(&mut near).1, at("224.0.0.18"));
        });
    }

    #[test]
    fn a_send_that_cannot_be_is_an_error() {
        alone(|| {
            let (_far, near, _there) = ends(Family::V4);
            let wrong = near.send(at("192.168.0.1"), at("ff02::12"), MESSAGE).unwrap_err();
            assert_eq!(wrong.kind(), io::ErrorKind::InvalidInput);
            ip("link set va down");
            assert!(near.send(at("192.168.0.1"), at("224.0.0.18"), MESSAGE).is_err());
            ip("link set va up");
            near.send(at("192.168.0.1"), at("224.0.0.18"), MESSAGE).unwrap();
            ip("link del va");
            assert!(near.send(at("192.168.0.1"), at("224.0.0.18"), MESSAGE).is_err());
            assert!(VrrpSocket::open(&name("va"), Family::V4).is_err());
        });
    }

    fn packet(header_words: u8, total: u16, length: usize) -> Vec<u8> {
        let mut packet: Vec<u8> = (0..length).map(|at| u8::try_from(at % 256).unwrap()).collect();
        packet[0] = 0x40 | header_words;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet
    }

    #[test]
    fn the_header_says_where_the_message_begins_and_ends() {
        let plain = packet(5, 28, 28);
        let seen = without_header(&plain);
        assert_eq!((seen.hop_limit, seen.payload), (8, &[20, 21, 22, 23, 24, 25, 26, 27][..]));
        assert_eq!((seen.source, seen.destination), (at("12.13.14.15"), at("16.17.18.19")));
        assert_eq!(without_header(&packet(6, 28, 28)).payload, [24, 25, 26, 27], "options");
        assert_eq!(without_header(&packet(5, 22, 28)).payload, [20, 21], "padding");
    }

    #[test]
    fn lengths_that_make_no_sense_leave_nothing() {
        for (header_words, total, length) in [(5, 29, 28), (15, 28, 28), (5, 19, 28), (5, 0, 28), (5, 20, 20)] {
            let packet = packet(header_words, total, length);
            assert!(without_header(&packet).payload.is_empty(), "{header_words} {total} {length}");
        }
        assert!(without_header(&[0x45; 19]).payload.is_empty());
        assert_eq!(without_header(&[]).hop_limit, 0);
    }
}
