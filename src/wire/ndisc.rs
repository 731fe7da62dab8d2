//! Neighbour discovery for IPv6 over Ethernet (RFC 4861): solicitations, also those of duplicate address detection
//! (RFC 4862), and advertisements, as whole frames.
//!
//! Frames that RFC 4861 section 7.1 tells a node to discard are not understood here either. Extension headers are not
//! followed: nobody sends these messages with any.

use std::net::{IpAddr, Ipv6Addr};

use super::{NeighborKind, checksum::Sum};
use crate::words::MacAddr;

/// A received solicitation or advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NdiscSeen {
    /// Where the frame comes from.
    pub ethernet_source: MacAddr,
    /// The sender; unspecified in a probe.
    pub source: Ipv6Addr,
    /// Whom the sender addressed.
    pub destination: Ipv6Addr,
    /// The address in question.
    pub target: Ipv6Addr,
    /// What it is.
    pub message: Message,
    /// The link-layer address option: of the sender in a solicitation, of the target in an advertisement.
    pub link_layer: Option<MacAddr>,
}

/// The two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 135.
    Solicitation,
    /// Type 136.
    Advertisement(Flags),
}

/// What an advertisement says besides its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// R: the sender forwards packets. RFC 9568 section 6.4.1 sets it; a host that does not forward must not.
    pub router: bool,
    /// S: it answers a solicitation. Never set in what goes to everybody.
    pub solicited: bool,
    /// O: it replaces what a neighbour has in its cache.
    pub replaces: bool,
}

impl NdiscSeen {
    /// What it says.
    #[must_use]
    pub fn kind(&self) -> NeighborKind {
        let target = IpAddr::V6(self.target);
        match self.message {
            Message::Solicitation if self.source.is_unspecified() => NeighborKind::Probe { target },
            Message::Solicitation => NeighborKind::Request { sender: IpAddr::V6(self.source), target },
            Message::Advertisement(Flags { solicited: true, .. }) => NeighborKind::Reply { address: target },
            Message::Advertisement(Flags { solicited: false, .. }) => NeighborKind::Announcement { address: target },
        }
    }

    /// The link-layer address it speaks of: the option's, else that of the frame.
    #[must_use]
    pub fn mac(&self) -> MacAddr {
        self.link_layer.unwrap_or(self.ethernet_source)
    }
}

/// "Who has `target`?", asked by `source`, of everybody or of `to` only. Without a source it is the probe of duplicate
/// address detection (RFC 4862 section 5.4.2), which changes nobody's cache; that one bears a group address even where
/// the frame goes to one station.
#[must_use]
pub fn ask(mac: MacAddr, source: Option<Ipv6Addr>, target: Ipv6Addr, to: Option<MacAddr>) -> Vec<u8> {
    let destination = if to.is_some() && source.is_some() { target } else { solicited_node(target) };
    let option = source.map(|_| (OPTION_SOURCE, mac));
    let body = body(SOLICITATION, 0, target, option);
    frame(
        (mac, source.unwrap_or(Ipv6Addr::UNSPECIFIED)),
        (to.unwrap_or_else(|| group_mac(destination)), destination),
        body,
    )
}

/// "`address` is at `mac`", to everybody on the link (RFC 9568 section 6.4.1), sent from `source`: the address itself or
/// a link-local one.
#[must_use]
pub fn announce(mac: MacAddr, source: Ipv6Addr, address: Ipv6Addr, flags: Flags) -> Vec<u8> {
    frame((mac, source), (group_mac(ALL_NODES), ALL_NODES), advertisement(mac, address, flags))
}

/// Reads a frame. `None` if it is neither of the two messages, or one that must be discarded (RFC 4861 sections 7.1.1
/// and 7.1.2).
#[must_use]
pub fn parse(frame: &[u8]) -> Option<NdiscSeen> {
    let (_destination, rest) = frame.split_first_chunk::<6>()?;
    let (ethernet_source, rest) = rest.split_first_chunk::<6>()?;
    let (&[version, _, _, _, high, low, next_header, hop_limit], rest) =
        rest.strip_prefix(&ETHERTYPE)?.split_first_chunk::<8>()?;
    let (source, rest) = rest.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    let length = u16::from_be_bytes([high, low]);
    let packet = Packet {
        source: Ipv6Addr::from(*source),
        destination: Ipv6Addr::from(*destination),
        payload: rest.get(..usize::from(length))?,
    };
    if version >> 4 != 6 || next_header != ICMPV6 || hop_limit != HOP_LIMIT || !packet.is_intact(length) {
        return None;
    }
    packet.read(MacAddr(*ethernet_source))
}

struct Packet<'a> {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    payload: &'a [u8],
}

impl Packet<'_> {
    fn is_intact(&self, length: u16) -> bool {
        let pseudo = Sum::pseudo_header(self.source.into(), self.destination.into(), ICMPV6, length);
        pseudo.plus(Sum::of(self.payload)).is_intact()
    }

    fn read(&self, ethernet_source: MacAddr) -> Option<NdiscSeen> {
        let (&[kind, code, _, _, flags, _, _, _], rest) = self.payload.split_first_chunk::<8>()?;
        let (target, options) = rest.split_first_chunk::<16>()?;
        let target = Ipv6Addr::from(*target);
        let (message, wanted) = match kind {
            SOLICITATION => (Message::Solicitation, OPTION_SOURCE),
            ADVERTISEMENT => (Message::Advertisement(Flags::from_byte(flags)), OPTION_TARGET),
            _ => return None,
        };
        let link_layer = link_layer_option(options, wanted)?;
        let seen = NdiscSeen {
            ethernet_source,
            source: self.source,
            destination: self.destination,
            target,
            message,
            link_layer,
        };
        (code == 0 && !target.is_multicast() && !self.source.is_multicast() && seen.is_consistent()).then_some(seen)
    }
}

impl NdiscSeen {
    /// What RFC 4861 sections 7.1.1 and 7.1.2 ask of the addresses.
    fn is_consistent(&self) -> bool {
        match self.message {
            Message::Solicitation if self.source.is_unspecified() => {
                self.destination == solicited_node(self.target) && self.link_layer.is_none()
            }
            Message::Solicitation => true,
            Message::Advertisement(flags) => {
                let to_everybody = self.destination.is_multicast();
                !self.source.is_unspecified() && (!flags.solicited || !to_everybody)
            }
        }
    }
}

impl Flags {
    const ROUTER: u8 = 0x80;
    const SOLICITED: u8 = 0x40;
    const REPLACES: u8 = 0x20;

    /// Unsolicited, and to be believed at once: what an announcement says.
    #[must_use]
    pub const fn announcement(router: bool) -> Self {
        Self { router, solicited: false, replaces: true }
    }

    const fn from_byte(byte: u8) -> Self {
        Self {
            router: byte & Self::ROUTER != 0,
            solicited: byte & Self::SOLICITED != 0,
            replaces: byte & Self::REPLACES != 0,
        }
    }

    const fn to_byte(self) -> u8 {
        let router = if self.router { Self::ROUTER } else { 0 };
        let solicited = if self.solicited { Self::SOLICITED } else { 0 };
        let replaces = if self.replaces { Self::REPLACES } else { 0 };
        router | solicited | replaces
    }
}

const ETHERTYPE: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE: u8 = 1;
const OPTION_TARGET: u8 = 2;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group of everybody whose address ends like this one (RFC 4291 section 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// RFC 2464 section 7.
fn group_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

/// The first option of the wanted kind that has the length of an Ethernet address. The outer `None`: an option of
/// length zero, or one that does not fit, spoils the whole message.
fn link_layer_option(mut options: &[u8], wanted: u8) -> Option<Option<MacAddr>> {
    let mut found = None;
    while let Some((&[kind, eights], _)) = options.split_first_chunk::<2>() {
        let length = usize::from(eights) * 8;
        let (option, rest) = options.split_at_checked(length).filter(|_| length > 0)?;
        if let (true, &[_, _, a, b, c, d, e, f]) = (kind == wanted && found.is_none(), option) {
            found = Some(MacAddr([a, b, c, d, e, f]));
        }
        options = rest;
    }
    options.is_empty().then_some(found)
}

fn advertisement(mac: MacAddr, address: Ipv6Addr, flags: Flags) -> Vec<u8> {
    body(ADVERTISEMENT, flags.to_byte(), address, Some((OPTION_TARGET, mac)))
}

/// An ICMPv6 message, the checksum still zero.
fn body(kind: u8, flags: u8, target: Ipv6Addr, option: Option<(u8, MacAddr)>) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    body.extend(target.octets());
    if let Some((kind, mac)) = option {
        body.extend([kind, 1]);
        body.extend(mac.0);
    }
    body
}

fn frame(from: (MacAddr, Ipv6Addr), to: (MacAddr, Ipv6Addr), mut body: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let sum = Sum::pseudo_header(from.1.into(), to.1.into(), ICMPV6, length).plus(Sum::of(&body));
    for (to, from) in body.iter_mut().skip(2).zip(sum.checksum().to_be_bytes()) {
        *to = from;
    }
    let [high, low] = length.to_be_bytes();
    [
        &to.0.0[..],
        &from.0.0,
        &ETHERTYPE,
        &[0x60, 0, 0, 0, high, low, ICMPV6, HOP_LIMIT],
        &from.1.octets(),
        &to.1.octets(),
        &body,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use proptest::{collection::vec, prelude::*};

    use super::{
        ADVERTISEMENT, ALL_NODES, Flags, Message, NdiscSeen, NeighborKind, OPTION_SOURCE, OPTION_TARGET, SOLICITATION,
        advertisement, announce, ask, body, frame, parse, solicited_node,
    };
    use crate::words::MacAddr;

    /// Captured: keepalived 2.2.7, unsolicited advertisement of fe80::100 from 02:00:00:00:00:01.
    const UNSOLICITED: [u8; 86] = *b"\x33\x33\0\0\0\x01\x02\0\0\0\0\x01\x86\xdd\x60\0\0\0\0\x20\x3a\xff\
        \xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\
        \x88\0\x55\x9d\x20\0\0\0\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x02\x01\x02\0\0\0\0\x01";

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const OWN: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x20);
    const VIRTUAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
    const ANSWER: Flags = Flags { router: false, solicited: true, replaces: true };

    fn kind(frame: &[u8]) -> NeighborKind {
        parse(frame).unwrap().kind()
    }

    #[test]
    fn announces_as_keepalived_does() {
        assert_eq!(announce(MAC, VIRTUAL, VIRTUAL, Flags::announcement(false)), UNSOLICITED);
        assert_eq!(
            parse(&UNSOLICITED),
            Some(NdiscSeen {
                ethernet_source: MAC,
                source: VIRTUAL,
                destination: ALL_NODES,
                target: VIRTUAL,
                message: Message::Advertisement(Flags::announcement(false)),
                link_layer: Some(MAC),
            })
        );
        assert_eq!(kind(&UNSOLICITED), NeighborKind::Announcement { address: IpAddr::V6(VIRTUAL) });
    }

    /// RFC 9568, 6.4.1: R set, S clear, O set.
    #[test]
    fn a_router_says_so() {
        assert_eq!(announce(MAC, OWN, VIRTUAL, Flags::announcement(true))[58], 0b1010_0000);
    }

    /// RFC 4861, 7.2.2: to the solicited-node group, with the link-layer address of the one who asks.
    #[test]
    fn a_question_to_everybody() {
        let asked = ask(MAC, Some(OWN), VIRTUAL, None);
        assert_eq!(asked[..6], [0x33, 0x33, 0xff, 0, 1, 0]);
        let seen = parse(&asked).unwrap();
        assert_eq!(seen.destination, "ff02::1:ff00:100".parse::<Ipv6Addr>().unwrap());
        assert_eq!((seen.source, seen.target, seen.mac()), (OWN, VIRTUAL, MAC));
        let (sender, target) = (IpAddr::V6(OWN), IpAddr::V6(VIRTUAL));
        assert_eq!(seen.kind(), NeighborKind::Request { sender, target });
    }

    #[test]
    fn a_question_to_one() {
        let asked = ask(MAC, Some(OWN), VIRTUAL, Some(PEER));
        assert_eq!(asked[..6], PEER.0);
        assert_eq!(parse(&asked).unwrap().destination, VIRTUAL);
    }

    /// RFC 4861, 4.3: from nobody, to the group, without an option, whoever gets the frame.
    #[test]
    fn a_probe_names_no_sender() {
        for (to, ethernet) in [(None, [0x33, 0x33, 0xff, 0, 1, 0]), (Some(PEER), PEER.0)] {
            let probe = ask(MAC, None, VIRTUAL, to);
            assert_eq!(probe[..6], ethernet);
            let seen = parse(&probe).unwrap();
            assert_eq!((seen.source, seen.destination), (Ipv6Addr::UNSPECIFIED, solicited_node(VIRTUAL)));
            assert_eq!((seen.link_layer, seen.mac()), (None, MAC));
            assert_eq!(seen.kind(), NeighborKind::Probe { target: IpAddr::V6(VIRTUAL) });
        }
    }

    #[test]
    fn an_answer_to_us_is_told_from_an_announcement() {
        let answer = frame((PEER, VIRTUAL), (MAC, OWN), advertisement(PEER, VIRTUAL, ANSWER));
        assert_eq!(kind(&answer), NeighborKind::Reply { address: IpAddr::V6(VIRTUAL) });
        // RFC 4861, 4.4: an answer to one station may leave the option out.
        let bare = frame((PEER, VIRTUAL), (MAC, OWN), body(ADVERTISEMENT, ANSWER.to_byte(), VIRTUAL, None));
        assert_eq!(parse(&bare).unwrap().mac(), PEER);
    }

    /// RFC 4861, 7.1.1 and 7.1.2: what must be discarded, one by one.
    #[test]
    fn what_must_be_discarded_is_none() {
        let altered = |at: usize, byte: u8| {
            let mut frame = UNSOLICITED;
            frame[at] = byte;
            parse(&frame)
        };
        assert_eq!(altered(12, 0x08), None, "not IPv6");
        assert_eq!(altered(14, 0x40), None, "not version 6");
        assert_eq!(altered(20, 17), None, "not ICMPv6");
        assert_eq!(altered(21, 254), None, "hop limit");
        assert_eq!(altered(56, 0), None, "checksum");

        let to_all = |body| parse(&frame((MAC, OWN), (PEER, ALL_NODES), body));
        let with_code = |code| {
            let mut message = advertisement(MAC, VIRTUAL, Flags::announcement(true));
            message[1] = code;
            to_all(message)
        };
        assert!(with_code(0).is_some());
        assert_eq!(with_code(1), None, "code");
        assert_eq!(to_all(body(SOLICITATION, 0, VIRTUAL, None)[..20].to_vec()), None, "length");
        assert_eq!(to_all(body(134, 0, VIRTUAL, None)), None, "a router's advertisement");
        assert_eq!(to_all(body(SOLICITATION, 0, ALL_NODES, None)), None, "target is a group");
        assert_eq!(to_all(advertisement(MAC, VIRTUAL, ANSWER)), None, "solicited, to everybody");

        let from_nobody = |destination, body| parse(&frame((MAC, Ipv6Addr::UNSPECIFIED), (PEER, destination), body));
        let probe = body(SOLICITATION, 0, VIRTUAL, None);
        assert!(from_nobody(solicited_node(VIRTUAL), probe.clone()).is_some());
        assert_eq!(from_nobody(VIRTUAL, probe), None, "a probe to one station");
        let named = body(SOLICITATION, 0, VIRTUAL, Some((OPTION_SOURCE, MAC)));
        assert_eq!(from_nobody(solicited_node(VIRTUAL), named), None, "a probe with a link-layer address");
        let advertised = advertisement(MAC, VIRTUAL, Flags::announcement(true));
        assert_eq!(from_nobody(ALL_NODES, advertised), None, "an advertisement from nobody");
        let from_group = frame((MAC, ALL_NODES), (PEER, OWN), body(SOLICITATION, 0, VIRTUAL, None));
        assert_eq!(parse(&from_group), None, "from a group");
    }

    #[test]
    fn options_are_walked_to_their_end() {
        let with = |options: &[u8]| {
            let message = [&body(ADVERTISEMENT, 0, VIRTUAL, None), options].concat();
            parse(&frame((MAC, OWN), (PEER, ALL_NODES), message)).map(|seen| seen.link_layer)
        };
        let target = [OPTION_TARGET, 1, 2, 0, 0, 0, 0, 2];
        let unknown = [14, 1, 9, 9, 9, 9, 9, 9];
        assert_eq!(with(&[]), Some(None));
        assert_eq!(with(&[unknown, target].concat()), Some(Some(PEER)));
        assert_eq!(with(&[OPTION_SOURCE, 1, 2, 0, 0, 0, 0, 2]), Some(None));
        assert_eq!(with(&[OPTION_TARGET, 0, 2, 0, 0, 0, 0, 2]), None);
        assert_eq!(with(&[&target[..], &[OPTION_TARGET, 2, 0, 0]].concat()), None);
        assert_eq!(with(&[&target[..], &[OPTION_TARGET]].concat()), None);
    }

    #[test]
    fn padding_is_no_matter_and_a_cut_frame_is_none() {
        let padded = [&UNSOLICITED[..], &[0xaa; 18]].concat();
        assert_eq!(parse(&padded), parse(&UNSOLICITED));
        for length in 0..UNSOLICITED.len() {
            assert_eq!(parse(&UNSOLICITED[..length]), None);
        }
    }

    /// One wrong bit of the packet is noticed, wherever anything covers it: not in traffic class and flow label.
    #[test]
    fn one_wrong_bit_is_noticed() {
        for (byte, mask) in (14..86).flat_map(|byte| (0..8).map(move |bit| (byte, 1 << bit))) {
            let uncovered = matches!((byte, mask), (14, 0x01..=0x08) | (15..=17, _));
            let mut frame = UNSOLICITED;
            frame[byte] ^= mask;
            assert_eq!(parse(&frame).is_some(), uncovered, "byte {byte}, mask {mask}");
        }
    }

    fn unicast() -> impl Strategy<Value = Ipv6Addr> {
        any::<Ipv6Addr>().prop_filter("unicast", |a| !a.is_multicast() && !a.is_unspecified())
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..120), body in vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
            let _ = parse(&frame((MAC, OWN), (PEER, VIRTUAL), body)).map(|seen| (seen.kind(), seen.mac()));
        }

        #[test]
        fn what_is_built_is_what_is_read(
            mac in any::<[u8; 6]>(),
            to in any::<Option<[u8; 6]>>(),
            source in proptest::option::of(unicast()),
            target in unicast(),
            (router, replaces) in any::<(bool, bool)>(),
        ) {
            let mac = MacAddr(mac);
            let seen = parse(&ask(mac, source, target, to.map(MacAddr))).unwrap();
            prop_assert_eq!((seen.ethernet_source, seen.mac(), seen.target), (mac, mac, target));
            prop_assert_eq!(seen.source, source.unwrap_or(Ipv6Addr::UNSPECIFIED));

            let flags = Flags { router, solicited: false, replaces };
            let seen = parse(&announce(mac, source.unwrap_or(target), target, flags)).unwrap();
            prop_assert_eq!((seen.mac(), seen.target, seen.message), (mac, target, Message::Advertisement(flags)));
        }
    }
}
