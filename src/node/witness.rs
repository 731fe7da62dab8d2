//! The third vote: who may be master by the word of a witness, and until when (takeover, section 7).
//!
//! | mode | master | takes after silence | takes from a master that is heard and goes |
//! |---|---|---|---|
//! | `arbiter` | with a visible peer, or with the key | with the key | at once |
//! | `strict` | with the key | with the key | advertises at once, holds with the key |
//!
//! A master always tries to have the key. Where it is decisive, the lease of the addresses ends before that of the key, and this
//! node has let go before. Who has no key and sees no peer does not take, and lets go of what it has.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Ask, NeighborFrame, Node, Output,
    instance::{Instance, Outbox},
    peers::{ASK_INTERVAL, ASK_SLACK, VISIBLE_FOR},
    vote::{Seat, Vote, Waits, WitnessSays, WitnessStatus},
};
use crate::{
    config::{WitnessMode, Witnessed},
    vrrp::{Event, Reason, State},
    wire::NeighborKind,
    words::{Instant, readable},
};

/// A master that was answered so long ago, and that had no key, has let go: its own patience, and what its turn may be late.
const HAS_LET_GO: Duration = VISIBLE_FOR.saturating_add(Duration::from_millis(500));
/// How long a process that goes on with another's addresses waits for a word.
const ADOPTING: Duration = Duration::from_millis(500);
/// How long a node whose witness did not come does not preempt again.
const PREEMPT_AGAIN: Duration = Duration::from_secs(10);

/// For so many questions that may be under way still a new master asks once more.
const AGAIN_MAX: usize = 2;

/// What a node wants of its witness, as a level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// To have all keys of such a set, or none.
    pub take: BTreeSet<BTreeSet<String>>,
    /// What this node has of these stays; every other one is given back.
    pub keep: BTreeSet<String>,
}

/// How much an instance wants its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Nothing,
    /// It hands over, and holds meanwhile.
    Keep,
    Take,
}

impl Node {
    /// The witness has answered, or has not.
    pub(super) fn hear_the_witness(&mut self, says: &WitnessSays) {
        let (now, out) = (self.now, &mut self.outbox);
        for instance in self.instances.values_mut().chain(&mut self.leaving) {
            instance.on_witness(now, says, out);
        }
    }

    /// Says what is wanted of the witness, if that has changed.
    pub(super) fn wish(&mut self) {
        let all = || self.instances.values().chain(&self.leaving);
        if self.wished == Wish::default() && all().all(|instance| instance.config.witness.is_none()) {
            return;
        }
        let mut wish = Wish::default();
        for instance in all() {
            let want = instance.wants_the_witness(self.now);
            if want == Want::Nothing {
                continue;
            }
            wish.keep.insert(instance.config.witness_key());
            let group = self.groups.iter().find(|group| group.members.contains(&instance.config.name));
            let Some(group) = group else {
                if want == Want::Take {
                    wish.take.insert(BTreeSet::from([instance.config.witness_key()]));
                }
                continue;
            };
            let members: Vec<_> = group.members.iter().filter_map(|name| self.instances.get(name)).collect();
            if members.iter().all(|member| member.wants_the_witness(self.now) == Want::Take) {
                wish.take.insert(members.iter().map(|member| member.config.witness_key()).collect());
            }
        }
        if wish != self.wished {
            self.wished = wish.clone();
            self.outbox.push_back(Output::Witness(wish));
        }
    }
}

impl Node {
    /// Whose question an answer is to nobody can see. So while a new master waits for a peer's, whoever asks that peer lets it
    /// advertise first, and asks then: what is answered was asked after that, and no parting comes between the two. `before`: so much
    /// waited to leave before this step.
    pub(super) fn tell_before_asking(&mut self, before: usize) {
        let waits = |instance: &Instance| instance.asks_when_it_advertises();
        if !self.instances.values().chain(&self.leaving).any(waits) {
            return;
        }
        let is_ask = |output: &Output| matches!(output, Output::Ask(_));
        let fresh = self.outbox.split_off(before.min(self.outbox.len()));
        let (mut asks, mut wanted): (Outbox, Outbox) = fresh.into_iter().partition(is_ask);
        let is_told = |wanted: &Outbox, instance: &Instance| {
            let name = &instance.config.name;
            wanted.iter().any(|output| matches!(output, Output::Transmit(transmit) if transmit.instance == *name))
        };
        let is_asked = |asks: &Outbox, instance: &Instance| {
            let (interface, peers) = (&instance.config.interface, &instance.config.peers);
            let is_meant = |ask: &Ask| ask.interface == *interface && peers.contains(&ask.target);
            asks.iter().any(|output| matches!(output, Output::Ask(ask) if is_meant(ask)))
        };
        let now = self.now;
        let untold = |instance: &Instance| waits(instance) && is_asked(&asks, instance);
        let mut told = Outbox::new();
        for instance in self.instances.matching_mut(untold).chain(self.leaving.iter_mut().filter(|it| untold(it))) {
            if !is_told(&wanted, instance) {
                let priority = instance.router.standing().priority();
                instance.transmit(now, priority, &mut told);
            }
        }
        let (more, sent): (Outbox, Outbox) = told.into_iter().partition(is_ask);
        wanted.extend(sent);
        asks.extend(more);
        // An answer counts as one to what was asked before, so one more is asked for each of those.
        let again = |output: &Output| {
            let Output::Ask(ask) = output else { return Vec::new() };
            vec![output.clone(); self.questions.under_way(now, ask).min(AGAIN_MAX)]
        };
        let again: Vec<Output> = asks.iter().flat_map(again).collect();
        asks.extend(again);
        self.outbox.extend(wanted.into_iter().chain(asks));
    }

    /// When what this frame answers was asked at the earliest, if it was asked on this machine.
    pub(super) fn asked_at(&mut self, frame: &NeighborFrame) -> Option<Instant> {
        match frame.kind {
            NeighborKind::Reply { address } => self.questions.answered(self.now, &frame.interface, address),
            NeighborKind::Request { .. } | NeighborKind::Announcement { .. } | NeighborKind::Probe { .. } => None,
        }
    }
}

impl Instance {
    fn wants_the_witness(&self, now: Instant) -> Want {
        match (self.config.witness, self.router.state()) {
            (None, _) => Want::Nothing,
            (Some(_), State::Backup { .. }) if self.vote.adopts.is_some() => Want::Take,
            (Some(_), State::Initialize | State::Backup { .. }) => Want::Nothing,
            (Some(_), State::Elected { .. }) if !self.vote.campaigns => Want::Nothing,
            // It may be heard and hear nothing: what it takes then nobody has. What it has counts for as long as it covers anything.
            (Some(_), State::Elected { .. }) if self.vote.silent().is_some() => {
                if self.vote.covers(now, self.tenure.planned()) { Want::Keep } else { Want::Nothing }
            }
            (Some(_), State::Elected { .. } | State::Master { .. }) => Want::Take,
            (Some(_), State::Resigning { .. }) => Want::Keep,
        }
    }

    /// What its peer's being there says is decisive, and only an answer says it.
    pub(super) fn counts_answers(&self) -> bool {
        self.config.witness.is_some_and(|witness| witness.mode == WitnessMode::Arbiter)
    }

    fn is_strict(&self) -> bool {
        self.config.witness.is_some_and(|witness| witness.mode == WitnessMode::Strict)
    }

    fn on_witness(&mut self, now: Instant, says: &WitnessSays, out: &mut Outbox) {
        if self.config.witness.is_none() {
            return;
        }
        let had = self.vote.held_until().is_some();
        self.vote.hear(says, &self.config.witness_key());
        let has = self.vote.held_until().is_some();
        if let (true, false, WitnessSays::Lost { why }) = (had, has, says) {
            self.note(now, format!("the witness has lost this node's key ({why}): it is asked for again"), out);
        } else if has && !had {
            self.note(now, "the witness is held by this node".to_owned(), out);
        }
        self.unsettled = true;
        self.mind_the_witness(now, out);
    }

    /// Another configuration: whoever serves already is given the time for a first word.
    pub(super) fn adapt_witness(&mut self, now: Instant, old: Option<Witnessed>) {
        match (old, self.config.witness) {
            (None, Some(_)) => self.vote.is_new(now),
            (Some(_), None) => self.vote = Vote::default(),
            (Some(_), Some(_)) | (None, None) => (),
        }
    }

    // ---- Serving ----

    /// Until when it may be master, by what is known now; `None`: nobody asks a witness.
    fn may_serve_until(&self) -> Option<Instant> {
        let witness = self.config.witness?;
        let held = self.vote.serves_until(self.tenure.planned(), self.interval());
        Some(match witness.mode {
            WitnessMode::Strict => held,
            WitnessMode::Arbiter => held.max(self.peers.visible_until().unwrap_or(Instant::ZERO)),
        })
    }

    /// What a master must do by the witness's word: hold what it waited to hold, or let go. Conditions follow.
    pub(super) fn mind_the_witness(&mut self, now: Instant, out: &mut Outbox) {
        if self.config.witness.is_none() {
            return self.name_the_witness(now, out);
        }
        self.adopt_by_witness_if_due(now, out);
        match self.router.state() {
            State::Master { hold_at: Some(at), .. } => self.hold_or_give_up(now, at, out),
            State::Master { hold_at: None, .. } | State::Resigning { .. } => {
                if self.may_serve_until().is_some_and(|until| until <= now) {
                    // Whoever hears it need not wait for the silence.
                    self.vote.in_vain = true;
                    self.transmit(now, None, out);
                    self.step(now, Event::Yield(Reason::Unwitnessed), out);
                }
            }
            State::Initialize | State::Backup { .. } | State::Elected { .. } => (),
        }
        if !matches!(self.router.state(), State::Master { hold_at: Some(_), .. }) {
            self.vote.waits = None;
        }
        if !matches!(self.router.state(), State::Elected { .. }) {
            self.vote.campaigns = false;
        }
        self.name_the_witness(now, out);
    }

    /// A new master that waits for a sign of the one that it takes the address from (`arbiter`) asks right after each
    /// advertisement and never else: whoever answers is there, and has been told. A sign alone says the first only, for the two
    /// may have been parted when this node advertised.
    pub(super) fn asks_when_it_advertises(&self) -> bool {
        self.vote.waits.is_some() && !self.is_strict()
    }

    /// A new master that waits: it holds once it may, and not much later than it listens. With `arbiter` it is enough that the
    /// one that it takes the address from is there now, after it was told.
    fn hold_or_give_up(&mut self, now: Instant, at: Instant, out: &mut Outbox) {
        let Some(waits) = self.vote.waits else { return };
        let is_there = !self.is_strict() && self.peers.all_replied_at().is_some_and(|at| waits.since <= at);
        // Without a word of the old one the key says that no other has it, not that the old one has let go.
        // It may have seen this node meanwhile.
        let saw = self.peers.last_asks_at().filter(|_| !self.is_strict()).map_or(Instant::ZERO, |at| at + HAS_LET_GO);
        let is_gone = waits.gone_at.max(saw) <= now && self.vote.covers(now, self.tenure.planned());
        if is_there || is_gone {
            self.vote.waits = None;
            self.step(now, Event::HoldAt(now.max(waits.listens_until)), out);
        } else if at <= now {
            self.vote.waits = None;
            self.vote.in_vain = true;
            self.router.defer_preemption(now + PREEMPT_AGAIN);
            self.transmit(now, None, out);
            self.step(now, Event::Yield(Reason::Unwitnessed), out);
        }
    }

    /// Why it may not be master any more.
    pub(super) fn why_unwitnessed(&self) -> String {
        let mode = self.config.witness.map_or(WitnessMode::Arbiter, |witness| witness.mode);
        let objection = self.vote.objection();
        match mode {
            WitnessMode::Arbiter => format!("the peer is silent, and {objection}: the other node may take the address"),
            WitnessMode::Strict => format!("{objection}: another node may take the address"),
        }
    }

    /// Until when the lease of the addresses may be renewed; `None`: as long as it wants.
    pub(super) fn renews_until(&self, now: Instant) -> Option<Instant> {
        let stands_on_its_peer = match self.config.witness?.mode {
            WitnessMode::Arbiter => self.peers.visible_until().is_some_and(|until| now < until),
            WitnessMode::Strict => false,
        };
        let bound = || self.vote.renews_until(self.tenure.planned()).unwrap_or(Instant::ZERO);
        (!stands_on_its_peer && !self.vote.awaits_first_word(now)).then(bound)
    }

    // ---- Taking ----

    /// What stands against a takeover after silence, beside everything else.
    pub(super) fn witness_objection(&mut self, now: Instant) -> Option<String> {
        let witness = self.config.witness?;
        self.vote.campaigns = true;
        if !self.vote.covers(now, self.tenure.planned()) {
            return Some(match witness.mode {
                WitnessMode::Arbiter if self.vote.is_being_asked() => {
                    format!("the peer is silent, and {}", self.vote.objection())
                }
                WitnessMode::Arbiter | WitnessMode::Strict => self.vote.objection(),
            });
        }
        let until = self.lets_go_at().filter(|at| now < *at && !self.is_strict())?;
        let rest = readable(until.saturating_since(now));
        Some(format!("a master that had no word of the witness may serve for {rest} more"))
    }

    /// What stands against advertising in the place of a master that is heard: nobody makes it go who cannot hold then. Whoever
    /// did so in vain does it again with the key in hand only, where the old one has gone by itself: otherwise two that cannot get
    /// it call each other up by their resignations for ever. A lower one that stays gives the key only after it was told.
    pub(super) fn witness_is_away(&mut self, now: Instant) -> Option<String> {
        if !self.is_strict() {
            return None;
        }
        let stays = self.lower_master_heard(now);
        if self.vote.in_vain && !stays {
            return self.witness_objection(now);
        }
        (self.vote.silent().is_some() || self.vote.seat().is_none()).then(|| self.vote.objection())
    }

    /// When a master that had no key has let go: nobody answers it either (`arbiter`). Whatever was lost, this node has seen each question
    /// that it answered. Whoever asks and neither advertises nor answers for the addresses is no master.
    fn lets_go_at(&self) -> Option<Instant> {
        let State::Elected { since, master_interval } = self.router.state() else { return None };
        let listened = self.silent_since.unwrap_or(since) - self.down_interval();
        let heard = listened.max(self.alive_heard_at.max(self.holder_seen_at).unwrap_or(Instant::ZERO));
        // Long enough for the first claim, whose answer shows a master that is not heard.
        let asks = ASK_INTERVAL + ASK_SLACK;
        let claim = self.down_interval() + master_interval.as_duration().max(asks);
        let saw = self.peers.a_master_saw_us_at(heard, claim.max(asks * 3));
        Some(saw.map_or(heard, |at| at.max(heard)) + HAS_LET_GO)
    }

    /// A peer's machine answers for the addresses.
    pub(super) const fn see_a_holder(&mut self, now: Instant, is_peer: bool) {
        if is_peer {
            self.holder_seen_at = Some(now);
        }
    }

    /// How long a new master listens before it holds. One that takes from a master that is heard waits for the key, too
    /// (`strict`), or for a sign that this master is still there (`arbiter`): the two may have been parted since.
    pub(super) fn listens_for_the_witness(&mut self, now: Instant, listen: Duration) -> Duration {
        if self.config.witness.is_none() {
            return listen;
        }
        let gone_at = self.lets_go_at().filter(|_| !self.is_strict()).unwrap_or(now);
        if gone_at <= now && self.vote.covers(now, self.tenure.planned()) {
            return listen;
        }
        self.vote.waits = Some(Waits { since: now, listens_until: now + listen, gone_at });
        self.down_interval()
    }

    /// Goes on with the addresses of the process before this one once it is known that it may.
    pub(super) fn adopts_by_witness(&mut self, now: Instant) -> bool {
        let waits = self.may_serve_until().is_some_and(|until| until <= now);
        self.vote.adopts = waits.then(|| now + ADOPTING);
        waits
    }

    fn adopt_by_witness_if_due(&mut self, now: Instant, out: &mut Outbox) {
        let Some(until) = self.vote.adopts else { return };
        let could = self.could_go_on();
        if could && self.may_serve_until().is_some_and(|until| now < until) && self.master.is_none() {
            self.vote.adopts = None;
            if !self.adopts_later(now) {
                self.adopt(now, out);
            }
        } else if !could || until <= now || self.master.is_some() {
            self.vote.adopts = None;
            self.let_go_what_was_left(now, out);
        }
    }

    /// When something follows from the witness's silence alone.
    pub(super) fn next_of_witness(&self, now: Instant) -> Option<Instant> {
        self.config.witness?;
        let serves = matches!(self.router.state(), State::Master { hold_at: None, .. } | State::Resigning { .. });
        let ends = self.may_serve_until().filter(|_| serves);
        let lets_go = self.lets_go_at().filter(|at| self.vote.campaigns && now < *at);
        // Whoever could take from a master that is heard, and waits, looks again when it is not heard any more.
        let elected = matches!(self.router.state(), State::Elected { .. });
        let down = self.down_interval();
        let unheard = [self.lower_heard_at.map(|at| at + down), self.leave_ends(now)].into_iter().flatten();
        let unheard = unheard.filter(|at| elected && now < *at);
        ends.into_iter().chain(lets_go).chain(self.vote.adopts).chain(unheard).min()
    }

    // ---- What is said of it ----

    fn name_the_witness(&mut self, now: Instant, out: &mut Outbox) {
        let Some(witness) = self.config.witness else {
            self.condition(now, "witness_unreachable", None, out);
            return self.condition(now, "witness_held_by_other", None, out);
        };
        let serves = self.router.serves();
        let silent = self.vote.silent().map(|why| {
            let does = match (witness.mode, serves) {
                (WitnessMode::Arbiter, true) => {
                    "this node goes on while its peer is visible, and lets go of the address if the peer falls silent as well"
                }
                (WitnessMode::Arbiter, false) => "this node does not take the address if the master falls silent",
                (WitnessMode::Strict, true) => "this node lets go of the address when what the witness said last has run out",
                (WitnessMode::Strict, false) => "this node does not take the address",
            };
            format!("the witness does not answer: {why}; {does}. Look at etcd, and at the network between it and this node")
        });
        self.condition(now, "witness_unreachable", silent, out);
        let wants = matches!(self.router.state(), State::Elected { .. } | State::Master { .. });
        let does = match (witness.mode, serves) {
            (WitnessMode::Arbiter, true) => "this node goes on while its peer is visible",
            (WitnessMode::Strict, true) => "this node advertises, and holds the address once it has it",
            (WitnessMode::Arbiter | WitnessMode::Strict, false) => "this node does not take the address meanwhile",
        };
        let other = match self.vote.seat() {
            Some(Seat::Another(by)) if wants => Some(format!(
                "{by} holds the witness; {does}. If {by} is gone, its lease ends by itself within {}; if it is no node of this \
                 pair, two pairs have one `key` of [witness]: give each its own",
                readable(witness.ttl)
            )),
            Some(Seat::Unleased(key)) if wants => Some(format!(
                "the key {key} of etcd is on no lease, so no node of ha has put it there, and it never ends; {does}. Look who \
                 uses it; if nobody does: etcdctl del {key}"
            )),
            Some(Seat::Another(_) | Seat::Unleased(_) | Seat::Ours | Seat::Nobody) | None => None,
        };
        self.condition(now, "witness_held_by_other", other, out);
    }

    /// For the status.
    pub(super) fn witness_status(&self) -> Option<WitnessStatus> {
        let witness = self.config.witness?;
        Some(WitnessStatus {
            mode: witness.mode.name(),
            held_until: self.vote.held_until(),
            held_by: match self.vote.seat() {
                Some(Seat::Another(by)) => Some(by.clone()),
                Some(Seat::Unleased(key)) => Some(format!("a key without a lease, {key}")),
                Some(Seat::Ours | Seat::Nobody) | None => None,
            },
            trouble: self.vote.silent().map(str::to_owned),
        })
    }
}
