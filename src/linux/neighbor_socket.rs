//! ARP (RFC 826) or neighbour discovery (RFC 4861) of one interface, as whole Ethernet frames: who has an address?
//!
//! It listens beside the kernel, which answers questions and keeps its own neighbour table. Frames this machine sends are
//! not seen.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsFd, BorrowedFd},
};

use nix::net::if_::if_nametoindex;
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use socket2::{Domain, SockAddr, SockFilter, Socket, Type};

use super::{frames, vrrp_socket::large_receive_buffer};
use crate::{
    node::{Ask, NeighborFrame},
    words::{Family, InterfaceName, MacAddr},
};

/// An ARP frame or a neighbour message with its options is shorter.
const FRAME_MAX: usize = 1514;

/// How many unreadable frames one call passes over before it reports that nothing waits; the descriptor stays readable.
const SKIP_MAX: usize = 64;

/// A packet socket bound to an interface by its number: made anew, the interface needs a new socket.
#[derive(Debug)]
pub struct NeighborSocket {
    socket: Socket,
    interface: InterfaceName,
    index: u32,
    family: Family,
    /// Holds the groups in which others ask for what this machine asks for; IPv6 only.
    groups: Option<Socket>,
}

impl NeighborSocket {
    /// Listens for ARP (IPv4), or for neighbour solicitations and advertisements (IPv6).
    ///
    /// # Errors
    /// The interface is not there, or `CAP_NET_RAW` is missing.
    pub fn open(interface: &InterfaceName, family: Family) -> io::Result<Self> {
        let index = if_nametoindex(interface.as_str())?;
        // Protocol 0: deaf until the filter is in place.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
        let (protocol, filter) = match family {
            Family::V4 => (libc::ETH_P_ARP, only(&TO_THIS_MACHINE)),
            Family::V6 => (libc::ETH_P_IPV6, only(&NEIGHBOR_DISCOVERY)),
        };
        socket.attach_filter(&filter)?;
        large_receive_buffer(&socket)?;
        socket.bind(&link_layer(index, protocol)?)?;
        let groups = match family {
            Family::V4 => None,
            Family::V6 => Some(Socket::new(Domain::IPV6, Type::DGRAM.cloexec(), None)?),
        };
        Ok(Self { socket, interface: interface.clone(), index, family, groups })
    }

    /// The number of the interface it is bound to.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Its family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The next readable frame that waits, if one does.
    ///
    /// # Errors
    /// An error of the socket, reported once by the kernel; reading can go on.
    pub fn receive(&mut self) -> io::Result<Option<NeighborFrame>> {
        let mut buffer = [0; FRAME_MAX];
        for _ in 0..SKIP_MAX {
            let length = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                // Told once after the interface went down; links have their own reporter.
                Err(Errno::NETDOWN | Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => return Ok(None),
                received => received?.0,
            };
            let frame = buffer.get(..length).unwrap_or_default();
            if let Some(frame) = frames::parse(&self.interface, self.family, frame) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Asks the link who has an address. `own_mac` is where the answer goes. From then on it is heard when others ask for
    /// that address (RFC 4862, 5.4.2).
    ///
    /// # Errors
    /// The interface is down, or the addresses are not of this family.
    pub fn ask(&self, ask: &Ask, own_mac: MacAddr) -> io::Result<()> {
        let frame = frames::ask(self.family, ask, own_mac)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an address of the other family"))?;
        self.join_group_of(ask.target);
        self.transmit(&frame)
    }

    /// Says to everybody that each address is at `own_mac`: gratuitous ARP in the form of a request, or unsolicited
    /// neighbour advertisements that replace what is cached (RFC 9568, 6.4.1). Tries all, then reports the first failure.
    ///
    /// # Errors
    /// The interface is down, or an address is not of this family.
    pub fn announce(&self, addresses: &[IpAddr], own_mac: MacAddr) -> io::Result<()> {
        let router = self.family == Family::V6 && forwards(&self.interface);
        let mut result = Ok(());
        for address in addresses {
            let sent = frames::announce(self.family, *address, own_mac, router)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an address of the other family"))
                .and_then(|frame| self.transmit(&frame));
            result = result.and(sent);
        }
        result
    }

    /// Joins the group in which an IPv6 address is asked for. Without it answers come all the same, only rivals are missed.
    fn join_group_of(&self, target: IpAddr) {
        if let (Some(groups), IpAddr::V6(target)) = (&self.groups, target) {
            let [.., a, b, c] = target.octets();
            let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
            // Joined already is one of the errors.
            let _ = groups.join_multicast_v6(&group, self.index);
        }
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// The interface is down.
    pub fn transmit(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.socket, frame, SendFlags::empty())?;
        Ok(())
    }
}

impl AsFd for NeighborSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether the interface routes IPv6; decides the router flag of an advertisement.
fn forwards(interface: &InterfaceName) -> bool {
    std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/forwarding")).is_ok_and(|it| it.trim() == "1")
}

/// The address of a packet socket.
fn link_layer(index: u32, protocol: i32) -> io::Result<SockAddr> {
    let protocol = u16::try_from(protocol).map_err(|_| io::ErrorKind::InvalidInput)?;
    let family = u16::try_from(libc::AF_PACKET).map_err(|_| io::ErrorKind::InvalidInput)?;
    let index = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the storage is zeroed, aligned for and at least as large as every socket address; the fields that are not
    // written stay zero, and `length` is the size of the address that was written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, stored| {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = family;
            (*link).sll_protocol = protocol.to_be();
            (*link).sll_ifindex = index;
            *stored = length;
            Ok(())
        })?
    };
    Ok(address)
}

/// One test of a classic BPF program (`linux/filter.h`): load, compare, go on or drop the packet.
#[derive(Clone, Copy)]
struct Test {
    load: u16,
    at: u32,
    compare: u16,
    with: u32,
    /// Where it goes on: if true (else drop), or if false (else drop).
    passes_if: bool,
}

const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

/// `SKF_AD_OFF + SKF_AD_PKTTYPE`: how the frame came to the machine.
const PACKET_TYPE: u32 = 0xffff_f004;

/// Of host, broadcast, multicast, other host, outgoing: the first three.
const TO_THIS_MACHINE: [Test; 1] =
    [Test { load: LOAD_BYTE, at: PACKET_TYPE, compare: JUMP_GREATER, with: 2, passes_if: false }];

/// IPv6 without extension headers, next header ICMPv6, type solicitation or advertisement.
const NEIGHBOR_DISCOVERY: [Test; 4] = [
    Test { load: LOAD_BYTE, at: PACKET_TYPE, compare: JUMP_GREATER, with: 2, passes_if: false },
    Test { load: LOAD_BYTE, at: 20, compare: JUMP_EQUAL, with: 58, passes_if: true },
    Test { load: LOAD_BYTE, at: 54, compare: JUMP_GREATER, with: 134, passes_if: true },
    Test { load: LOAD_BYTE, at: 54, compare: JUMP_GREATER, with: 136, passes_if: false },
];

/// The program that lets a packet pass if every test does.
fn only(tests: &[Test]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    for test in tests {
        program.push(SockFilter::new(test.load, 0, 0, test.at));
        // A jump skips that many instructions: the next one drops the packet.
        let (if_true, if_false) = if test.passes_if { (1, 0) } else { (0, 1) };
        program.push(SockFilter::new(test.compare, if_true, if_false, test.with));
        program.push(SockFilter::new(RETURN, 0, 0, 0));
    }
    program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    program
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::{
        super::namespace::{Far, a_moment, alone, eventually, ip, ip_shows, link, mac, name},
        *,
    };
    use crate::wire::NeighborKind;

    fn ends(family: Family) -> (Far, NeighborSocket, NeighborSocket) {
        let far = Far::connect();
        let near = NeighborSocket::open(&name("va"), family).unwrap();
        let there = far.run(move || NeighborSocket::open(&name("vb"), family).unwrap());
        (far, near, there)
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn who_has(target: &str, source: Option<&str>, to: Option<MacAddr>) -> Ask {
        Ask { interface: name("va"), target: at(target), source: source.map(at), to }
    }

    /// The next frame that speaks of an address.
    fn next_about(socket: &mut NeighborSocket, address: &str) -> NeighborFrame {
        let address = at(address);
        eventually("a frame", || {
            socket.receive().unwrap().filter(|frame| match frame.kind {
                NeighborKind::Request { target, .. } | NeighborKind::Probe { target } => target == address,
                NeighborKind::Reply { address: it } | NeighborKind::Announcement { address: it } => it == address,
            })
        })
    }

    fn nothing_waits(socket: &mut NeighborSocket) {
        a_moment();
        assert_eq!(socket.receive().unwrap(), None);
    }

    #[test]
    fn announcements_reach_everybody_but_this_machine() {
        alone(|| {
            for (family, addresses) in
                [(Family::V4, ["192.168.0.60", "192.168.0.61"]), (Family::V6, ["fd00::60", "fe80::60"])]
            {
                let (_far, mut near, mut there) = ends(family);
                near.announce(&addresses.map(at), mac("va")).unwrap();
                for address in addresses {
                    let kind = NeighborKind::Announcement { address: at(address) };
                    let (interface, source_mac, mac) = (name("vb"), mac("va"), mac("va"));
                    assert_eq!(next_about(&mut there, address), NeighborFrame { interface, kind, source_mac, mac });
                }
                nothing_waits(&mut near);
                ip("link del va");
            }
        });
    }

    #[test]
    fn an_announcement_moves_an_entry_of_a_neighbour() {
        alone(|| {
            let (far, near, _there) = ends(Family::V6);
            far.ip("neigh replace fd00::60 dev vb lladdr 02:00:00:00:00:99 nud stale");
            near.announce(&[at("fd00::60")], mac("va")).unwrap();
            let wanted = mac("va").to_string();
            eventually("the other machine knows the new place", || {
                let entry = far.run(|| ip_shows("neigh show fd00::60 dev vb"));
                entry.contains(&wanted).then_some(())
            });
        });
    }

    #[test]
    fn arp_questions_of_every_kind_are_answered() {
        alone(|| {
            let (far, mut near, mut there) = ends(Family::V4);
            let kinds = [
                (who_has("192.168.0.2", None, None), NeighborKind::Probe { target: at("192.168.0.2") }),
                (who_has("192.168.0.2", None, Some(far.mac())), NeighborKind::Probe { target: at("192.168.0.2") }),
                (
                    who_has("192.168.0.2", Some("192.168.0.1"), Some(far.mac())),
                    NeighborKind::Request { sender: at("192.168.0.1"), target: at("192.168.0.2") },
                ),
            ];
            for (question, kind) in kinds {
                near.ask(&question, mac("va")).unwrap();
                let asked = next_about(&mut there, "192.168.0.2");
                assert_eq!((asked.kind, asked.source_mac, asked.mac), (kind, mac("va"), mac("va")));
                let answer = next_about(&mut near, "192.168.0.2");
                assert_eq!(answer.kind, NeighborKind::Reply { address: at("192.168.0.2") });
                assert_eq!((answer.source_mac, answer.mac), (far.mac(), far.mac()));
            }
            near.ask(&who_has("192.168.0.77", None, None), mac("va")).unwrap();
            nothing_waits(&mut near);
        });
    }

    /// The answer to nobody goes to everybody, so it looks like an announcement (RFC 4861, 7.2.4).
    #[test]
    fn neighbour_solicitations_of_every_kind_are_answered() {
        alone(|| {
            let (far, mut near, mut there) = ends(Family::V6);
            let to_us = NeighborKind::Reply { address: at("fd00::2") };
            let to_all = NeighborKind::Announcement { address: at("fd00::2") };
            let kinds = [
                (who_has("fd00::2", None, None), to_all),
                (who_has("fd00::2", None, Some(far.mac())), to_all),
                (who_has("fd00::2", Some("fe80::1"), None), to_us),
                (who_has("fd00::2", Some("fd00::1"), Some(far.mac())), to_us),
            ];
            for (question, kind) in kinds {
                near.ask(&question, mac("va")).unwrap();
                let asked = next_about(&mut there, "fd00::2");
                assert_eq!((asked.source_mac, asked.mac), (mac("va"), mac("va")));
                let answer = next_about(&mut near, "fd00::2");
                assert_eq!((answer.kind, answer.mac), (kind, far.mac()), "{question:?}");
            }
            near.ask(&who_has("fd00::77", None, None), mac("va")).unwrap();
            nothing_waits(&mut near);
        });
    }

    #[test]
    fn the_filter_passes_neighbour_messages_only() {
        alone(|| {
            let (far, near, _there) = ends(Family::V6);
            let everything = NeighborSocket::open(&name("va"), Family::V6).unwrap();
            everything.socket.attach_filter(&only(&[])).unwrap();
            far.run(|| {
                let udp = UdpSocket::bind("[fd00::2]:0").unwrap();
                udp.send_to(b"no", "[fd00::1]:9").unwrap();
                for kind in [128, 132, 133, 134, 135, 136, 137] {
                    icmp(&[kind; 24], "ff02::1");
                }
            });
            let (mut passed, mut all) = (Vec::new(), Vec::new());
            let ours = |frame: &Vec<u8>, kind: u8| frame[20] == 58 && frame[54] == kind && frame[58..] == [kind; 20];
            // The datagram waits for the answer to a question of the kernel.
            eventually("the last message and the datagram", || {
                all.extend(messages(&everything));
                let last = all.iter().any(|frame| ours(frame, 137));
                (last && all.iter().any(|frame| frame[20] == 17)).then_some(())
            });
            passed.extend(messages(&near));
            for kind in [128, 132, 133, 134, 135, 136] {
                let count = |frames: &[Vec<u8>]| frames.iter().filter(|frame| ours(frame, kind)).count();
                let expected = usize::from(kind >= 135);
                assert_eq!((count(&all), count(&passed)), (1, expected), "{kind}");
            }
            // The kernel's own questions may be among them.
            assert!(passed.iter().all(|frame| frame[20] == 58 && [135, 136].contains(&frame[54])), "{passed:?}");
        });
    }

    #[test]
    fn frames_to_another_station_are_not_heard() {
        alone(|| {
            for (family, target) in [(Family::V4, "192.168.0.1"), (Family::V6, "fd00::1")] {
                let (_far, mut near, there) = ends(family);
                there.ask(&who_has(target, None, Some(MacAddr([2, 0, 0, 0, 0, 9]))), MacAddr([2; 6])).unwrap();
                there.ask(&who_has(target, None, Some(mac("va"))), MacAddr([4; 6])).unwrap();
                assert_eq!(next_about(&mut near, target).source_mac, MacAddr([4; 6]));
                ip("link del va");
            }
        });
    }

    /// Every frame that waits.
    fn messages(socket: &NeighborSocket) -> Vec<Vec<u8>> {
        let mut buffer = [0; FRAME_MAX];
        std::iter::from_fn(|| {
            recv(&socket.socket, &mut buffer[..], RecvFlags::empty()).ok().map(|it| buffer[..it.0].to_vec())
        })
        .collect()
    }

    /// RFC 4862, 5.4.2.
    #[test]
    fn who_asks_for_an_address_listens_where_others_ask_for_it() {
        alone(|| {
            let (_far, near, _there) = ends(Family::V6);
            let joined = || ip_shows("-6 maddr show dev va").contains("ff02::1:ff34:5678");
            assert!(!joined());
            for _ in 0..2 {
                near.ask(&who_has("fd00::1234:5678", None, None), mac("va")).unwrap();
                assert!(joined());
            }
            drop(near);
            assert!(!joined());
        });
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        alone(|| {
            let (far, mut near, there) = ends(Family::V4);
            far.run(move || {
                for _ in 0..SKIP_MAX + 3 {
                    let mut frame = vec![0xff; 60];
                    frame[12..14].copy_from_slice(&[8, 6]);
                    there.transmit(&frame).unwrap();
                }
                there.announce(&[at("192.168.0.60")], MacAddr([2, 0, 0, 0, 0, 9])).unwrap();
            });
            a_moment();
            assert_eq!(near.receive().unwrap(), None, "as much as one call looks at");
            assert_eq!(near.receive().unwrap().unwrap().mac, MacAddr([2, 0, 0, 0, 0, 9]));
        });
    }

    #[test]
    fn it_goes_on_after_the_interface_was_down() {
        alone(|| {
            let (far, mut near, there) = ends(Family::V4);
            ip("link set va down");
            assert!(near.announce(&[at("192.168.0.60")], mac("va")).is_err());
            assert_eq!(near.receive().unwrap(), None);
            ip("link set va up");
            far.run(move || {
                eventually("the cable is up again", || link("vb").is_some_and(|vb| vb.carrier).then_some(()));
                there.announce(&[at("192.168.0.60")], MacAddr([2; 6])).unwrap();
            });
            assert_eq!(next_about(&mut near, "192.168.0.60").mac, MacAddr([2; 6]));
            let wrong = near.announce(&[at("fd00::60")], mac("va")).unwrap_err();
            assert_eq!(wrong.kind(), io::ErrorKind::InvalidInput);
            assert!(near.ask(&who_has("fd00::60", None, None), mac("va")).is_err());
        });
    }

    /// Sends an ICMPv6 message from the interface `vb`.
    fn icmp(message: &[u8], to: &str) {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(socket2::Protocol::ICMPV6)).unwrap();
        socket.bind_device(Some(b"vb")).unwrap();
        socket.set_multicast_hops_v6(255).unwrap();
        let to = std::net::SocketAddrV6::new(to.parse::<Ipv6Addr>().unwrap(), 0, 0, 0);
        socket.send_to(message, &to.into()).unwrap();
    }
}
