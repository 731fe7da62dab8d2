//! The protocol of an instance: its version and what only that version has or allows.

use std::time::Duration;

use super::{Checksum, Protocol, error::Findings, password, table::Written, value};
use crate::{
    wire::{AdverInterval, Version},
    words::Family,
};

/// Reads `version`; `None` if what is written is neither.
pub(super) fn version(written: &Written<i64>, family: Option<Family>, out: &mut Findings) -> Option<Version> {
    let span = written.span();
    let version = match written {
        Written::Absent => Some(Version::V3),
        Written::Unusable => None,
        Written::Given(number) => match number.get_ref() {
            2 => Some(Version::V2),
            3 => Some(Version::V3),
            other => {
                let todo = "write version = 2 (RFC 3768, keepalived's default) or version = 3 (RFC 9568)";
                out.error(number.span(), format!("there is no version {other} of VRRP"), todo);
                None
            }
        },
    };
    if let (Some(Version::V2), Some(Family::V6), Some(span)) = (version, family, span) {
        out.error(span, "version 2 knows only IPv4, and the addresses are IPv6", "write version = 3");
    }
    version
}

/// Reads `advertise` by the rules of a version; `None` if it breaks them.
pub(super) fn interval(written: &Written<Duration>, version: Version, out: &mut Findings) -> Option<AdverInterval> {
    let default = AdverInterval::from_secs(1);
    if written.is_absent() {
        return default;
    }
    let (time, span) = written.given()?;
    let (interval, todo) = match version {
        Version::V2 => {
            let whole = u8::try_from(time.as_secs()).ok().filter(|_| time.subsec_nanos() == 0);
            (
                whole.and_then(AdverInterval::from_secs),
                "version 2 counts whole seconds, \"1s\" to \"255s\"; shorter intervals need version = 3 on every node",
            )
        }
        Version::V3 => {
            let whole = (time.as_nanos() % 10_000_000 == 0).then_some(time.as_millis() / 10);
            (
                whole.and_then(|centis| u16::try_from(centis).ok()).and_then(AdverInterval::from_centis),
                "version 3 counts hundredths of a second, \"10ms\" to \"40s 950ms\"",
            )
        }
    };
    if interval.is_none() {
        let what = format!("advertise = {} cannot be sent", out.text(&span));
        out.error(span, what, todo);
    }
    interval
}

/// Reads what only one version has.
pub(super) fn protocol(
    version: Version,
    family: Option<Family>,
    written: &Written<String>,
    checksum: &Written<String>,
    out: &mut Findings,
) -> Protocol {
    let checksum_span = checksum.span();
    let password_span = written.span();
    let auth = password::auth(written, out);
    let checksum = value::choice(
        "checksum",
        checksum,
        &[("auto", Checksum::Auto), ("pseudo-header", Checksum::PseudoHeader), ("rfc9568", Checksum::Rfc9568)],
        out,
    );
    match version {
        Version::V2 => {
            if let Some(span) = checksum_span {
                let todo = "remove it: version 2 has only one checksum";
                out.error(span, "checksum is a choice of version 3, and this instance speaks version 2", todo);
            }
            Protocol::V2(auth)
        }
        Version::V3 => {
            if let Some(span) = password_span {
                let todo = "remove auth.password, or write version = 2 if every node of this instance speaks it";
                out.error(span, "version 3 has no passwords", todo);
            }
            if let (Some(span), Some(Family::V6)) = (checksum_span, family) {
                let todo = "remove it: over IPv6 there is only one checksum";
                out.error(span, "checksum is a choice of IPv4, and the addresses are IPv6", todo);
            }
            Protocol::V3(checksum.unwrap_or(Checksum::Auto))
        }
    }
}
