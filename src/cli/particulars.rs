//! Lines of `ha status` about one instance.

use super::judged;
use crate::control::protocol::Instance;

/// Where it is, and what it bids.
pub(super) fn particulars(instance: &Instance) -> String {
    let priority = match instance.effective_priority {
        Some(effective) if effective != instance.priority => format!("priority {effective} of {}", instance.priority),
        Some(_) | None => format!("priority {}", instance.priority),
    };
    let lease = instance.lease_ms.map_or("no lease".to_owned(), |ms| format!("lease {} s", ms / 1000));
    let source = instance.source.map(|source| format!(" ({source})")).unwrap_or_default();
    let device = instance.device.as_ref().map(|device| format!(", addresses on {device}")).unwrap_or_default();
    let Instance { interface, vrid, version, .. } = instance;
    format!("{interface}{source}{device} · virtual router {vrid} · VRRP {version} · {priority} · {lease}")
}

/// What it has done so far.
pub(super) fn counters(instance: &Instance) -> String {
    let transitions = judged::count(instance.transitions, "transition");
    let told = instance.notify.map(|notify| {
        let replaced = if notify.replaced == 0 { String::new() } else { format!(", {} overtaken", notify.replaced) };
        format!(" · programs told: {}, {} failed{replaced}", notify.ran, notify.failed)
    });
    let told = told.unwrap_or_default();
    format!("{transitions} · advertisements: {} sent, {} received{told}", instance.sent, instance.received)
}
