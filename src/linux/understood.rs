//! What the kernel says, as the daemon understands it: for a look at a captured datagram, and for fuzzing.

use std::io;

use super::{nftables, process_events, rtnl};

/// Whose netlink datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Links and addresses, and acknowledgements of what was asked about them and about routes.
    Route,
    /// Acknowledgements of nftables.
    Netfilter,
    /// The process connector.
    Connector,
}

/// The messages of a datagram, in the words of `Debug`.
///
/// # Errors
/// What does not make sense; the daemon takes the socket for broken then, and begins anew.
pub fn understood(family: Family, datagram: &[u8]) -> io::Result<String> {
    Ok(match family {
        Family::Route => format!("{:?}", rtnl::messages(datagram)?),
        Family::Netfilter => format!("{:?}", nftables::answers(datagram)),
        Family::Connector => format!("{:?}", process_events::decode(datagram)),
    })
}
