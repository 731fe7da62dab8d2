//! What an instance with `accept = false` needs: packets to its addresses are dropped, while the link may still ask who has
//! them (RFC 9568, 6.1, `Accept_Mode`; 8.3.1: neighbour solicitations and advertisements are never dropped).
//!
//! One table of the packet filter for each virtual router, put there and taken away whole. It looks at what is addressed to
//! this machine, so it does nothing while the addresses are elsewhere: it can be there before them and after them.

use std::{io, net::IpAddr};

use super::nftables::{
    Attributes, CHAIN_HOOK, CHAIN_NAME, CHAIN_TABLE, CHAIN_TYPE, Compared, DELETE_TABLE, Expression, GET_RULES,
    GET_TABLE, HOOK_NUMBER, HOOK_PRIORITY, Header, NEW_CHAIN, NEW_RULE, NEW_TABLE, Nftables, RULE_CHAIN, RULE_TABLE,
    Step, TABLE_NAME, Verdict, packet_has, protocol_is, verdict,
};
use crate::{
    wire::Vrid,
    words::{Family, InterfaceName},
};

const IPV4: u8 = 2;
const NETDEV: u8 = 5;
const IPV6: u8 = 10;
/// As `nft` calls them.
const FAMILIES: [(u8, &str); 3] = [(IPV4, "ip"), (NETDEV, "netdev"), (IPV6, "ip6")];
/// The only chain.
const CHAIN: &str = "input";
/// `NF_INET_LOCAL_IN`.
const LOCAL_IN: u32 = 1;
/// Before the filters of this machine.
const PRIORITY: i32 = -1;
const ICMPV6: u8 = 58;
/// Neighbour solicitation and advertisement.
const NEIGHBOR_MESSAGES: (u8, u8) = (135, 136);

/// A table of one virtual router: its family and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuardTable {
    /// `NFPROTO_IPV4`, `NFPROTO_IPV6`, `NFPROTO_NETDEV`.
    family: u8,
    name: String,
}

impl GuardTable {
    /// Of the virtual router on this interface.
    #[must_use]
    pub fn of(interface: &InterfaceName, vrid: Vrid, family: Family) -> Self {
        let number = match family {
            Family::V4 => IPV4,
            Family::V6 => IPV6,
        };
        Self { family: number, name: format!("ha_{interface}_{vrid}") }
    }

    /// The gate of the virtual router on this interface: see [`Gates`](super::Gates).
    #[must_use]
    pub fn gate_of(interface: &InterfaceName, vrid: Vrid, family: Family) -> Self {
        let digit = match family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        Self { family: NETDEV, name: format!("ha_gate_{interface}_{vrid}_{digit}") }
    }

    /// Whether addresses of this family are its business.
    #[must_use]
    pub const fn is_of(&self, family: Family) -> bool {
        matches!((self.family, family), (IPV4, Family::V4) | (IPV6, Family::V6))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn step(&self, what: u8, attributes: Attributes) -> Step {
        Step { what, family: self.family, attributes }
    }

    pub(super) fn itself(&self, what: u8) -> Step {
        self.step(what, Attributes::default().text(TABLE_NAME, &self.name))
    }

    fn chain(&self) -> Step {
        let hook = Attributes::default()
            .number(HOOK_NUMBER, LOCAL_IN)
            .number(HOOK_PRIORITY, u32::from_ne_bytes(PRIORITY.to_ne_bytes()));
        let chain = Attributes::default().text(CHAIN_TABLE, &self.name).text(CHAIN_NAME, CHAIN);
        self.step(NEW_CHAIN, chain.nested(CHAIN_HOOK, &hook).text(CHAIN_TYPE, "filter"))
    }

    fn rules(&self) -> Attributes {
        Attributes::default().text(RULE_TABLE, &self.name).text(RULE_CHAIN, CHAIN)
    }

    fn rule(&self, expressions: &[Expression]) -> Step {
        self.step(NEW_RULE, self.rules().expressions(expressions))
    }
}

impl std::fmt::Display for GuardTable {
    /// As `nft` wants it: `ip ha_eth0_51`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = FAMILIES.iter().find(|(number, _)| *number == self.family);
        write!(f, "{} {}", known.map_or("?", |(_, family)| family), self.name)
    }
}

impl std::str::FromStr for GuardTable {
    type Err = ();

    /// As it was written down.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (family, name) = text.split_once(' ').ok_or(())?;
        let (number, _) = FAMILIES.iter().find(|(_, known)| *known == family).ok_or(())?;
        Ok(Self { family: *number, name: name.to_owned() })
    }
}

/// Puts tables there and takes them away, through a socket of its own.
#[derive(Debug)]
pub struct Guards {
    nftables: Nftables,
}

impl Guards {
    /// Opens the socket.
    ///
    /// # Errors
    /// The kernel has no such netlink, or no descriptor is left.
    pub fn open() -> io::Result<Self> {
        Ok(Self { nftables: Nftables::open()? })
    }

    /// Drops what is sent to these addresses from now on, in the place of what the table dropped before, in one step.
    ///
    /// # Errors
    /// The kernel has no packet filter, or the capability is missing. Then nothing has changed.
    pub fn put(&mut self, table: &GuardTable, addresses: &[IpAddr]) -> io::Result<()> {
        let mut steps =
            vec![table.itself(NEW_TABLE), table.itself(DELETE_TABLE), table.itself(NEW_TABLE), table.chain()];
        steps.extend(rules(table.family, addresses).iter().map(|rule| table.rule(rule)));
        self.nftables.transact(&steps)
    }

    /// Whether the table is there with all its rules.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub fn is_whole(&mut self, table: &GuardTable, addresses: &[IpAddr]) -> io::Result<bool> {
        let count = self.nftables.count(&table.step(GET_RULES, table.rules()))?;
        Ok(count == rules(table.family, addresses).len())
    }

    /// Takes the table away. Returns whether it was there.
    ///
    /// # Errors
    /// The kernel has no packet filter, or the capability is missing.
    pub fn remove(&mut self, table: &GuardTable) -> io::Result<bool> {
        if !self.nftables.exists(&table.itself(GET_TABLE))? {
            return Ok(false);
        }
        match self.nftables.transact(&[table.itself(DELETE_TABLE)]) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            result => result.map(|()| true),
        }
    }
}

/// Each rule as its expressions.
fn rules(family: u8, addresses: &[IpAddr]) -> Vec<Vec<Expression>> {
    let mut rules = Vec::new();
    if family == IPV6 {
        let (from, to) = NEIGHBOR_MESSAGES;
        let mut neighbors = protocol_is(ICMPV6).to_vec();
        neighbors.extend(packet_has(Header::Transport, 0, Compared::AtLeast, &[from]));
        neighbors.extend(packet_has(Header::Transport, 0, Compared::AtMost, &[to]));
        neighbors.push(verdict(Verdict::Accept));
        rules.push(neighbors);
    }
    for address in addresses {
        // Where the destination stands.
        let mut rule = match address {
            IpAddr::V4(v4) => packet_has(Header::Network, 16, Compared::Equal, &v4.octets()),
            IpAddr::V6(v6) => packet_has(Header::Network, 24, Compared::Equal, &v6.octets()),
        }
        .to_vec();
        rule.push(verdict(Verdict::Drop));
        rules.push(rule);
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::{
        super::namespace::{Far, alone, arrives, ip, name},
        *,
    };

    fn table(family: Family) -> GuardTable {
        GuardTable::of(&name("va"), Vrid::new(51).unwrap(), family)
    }

    /// Whether it does within a few attempts: a new link and a busy machine lose the first ones.
    fn soon_arrives(far: &Far, address: &'static str) -> bool {
        (0..10).any(|_| arrives(far, address))
    }

    #[test]
    fn what_is_sent_to_the_addresses_is_dropped_and_the_link_may_ask() {
        alone(|| {
            let far = Far::connect();
            for (family, guarded, free) in
                [(Family::V4, "192.168.0.60", "192.168.0.1"), (Family::V6, "fd00::60", "fd00::1")]
            {
                let (prefix, nodad) = if family == Family::V4 { (24, "") } else { (64, " nodad") };
                ip(&format!("addr add {guarded}/{prefix} dev va{nodad}"));
                let table = table(family);
                let mut guards = Guards::open().unwrap();
                let addresses = [guarded.parse().unwrap()];
                assert!(soon_arrives(&far, guarded));
                assert!(!guards.is_whole(&table, &addresses).unwrap());
                for _ in 0..2 {
                    guards.put(&table, &addresses).unwrap();
                    assert!(guards.is_whole(&table, &addresses).unwrap());
                }
                // Whoever asks anew is answered: the entry becomes reachable by an answer only.
                far.ip("neigh flush dev vb");
                assert!(!arrives(&far, guarded));
                let asked = far.run(move || super::super::namespace::ip_shows(&format!("neigh show {guarded} dev vb")));
                assert!(asked.contains("lladdr"), "{asked}");
                assert!(soon_arrives(&far, free));
                assert!(guards.remove(&table).unwrap());
                assert!(!guards.remove(&table).unwrap());
                assert!(soon_arrives(&far, guarded));
            }
        });
    }

    #[test]
    fn a_name_that_was_written_down_is_read_again() {
        let vrid = Vrid::new(51).unwrap();
        let all = [table(Family::V4), table(Family::V6), GuardTable::gate_of(&name("va"), vrid, Family::V6)];
        assert_eq!(all[2].to_string(), "netdev ha_gate_va_51_6");
        for table in all {
            assert_eq!(table.to_string().parse(), Ok(table));
        }
        assert!("ha".parse::<GuardTable>().is_err() && "arp ha".parse::<GuardTable>().is_err());
    }

    #[test]
    fn a_table_is_exchanged_whole_or_not_at_all() {
        alone(|| {
            let mut guards = Guards::open().unwrap();
            let table = table(Family::V4);
            let [one, two]: [IpAddr; 2] = ["192.168.0.60".parse().unwrap(), "192.168.0.61".parse().unwrap()];
            guards.put(&table, &[one]).unwrap();
            guards.put(&table, &[one, two]).unwrap();
            assert!(guards.is_whole(&table, &[one, two]).unwrap());
            let nameless = GuardTable { family: IPV4, name: "x".repeat(300) };
            guards.put(&nameless, &[one]).unwrap_err();
            assert!(guards.is_whole(&table, &[one, two]).unwrap());
        });
    }
}
