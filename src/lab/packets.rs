//! What everybody here needs who sends and hears whole frames.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, bind, socket},
};

/// The interfaces of the calling thread's namespace, ready to be bound to.
pub(super) fn links() -> io::Result<BTreeMap<String, LinkAddr>> {
    let links = getifaddrs()?;
    let link = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?.as_link_addr().copied()?;
        Some((interface.interface_name, address))
    };
    Ok(links.filter_map(link).collect())
}

/// A packet socket on an interface of the calling thread's namespace. It never waits.
pub(super) fn open_on(interface: &str) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    bind(fd.as_raw_fd(), links()?.get(interface).ok_or(io::ErrorKind::NotFound)?)?;
    Ok(fd)
}

/// A frame that this machine sends: a packet socket hears those as well.
pub(super) fn is_outgoing(address: &LinkAddr) -> bool {
    const OUTGOING: u8 = 4; // PACKET_OUTGOING
    address.pkttype() == OUTGOING
}
