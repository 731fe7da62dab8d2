//! `[interface.NAME]`: how long an interface must be up or down before that counts. `start_delay` and `boot_delay`: how long a
//! node takes no part after its start.

use std::{collections::BTreeMap, time::Duration};

use toml::Spanned;

use super::{
    Instance,
    error::{Findings, Span},
    table::{Table, Written},
    value,
};
use crate::words::InterfaceName;

/// keepalived's longest.
const LINK_MAX: Duration = Duration::from_secs(255);
const START_MAX: Duration = Duration::from_secs(3600);

/// How long an interface must be like that before it counts; zero: at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkDelays {
    /// Up, with a carrier.
    pub up: Duration,
    /// Down, or without a carrier. An interface that is gone is gone at once.
    pub down: Duration,
}

/// How long a node takes no part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartDelays {
    /// After its process has started.
    pub start: Duration,
    /// After the machine has started (`CLOCK_BOOTTIME`).
    pub boot: Duration,
}

/// `[interface.NAME]` as written.
#[derive(Debug)]
pub(super) struct RawLink {
    name: Spanned<String>,
    up_delay: Written<Duration>,
    down_delay: Written<Duration>,
}

impl RawLink {
    pub(super) fn read(name: Spanned<String>, table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self { name, up_delay: table.time("up_delay", out), down_delay: table.time("down_delay", out) }
    }
}

/// `start_delay` and `boot_delay` as written.
#[derive(Debug)]
pub(super) struct RawStart {
    start_delay: Written<Duration>,
    boot_delay: Written<Duration>,
}

impl RawStart {
    pub(super) fn read(root: &mut Table<'_>, out: &mut Findings) -> Self {
        Self { start_delay: root.time("start_delay", out), boot_delay: root.time("boot_delay", out) }
    }
}

pub(super) fn start(raw: &RawStart, out: &mut Findings) -> StartDelays {
    let mut time = |key, written| value::time(key, written, Duration::ZERO, START_MAX, out).unwrap_or_default();
    StartDelays { start: time("start_delay", &raw.start_delay), boot: time("boot_delay", &raw.boot_delay) }
}

/// Reads them all.
pub(super) fn links(
    raw: &[RawLink],
    instances: &[Instance],
    out: &mut Findings,
) -> BTreeMap<InterfaceName, LinkDelays> {
    raw.iter().filter_map(|raw| link(raw, instances, out)).collect()
}

fn link(raw: &RawLink, instances: &[Instance], out: &mut Findings) -> Option<(InterfaceName, LinkDelays)> {
    let (text, span) = (raw.name.get_ref(), raw.name.span());
    let Ok(name) = text.parse::<InterfaceName>() else {
        let todo = "a name has 1 to 15 letters without spaces, slashes and colons; `ip -brief link` lists them";
        out.error(span, format!("\"{text}\" cannot be the name of an interface"), todo);
        return None;
    };
    let mut time = |key, written| value::time(key, written, Duration::ZERO, LINK_MAX, out).unwrap_or_default();
    let delays = LinkDelays { up: time("up_delay", &raw.up_delay), down: time("down_delay", &raw.down_delay) };
    if !instances.iter().any(|instance| is_used(instance, &name)) {
        let todo = "remove [interface.NAME], or correct its name";
        out.warning(span, format!("no instance is on {name} or tracks it"), todo);
    }
    if let Some(place) = raw.down_delay.span() {
        for instance in instances.iter().filter(|instance| instance.interface == name) {
            check(&name, delays.down, instance, place.clone(), out);
        }
    }
    Some((name, delays))
}

fn is_used(instance: &Instance, name: &InterfaceName) -> bool {
    let by_path = || instance.paths.iter().any(|path| path.interface == *name);
    instance.interface == *name || instance.tracks.names(name) || by_path()
}

/// Without a carrier a master is not heard: it must have let go before the peer's timer runs out.
fn check(name: &InterfaceName, down: Duration, instance: &Instance, place: Span, out: &mut Findings) {
    let most = instance.advertise.as_duration() * u32::from(instance.peer_down_adverts.saturating_sub(1));
    if down >= most && !down.is_zero() {
        let what = format!(
            "down_delay = {} of {name} is too long for {}: its peer takes the address meanwhile, and both have it",
            out.text(&place),
            instance.name
        );
        let todo = format!(
            "write less than \"{}\": one interval less than the advertisements that the peer waits for",
            humantime::format_duration(most)
        );
        out.error(place, what, todo);
    }
}
