//! The interfaces of paths: which instances have one there, and what is known of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{AddressSeen, LinkSeen, Node, instance::Instance};
use crate::{config, words::InterfaceName};

impl Node {
    /// Every instance with a path there.
    pub(super) fn each_path_on(&mut self, interface: &InterfaceName, act: impl Fn(&mut Instance)) {
        let is_there = |instance: &Instance| instance.config.paths.iter().any(|path| path.interface == *interface);
        let leaving = self.leaving.iter_mut().filter(|instance| is_there(instance));
        self.instances.matching_mut(is_there).chain(leaving).for_each(act);
    }
}

/// Whether an instance advertises and listens there.
pub(super) fn is_on(instance: &config::Instance, interface: &InterfaceName) -> bool {
    instance.interface == *interface || instance.paths.iter().any(|path| path.interface == *interface)
}

/// An instance learns what is known of the interfaces of its paths.
pub(super) fn show(
    links: &BTreeMap<InterfaceName, LinkSeen>,
    addresses: &BTreeMap<InterfaceName, Vec<AddressSeen>>,
    instance: &mut Instance,
) {
    let interfaces: BTreeSet<_> = instance.config.paths.iter().map(|path| path.interface.clone()).collect();
    for interface in interfaces {
        instance.on_path_link(&interface, links.get(&interface));
        if let Some(addresses) = addresses.get(&interface) {
            instance.on_path_addresses(&interface, addresses);
        }
    }
}
