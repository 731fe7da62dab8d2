//! What an instance sends: its advertisements as bytes, signed where that is wanted.

use std::net::IpAddr;

use super::{Transmit, instance::Instance};
use crate::{
    config::{Auth, Checksum, Protocol, Transport},
    wire::{Advertisement, ChecksumForm, Priority, encode_v2, encode_v3},
    words::Instant,
};

impl Instance {
    /// An advertisement, ready to send; `None` while there is no address to send it from.
    pub(super) fn transmit(&mut self, now: Instant, priority: Option<Priority>) -> Option<Transmit> {
        let mut transmit = self.compose(priority)?;
        self.sign_all(now, transmit.source, &mut transmit.payloads);
        Some(transmit)
    }

    /// The same, not signed yet.
    pub(super) fn compose(&self, priority: Option<Priority>) -> Option<Transmit> {
        let source = self.primary()?;
        let destinations = match self.config.transport {
            Transport::Unicast => self.config.peers.clone(),
            Transport::Multicast => vec![self.config.group()],
        };
        let adv = Advertisement {
            vrid: self.config.vrid,
            priority,
            interval: self.config.advertise,
            addresses: self.virtual_addresses(),
        };
        let payloads = destinations.iter().map(|destination| self.encode(&adv, source, *destination)).collect();
        Some(Transmit {
            instance: self.config.name.clone(),
            interface: self.config.interface.clone(),
            mac: self.config.mac().filter(|_| self.config.virtual_mac.as_ref().is_some_and(|it| it.advertises)),
            source,
            destinations,
            payloads,
        })
    }

    fn encode(&self, adv: &Advertisement, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        match &self.config.protocol {
            Protocol::V2(Auth::None) => encode_v2(adv, None),
            Protocol::V2(Auth::Pass(password)) => encode_v2(adv, Some(password)),
            Protocol::V3(checksum) => {
                let form = match checksum {
                    Checksum::Auto => self.checksum_heard.unwrap_or(ChecksumForm::PseudoHeader),
                    Checksum::PseudoHeader => ChecksumForm::PseudoHeader,
                    Checksum::Rfc9568 => ChecksumForm::MessageOnly,
                };
                encode_v3(adv, source, destination, form)
            }
        }
    }
}
