//! `track_own_interface`: whether an instance is in fault while its own interface is down or has no carrier.

use super::{error::Findings, raw::RawInstance};

/// Reads it.
pub(super) fn tracked(raw: &RawInstance, out: &mut Findings) -> bool {
    let Some((tracked, span)) = raw.track_own_interface.given() else { return true };
    if !*tracked && raw.gate.given().is_some_and(|(gate, _)| *gate) {
        let what = "gate = true lets nothing in while no advertisement leaves, and track_own_interface = false goes on \
                    serving then";
        out.error(span, what, "remove one of the two");
    }
    *tracked
}
