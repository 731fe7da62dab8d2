//! When an instance takes the address and when it lets go: priority, preemption, lease, doubt.

use std::time::Duration;

use ipnet::IpNet;

use super::{
    Claim, Instance, LastResort, Lease, OnConflict, OnError, Preempt, Preference,
    address::Addresses,
    error::Findings,
    kind::TimeOr,
    lease::{lease_length, shortest},
    raw::RawInstance,
    value::{self, readable},
};
use crate::wire::Priority;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const DEFAULT_PRIORITY: u8 = 100;

/// Which way doubt goes, and what follows for a conflict unless that is written too.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) prefer: Preference,
    pub(super) on_conflict: OnConflict,
    pub(super) claim: Claim,
}

/// Reads `prefer`, `on_conflict` and `claim`.
pub(super) fn doubt(raw: &RawInstance, out: &mut Findings) -> Doubt {
    let preferences = [("safety", Preference::Safety), ("availability", Preference::Availability)];
    let prefer = value::choice("prefer", &raw.prefer, &preferences, out).unwrap_or(Preference::Safety);
    let conflicts = [("hold", OnConflict::Hold), ("steal", OnConflict::Steal)];
    let on_conflict = value::choice("on_conflict", &raw.on_conflict, &conflicts, out).unwrap_or(match prefer {
        Preference::Safety => OnConflict::Hold,
        Preference::Availability => OnConflict::Steal,
    });
    let claim = value::choice("claim", &raw.claim, &[("auto", Claim::Auto), ("off", Claim::Off)], out);
    Doubt { prefer, on_conflict, claim: claim.unwrap_or(Claim::Auto) }
}

/// Reads `last_resort`.
pub(super) fn last_resort(raw: &RawInstance, out: &mut Findings) -> LastResort {
    let words = [("release", LastResort::Release), ("keep", LastResort::Keep)];
    value::choice("last_resort", &raw.last_resort, &words, out).unwrap_or(LastResort::Release)
}

/// Reads `on_error` and `error_for`.
pub(super) fn on_error(raw: &RawInstance, out: &mut Findings) -> OnError {
    const DEFAULT: Duration = Duration::from_secs(60);
    let time = value::time("error_for", &raw.error_for, Duration::from_secs(1), DAY, out);
    let words = [("hold", OnError::Hold), ("fault", OnError::FaultAfter(time.unwrap_or(DEFAULT)))];
    let on_error = value::choice("on_error", &raw.on_error, &words, out).unwrap_or(OnError::Hold);
    if let (OnError::Hold, Some(span)) = (on_error, raw.error_for.span()) {
        let todo = "remove error_for, or write on_error = \"fault\"";
        out.error(span, "error_for without on_error = \"fault\": nothing follows from an error, however long", todo);
    }
    on_error
}

/// Reads `priority`; `None` if what is written is none.
pub(super) fn priority(raw: &RawInstance, out: &mut Findings) -> Option<Priority> {
    let Some((number, span)) = raw.priority.given() else { return Priority::new(DEFAULT_PRIORITY) };
    if *number == 0 {
        out.error(
            span,
            "priority 0 is not a priority: on the wire it means \"I resign\"",
            "priority is 1 to 254, 255 for a node that owns the address; the higher one serves",
        );
        return None;
    }
    value::number("priority", &raw.priority, 1, 255, out).and_then(Priority::new)
}

/// Priority 255 says that the addresses belong to this machine even without us.
pub(super) fn check_owner(raw: &RawInstance, interface: Option<&[IpNet]>, addresses: &Addresses, out: &mut Findings) {
    let span = raw.priority.span().unwrap_or_else(|| raw.header.clone());
    let owner = "priority 255 is for the machine that has the address anyway (RFC 9568, its owner)";
    let todo = "write 254 unless the address is configured on this machine's interface outside of ha";
    let native = |net: &IpNet| interface.is_some_and(|own| own.iter().any(|native| native.addr() == net.addr()));
    if let Some((foreign, _)) = addresses.list.iter().find(|(net, _)| !native(net)) {
        let what = match interface {
            Some(_) => format!("{owner}, and {} is not on the interface now", foreign.addr()),
            None => format!("{owner}: it is never leased nor removed, and prefer has no effect"),
        };
        out.warning(span, what, todo);
    }
    if let Some((false, span)) = raw.preempt.given() {
        out.warning(span, "an owner always takes its address, preempt or not (RFC 9568, 6.1)", "remove preempt");
    }
}

/// Reads `preempt` and `preempt_delay`.
pub(super) fn preempt(raw: &RawInstance, out: &mut Findings) -> Preempt {
    let delay = value::time("preempt_delay", &raw.preempt_delay, Duration::ZERO, HOUR, out);
    match (raw.preempt.given(), raw.preempt_delay.span()) {
        (Some((false, never)), Some(span)) => {
            let todo = "remove preempt_delay, or preempt = false";
            out.error(span, "preempt_delay without preemption: there is nothing to delay", todo);
            out.relate(never, "never preempts");
            Preempt::Never
        }
        (Some((false, _)), None) => Preempt::Never,
        (Some((true, _)) | None, _) => match delay {
            None | Some(Duration::ZERO) => Preempt::AtOnce,
            Some(delay) => Preempt::After(delay),
        },
    }
}

/// Reads `lease`.
pub(super) fn lease(raw: &RawInstance, out: &mut Findings) -> Lease {
    match raw.lease.given() {
        None | Some((TimeOr::Word("auto"), _)) => Lease::Auto,
        Some((TimeOr::Word(_), _)) => Lease::Off,
        Some((TimeOr::Time(time), span)) => {
            if time.subsec_nanos() != 0 || !(Duration::from_secs(1)..=DAY).contains(time) {
                let todo = "write \"auto\", \"off\" or whole seconds, \"1s\" and more: the kernel counts in seconds";
                let what = format!("lease = {} is no lifetime", out.text(&span));
                out.error(span, what, todo);
                return Lease::Auto;
            }
            Lease::Fixed(*time)
        }
    }
}

/// A lease that is written must outlive the next advertisement, and should end before a peer takes over.
pub(super) fn check_lease(raw: &RawInstance, instance: &Instance, out: &mut Findings) {
    let (Lease::Fixed(length), Some(span)) = (instance.lease, raw.lease.span()) else { return };
    let least = shortest(instance.advertise);
    let automatic = lease_length(&Instance { lease: Lease::Auto, ..instance.clone() }, None);
    let auto = automatic.length.map_or_else(String::new, readable);
    let (length_text, interval) = (readable(length), readable(instance.advertise.as_duration()));
    if length < least {
        out.error(
            span,
            format!("a lease of {length_text} ends before the next advertisement renews it (every {interval})"),
            format!("write \"auto\", which is {auto} here, or more than that"),
        );
    } else if automatic.length.is_some_and(|automatic| length > automatic) {
        let planned = lease_length(instance, None);
        let overlap = readable(planned.overlap);
        out.warning(
            span,
            format!(
                "a lease of {length_text} can outlast the takeover: if this node dies, two nodes hold the address for up to \
                 {overlap}"
            ),
            format!("write \"auto\", which is {auto} here"),
        );
    }
}
