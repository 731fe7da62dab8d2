//! What can be said of a policy once it is known which nodes it judges: their priorities, their addresses, and what the
//! policies of the other node demand.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    Linter, Literal, Outline,
    outline::Call,
    warnings::{Known, Rule},
};
use crate::policy::Problem;

/// What is known around a policy in one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The instance.
    pub instance: String,
    /// The priority of this node, as configured.
    pub priority: u8,
    /// Peers whose priority is known, each with its name.
    pub peers: Vec<(String, u8)>,
    /// The virtual addresses.
    pub virtual_addresses: Vec<IpAddr>,
    /// The addresses that are this node's own.
    pub own: Vec<IpAddr>,
    /// The other node, and the hosts that its policies of this instance require; `None` where its files are not known.
    pub other: Option<(String, BTreeSet<String>)>,
    /// The programs that its configuration allows; `None` where that is not known.
    pub allow_exec: Option<BTreeSet<String>>,
}

impl Linter<'_> {
    /// W202: a weight that moves nothing, or everything.
    pub(super) fn weight(&self, known: &Known<'_>, rule: &Rule<'_>) -> Option<Problem> {
        let given = Outline::option(rule.call, "weight")?;
        let weight = given.number()?;
        let objection = known.around.iter().find_map(|around| objection_to(weight, around));
        let (message, hint) = match objection {
            Some(objection) => objection,
            // Nobody knows the peers, but this is too much for any.
            None if weight >= 200.0 && known.around.is_empty() => (
                "so much weight leaves priority 1, whatever the peers have".to_owned(),
                "take a little more than the difference to the peer's priority".to_owned(),
            ),
            None => return None,
        };
        Some(self.warning("W202", given.place(), message, &hint))
    }

    /// W212: a program that the daemon would not start.
    pub(super) fn not_allowed(&self, known: &Known<'_>, call: &Call) -> Option<Problem> {
        let (program, place) = match (call.name.as_str(), call.arguments.first()?) {
            ("run" | "exec", Literal::List(words, _)) => {
                let Literal::Text(program, place) = words.first()? else { return None };
                (program.as_str(), *place)
            }
            ("conntrackd", first) => ("conntrackd", first.place()),
            _ => return None,
        };
        let is_it = |listed: &String| listed == program || !program.starts_with('/') && listed.ends_with("/conntrackd");
        let lists: Vec<_> = known.around.iter().filter_map(|around| around.allow_exec.as_ref()).collect();
        if lists.iter().all(|list| list.iter().any(is_it)) {
            return None;
        }
        let message = format!("allow_exec in ha.toml does not list {program}: it is never started");
        Some(self.warning("W212", place, message, "write its whole path into allow_exec, or leave the call out"))
    }

    /// W207: both nodes would lose the same thing at the same time.
    pub(super) fn common_cause(&self, known: &Known<'_>, rule: &Rule<'_>) -> Option<Problem> {
        let is_external = Outline::option(rule.call, "external").is_some_and(Literal::is_true);
        let hosts: Vec<String> = rule.probes.iter().filter_map(|probe| known.host(probe)).collect();
        let all_elsewhere = !hosts.is_empty() && hosts.len() == rule.probes.len();
        if is_external || !all_elsewhere || !hosts.iter().all(|host| known.is_elsewhere(host)) {
            return None;
        }
        let message = known.shared(&hosts)?;
        let place = rule.call.arguments.first().map_or(rule.call.place, Literal::place);
        Some(self.warning("W207", place, message, "say `external: true` (the last one keeps it), or use prefer"))
    }

    /// W209: a standby that asks the virtual address asks the master.
    pub(super) fn standby_asks_the_master(&self, known: &Known<'_>, probe: &Call) -> Option<Problem> {
        let around = || known.outline.calls.iter().filter(|call| probe.around.contains(&call.place));
        if probe.in_one_role || around().any(|call| call.asks_role) || !known.asks_virtual_address(probe) {
            return None;
        }
        let place = probe.arguments.first().map_or(probe.place, Literal::place);
        let message = "a standby that probes the virtual address judges the master, not itself".to_owned();
        let hint = "probe node.addr, or ask only as its holder: any([!node.has_vip, …])";
        Some(self.warning("W209", place, message, hint))
    }
}

impl Known<'_> {
    fn asks_virtual_address(&self, probe: &Call) -> bool {
        let is_virtual = |host: String| {
            self.around.iter().flat_map(|around| &around.virtual_addresses).any(|ip| ip.to_string() == host)
        };
        probe.asks_virtual_address || self.host(probe).is_some_and(is_virtual)
    }

    fn is_elsewhere(&self, host: &str) -> bool {
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !local && !self.around.iter().flat_map(|around| &around.own).any(|own| own.to_string() == host)
    }

    /// What the nodes have in common, as far as is known: `None` if the other one demands something else.
    fn shared(&self, hosts: &[String]) -> Option<String> {
        let others: Vec<_> = self.around.iter().filter_map(|around| around.other.as_ref()).collect();
        if others.is_empty() {
            return Some("both nodes ask the same target: if it fails, both give up the address".to_owned());
        }
        let (node, _) = others.into_iter().find(|(_, theirs)| hosts.iter().all(|host| theirs.contains(host)))?;
        let hosts = hosts.join(" and ");
        Some(format!("{node} requires {hosts} too: if it fails, both give up the address"))
    }

    /// The hosts that a failure of which takes the address away.
    pub(in crate::policy) fn required_hosts(&self) -> BTreeSet<String> {
        let required = self.rules().into_iter().filter(|rule| rule.function == "require");
        required
            .flat_map(|rule| rule.probes.into_iter().filter_map(|probe| self.host(probe)).collect::<Vec<_>>())
            .collect()
    }
}

/// Only a node that leads loses the lead by a weight: on the others it decides who comes next.
#[allow(clippy::cast_possible_truncation, clippy::as_conversions, reason = "a weight is 1 to 253, else it is refused")]
fn objection_to(weight: f64, around: &Surroundings) -> Option<(String, String)> {
    let own = i32::from(around.priority);
    let (name, peer) = around.peers.iter().filter(|(_, peer)| *peer < around.priority).max_by_key(|(_, peer)| *peer)?;
    let (weight, peer) = (weight as i32, i32::from(*peer));
    let (least, most) = (own - peer + 1, own - 1);
    let left = own - weight;
    if left >= peer {
        let message = format!("{own} less {weight} is {left}, and {name} has {peer}: alone it moves nothing");
        return Some((message, format!("{least} is the least that hands over")));
    }
    if left < 1 {
        let message =
            format!("{own} less {weight} is less than 1, the lowest there is: what else is down makes no difference");
        return Some((message, format!("{least} to {most} hands over to {name} and can be added to")));
    }
    None
}
