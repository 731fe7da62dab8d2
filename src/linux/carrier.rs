//! What drivers say of an interface, and are told: whether it has a carrier right now, and who computes checksums.
//!
//! Link events are rate-limited by the kernel (up to a second late); the driver itself answers at once, and in the
//! network namespace of the caller, which `/sys` need not show.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::words::InterfaceName;

/// `ETHTOOL_GLINK` of `linux/ethtool.h`: the link as the driver sees it.
const ETHTOOL_GLINK: u32 = 0x0000_000a;

/// `ETHTOOL_STXCSUM`: whether the interface completes checksums itself.
const ETHTOOL_STXCSUM: u32 = 0x0000_0017;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// Asks the drivers of the network namespace it was made in.
#[derive(Debug)]
pub struct Drivers(OwnedFd);

impl Drivers {
    /// A socket to ask by.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn open() -> io::Result<Self> {
        Ok(Self(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?))
    }

    /// Whether the interface is up and has a carrier.
    ///
    /// # Errors
    /// There is no such interface, or it cannot be asked.
    pub fn carrier(&self, interface: &InterfaceName) -> io::Result<bool> {
        match driver_link(&self.0, interface) {
            // Some virtual interfaces have no such operation.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => running(&self.0, interface),
            link => link,
        }
    }
}

/// The kernel computes all checksums before it hands a packet to this interface, and cuts it to size: whoever hears the interface
/// hears whole packets.
///
/// # Errors
/// There is no such interface, it cannot be told, or the caller may not.
pub fn compute_checksums(interface: &InterfaceName) -> io::Result<()> {
    let Drivers(socket) = Drivers::open()?;
    ethtool(&socket, interface, EthtoolValue { cmd: ETHTOOL_STXCSUM, data: 0 }).map(drop)
}

fn driver_link(socket: &impl AsRawFd, interface: &InterfaceName) -> io::Result<bool> {
    ethtool(socket, interface, EthtoolValue { cmd: ETHTOOL_GLINK, data: 0 }).map(|value| value.data != 0)
}

/// `SIOCETHTOOL`.
fn ethtool(socket: &impl AsRawFd, interface: &InterfaceName, mut value: EthtoolValue) -> io::Result<EthtoolValue> {
    let mut request = named(interface);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: `request` names the interface with a terminating zero and points to a live ethtool_value, which is what
    // SIOCETHTOOL reads and writes with both commands above; both outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// `SIOCGIFFLAGS`.
fn running(socket: &impl AsRawFd, interface: &InterfaceName) -> io::Result<bool> {
    let mut request = named(interface);
    // SAFETY: `request` names the interface with a terminating zero; SIOCGIFFLAGS writes only into it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: SIOCGIFFLAGS succeeded, so this is the member of the union that it wrote.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    let wanted = libc::IFF_UP | libc::IFF_RUNNING;
    Ok(flags & wanted == wanted)
}

/// A request about an interface, otherwise zero.
fn named(interface: &InterfaceName) -> libc::ifreq {
    // SAFETY: ifreq is a plain C structure of integers, a union of such and a pointer; all zeros is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // A name has at most 15 bytes, so the last of the 16 stays zero.
    for (to, from) in request.ifr_name.iter_mut().zip(interface.as_str().bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::{
        super::namespace::{Far, alone, ip, name},
        *,
    };

    #[test]
    fn the_carrier_is_known_at_once() {
        alone(|| {
            let far = Far::connect();
            let va = name("va");
            let drivers = Drivers::open().unwrap();
            let carrier = |interface: &InterfaceName| drivers.carrier(interface);
            assert!(carrier(&va).unwrap());
            // Faster than the kernel sends events.
            for _ in 0..5 {
                far.ip("link set vb down");
                assert!(!carrier(&va).unwrap());
                far.ip("link set vb up");
                assert!(carrier(&va).unwrap());
            }
            ip("link set va down");
            assert!(!carrier(&va).unwrap());
            assert!(carrier(&name("lo")).unwrap());
            assert_eq!(carrier(&name("nowhere")).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        });
    }

    #[test]
    fn an_interface_that_cannot_be_asked_runs_or_does_not() {
        alone(|| {
            let _far = Far::connect();
            let Drivers(socket) = Drivers::open().unwrap();
            assert!(running(&socket, &name("va")).unwrap());
            ip("link set va down");
            assert!(!running(&socket, &name("va")).unwrap());
            assert!(running(&socket, &name("nowhere")).is_err());
        });
    }
}
