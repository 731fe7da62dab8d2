//! The kernel's route netlink: requests with their answers, dumps, and events (rtnetlink(7)).
//!
//! Requests are built by the netlink crates. What is received is read by a reader of our own that takes the few fields
//! `ha` needs: a kernel with a newer or odd attribute must not make an interface invisible.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use ipnet::IpNet;
use rtnetlink::{
    packet_core::{
        DecodeError, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable,
        NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
    },
    packet_route::{
        AddressFamily as Netlink, RouteNetlinkMessage,
        address::{AddressHeader, AddressHeaderFlags, AddressMessage},
        link::{LinkFlags, LinkHeader, LinkLayerType, LinkMessage},
    },
};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netdevice, netlink, recv, send,
        socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use super::{
    address_request::{MARK, known_scope},
    clock::BootClock,
    vrrp_socket::large_receive_buffer,
};
use crate::{
    config::{Deleted, Manner, NetworkRoute},
    words::{Instant, InterfaceName, MacAddr},
};

/// The kernel works a request off inside `send`: an answer that is not there by then is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(50);

/// Requests in one `send`, so that their answers fit into the receive buffer.
const BATCH_MAX: usize = 64;

/// A dump that the kernel calls inconsistent is tried again this often.
const DUMP_ATTEMPTS: usize = 5;

/// The kernel never puts more into one datagram.
const DATAGRAM: usize = 64 * 1024;

/// Multicast groups, as bits (`linux/rtnetlink.h`).
pub(super) const GROUPS: u32 = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
const RTMGRP_LINK: u32 = 1;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;

/// A socket to the kernel's tables of the network namespace it was made in.
#[derive(Debug)]
pub(super) struct Rtnl {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One thing to change, with its flags besides `REQUEST` and `ACK`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) message: RouteNetlinkMessage,
    pub(super) flags: u16,
}

/// Why a batch was not carried out as a whole.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was this much too late to begin (or to go on).
    TooLate(Duration),
    /// The socket failed.
    Io(io::Error),
}

/// What the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    NewLink(Link),
    DelLink(Link),
    NewAddress(Address),
    DelAddress(Address),
    /// Nothing `ha` looks at.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    /// `None` if it is not text.
    pub(super) name: Option<InterfaceName>,
    /// Of Ethernet only.
    pub(super) mac: Option<MacAddr>,
    pub(super) up: bool,
    pub(super) carrier: bool,
    pub(super) mtu: u32,
    /// The number of the interface beneath it.
    pub(super) beneath: Option<u32>,
    pub(super) is_macvlan: bool,
    /// The number of the bridge, bond, team or virtual switch that it is a port of.
    pub(super) port_of: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) index: u32,
    pub(super) address: IpNet,
    /// How it was put there, in full: whatever can be known of it is said.
    pub(super) manner: Manner,
    pub(super) marked: bool,
    pub(super) usable: bool,
    /// The rest of its lifetime; `None` for ever.
    pub(super) remaining: Option<Duration>,
}

impl Rtnl {
    /// A socket for requests, subscribed to the multicast `groups` (0: none).
    pub(super) fn open(groups: u32) -> io::Result<Self> {
        // Protocol 0 is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        if groups != 0 {
            // More events before an overrun.
            large_receive_buffer(&socket)?;
        }
        bind(&socket, &netlink::SocketAddrNetlink::new(0, groups))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    /// Carries out every request and returns one result for each, in their order. The clock is read right before each
    /// write: nothing is written after `not_after`.
    pub(super) fn change(
        &mut self,
        requests: Vec<Request>,
        not_after: Option<Instant>,
    ) -> Result<Vec<io::Result<()>>, Failure> {
        let mut results = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let first = self.sequence.wrapping_add(1);
            let mut bytes = Vec::new();
            let batch = requests.by_ref().take(BATCH_MAX);
            let count = batch.map(|request| self.append(request, &mut bytes)).count();
            refuse_if_late(not_after)?;
            send(&self.socket, &bytes, SendFlags::empty()).map_err(|error| Failure::Io(error.into()))?;
            results.extend(self.acknowledgements(first, count).map_err(Failure::Io)?);
        }
        Ok(results)
    }

    /// The number of an interface.
    pub(super) fn index_of(&self, interface: &InterfaceName) -> io::Result<u32> {
        Ok(netdevice::name_to_index(&self.socket, interface.as_str())?)
    }

    /// One interface; `None` if there is none of this name.
    pub(super) fn link(&mut self, interface: &InterfaceName) -> io::Result<Option<Link>> {
        let index = match self.index_of(interface) {
            Ok(index) => index,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(message));
        message.header.flags = NLM_F_REQUEST;
        message.header.sequence_number = sequence;
        let mut bytes = Vec::new();
        append_message(message, &mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;
        loop {
            let answer = self.receive()?.into_iter().find(|message| message.header.sequence_number == sequence);
            match answer.map(|message| message.payload) {
                Some(NetlinkPayload::InnerMessage(seen)) => return Ok(seen.into_link()),
                // Gone meanwhile.
                Some(NetlinkPayload::Error(error)) if error.raw_code() == -libc::ENODEV => return Ok(None),
                Some(NetlinkPayload::Error(error)) => return Err(error.to_io()),
                Some(_) | None => {}
            }
        }
    }

    /// Every address of every interface.
    pub(super) fn addresses(&mut self) -> io::Result<Vec<Address>> {
        let mut message = AddressMessage::default();
        message.header.family = Netlink::Unspec;
        let seen = self.dump(&RouteNetlinkMessage::GetAddress(message))?;
        Ok(seen.into_iter().filter_map(Seen::into_address).collect())
    }

    /// Every interface.
    pub(super) fn links(&mut self) -> io::Result<Vec<Link>> {
        let seen = self.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(seen.into_iter().filter_map(Seen::into_link).collect())
    }

    /// The next datagram of events; `None` if there is none within the answer time.
    ///
    /// # Errors
    /// `ENOBUFS` after events were lost; a message that cannot be read.
    pub(super) fn events(&mut self) -> io::Result<Option<Vec<Seen>>> {
        match self.receive() {
            Ok(messages) => Ok(Some(messages.into_iter().filter_map(inner).collect())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn append(&mut self, request: Request, bytes: &mut Vec<u8>) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request.message);
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | request.flags;
        message.header.sequence_number = self.sequence;
        append_message(message, bytes);
    }

    /// The answers to the `count` requests from sequence number `first` on.
    fn acknowledgements(&mut self, first: u32, count: usize) -> io::Result<Vec<io::Result<()>>> {
        let mut results: Vec<Option<io::Result<()>>> = Vec::new();
        results.resize_with(count, || None);
        while results.iter().any(Option::is_none) {
            for message in self.receive()? {
                let NetlinkPayload::Error(error) = message.payload else { continue };
                // An answer to an older request, which nobody waits for any more, is out of range.
                let at = usize::try_from(message.header.sequence_number.wrapping_sub(first)).unwrap_or(usize::MAX);
                if let Some(result) = results.get_mut(at) {
                    *result = Some(error.code.map_or(Ok(()), |_| Err(error.to_io())));
                }
            }
        }
        Ok(results.into_iter().flatten().collect())
    }

    fn dump(&mut self, message: &RouteNetlinkMessage) -> io::Result<Vec<Seen>> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(seen) = self.dump_once(message.clone())? {
                return Ok(seen);
            }
        }
        Err(io::Error::other("the kernel's table changed faster than it could be read"))
    }

    /// `None` if the table changed meanwhile.
    fn dump_once(&mut self, message: RouteNetlinkMessage) -> io::Result<Option<Vec<Seen>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.header.sequence_number = sequence;
        let mut bytes = Vec::new();
        append_message(message, &mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;
        let (mut seen, mut consistent) = (Vec::new(), true);
        loop {
            for message in self.receive()? {
                if message.header.sequence_number != sequence {
                    continue;
                }
                consistent &= message.header.flags & NLM_F_DUMP_INTR == 0;
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(consistent.then_some(seen)),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(message) => seen.push(message),
                    NetlinkPayload::Noop | NetlinkPayload::Overrun(_) | _ => {}
                }
            }
        }
    }

    /// All messages of one datagram.
    fn receive(&mut self) -> io::Result<Vec<NetlinkMessage<Seen>>> {
        let length = loop {
            match recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                received => break received?.0,
            }
        };
        messages(self.buffer.get(..length).unwrap_or_default())
    }
}

/// Takes a datagram of rtnetlink apart.
pub(super) fn messages(mut datagram: &[u8]) -> io::Result<Vec<NetlinkMessage<Seen>>> {
    let mut messages = Vec::new();
    while !datagram.is_empty() {
        messages.push(NetlinkMessage::deserialize(datagram).map_err(unreadable)?);
        let length = NetlinkBuffer::new_checked(datagram).map_err(unreadable)?.length();
        let aligned = usize::try_from(length).unwrap_or(usize::MAX).next_multiple_of(4);
        datagram = datagram.get(aligned..).unwrap_or_default();
    }
    Ok(messages)
}

impl AsFd for Rtnl {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Seen {
    fn into_address(self) -> Option<Address> {
        match self {
            Self::NewAddress(address) => Some(address),
            Self::NewLink(_) | Self::DelLink(_) | Self::DelAddress(_) | Self::Other => None,
        }
    }

    fn into_link(self) -> Option<Link> {
        match self {
            Self::NewLink(link) => Some(link),
            Self::DelLink(_) | Self::NewAddress(_) | Self::DelAddress(_) | Self::Other => None,
        }
    }
}

impl NetlinkDeserializable for Seen {
    type Error = Unreadable;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        let link = |seen: fn(Link) -> Self| Ok(link(payload)?.map_or(Self::Other, seen));
        let address = |seen: fn(Address) -> Self| Ok(address(payload)?.map_or(Self::Other, seen));
        match header.message_type {
            libc::RTM_NEWLINK => link(Self::NewLink),
            libc::RTM_DELLINK => link(Self::DelLink),
            libc::RTM_NEWADDR => address(Self::NewAddress),
            libc::RTM_DELADDR => address(Self::DelAddress),
            _ => Ok(Self::Other),
        }
    }
}

/// A message of the kernel makes no sense.
#[derive(Debug)]
pub(super) struct Unreadable(DecodeError);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreadable {}

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        Self(error)
    }
}

fn refuse_if_late(not_after: Option<Instant>) -> Result<(), Failure> {
    let now = BootClock.now();
    match not_after {
        Some(latest) if now > latest => Err(Failure::TooLate(now.saturating_since(latest))),
        Some(_) | None => Ok(()),
    }
}

fn append_message(mut message: NetlinkMessage<RouteNetlinkMessage>, bytes: &mut Vec<u8>) {
    message.finalize();
    let at = bytes.len();
    bytes.resize(at + message.buffer_len().next_multiple_of(4), 0);
    if let Some(room) = bytes.get_mut(at..) {
        message.serialize(room);
    }
}

fn inner(message: NetlinkMessage<Seen>) -> Option<Seen> {
    if let NetlinkPayload::InnerMessage(seen) = message.payload { Some(seen) } else { None }
}

fn unreadable(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// `None` for the view that another subsystem (a bridge) has of an interface.
fn link(payload: &[u8]) -> Result<Option<Link>, DecodeError> {
    /// `struct ifinfomsg`.
    const HEADER: usize = 16;
    let header = LinkHeader::parse(payload)?;
    if header.interface_family != Netlink::Unspec {
        return Ok(None);
    }
    let (mut name, mut mac, mut mtu, mut beneath, mut macvlan) = (None, None, 0, None, false);
    let (mut master, mut is_port) = (None, false);
    for attribute in attributes(payload, HEADER) {
        let attribute = attribute?;
        match attribute.kind() {
            libc::IFLA_IFNAME => name = text(attribute.value()).and_then(|name| name.parse().ok()),
            libc::IFLA_ADDRESS if header.link_layer_type == LinkLayerType::Ether => {
                mac = attribute.value().try_into().ok().map(MacAddr);
            }
            libc::IFLA_MTU => mtu = number(attribute.value()).unwrap_or(0),
            libc::IFLA_LINK => beneath = number(attribute.value()),
            libc::IFLA_MASTER => master = number(attribute.value()),
            libc::IFLA_LINKINFO => {
                (macvlan, is_port) = (is_macvlan(attribute.value()), is_port_of_its_master(attribute.value()))
            }
            _ => {}
        }
    }
    let carrier = header.flags.contains(LinkFlags::LowerUp | LinkFlags::Running);
    let up = header.flags.contains(LinkFlags::Up);
    let port_of = master.filter(|_| is_port);
    Ok(Some(Link { index: header.index, name, mac, up, carrier, mtu, beneath, is_macvlan: macvlan, port_of }))
}

/// `None` if it is no internet address.
fn address(payload: &[u8]) -> Result<Option<Address>, DecodeError> {
    /// `struct ifaddrmsg`.
    const HEADER: usize = 8;
    /// `linux/if_addr.h`, since Linux 5.18.
    const IFA_PROTO: u16 = 11;
    let header = AddressHeader::parse(payload)?;
    let (mut local, mut prefix, mut marked, mut remaining) = (None, None, false, None);
    let (mut label, mut broadcast, mut flags) = (None, None, 0);
    for attribute in attributes(payload, HEADER) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            // The own end; the other attribute is then the far end of a point-to-point link.
            libc::IFA_LOCAL => local = ip(value),
            libc::IFA_ADDRESS => prefix = ip(value),
            libc::IFA_CACHEINFO => remaining = lifetime(value),
            libc::IFA_LABEL => label = text(value).map(str::to_owned),
            libc::IFA_BROADCAST => broadcast = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from),
            libc::IFA_FLAGS => flags = <[u8; 4]>::try_from(value).map_or(0, u32::from_ne_bytes),
            IFA_PROTO => marked = value == [MARK],
            _ => {}
        }
    }
    let is = |flag| header.flags.contains(flag);
    let waiting = is(AddressHeaderFlags::Tentative) && !is(AddressHeaderFlags::Optimistic);
    let usable = !waiting && !is(AddressHeaderFlags::Dadfailed);
    let net = local.or(prefix).and_then(|ip| IpNet::new(ip, header.prefix_len).ok());
    let manner = Manner {
        device: None,
        virtual_mac: None,
        peer: local.and(prefix).filter(|_| local != prefix),
        label,
        broadcast,
        scope: net.filter(|net| net.addr().is_ipv4()).and_then(|_| known_scope(header.scope)),
        network_route: if flags & libc::IFA_F_NOPREFIXROUTE == 0 { NetworkRoute::Made } else { NetworkRoute::LeftOut },
        // What is there says nothing of it.
        deleted: Deleted::default(),
    };
    Ok(net.map(|address| Address { index: header.index, address, manner, marked, usable, remaining }))
}

/// `struct ifa_cacheinfo`: preferred, then valid, in seconds; all ones is for ever.
fn lifetime(value: &[u8]) -> Option<Duration> {
    let (_preferred, rest) = value.split_first_chunk::<4>()?;
    let valid = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
    (valid != u32::MAX).then(|| Duration::from_secs(valid.into()))
}

fn attributes(payload: &[u8], header: usize) -> NlasIterator<&[u8]> {
    NlasIterator::new(payload.get(header..).unwrap_or_default())
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// `IFLA_INFO_KIND` of `IFLA_LINKINFO`.
fn is_macvlan(information: &[u8]) -> bool {
    const IFLA_INFO_KIND: u16 = 1;
    said(information, IFLA_INFO_KIND, &["macvlan"])
}

/// `IFLA_INFO_SLAVE_KIND` of `IFLA_LINKINFO`: what takes away what arrives. An interface of a VRF goes on hearing.
fn is_port_of_its_master(information: &[u8]) -> bool {
    const IFLA_INFO_SLAVE_KIND: u16 = 4;
    said(information, IFLA_INFO_SLAVE_KIND, &["bridge", "bond", "team", "openvswitch"])
}

fn said(information: &[u8], kind: u16, words: &[&str]) -> bool {
    let mut all = NlasIterator::new(information).flatten();
    all.any(|attribute| attribute.kind() == kind && text(attribute.value()).is_some_and(|text| words.contains(&text)))
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0'))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}
