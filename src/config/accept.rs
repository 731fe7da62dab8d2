//! Whether a master answers what is sent to the virtual addresses (RFC 9568, 6.1, `Accept_Mode`).

use super::{Instance, error::Findings, raw::RawInstance};
use crate::wire::Priority;

/// Reads `accept`.
pub(super) fn accept(raw: &RawInstance, priority: Option<Priority>, out: &mut Findings) -> bool {
    let Some((accept, span)) = raw.accept.given() else { return true };
    if !*accept && priority.is_some_and(Priority::is_owner) {
        let what = "an owner answers for its own addresses in any case (RFC 9568, 6.1): accept = false has no effect";
        out.warning(span, what, "remove accept, or lower the priority");
    }
    *accept
}

impl Instance {
    /// Whether packets to the virtual addresses are to be dropped while it holds them.
    #[must_use]
    pub fn drops_packets(&self) -> bool {
        !self.accept && !self.priority.is_owner()
    }
}
