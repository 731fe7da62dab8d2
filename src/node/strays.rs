//! Virtual addresses that are on this machine while this node does not serve (R13): somebody put them there, by hand or in
//! the configuration of the network. Beside the master this machine would be a second holder, so they are removed, and it is
//! said.
//!
//! What is known of the kernel may be a moment older than what was done last: what is still here a second after this node let
//! go was put there.

use std::{collections::VecDeque, time::Duration};

use ipnet::IpNet;

use super::instance::{Instance, Outbox};
use crate::{vrrp::State, words::Instant};

/// The condition while such an address is here.
const CONDITION: &str = "address_misplaced";
/// The kernel's news are not older than this.
const NEWS_WITHIN: Duration = Duration::from_secs(1);
/// Removed so often …
const REMOVALS_MAX: usize = 5;
/// … within this time, it is put there by something that does not give up.
const REMOVALS_WITHIN: Duration = Duration::from_secs(60);
/// How long it is left there then.
const PAUSE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Strays {
    let_go_at: Option<Instant>,
    /// When it is looked at again.
    look_at: Option<Instant>,
    removals: VecDeque<Instant>,
    left_until: Option<Instant>,
}

impl Strays {
    /// This node has let go of its addresses; whether they are gone is seen.
    pub(super) fn let_go(&mut self, now: Instant) {
        self.let_go_at = Some(now);
        self.look_at = Some(now + NEWS_WITHIN);
    }

    /// When it is looked at again.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.look_at
    }

    fn due_at(&self) -> Option<Instant> {
        self.let_go_at.map(|at| at + NEWS_WITHIN).max(self.left_until)
    }

    /// It is to be removed once more; whether that has become too much.
    fn removes(&mut self, now: Instant) -> bool {
        while self.removals.front().is_some_and(|at| *at + REMOVALS_WITHIN < now) {
            self.removals.pop_front();
        }
        let too_often = self.removals.len() >= REMOVALS_MAX;
        if too_often {
            self.removals.clear();
            self.left_until = Some(now + PAUSE);
            self.look_at = self.left_until;
        } else {
            self.removals.push_back(now);
            self.let_go(now);
        }
        too_often
    }
}

impl Instance {
    /// Removes what is here and must not be.
    pub(super) fn mind_strays(&mut self, now: Instant, out: &mut Outbox) {
        let here = self.strays_here();
        if here.is_empty() {
            self.strays.look_at = None;
            return self.condition(now, CONDITION, None, out);
        }
        if let Some(due) = self.strays.due_at().filter(|due| now < *due) {
            self.strays.look_at = Some(due);
            return;
        }
        let names = here.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ");
        let interface = self.config.device();
        let too_often = self.strays.removes(now);
        let then = if too_often {
            "somebody puts it there again and again, and this node leaves it for a minute, then removes it again"
        } else {
            "somebody put it there, and this node removes it"
        };
        // What it is comes first: that is what is said of it when it is over.
        let text = format!(
            "{names} is on {interface} although this node does not serve; {then}. Clients find two machines while it is there. See \
             that nothing but ha configures it (netplan, ifupdown, NetworkManager, cloud-init, a script)"
        );
        // A condition says its sentence when it begins; while it lasts, another one is said here.
        if self.said(CONDITION).is_some_and(|said| said != text) {
            self.note(now, text.clone(), out);
        }
        self.condition(now, CONDITION, Some(text), out);
        if !too_often {
            self.release(out);
        }
    }

    /// Virtual addresses that the kernel has, if it must have none. An owner's are the machine's own (R14), what another
    /// instance serves as well may be that one's, and what waits to be adopted is looked at by those who wait.
    fn strays_here(&self) -> Vec<IpNet> {
        let idle = matches!(self.router.state(), State::Initialize | State::Backup { .. } | State::Elected { .. });
        let waits = self.adopts || self.ties.waits_to_adopt() || self.vote.adopts.is_some();
        if !idle || waits || self.native || self.config.priority.is_owner() || self.is_stopped() {
            return Vec::new();
        }
        let mut here = self.held();
        here.retain(|net| self.virtual_here.get(&net.addr()).is_none_or(|instances| *instances < 2));
        here
    }
}
