//! Why an instance changed its role, as a sentence.

use super::{bearing::Bearing, instance::Instance};
use crate::{
    vrrp::Reason,
    words::{Instant, readable},
};

impl Instance {
    /// The reason of a transition as a sentence.
    pub(super) fn explain(&self, now: Instant, reason: Reason) -> String {
        let master = self.master.map_or_else(|| "another node".to_owned(), |address| address.to_string());
        match reason {
            Reason::Startup => "may take part, listening".to_owned(),
            Reason::Owner => "owns the addresses".to_owned(),
            Reason::MasterDown => match self.alive_heard_at {
                Some(_) => format!("no advertisement that counts for {}", readable(self.down_interval())),
                None => format!("no master heard for {} since start", readable(self.down_interval())),
            },
            Reason::MasterResigned => format!("{master} resigned"),
            Reason::Adopted => "the process before this one was master and its lease still runs".to_owned(),
            Reason::HigherPriority => format!("{master} has a higher priority"),
            Reason::HigherAddress => format!("{master} has the same priority and a higher address"),
            Reason::AnotherLeads => format!("{master} leads already and is not to be preempted"),
            Reason::Relieved => self.relieved(now, &master),
            Reason::Offered => format!("offers the address to whoever is better off: {}", self.why_unfit(now)),
            Reason::Fault | Reason::Stopped => self.why_unfit(now),
            Reason::OfferDeclined => "nobody took what was offered".to_owned(),
            Reason::LeaseLapsed if self.listens_until().is_some() => format!(
                "interface {} carries again, and nobody has heard this node for longer than the lease: somebody else may hold the \
                 address",
                self.config.interface
            ),
            Reason::LeaseLapsed if self.tenure.is_unsent() => format!(
                "interface {} has no carrier, and no advertisement has left for longer than the lease: somebody else may hold the \
                 address",
                self.config.interface
            ),
            Reason::LeaseLapsed if self.tenure.is_unheard() => {
                "no advertisement has left for as long as the others wait, and one of them advertises: it has the address"
                    .to_owned()
            }
            Reason::LeaseLapsed => {
                "this process did not run for longer than its lease: somebody else may hold the address".to_owned()
            }
            Reason::PeerDeaf => format!("{master} goes on advertising as master: it does not hear this node"),
            Reason::SecondHolder => "another machine answers for the address".to_owned(),
            Reason::Grouped => self.ties.why_back(),
            Reason::Unwitnessed => self.why_unwitnessed(),
        }
    }

    /// Why it went, and who has the address now.
    fn relieved(&self, now: Instant, master: &str) -> String {
        match self.bearing(now) {
            Bearing::Fit(_) => format!("{master} took the address that this node had offered"),
            Bearing::Fault { why, .. }
            | Bearing::StandDown { why, .. }
            | Bearing::Reluctant { why, .. }
            | Bearing::Barred { why, .. } => format!("{why}; {master} took the address over"),
        }
    }
}
