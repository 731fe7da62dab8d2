//! A list of peers that names this node itself: the file of the other node, copied. A node is no peer of its own.

use std::{collections::BTreeSet, net::IpAddr};

use super::instance::{Instance, Outbox};
use crate::words::Instant;

impl Instance {
    /// Leaves out what of the list is an address of this node.
    pub(super) fn mind_own_peers(&mut self, now: Instant, out: &mut Outbox) {
        let is_own = |peer: &IpAddr| self.is_own(*peer) && !self.is_virtual(*peer);
        let (own, others): (Vec<IpAddr>, Vec<IpAddr>) = self.config.peers.iter().partition(|peer| is_own(peer));
        if self.peers.configured().collect::<BTreeSet<_>>() != others.iter().copied().collect() {
            self.peers.configure(&others);
        }
        let text = own.first().map(|own| {
            format!(
                "`peers` names {own}, which is an address of this node: is this the file of the other node? It is no peer; \
                 write the other node's address there"
            )
        });
        self.condition(now, "peer_is_this_node", text, out);
    }
}
