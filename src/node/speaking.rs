//! What an instance sends: its advertisements as bytes, signed where that is wanted.

use std::net::IpAddr;

use super::{
    Output, Transmit,
    instance::{Instance, Outbox},
};
use crate::{
    config::{Auth, Checksum, Protocol, Transport},
    wire::{Advertisement, ChecksumForm, Priority, encode_v2, encode_v3},
    words::Instant,
};

impl Instance {
    /// Advertises on every way that has an address to send from.
    pub(super) fn transmit(&mut self, now: Instant, priority: Option<Priority>, out: &mut Outbox) {
        let mut transmits = self.compose_all(priority);
        self.sign_all(now, &mut transmits);
        out.extend(transmits.into_iter().map(Output::Transmit));
        if self.asks_when_it_advertises() {
            self.ask_peers(now, out);
        }
    }

    /// An advertisement on the own way, not signed yet; `None` while there is no address to send it from.
    pub(super) fn compose(&self, priority: Option<Priority>) -> Option<Transmit> {
        let source = self.primary()?;
        let destinations = match self.config.transport {
            Transport::Unicast => self.config.peers.iter().copied().filter(|peer| !self.is_own(*peer)).collect(),
            Transport::Multicast => vec![self.config.group()],
        };
        Some(Transmit {
            instance: self.config.name.clone(),
            path: None,
            interface: self.config.interface.clone(),
            mac: self.config.mac().filter(|_| self.config.virtual_mac.as_ref().is_some_and(|it| it.advertises)),
            source,
            payloads: self.payloads(priority, source, &destinations),
            destinations,
        })
    }

    /// The advertisement as each destination gets it.
    pub(super) fn payloads(&self, priority: Option<Priority>, source: IpAddr, destinations: &[IpAddr]) -> Vec<Vec<u8>> {
        let adv = Advertisement {
            vrid: self.config.vrid,
            priority,
            interval: self.config.advertise,
            addresses: self.virtual_addresses(),
        };
        destinations.iter().map(|destination| self.encode(&adv, source, *destination)).collect()
    }

    fn encode(&self, adv: &Advertisement, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        match &self.config.protocol {
            Protocol::V2(Auth::None) => encode_v2(adv, None),
            Protocol::V2(Auth::Pass(password)) => encode_v2(adv, Some(password)),
            // Whoever loads a configuration reads it before: nobody believes this one.
            Protocol::V2(Auth::Secret(_)) => encode_v2(adv, Some(&[0; 8])),
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
