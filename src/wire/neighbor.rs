//! What ARP and neighbour discovery have in common: somebody asks for an address, or says where one is.

use std::net::IpAddr;

/// What a neighbour frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighborKind {
    /// "Who has `target`? I am `sender`": an ARP request or a neighbour solicitation with a source.
    Request { sender: IpAddr, target: IpAddr },
    /// "Who has `target`?", from nobody (RFC 5227 probe; duplicate address detection).
    Probe { target: IpAddr },
    /// "`address` is at `mac`", to us: an ARP reply or a solicited advertisement.
    Reply { address: IpAddr },
    /// "`address` is at `mac`", to everybody: gratuitous ARP of either form, unsolicited advertisement.
    Announcement { address: IpAddr },
}
