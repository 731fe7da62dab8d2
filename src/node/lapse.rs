//! A master whose loss of the carrier does not count yet (`down_delay`): nothing that it sends leaves, so its lease is not
//! renewed. Once that has run out the kernel has removed the address, and whoever looks is told; this node goes on once
//! something leaves again, or gives up when somebody else may have taken the address (R10).

use super::instance::{Instance, Outbox};
use crate::words::{Instant, readable};

impl Instance {
    /// An advertisement was sent without a carrier, and that counts as no loss yet.
    pub(super) fn on_unsent(&mut self, now: Instant, out: &mut Outbox) {
        self.tenure.not_left();
        if self.router.serves() && self.begins(now) && !self.paths.sent(now) {
            let why = format!("advertisements cannot be sent: interface {} has no carrier", self.config.interface);
            self.cannot_send(now, why, out);
        }
        self.name_lapse(now, out);
    }

    pub(super) fn name_lapse(&mut self, now: Instant, out: &mut Outbox) {
        let lapsed = self.lapses_at().is_some_and(|at| at <= now);
        let text = lapsed.then(|| {
            let lease = self.tenure.planned().length.map_or_else(String::new, |length| format!(" ({})", readable(length)));
            format!(
                "interface {} has no carrier, and no advertisement has left for longer than the lease{lease}: the kernel removes \
                 the address here. It is held again once the carrier is back, unless the loss counts before (down_delay) or \
                 somebody else may have taken it. Look at the cable and the switch, or write a shorter down_delay",
                self.config.interface
            )
        });
        self.condition(now, "lease_lapsed", text, out);
    }

    /// When that happens, or since when it has.
    pub(super) fn lapses_at(&self) -> Option<Instant> {
        self.tenure.lapses_at().filter(|_| self.router.holds() && !self.native)
    }
}
