//! Rtnetlink, one request at a time: a socket of one namespace that asks and waits for the answer.
//!
//! Faults are timed by the caller's clock, so nothing asynchronous stands between the request and the kernel.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};
use rtnetlink::{
    AddressMessageBuilder, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    },
    packet_route::{
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage, CacheInfo},
        link::{InfoData, InfoVeth, LinkAttribute, LinkMessage, State},
    },
};

use super::{
    netns::Netns,
    trouble::{Result, Trouble},
};

/// Rtnetlink groups, as a bit mask for `bind`.
pub(crate) const IPV4_ADDRESSES: u32 = 1 << 4;
pub(crate) const IPV6_ADDRESSES: u32 = 1 << 8;

/// A socket for requests in one namespace.
#[derive(Debug)]
pub struct Rtnl {
    socket: OwnedFd,
    sequence: AtomicU32,
    one_at_a_time: Mutex<()>,
}

/// One end of a cable.
#[derive(Clone, Copy, Debug)]
pub struct Plug<'a> {
    /// Name of the interface.
    pub name: &'a str,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// The namespace it is in.
    pub netns: &'a Netns,
}

impl Rtnl {
    /// Opens a socket in `netns`.
    ///
    /// # Errors
    ///
    /// Where the kernel gives none.
    pub fn open(netns: &Netns) -> Result<Self> {
        let socket = netns.run(|| open_socket(0))?.map_err(Trouble::kernel("open a netlink socket"))?;
        Ok(Self { socket, sequence: AtomicU32::new(1), one_at_a_time: Mutex::new(()) })
    }

    /// Makes a switch: a bridge without spanning tree and without multicast snooping, up.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn add_bridge(&self, name: &str) -> Result<()> {
        self.add_link(LinkBridge::new(name).mcast_snooping(false).forward_delay(0).up().build())
            .map_err(Trouble::kernel(format!("make the bridge {name}")))
    }

    /// Makes a cable with one end here, in this socket's namespace.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn add_cable(&self, here: &str, there: Plug<'_>) -> Result<()> {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(there.name)
            .address(there.mac.to_vec())
            .setns_by_fd(there.netns.as_raw_fd())
            .build();
        let cable = LinkVeth::new(here, "peer").set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build();
        self.add_link(cable).map_err(Trouble::kernel(format!("make the cable {here}")))
    }

    /// Removes an interface; the other end of its cable goes too.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn delete_link(&self, name: &str) -> Result<()> {
        let message = LinkUnspec::new_with_index(self.index_of(name)?).build();
        self.tell(RouteNetlinkMessage::DelLink(message), 0).map_err(Trouble::kernel(format!("delete {name}")))
    }

    /// Makes `port` a port of `bridge` and sets it up.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn attach(&self, port: &str, bridge: &str) -> Result<()> {
        let (port_index, bridge_index) = (self.index_of(port)?, self.index_of(bridge)?);
        let message = LinkUnspec::new_with_index(port_index).controller(bridge_index).up().build();
        self.change_link(message).map_err(Trouble::kernel(format!("attach {port} to {bridge}")))
    }

    /// Sets an interface up or down. On one end of a cable, the other end gains or loses its carrier.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn set_up(&self, name: &str, up: bool) -> Result<()> {
        let link = LinkUnspec::new_with_index(self.index_of(name)?);
        let message = if up { link.up() } else { link.down() }.build();
        self.change_link(message).map_err(Trouble::kernel(format!("set {name} {}", if up { "up" } else { "down" })))
    }

    /// Whether a port of a bridge is given multicast frames (it always is given broadcast and its own unicast frames).
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn set_multicast_flood(&self, port: &str, flood: bool) -> Result<()> {
        let message = LinkBridgePort::new(self.index_of(port)?).mcast_flood(flood).build();
        self.change_link(message).map_err(Trouble::kernel(format!("filter multicast on {port}")))
    }

    /// Isolated ports of a bridge do not reach each other; everybody else reaches them.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn set_isolated(&self, port: &str, isolated: bool) -> Result<()> {
        let message = LinkBridgePort::new(self.index_of(port)?).isolated(isolated).build();
        self.change_link(message).map_err(Trouble::kernel(format!("isolate {port}")))
    }

    /// Adds an address; `lifetime` in whole seconds, `None` for ever. One that exists is renewed.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn add_address(&self, link: &str, address: impl Into<IpAddr>, prefix: u8, lifetime: Option<u32>) -> Result<()> {
        let address = address.into();
        let mut message = address_message(self.index_of(link)?, address, prefix);
        if let Some(seconds) = lifetime {
            let mut info = CacheInfo::default();
            info.ifa_preferred = seconds;
            info.ifa_valid = seconds;
            message.attributes.push(AddressAttribute::CacheInfo(info));
        }
        self.tell(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(Trouble::kernel(format!("add {address}/{prefix} to {link}")))
    }

    /// Deletes an address.
    ///
    /// # Errors
    ///
    /// What the kernel says, also where the address is not there.
    pub fn delete_address(&self, link: &str, address: impl Into<IpAddr>, prefix: u8) -> Result<()> {
        let address = address.into();
        let message = address_message(self.index_of(link)?, address, prefix);
        self.tell(RouteNetlinkMessage::DelAddress(message), 0)
            .map_err(Trouble::kernel(format!("delete {address}/{prefix} from {link}")))
    }

    /// Deletes an address from whatever interface has it; whether one had it.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn delete_everywhere(&self, address: IpAddr) -> Result<bool> {
        let mut found = false;
        for message in self.addresses()? {
            if bears(&message, address) {
                found = true;
                // Another hand may have been faster.
                let _ = self.tell(RouteNetlinkMessage::DelAddress(message), 0);
            }
        }
        Ok(found)
    }

    /// Everything for one address goes out of an interface, whatever network the address is of.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn add_way(&self, link: &str, address: IpAddr) -> Result<()> {
        let failed = || format!("find the way to {address} through {link}");
        let length = if address.is_ipv4() { 32 } else { 128 };
        let route = RouteMessageBuilder::<IpAddr>::new().destination_prefix(address, length);
        let route = route.map_err(|error| Trouble::kernel(failed())(io::Error::other(format!("{error:?}"))))?;
        let message = route.output_interface(self.index_of(link)?).build();
        self.tell(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(Trouble::kernel(failed()))
    }

    /// All addresses of this namespace.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn addresses(&self) -> Result<Vec<AddressMessage>> {
        let answers = self.ask(address_dump(), NLM_F_DUMP).map_err(Trouble::kernel("list the addresses"))?;
        Ok(answers
            .into_iter()
            .filter_map(
                |answer| if let RouteNetlinkMessage::NewAddress(message) = answer { Some(message) } else { None },
            )
            .collect())
    }

    /// The number of an interface.
    ///
    /// # Errors
    ///
    /// Where there is none of that name.
    pub fn index_of(&self, name: &str) -> Result<u32> {
        Ok(self.link(name)?.header.index)
    }

    /// Whether an interface has a carrier, as its own namespace sees it.
    ///
    /// # Errors
    ///
    /// Where there is none of that name.
    pub fn has_carrier(&self, name: &str) -> Result<bool> {
        Ok(self.link(name)?.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::Carrier(1))))
    }

    /// Whether an interface sends and receives: RFC 2863's operational state, which follows the carrier.
    ///
    /// # Errors
    ///
    /// Where there is none of that name.
    pub fn is_operational(&self, name: &str) -> Result<bool> {
        let up = LinkAttribute::OperState(State::Up);
        Ok(self.link(name)?.attributes.contains(&up))
    }

    fn link(&self, name: &str) -> Result<LinkMessage> {
        let message = LinkUnspec::new_with_name(name).build();
        let answers =
            self.ask(RouteNetlinkMessage::GetLink(message), 0).map_err(Trouble::kernel(format!("find {name}")))?;
        let mut links = answers
            .into_iter()
            .filter_map(|answer| if let RouteNetlinkMessage::NewLink(link) = answer { Some(link) } else { None });
        links.next().ok_or_else(|| Trouble::kernel(format!("find {name}"))(io::Error::from(io::ErrorKind::NotFound)))
    }

    fn add_link(&self, message: LinkMessage) -> io::Result<()> {
        self.tell(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    fn change_link(&self, message: LinkMessage) -> io::Result<()> {
        self.tell(RouteNetlinkMessage::NewLink(message), 0)
    }

    fn tell(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | flags).map(drop)
    }

    /// Sends a request and collects its answers.
    fn ask(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        send_request(&self.socket, message, flags, sequence)?;
        let several = flags & (NLM_F_DUMP | NLM_F_ACK) != 0;
        let mut answers = Vec::new();
        loop {
            for answer in receive(&self.socket)? {
                if answer.header.sequence_number != sequence {
                    continue;
                }
                if let NetlinkPayload::InnerMessage(inner) = answer.payload {
                    answers.push(inner);
                } else if let NetlinkPayload::Error(error) = &answer.payload
                    && error.code.is_some()
                {
                    return Err(error.to_io());
                } else {
                    return Ok(answers);
                }
            }
            if !several && !answers.is_empty() {
                return Ok(answers);
            }
        }
    }
}

/// A netlink socket in the calling thread's namespace, member of `groups`.
pub(crate) fn open_socket(groups: u32) -> io::Result<OwnedFd> {
    let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    // Many events in a row must not be lost while the reader waits for a processor; a refusal leaves the default.
    let _ = setsockopt(&fd, sockopt::RcvBuf, &(1 << 20));
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

/// "All addresses, please", of both families.
pub(crate) fn address_dump() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

/// Whether a message is about this address.
pub(crate) fn bears(message: &AddressMessage, address: IpAddr) -> bool {
    // IPv6 has no local address of its own here; of IPv4 the other one is the far end's.
    let ours = match address {
        IpAddr::V4(_) => AddressAttribute::Local(address),
        IpAddr::V6(_) => AddressAttribute::Address(address),
    };
    message.attributes.contains(&ours)
}

fn address_message(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    match address {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(address, prefix).build(),
        IpAddr::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(address, prefix).build(),
    }
}

/// Sends one request.
pub(crate) fn send_request(
    socket: &OwnedFd,
    message: RouteNetlinkMessage,
    flags: u16,
    sequence: u32,
) -> io::Result<()> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | flags;
    request.header.sequence_number = sequence;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    send(socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
    Ok(())
}

/// Receives one datagram, which may hold several messages; those this library cannot read are left out.
pub(crate) fn receive(socket: &OwnedFd) -> io::Result<Vec<NetlinkMessage<RouteNetlinkMessage>>> {
    let mut buffer = vec![0; 1 << 16];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    let mut rest = buffer.get(..length).unwrap_or_default();
    let mut messages = Vec::new();
    while let Some(size) = message_length(rest) {
        if let Ok(message) = NetlinkMessage::deserialize(rest) {
            messages.push(message);
        }
        rest = rest.get(size..).unwrap_or_default();
    }
    Ok(messages)
}

/// Length of the first message with its padding.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_ne_bytes(bytes.first_chunk::<4>().copied()?);
    let length = usize::try_from(length).ok()?;
    (length >= 16 && length <= bytes.len()).then_some(length.next_multiple_of(4))
}
