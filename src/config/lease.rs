//! How long a held address may live in the kernel without being renewed, and what bound follows from it.
//!
//! The kernel removes an address whose lifetime has run out, in whole seconds and up to about a second late. The lease must
//! be over before the earliest moment at which a peer that misses our advertisements takes the address: then a daemon that
//! dies or freezes never shares it. Where whole seconds are too coarse for that, the overlap is computed and said.
//!
//! Pure arithmetic; who renews and when is the node's business.

use std::time::Duration;

use super::{GateUse, Instance, Lease, Witnessed};
use crate::wire::{AdverInterval, Priority, Version};

/// How late the kernel can be: its own sweep (up to a second) and scheduling.
const KERNEL_LATENESS: Duration = Duration::from_millis(1020);
/// A lease must outlive the time between two renewals by this much, or a late advertisement would drop the address.
const RENEWAL_SLACK: Duration = Duration::from_millis(250);
/// How late the kernel can be in forgetting an element of a set: one of its ticks, the longest that are common.
const GATE_LATENESS: Duration = Duration::from_millis(10);
/// Below this there are no two holders to speak of: whole seconds against a down interval of seconds.
const OVERLAP_BORNE: Duration = Duration::from_millis(100);
/// The highest priority a peer that is not the owner can have: the shortest skew. An owner does not wait for timers.
const WORST_PEER: u8 = 254;

/// What an instance's lease comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The lifetime given to a held address, in whole seconds; `None`: for ever (`lease = "off"`).
    pub length: Option<Duration>,
    /// After the last advertisement that was sent, the address is gone by then; [`Duration::MAX`] without a lease.
    pub bound_end: Duration,
    /// For how long two nodes may hold the address if this one dies; zero: never; [`Duration::MAX`] without a lease.
    ///
    /// It supposes that the peer received the last advertisement. Each one lost adds an interval; the claim closes it.
    pub overlap: Duration,
    /// With a gate before the addresses, which closes this long after the last advertisement: where whole seconds are too
    /// coarse, or it is wanted always.
    pub gate: Option<Duration>,
    /// After the last advertisement it received, the peer takes over no earlier than this.
    pub earliest_takeover_by_peer: Duration,
    /// So many intervals the peer waits at least: after so long a silence somebody may have been elected (R10).
    pub patience_of_peer: Duration,
}

impl Planned {
    /// How often a held address is renewed at most, after an advertisement was sent; `None` without a lease.
    #[must_use]
    pub fn renew_every(&self) -> Option<Duration> {
        let length = self.length?;
        Some(Duration::from_millis(if length >= Duration::from_secs(2) { 500 } else { 250 }))
    }
}

/// The lease of `instance` against a peer of `peer_priority` (unknown: the worst, 254).
#[must_use]
pub fn lease_length(instance: &Instance, peer_priority: Option<Priority>) -> Planned {
    let earliest_takeover_by_peer = earliest_takeover(instance, peer_priority);
    let length = match instance.lease {
        Lease::Off => None,
        Lease::Fixed(length) => Some(length),
        Lease::Auto => Some(automatic(instance, earliest_takeover_by_peer)),
    };
    let bound_end = length.map_or(Duration::MAX, |length| length.saturating_add(KERNEL_LATENESS));
    let gate = length.and_then(|_| gate(instance, bound_end, earliest_takeover(instance, None)));
    let silent = gate.map_or(bound_end, |gate| gate + GATE_LATENESS);
    let overlap = match length {
        None => Duration::MAX,
        Some(_) => silent.saturating_sub(earliest_takeover_by_peer),
    };
    let patience_of_peer = waited_for(instance);
    Planned { length, bound_end, overlap, gate, earliest_takeover_by_peer, patience_of_peer }
}

/// How long a gate stays open: until right before the peer takes over, in whole milliseconds. None where the lease does as
/// well and it is not wanted all the same, and where it would close between two advertisements.
fn gate(instance: &Instance, bound_end: Duration, earliest_takeover: Duration) -> Option<Duration> {
    // Without a carrier no advertisement leaves, and one that does not mind that goes on serving elsewhere.
    let wanted = match instance.gate {
        GateUse::Always => true,
        GateUse::WhereNeeded => bound_end.saturating_sub(earliest_takeover) > OVERLAP_BORNE,
        GateUse::Never => false,
    };
    if !wanted || !instance.track_own_interface || instance.lease != Lease::Auto {
        return None;
    }
    let millis = earliest_takeover.saturating_sub(GATE_LATENESS).as_millis();
    let gate = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    (gate >= instance.advertise.as_duration() * 2).then_some(gate)
}

/// The shortest lease that survives from one advertisement to the next.
#[must_use]
pub fn shortest(advertise: AdverInterval) -> Duration {
    advertise.as_duration() + RENEWAL_SLACK
}

/// `Master_Down_Interval` of the peer, with its own count of advertisements it misses.
fn earliest_takeover(instance: &Instance, peer_priority: Option<Priority>) -> Duration {
    let version: Version = instance.protocol.version();
    let peer = peer_priority.filter(|priority| !priority.is_owner()).or(Priority::new(WORST_PEER));
    let skew = peer.map_or(Duration::ZERO, |priority| instance.advertise.skew_time(version, priority));
    waited_for(instance) + skew
}

/// `Master_Down_Interval` without its skew time.
fn waited_for(instance: &Instance) -> Duration {
    instance.advertise.as_duration() * u32::from(instance.peer_down_adverts)
}

/// The largest whole second that fits before the peer's takeover; else the smallest that holds the address at all.
fn automatic(instance: &Instance, earliest_takeover: Duration) -> Duration {
    let shortest = shortest(instance.advertise);
    // It ends before that of the witness, too.
    let room = instance.witness.map_or(Duration::MAX, Witnessed::room);
    let fitting = Duration::from_secs(earliest_takeover.min(room).saturating_sub(KERNEL_LATENESS).as_secs());
    if fitting > shortest { fitting } else { Duration::from_secs(whole_seconds_up(shortest).max(1)) }
}

fn whole_seconds_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Auth, Checksum, Protocol, fixture};

    fn instance(protocol: Protocol, advertise: AdverInterval) -> Instance {
        Instance { protocol, advertise, ..fixture::instance() }
    }

    fn v2(seconds: u8) -> Instance {
        instance(Protocol::V2(Auth::None), AdverInterval::from_secs(seconds).unwrap())
    }

    fn v3(centis: u16) -> Instance {
        instance(Protocol::V3(Checksum::Auto), AdverInterval::from_centis(centis).unwrap())
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn a_second_against_an_unknown_peer_is_two_seconds_with_twelve_milliseconds_of_overlap() {
        let planned = lease_length(&v2(1), None);
        assert_eq!(planned.length, seconds(2));
        assert_eq!(planned.bound_end, Duration::from_millis(3020));
        assert_eq!(planned.earliest_takeover_by_peer, Duration::from_nanos(3_007_812_500));
        assert_eq!(planned.overlap.as_millis(), 12);
        assert_eq!(planned, lease_length(&v2(1), Priority::new(254)));
        assert_eq!(planned, lease_length(&v2(1), Some(Priority::OWNER)), "an owner does not wait for its timer");
    }

    #[test]
    fn a_second_against_the_founding_standby_never_overlaps() {
        let planned = lease_length(&v2(1), Priority::new(99));
        assert_eq!((planned.length, planned.overlap), (seconds(2), Duration::ZERO));
    }

    #[test]
    fn below_a_second_a_gate_closes_before_the_peer_takes_over() {
        for (centis, millis) in [(1, 20), (2, 50), (10, 290), (50, 1493)] {
            let planned = lease_length(&Instance { gate: GateUse::WhereNeeded, ..v3(centis) }, None);
            assert_eq!(planned.gate, Some(Duration::from_millis(millis)), "{centis}");
            assert!(planned.gate.unwrap() + GATE_LATENESS <= planned.earliest_takeover_by_peer);
            assert_eq!(planned.overlap, Duration::ZERO);
        }
        let hasty = Instance { peer_down_adverts: 1, gate: GateUse::Always, ..v3(1) };
        assert_eq!(lease_length(&hasty, None).gate, None, "it would close between two advertisements");
        assert_eq!(
            lease_length(&Instance { gate: GateUse::WhereNeeded, ..v2(1) }, None).gate,
            None,
            "whole seconds do"
        );
        let deaf = Instance { gate: GateUse::Always, track_own_interface: false, ..v3(20) };
        assert_eq!(lease_length(&deaf, None).gate, None, "it would close with the link");
        assert_eq!(lease_length(&Instance { lease: Lease::Off, gate: GateUse::Always, ..v3(10) }, None).gate, None);
    }

    #[test]
    fn a_gate_that_is_wanted_always_closes_before_the_peer_takes_over() {
        let planned = lease_length(&Instance { gate: GateUse::Always, ..v2(1) }, None);
        assert_eq!((planned.length, planned.gate), (seconds(2), Some(Duration::from_millis(2997))));
        assert_eq!(planned.overlap, Duration::ZERO, "not even the 12 ms against a peer of priority 254");
    }

    #[test]
    fn ten_milliseconds_without_a_gate_leave_about_two_seconds() {
        let planned = lease_length(&Instance { gate: GateUse::Never, ..v3(1) }, None);
        assert_eq!((planned.length, planned.gate), (seconds(1), None));
        assert!((1980..2000).contains(&planned.overlap.as_millis()), "{:?}", planned.overlap);
    }

    #[test]
    fn a_patient_peer_lengthens_the_lease() {
        let patient = Instance { peer_down_adverts: 6, ..v2(1) };
        assert_eq!(lease_length(&patient, None).length, seconds(4));
        assert_eq!(lease_length(&patient, None).overlap, Duration::ZERO);
    }

    #[test]
    fn off_and_fixed_are_what_they_say() {
        let off = lease_length(&Instance { lease: Lease::Off, ..v2(1) }, None);
        assert_eq!((off.length, off.bound_end, off.overlap), (None, Duration::MAX, Duration::MAX));
        assert_eq!(off.renew_every(), None);
        let fixed =
            lease_length(&Instance { lease: Lease::Fixed(Duration::from_secs(3)), ..v2(1) }, Priority::new(254));
        assert_eq!(fixed.length, seconds(3));
        assert_eq!(fixed.overlap.as_millis(), 1012);
    }

    #[test]
    fn a_one_second_lease_is_renewed_twice_as_often() {
        assert_eq!(lease_length(&v2(1), None).renew_every(), Some(Duration::from_millis(500)));
        assert_eq!(lease_length(&v3(1), None).renew_every(), Some(Duration::from_millis(250)));
    }

    fn any_instance() -> impl Strategy<Value = Instance> {
        prop_oneof![(1..=255u8).prop_map(v2), (1..=4095u16).prop_map(v3)]
    }

    proptest! {
        #[test]
        fn without_a_gate_it_is_the_largest_lease_that_never_overlaps_or_the_smallest_that_holds(
            instance in any_instance(), priority in 1..=254u8, peer_down_adverts in 1..=100u8,
        ) {
            let instance = Instance { peer_down_adverts, gate: GateUse::Never, ..instance };
            let planned = lease_length(&instance, Priority::new(priority));
            let length = planned.length.unwrap();
            let interval = instance.advertise.as_duration();
            let second = Duration::from_secs(1);
            prop_assert!(length.subsec_nanos() == 0 && length >= second);
            prop_assert!(length >= interval + Duration::from_millis(250), "it outlives the next advertisement");
            prop_assert_eq!(planned.bound_end, length + Duration::from_millis(1020));
            if planned.overlap.is_zero() {
                prop_assert!(length + second + Duration::from_millis(1020) > planned.earliest_takeover_by_peer);
            } else {
                prop_assert!(length < interval + Duration::from_millis(1250), "no longer than it must be");
                prop_assert_eq!(planned.earliest_takeover_by_peer + planned.overlap, planned.bound_end);
            }
        }

        #[test]
        fn with_three_adverts_it_is_the_protocols_own_down_interval(instance in any_instance(), priority in 1..=254u8) {
            let priority = Priority::new(priority).unwrap();
            let expected = instance.advertise.down_interval(instance.protocol.version(), priority);
            prop_assert_eq!(lease_length(&instance, Some(priority)).earliest_takeover_by_peer, expected);
        }
    }
}
