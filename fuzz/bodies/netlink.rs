//! What arrives on a netlink socket: it is understood or refused. The first byte says whose datagram it is.

use ha::linux::{Family, understood};

pub(crate) fn run(data: &[u8]) {
    let Some((family, datagram)) = data.split_first() else { return };
    let family = match family % 3 {
        0 => Family::Route,
        1 => Family::Netfilter,
        _ => Family::Connector,
    };
    let _ = understood(family, datagram);
}
