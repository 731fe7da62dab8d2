//! Advertisements of somebody who is none of the machines.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    config::{Auth, Instance, Protocol},
    wire::{self, Priority},
};

/// What he sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgery {
    /// An address that is no node's.
    pub source: IpAddr,
    /// The group of the virtual router.
    pub destination: IpAddr,
    /// The advertisement, as the protocol of the instance wants it; a key that lies in a file he does not know.
    pub payload: Vec<u8>,
}

impl Forgery {
    /// An advertisement for the addresses of this instance; `None`: it has none.
    #[must_use]
    pub fn of(instance: &Instance, priority: u8) -> Option<Self> {
        let adv = wire::Advertisement {
            vrid: instance.vrid,
            priority: Priority::new(priority),
            interval: instance.advertise,
            addresses: instance.addresses.iter().map(IpNet::addr).collect(),
        };
        let source = match instance.addresses.first()? {
            IpNet::V6(_) => IpAddr::V6([0xfe80, 0, 0, 0, 0, 0, 0xbad, 1].into()),
            IpNet::V4(net) => IpAddr::V4(net.hosts().last().unwrap_or(net.addr())),
        };
        let destination = instance.group();
        let payload = match &instance.protocol {
            Protocol::V2(Auth::Pass(password)) => wire::encode_v2(&adv, Some(password)),
            Protocol::V2(Auth::None | Auth::Secret(_)) => wire::encode_v2(&adv, None),
            Protocol::V3(_) => wire::encode_v3(&adv, source, destination, wire::ChecksumForm::PseudoHeader),
        };
        Some(Self { source, destination, payload })
    }
}
