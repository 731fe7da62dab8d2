//! Whether two machines can use what they say of a virtual router, as their configurations have it.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Kind, Machine};
use crate::{
    config::{AuthHmac, HmacMode, Instance, Transport},
    wire::Version,
};

/// Each can use what the other one says.
pub(super) fn understand_each_other([one, other]: [&Machine; 2], [ours, theirs]: [&Instance; 2]) -> bool {
    understands((one, ours), (other, theirs)) && understands((other, theirs), (one, ours))
}

fn understands((listener, ours): (&Machine, &Instance), (speaker, theirs): (&Machine, &Instance)) -> bool {
    let is_second = ours.protocol.version() == Version::V2;
    let minds_addresses = match listener.kind {
        Kind::Ha => is_second,
        Kind::Keepalived => !listener.release.believes_other_addresses(),
    };
    let addresses = |it: &Instance| it.addresses.iter().map(IpNet::addr).collect::<BTreeSet<_>>();
    (ours.vrid, ours.protocol.version()) == (theirs.vrid, theirs.protocol.version())
        && (!is_second || (&ours.protocol, ours.advertise) == (&theirs.protocol, theirs.advertise))
        && (!minds_addresses || addresses(ours) == addresses(theirs))
        && believes(signing(listener, ours), signing(speaker, theirs))
        && reaches((speaker, theirs), (listener, ours))
}

/// How it signs, if it knows how to.
fn signing<'a>(machine: &Machine, instance: &'a Instance) -> Option<&'a AuthHmac> {
    instance.auth_hmac.as_ref().filter(|_| machine.kind == Kind::Ha || machine.release.signs())
}

fn believes(listener: Option<&AuthHmac>, speaker: Option<&AuthHmac>) -> bool {
    match (listener, speaker.and_then(AuthHmac::signs_with)) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(auth), None) => auth.mode != HmacMode::Enforce,
        (Some(auth), Some((number, key))) => auth.key(number) == Some(key),
    }
}

/// What is sent to all, or to a list, is sent where the other one listens.
fn reaches((speaker, theirs): (&Machine, &Instance), (listener, ours): (&Machine, &Instance)) -> bool {
    let knows = |instance: &Instance, machine: &Machine, of: &Instance| {
        machine.own(of).is_some_and(|own| instance.peers.contains(&own))
    };
    theirs.transport == ours.transport
        && theirs.multicast_group == ours.multicast_group
        && (theirs.transport == Transport::Multicast || knows(theirs, listener, ours) && knows(ours, speaker, theirs))
}
