//! The lease where whole seconds are too coarse: packets to the held addresses, and questions who has them, are let in only
//! for some milliseconds after the last advertisement. A daemon that is killed or frozen is silent before its peer takes over,
//! though the kernel still has the addresses.
//!
//! A table of nftables on the devices that hold the addresses, with a set of one element that the kernel forgets by itself.
//! Renewing takes the element out and puts it in again in one transaction: adding what is there does not prolong it.

use std::{io, net::IpAddr, time::Duration};

use super::{
    guard::GuardTable,
    nftables::{
        Attributes, CHAIN_HOOK, CHAIN_NAME, CHAIN_TABLE, CHAIN_TYPE, Compared, DELETE_ELEMENT, DELETE_TABLE,
        ELEMENT_KEY, ELEMENT_TIMEOUT, ELEMENTS, ELEMENTS_SET, ELEMENTS_TABLE, Expression, GET_RULES, HOOK_DEVICE,
        HOOK_NUMBER, HOOK_PRIORITY, Header, NEW_CHAIN, NEW_ELEMENT, NEW_RULE, NEW_SET, NEW_TABLE, Nftables, RULE_CHAIN,
        RULE_TABLE, SET_FLAGS, SET_ID, SET_KEY_LENGTH, SET_KEY_TYPE, SET_NAME, SET_TABLE, Step, Verdict, ether_type_is,
        is_not_in, packet_has, verdict,
    },
};
use crate::words::InterfaceName;

/// `NF_NETDEV_INGRESS`.
const INGRESS: u32 = 0;
/// Before whatever else this machine has there.
const PRIORITY: i32 = -500;
/// The only set, and its only element.
const SET: &str = "open";
const KEY: [u8; 4] = [0, 0, 0, 1];
/// `NFT_SET_TIMEOUT`.
const TIMEOUT: u32 = 0x10;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const NEIGHBOR_SOLICITATION: u8 = 135;

/// What a gate stands before: each device with the addresses on it.
pub type Behind = [(InterfaceName, Vec<IpAddr>)];

/// The gates of this network namespace. One that is there and not open lets nothing in.
#[derive(Debug)]
pub struct Gates {
    nftables: Nftables,
}

impl Gates {
    /// Opens the socket.
    ///
    /// # Errors
    /// The kernel has no such netlink, or no descriptor is left.
    pub fn open() -> io::Result<Self> {
        Ok(Self { nftables: Nftables::open()? })
    }

    /// Puts a gate there, open for this long from now, in the place of the one that was there, in one step.
    ///
    /// # Errors
    /// The kernel has no packet filter, or the capability is missing. Then nothing has changed.
    pub fn put(&mut self, table: &GuardTable, behind: &Behind, open_for: Duration) -> io::Result<()> {
        let mut steps = vec![table.itself(NEW_TABLE), table.itself(DELETE_TABLE), table.itself(NEW_TABLE), set(table)];
        for (device, addresses) in behind {
            steps.push(chain(table, device));
            for rule in addresses.iter().flat_map(|address| rules(*address)) {
                let place = Attributes::default().text(RULE_TABLE, table.name()).text(RULE_CHAIN, device.as_str());
                steps.push(table.step(NEW_RULE, place.expressions(&rule)));
            }
        }
        steps.push(element(table, NEW_ELEMENT, open_for));
        self.nftables.transact(&steps)
    }

    /// Keeps it open for this long from now.
    ///
    /// # Errors
    /// `ENOENT`: somebody has taken it away.
    pub fn renew(&mut self, table: &GuardTable, open_for: Duration) -> io::Result<()> {
        // Put there first: taking out what has run out would fail.
        let steps = [NEW_ELEMENT, DELETE_ELEMENT, NEW_ELEMENT].map(|what| element(table, what, open_for));
        self.nftables.transact(&steps)
    }

    /// Whether it is there with all its rules on this device.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub fn is_whole(&mut self, table: &GuardTable, device: &InterfaceName, addresses: &[IpAddr]) -> io::Result<bool> {
        let place = Attributes::default().text(RULE_TABLE, table.name()).text(RULE_CHAIN, device.as_str());
        let count = self.nftables.count(&table.step(GET_RULES, place))?;
        Ok(count == addresses.iter().map(|address| rules(*address).len()).sum::<usize>())
    }
}

fn set(table: &GuardTable) -> Step {
    /// What tools show the key as; any number.
    const NUMBER: u32 = 4;
    let set = Attributes::default().text(SET_TABLE, table.name()).text(SET_NAME, SET).number(SET_FLAGS, TIMEOUT);
    table.step(NEW_SET, set.number(SET_KEY_TYPE, NUMBER).number(SET_KEY_LENGTH, 4).number(SET_ID, 1))
}

fn chain(table: &GuardTable, device: &InterfaceName) -> Step {
    let hook = Attributes::default()
        .number(HOOK_NUMBER, INGRESS)
        .number(HOOK_PRIORITY, u32::from_ne_bytes(PRIORITY.to_ne_bytes()))
        .text(HOOK_DEVICE, device.as_str());
    let chain = Attributes::default().text(CHAIN_TABLE, table.name()).text(CHAIN_NAME, device.as_str());
    table.step(NEW_CHAIN, chain.nested(CHAIN_HOOK, &hook).text(CHAIN_TYPE, "filter"))
}

fn element(table: &GuardTable, what: u8, open_for: Duration) -> Step {
    let millis = u64::try_from(open_for.as_millis()).unwrap_or(u64::MAX);
    let element = Attributes::default().data(ELEMENT_KEY, &KEY);
    let element = if what == NEW_ELEMENT { element.long(ELEMENT_TIMEOUT, millis) } else { element };
    let list = Attributes::default().text(ELEMENTS_TABLE, table.name()).text(ELEMENTS_SET, SET);
    table.step(what, list.nested(ELEMENTS, &Attributes::default().listed(&element)))
}

/// For one address: what is sent to it, and the question who has it.
fn rules(address: IpAddr) -> [Vec<Expression>; 2] {
    let network = |at: u32, bytes: &[u8]| packet_has(Header::Network, at, Compared::Equal, bytes);
    let (sent, asked) = match address {
        IpAddr::V4(v4) => {
            let sent = [ether_type_is(IPV4).as_slice(), &network(16, &v4.octets())].concat();
            (sent, [ether_type_is(ARP).as_slice(), &network(24, &v4.octets())].concat())
        }
        IpAddr::V6(v6) => {
            let sent = [ether_type_is(IPV6).as_slice(), &network(24, &v6.octets())].concat();
            let solicitation =
                [network(6, &[ICMPV6]), network(40, &[NEIGHBOR_SOLICITATION]), network(48, &v6.octets())];
            (sent, [ether_type_is(IPV6).as_slice(), &solicitation.concat()].concat())
        }
    };
    let closed = |mut rule: Vec<Expression>| {
        rule.extend(is_not_in(SET, &KEY));
        rule.push(verdict(Verdict::Drop));
        rule
    };
    [closed(sent), closed(asked)]
}

#[cfg(test)]
mod tests {
    use std::{thread::sleep, time::Instant};

    use super::{
        super::{
            guard::Guards,
            namespace::{Far, alone, arrives, ip, name},
        },
        *,
    };
    use crate::{wire::Vrid, words::Family};

    fn gate(family: Family) -> GuardTable {
        GuardTable::gate_of(&name("va"), Vrid::new(51).unwrap(), family)
    }

    /// Whether the other network reaches this address, for which it may have to ask first.
    fn is_reached(far: &Far, address: &'static str, anew: bool) -> bool {
        if anew {
            far.ip("neigh flush dev vb");
        }
        arrives(far, address)
    }

    #[test]
    fn it_is_open_for_so_long_and_closes_by_itself() {
        alone(|| {
            let far = Far::connect();
            for (family, held, other) in
                [(Family::V4, "192.168.0.60", "192.168.0.1"), (Family::V6, "fd00::60", "fd00::1")]
            {
                let (prefix, nodad) = if family == Family::V4 { (24, "") } else { (64, " nodad") };
                ip(&format!("addr add {held}/{prefix} dev va{nodad}"));
                let table = gate(family);
                let addresses: Vec<IpAddr> = vec![held.parse().unwrap()];
                let mut gates = Gates::open().unwrap();
                assert!((0..10).any(|_| is_reached(&far, held, false)), "without a gate");
                gates.put(&table, &[(name("va"), addresses.clone())], Duration::from_secs(60)).unwrap();
                assert!(gates.is_whole(&table, &name("va"), &addresses).unwrap());
                assert!(is_reached(&far, held, true), "open");
                gates.renew(&table, Duration::from_millis(1)).unwrap();
                sleep(Duration::from_millis(50));
                assert!(!is_reached(&far, held, false), "closed to packets");
                assert!(!is_reached(&far, held, true), "closed to questions");
                assert!(is_reached(&far, other, false), "for the others nothing changed");
                // What has run out is opened anew.
                gates.renew(&table, Duration::from_secs(60)).unwrap();
                assert!(is_reached(&far, held, true), "open again");
                assert!(Guards::open().unwrap().remove(&table).unwrap());
                let gone = gates.renew(&table, Duration::from_secs(1)).unwrap_err();
                assert_eq!(gone.raw_os_error(), Some(libc::ENOENT));
            }
        });
    }

    #[test]
    fn renewing_leaves_no_gap() {
        alone(|| {
            let _far = Far::connect();
            let table = gate(Family::V4);
            let mut gates = Gates::open().unwrap();
            gates
                .put(&table, &[(name("va"), vec!["192.168.0.60".parse().unwrap()])], Duration::from_millis(200))
                .unwrap();
            let begin = Instant::now();
            for _ in 0..200 {
                gates.renew(&table, Duration::from_millis(200)).unwrap();
            }
            eprintln!("a renewal took {:?}", begin.elapsed() / 200);
        });
    }
}
