//! How a master announces: `announce_refresh` and its like.

use std::time::Duration;

use super::{
    error::Findings,
    table::{Table, Written},
    value,
};
use crate::vrrp::{Announcing, Burst};

const HOUR: Duration = Duration::from_secs(3600);
/// What keepalived does, where only the one or the other is written.
const REPEAT: u8 = 5;
const DELAY: Duration = Duration::from_secs(5);

/// As written.
#[derive(Debug)]
pub(super) struct RawAnnounce {
    refresh: Written<Duration>,
    refresh_repeat: Written<i64>,
    repeat: Written<i64>,
    delay: Written<Duration>,
    lower_repeat: Written<i64>,
    lower_delay: Written<Duration>,
    interval: Written<Duration>,
}

impl RawAnnounce {
    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            refresh: table.time("announce_refresh", out),
            refresh_repeat: table.number("announce_refresh_repeat", out),
            repeat: table.number("announce_repeat", out),
            delay: table.time("announce_delay", out),
            lower_repeat: table.number("announce_lower_repeat", out),
            lower_delay: table.time("announce_lower_delay", out),
            interval: table.time("announce_interval", out),
        }
    }
}

/// Reads it.
pub(super) fn resolve(raw: &RawAnnounce, out: &mut Findings) -> Announcing {
    let default = Announcing::default();
    let takeover = burst(("announce_repeat", &raw.repeat), ("announce_delay", &raw.delay), default.takeover, out);
    let lower = (("announce_lower_repeat", &raw.lower_repeat), ("announce_lower_delay", &raw.lower_delay));
    let rival = burst(lower.0, lower.1, takeover, out);
    let refresh_repeat = value::number("announce_refresh_repeat", &raw.refresh_repeat, 1, 100, out);
    let interval = value::time("announce_interval", &raw.interval, Duration::ZERO, Duration::from_secs(10), out);
    Announcing {
        takeover,
        rival,
        refresh: refresh(raw, default.refresh, out),
        refresh_repeat: refresh_repeat.unwrap_or(default.refresh_repeat),
        interval: interval.unwrap_or(default.interval),
    }
}

type Named<'w, T> = (&'static str, &'w Written<T>);

/// `other` where neither is written, and for the one that is not.
fn burst(repeat: Named<'_, i64>, delay: Named<'_, Duration>, other: Burst, out: &mut Findings) -> Burst {
    let number = value::number(repeat.0, repeat.1, 1, 100, out);
    let time = value::time(delay.0, delay.1, Duration::ZERO, HOUR, out);
    if number.is_none() && time.is_none() {
        return other;
    }
    let (usually, later) = match other {
        Burst::Spread => (REPEAT, DELAY),
        Burst::Twice { repeat, delay } => (repeat, delay),
    };
    Burst::Twice { repeat: number.unwrap_or(usually), delay: time.unwrap_or(later) }
}

fn refresh(raw: &RawAnnounce, default: Duration, out: &mut Findings) -> Duration {
    let time = value::time("announce_refresh", &raw.refresh, Duration::ZERO, HOUR, out).unwrap_or(default);
    if let Some((_, span)) = raw.refresh.given().filter(|_| !time.is_zero() && time < Duration::from_secs(1)) {
        let todo = "write \"1s\" or more, or \"0s\" for never: switches and hosts need a rest";
        out.error(span, "announce_refresh is less than a second", todo);
    }
    time
}
