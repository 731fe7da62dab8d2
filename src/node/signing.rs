//! `auth_hmac`: what this node signs with, and which signed advertisements it believes.
//!
//! Stamps are the wall clock's (R28). Where that clock is put back by no more than the window, they stay right behind the last
//! one until it has caught up; by more, and nobody would believe them for so long: they go on from the clock, and a receiver
//! believes them as soon as what it heard before lies outside of the window. In the mode that does not look at clocks they
//! begin with the wall clock at the start of the process, go on with the clock that nobody sets, and never go backwards.
//!
//! What was heard is remembered for each sender, key and way. An advertisement has one stamp, whichever ways it takes: it is
//! believed once on each. What a way delivers much later than another one is not news, and is not believed there either.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU8, time::Duration};

use super::{
    Node, Transmit,
    instance::{Instance, Outbox},
    paths::Way,
};
use crate::{
    config::{AntiReplay, AuthHmac, HmacMode, PRIMARY},
    wire::{Key, Rejection, Stamp, Trailer, sign},
    words::Instant,
};

/// Senders and keys that are remembered: more than any group has. Only whoever has a key gets to be one of them.
const HEARD_MAX: usize = 64;

/// How far the wall clock (the time since 1970) is ahead of ours: now, and when the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WallClock {
    pub(super) ahead: Duration,
    pub(super) at_start: Duration,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Signing {
    clock: WallClock,
    sent: Option<Stamp>,
    /// The last stamp of each voice, and when it came.
    heard: BTreeMap<Voice, (Instant, Stamp)>,
}

/// Whose stamps follow each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Voice {
    /// The sender, by the address that it has on the instance's own way.
    peer: IpAddr,
    /// The name of the way.
    way: String,
    key: NonZeroU8,
}

/// Who an advertisement says that it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// The sender, by the address that it has on the instance's own way.
    pub(super) peer: IpAddr,
    /// The name of the way that it took.
    pub(super) way: &'a str,
    /// The address that it bears, which is signed.
    pub(super) source: IpAddr,
}

/// What whoever writes an advertisement later needs to sign it then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The number of the key.
    pub id: NonZeroU8,
    /// The key.
    pub key: Key,
    /// How far stamps are ahead of the driver's clock; `None`: they are the wall clock's.
    pub ahead: Option<Duration>,
    /// They come after this one, where the wall clock does not see to that by itself.
    pub after: Option<Stamp>,
}

impl Seal {
    /// The payload, signed. `now` is of the driver's clock, `wall` the time since 1970.
    #[must_use]
    pub fn sign(&self, now: Instant, wall: Duration, source: IpAddr, payload: Vec<u8>) -> Vec<u8> {
        let stamp = Stamp::at(self.ahead.map_or(wall, |ahead| ahead.saturating_add(now.since_epoch())));
        let stamp = self.after.map_or(stamp, |after| stamp.after(after));
        sign(payload, source, self.id, &self.key, stamp)
    }
}

impl Signing {
    pub(super) const fn set_clock(&mut self, clock: WallClock) {
        self.clock = clock;
    }

    fn stamp(&self, now: Instant, anti_replay: AntiReplay) -> Stamp {
        let ahead = match anti_replay {
            AntiReplay::Time => self.clock.ahead,
            AntiReplay::Monotonic => self.clock.at_start,
        };
        Stamp::at(ahead.saturating_add(now.since_epoch()))
    }

    /// The stamp of what is written now.
    fn next(&mut self, now: Instant, auth: &AuthHmac) -> Stamp {
        let clock = self.stamp(now, auth.anti_replay);
        let next = self.last_before(clock, auth).map_or(clock, |last| clock.after(last));
        self.sent = Some(next);
        next
    }

    /// The last stamp that was sent, if one that is written at `clock` must not go behind it.
    fn last_before(&self, clock: Stamp, auth: &AuthHmac) -> Option<Stamp> {
        let of_a_wrong_clock = |last: Stamp| {
            auth.anti_replay == AntiReplay::Time && last.follows(clock) && last.apart(clock) > auth.time_window
        };
        self.sent.filter(|last| !of_a_wrong_clock(*last))
    }

    /// Whether an advertisement may be believed.
    fn admit(&mut self, now: Instant, auth: &AuthHmac, from: Origin<'_>, payload: &[u8]) -> Result<Signed, Rejection> {
        let source = from.source;
        let (message, trailer) = Trailer::split(source, payload)?;
        let Some(trailer) = trailer else {
            return match auth.mode {
                HmacMode::Enforce => Err(Rejection::HmacMissing),
                HmacMode::Permissive | HmacMode::ReceiveOnly => Ok(Signed::No),
            };
        };
        let key = auth.key(trailer.key).ok_or(Rejection::HmacUnknownKey)?;
        if !trailer.is_made_with(key, source, message) {
            return Err(Rejection::HmacInvalid);
        }
        let clock = self.stamp(now, AntiReplay::Time);
        if auth.anti_replay == AntiReplay::Time && trailer.stamp.apart(clock) > auth.time_window {
            return Err(Rejection::HmacStale);
        }
        let voice = Voice { peer: from.peer, way: from.way.to_owned(), key: trailer.key };
        // A mark that is of no time about now was made while a clock was wrong. It forbids nothing that the window allows:
        // keepalived (2.4.3) goes on from its clock once that was put back.
        let counts = |last: Stamp| auth.anti_replay == AntiReplay::Monotonic || last.apart(clock) <= auth.time_window;
        if self.heard.get(&voice).is_some_and(|(_, last)| counts(*last) && !trailer.stamp.follows(*last)) {
            return Err(Rejection::HmacReplay);
        }
        // Another way was faster, but not by so much.
        let of_it = |other: &Voice, last: Stamp| (other.peer, other.key) == (voice.peer, voice.key) && counts(last);
        let elsewhere = self.heard.iter().filter(|(other, (_, last))| of_it(other, *last));
        let late = |last: Stamp| last.follows(trailer.stamp) && last.apart(trailer.stamp) > auth.time_window;
        if elsewhere.into_iter().any(|(_, (_, last))| late(*last)) {
            return Err(Rejection::HmacReplay);
        }
        self.remember(now, voice, trailer.stamp);
        Ok(Signed::Yes)
    }

    fn remember(&mut self, now: Instant, who: Voice, stamp: Stamp) {
        if self.heard.len() >= HEARD_MAX && !self.heard.contains_key(&who) {
            let oldest = self.heard.iter().min_by_key(|(_, (at, _))| *at).map(|(who, _)| who.clone());
            if let Some(oldest) = oldest {
                self.heard.remove(&oldest);
            }
        }
        self.heard.insert(who, (now, stamp));
    }

    /// Other keys: what was heard with one that stays is remembered, also while another one signs.
    pub(super) fn adapt(&mut self, old: Option<&AuthHmac>, new: Option<&AuthHmac>) {
        let key = |auth: Option<&AuthHmac>, id| auth.and_then(|auth| auth.key(id)).cloned();
        self.heard.retain(|voice, _| key(new, voice.key).is_some_and(|new| key(old, voice.key) == Some(new)));
    }
}

/// Whether an advertisement that may be believed was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signed {
    Yes,
    No,
}

impl Node {
    /// The wall clock was set, or is known for the first time.
    pub(super) fn set_clock(&mut self, ahead: Duration) {
        let clock = WallClock { ahead, at_start: self.clock.map_or(ahead, |clock| clock.at_start) };
        self.clock = Some(clock);
        let signs = |instance: &Instance| instance.config.auth_hmac.is_some();
        let leaving = self.leaving.iter_mut().filter(|instance| signs(instance));
        self.instances.matching_mut(signs).chain(leaving).for_each(|instance| instance.signing.set_clock(clock));
    }
}

impl Instance {
    /// An advertisement as it is sent now, on every way with the same stamp.
    pub(super) fn sign_all(&mut self, now: Instant, transmits: &mut [Transmit]) {
        let Some(auth) = &self.config.auth_hmac else { return };
        let Some((id, key)) = auth.signs_with() else { return };
        // The same for every receiver: each remembers the sender for itself.
        let stamp = self.signing.next(now, auth);
        for transmit in transmits {
            for payload in &mut transmit.payloads {
                *payload = sign(std::mem::take(payload), transmit.source, id, key, stamp);
            }
        }
    }

    /// What a keeper needs to sign this instance's resignation at the moment it sends it.
    pub(super) fn seal(&self, now: Instant) -> Option<Seal> {
        let auth = self.config.auth_hmac.as_ref()?;
        let (id, key) = auth.signs_with()?;
        let ahead = match auth.anti_replay {
            AntiReplay::Time => None,
            AntiReplay::Monotonic => Some(self.signing.clock.at_start),
        };
        // Of two that are written in one moment the second has a counter of more than zero: that is not ahead of the clock.
        let soon = self.signing.stamp(now + Duration::from_millis(1), auth.anti_replay);
        let after = self.signing.last_before(soon, auth).filter(|sent| sent.follows(soon));
        Some(Seal { id, key: key.clone(), ahead, after })
    }

    /// Whether `auth_hmac` lets an advertisement through.
    pub(super) fn admit_signed(
        &mut self,
        now: Instant,
        way: Way,
        source: IpAddr,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Rejection> {
        let Some(auth) = &self.config.auth_hmac else { return Ok(()) };
        let peer = self.sender(way, source);
        let way = match way {
            Way::Primary => PRIMARY,
            Way::Path(at) => self.config.paths.get(at).map_or(PRIMARY, |path| &path.name),
        };
        if self.signing.admit(now, auth, Origin { peer, way, source }, payload)? == Signed::No {
            let text = format!(
                "{source} does not sign its advertisements, and is believed because of auth_hmac.mode. Write \
                 mode = \"permissive\" there, and \"enforce\" on every node once all sign"
            );
            self.condition_until(now + self.down_interval() * 2, "peer_unsigned", text, now, out);
        }
        Ok(())
    }

    /// A peer that is believed is also named by what is not: somebody replays or forges, or a packet comes twice.
    pub(super) fn suspect(&mut self, now: Instant, source: IpAddr, rejection: Rejection, out: &mut Outbox) {
        let text = format!(
            "advertisements that say they come from {source} are rejected ({rejection}), while others of it are believed: \
             somebody repeats or forges them, the network delivers twice, or two machines have this address. They are ignored"
        );
        self.condition_until(now + self.down_interval() * 2, "peer_suspect", text, now, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::HmacKey,
        wire::{AdverInterval, Advertisement, Priority, Vrid, encode_v2},
    };

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 21));

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn id(number: u8) -> NonZeroU8 {
        NonZeroU8::new(number).unwrap()
    }

    fn key(number: u8) -> Key {
        Key::new(&[number; 32]).unwrap()
    }

    fn auth(anti_replay: AntiReplay, mode: HmacMode) -> AuthHmac {
        let keys = [1, 2].map(|number| (id(number), HmacKey::Known(key(number)))).into();
        AuthHmac { keys, active_key: id(1), anti_replay, time_window: Duration::from_secs(5), mode }
    }

    fn message() -> Vec<u8> {
        let advertisement = Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(100),
            interval: AdverInterval::from_secs(1).unwrap(),
            addresses: vec!["192.168.0.60".parse().unwrap()],
        };
        encode_v2(&advertisement, None)
    }

    fn signed(number: u8, stamp: Stamp) -> Vec<u8> {
        sign(message(), PEER, id(number), &key(number), stamp)
    }

    fn wall(millis: u64) -> Stamp {
        Stamp::at(Duration::from_millis(millis))
    }

    /// Ours is the time itself.
    fn hears(signing: &mut Signing, auth: &AuthHmac, now: u64, payload: &[u8]) -> Result<Signed, Rejection> {
        hears_on(signing, auth, now, PRIMARY, payload)
    }

    /// On another way the peer may have another address; it is the same one here.
    fn hears_on(
        signing: &mut Signing,
        auth: &AuthHmac,
        now: u64,
        way: &str,
        payload: &[u8],
    ) -> Result<Signed, Rejection> {
        signing.admit(at(now), auth, Origin { peer: PEER, way, source: PEER }, payload)
    }

    #[test]
    fn each_way_to_be_wrong_is_told_apart() {
        let auth = auth(AntiReplay::Time, HmacMode::Enforce);
        let mut signing = Signing::default();
        let good = signed(1, wall(100_000));
        assert_eq!(hears(&mut signing, &auth, 100_000, &message()), Err(Rejection::HmacMissing));
        assert_eq!(hears(&mut signing, &auth, 100_000, &good[..47]), Err(Rejection::HmacMalformed));
        let unknown = sign(message(), PEER, id(9), &key(9), wall(100_000));
        assert_eq!(hears(&mut signing, &auth, 100_000, &unknown), Err(Rejection::HmacUnknownKey));
        let other = sign(message(), PEER, id(1), &key(9), wall(100_000));
        assert_eq!(hears(&mut signing, &auth, 100_000, &other), Err(Rejection::HmacInvalid));
        assert_eq!(hears(&mut signing, &auth, 105_001, &good), Err(Rejection::HmacStale));
        assert_eq!(hears(&mut signing, &auth, 94_999, &good), Err(Rejection::HmacStale));
        assert_eq!(hears(&mut signing, &auth, 105_000, &good), Ok(Signed::Yes));
        assert_eq!(hears(&mut signing, &auth, 105_000, &good), Err(Rejection::HmacReplay));
        assert_eq!(hears(&mut signing, &auth, 105_000, &signed(1, wall(100_001))), Ok(Signed::Yes));
    }

    #[test]
    fn nothing_that_is_wrong_is_remembered() {
        let auth = auth(AntiReplay::Time, HmacMode::Enforce);
        let mut signing = Signing::default();
        let forged = sign(message(), PEER, id(1), &key(9), wall(104_000));
        assert_eq!(hears(&mut signing, &auth, 100_000, &forged), Err(Rejection::HmacInvalid));
        assert_eq!(hears(&mut signing, &auth, 100_000, &signed(1, wall(100_000))), Ok(Signed::Yes));
    }

    #[test]
    fn without_clocks_only_the_order_counts() {
        let auth = auth(AntiReplay::Monotonic, HmacMode::Enforce);
        let mut signing = Signing::default();
        assert_eq!(hears(&mut signing, &auth, 0, &signed(1, wall(900_000))), Ok(Signed::Yes));
        assert_eq!(hears(&mut signing, &auth, 1, &signed(1, wall(899_999))), Err(Rejection::HmacReplay));
        assert_eq!(hears(&mut signing, &auth, 1, &signed(2, wall(1))), Ok(Signed::Yes), "each key for itself");
    }

    #[test]
    fn who_need_not_sign_is_believed_and_whoever_signs_wrongly_is_not() {
        for mode in [HmacMode::Permissive, HmacMode::ReceiveOnly] {
            let auth = auth(AntiReplay::Time, mode);
            let mut signing = Signing::default();
            assert_eq!(hears(&mut signing, &auth, 0, &message()), Ok(Signed::No));
            let other = sign(message(), PEER, id(1), &key(9), wall(0));
            assert_eq!(hears(&mut signing, &auth, 0, &other), Err(Rejection::HmacInvalid));
        }
    }

    #[test]
    fn r28_a_clock_that_is_put_back_a_little_sends_nothing_backwards() {
        let auth = auth(AntiReplay::Time, HmacMode::Enforce);
        let mut signing = Signing::default();
        let clock = |seconds| WallClock { ahead: Duration::from_secs(seconds), at_start: Duration::from_secs(1000) };
        signing.set_clock(clock(1000));
        let first = signing.next(at(0), &auth);
        assert_eq!(first, wall(1_000_000));
        signing.set_clock(clock(995));
        let second = signing.next(at(0), &auth);
        assert!(second.follows(first) && second.apart(first) < Duration::from_millis(1));
        assert_eq!(signing.next(at(6000), &auth), wall(1_001_000), "it has caught up");
        signing.set_clock(clock(5000));
        assert_eq!(signing.next(at(7000), &auth), wall(5_007_000), "a clock that is put on is followed");
        assert_eq!(signing.stamp(at(7000), AntiReplay::Monotonic), wall(1_007_000), "the other mode looks at none");
    }

    /// Nobody would believe what is right behind the last one, for as long as the clock was ahead.
    #[test]
    fn r28_a_clock_that_is_put_back_far_is_followed() {
        let clock = |seconds| WallClock { ahead: Duration::from_secs(seconds), at_start: Duration::from_secs(1000) };
        for (anti_replay, then) in [(AntiReplay::Time, wall(402_000)), (AntiReplay::Monotonic, wall(1_002_000))] {
            let auth = auth(anti_replay, HmacMode::Enforce);
            let mut signing = Signing::default();
            signing.set_clock(clock(1000));
            assert_eq!(signing.next(at(1000), &auth), wall(1_001_000));
            signing.set_clock(clock(400));
            assert_eq!(signing.next(at(2000), &auth), then);
            assert!(signing.next(at(2000), &auth).follows(then), "and from there on in order");
        }
    }

    /// Both clocks were ahead, and both are put right. keepalived 2.4.3 goes on from its clock.
    #[test]
    fn r28_who_goes_on_from_a_clock_that_was_put_back_is_believed() {
        let ahead = |seconds| WallClock { ahead: Duration::from_secs(seconds), at_start: Duration::ZERO };
        for (anti_replay, then) in
            [(AntiReplay::Time, Ok(Signed::Yes)), (AntiReplay::Monotonic, Err(Rejection::HmacReplay))]
        {
            let auth = auth(anti_replay, HmacMode::Enforce);
            let mut signing = Signing::default();
            signing.set_clock(ahead(3600));
            for way in [PRIMARY, "second"] {
                let heard = hears_on(&mut signing, &auth, 100_000, way, &signed(1, wall(3_700_000)));
                assert_eq!(heard, Ok(Signed::Yes));
            }
            signing.set_clock(ahead(0));
            assert_eq!(hears(&mut signing, &auth, 101_000, &signed(1, wall(101_000))), then);
            let again = hears(&mut signing, &auth, 101_000, &signed(1, wall(101_000)));
            assert_eq!(again, Err(Rejection::HmacReplay), "it counts from now on");
        }
    }

    #[test]
    fn what_was_heard_with_a_key_that_stays_is_remembered_over_a_reload() {
        let old = auth(AntiReplay::Time, HmacMode::Enforce);
        let mut signing = Signing::default();
        for number in [1, 2] {
            assert_eq!(hears(&mut signing, &old, 0, &signed(number, wall(0))), Ok(Signed::Yes));
        }
        let mut new = auth(AntiReplay::Time, HmacMode::Enforce);
        new.active_key = id(2);
        new.keys.insert(id(1), HmacKey::Known(key(7)));
        signing.adapt(Some(&old), Some(&new));
        assert_eq!(hears(&mut signing, &new, 0, &signed(2, wall(0))), Err(Rejection::HmacReplay));
        assert_eq!(signing.heard.len(), 1, "another key of the same number is another key");
    }

    #[test]
    fn the_memory_is_bounded() {
        let auth = auth(AntiReplay::Monotonic, HmacMode::Enforce);
        let mut signing = Signing::default();
        for last in 0..=255 {
            let source = IpAddr::from([10, 0, 0, last]);
            let payload = sign(message(), source, id(1), &key(1), wall(0));
            let from = Origin { peer: source, way: PRIMARY, source };
            assert_eq!(signing.admit(at(u64::from(last)), &auth, from, &payload), Ok(Signed::Yes));
        }
        assert_eq!(signing.heard.len(), HEARD_MAX);
        let last = Voice { peer: IpAddr::from([10, 0, 0, 255]), way: PRIMARY.to_owned(), key: id(1) };
        assert!(signing.heard.contains_key(&last));
    }

    /// The same advertisement comes on each way once, in whatever order, and a little later on the longer one.
    #[test]
    fn an_advertisement_is_believed_once_on_each_way() {
        for anti_replay in [AntiReplay::Time, AntiReplay::Monotonic] {
            let auth = auth(anti_replay, HmacMode::Enforce);
            let mut signing = Signing::default();
            let [first, second] = [100_000, 101_000].map(|millis| signed(1, wall(millis)));
            let (yes, replay) = (Ok(Signed::Yes), Err(Rejection::HmacReplay));
            assert_eq!(hears_on(&mut signing, &auth, 100_000, PRIMARY, &first), yes);
            assert_eq!(hears_on(&mut signing, &auth, 101_000, PRIMARY, &second), yes);
            assert_eq!(hears_on(&mut signing, &auth, 101_000, "second", &first), yes, "the longer way");
            assert_eq!(hears_on(&mut signing, &auth, 101_000, "second", &first), replay);
            assert_eq!(hears_on(&mut signing, &auth, 101_000, "second", &second), yes);
            for way in [PRIMARY, "second"] {
                assert_eq!(hears_on(&mut signing, &auth, 101_000, way, &second), replay, "{way}");
            }
        }
    }

    /// A way that was silent is no way in for what another one delivered long ago.
    #[test]
    fn what_came_long_ago_on_one_way_is_no_news_on_another() {
        let auth = auth(AntiReplay::Monotonic, HmacMode::Enforce);
        let mut signing = Signing::default();
        for millis in [100_000, 105_001] {
            assert_eq!(hears(&mut signing, &auth, 0, &signed(1, wall(millis))), Ok(Signed::Yes));
        }
        let replay = Err(Rejection::HmacReplay);
        assert_eq!(hears_on(&mut signing, &auth, 1, "second", &signed(1, wall(100_000))), replay);
        assert_eq!(hears_on(&mut signing, &auth, 1, "second", &signed(1, wall(100_001))), Ok(Signed::Yes), "in time");
        // It says nothing of another key, nor of another sender.
        assert_eq!(hears_on(&mut signing, &auth, 1, "second", &signed(2, wall(1000))), Ok(Signed::Yes));
        let other = Origin { peer: [192, 168, 0, 22].into(), way: "second", source: PEER };
        assert_eq!(signing.admit(at(1), &auth, other, &signed(1, wall(1000))), Ok(Signed::Yes));
    }

    #[test]
    fn a_seal_signs_with_the_clock_of_the_moment_and_never_before_what_was_sent() {
        let seal = Seal { id: id(1), key: key(1), ahead: None, after: None };
        let stamp = |payload: &[u8]| Trailer::split(PEER, payload).unwrap().1.unwrap().stamp;
        let wall_clock = Duration::from_secs(77);
        assert_eq!(stamp(&seal.sign(at(5), wall_clock, PEER, message())), wall(77_000));
        let steady = Seal { ahead: Some(Duration::from_secs(9)), ..seal.clone() };
        assert_eq!(stamp(&steady.sign(at(1000), wall_clock, PEER, message())), wall(10_000));
        let late = Seal { after: Some(wall(80_000)), ..seal };
        assert!(stamp(&late.sign(at(5), wall_clock, PEER, message())).follows(wall(80_000)));
    }
}
