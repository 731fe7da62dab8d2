//! What a node would do, for people and for scripts: what [`foresee`] says, in words.

use serde_json::{Value, json};

use crate::{
    config::Instance,
    control::protocol::{self, State},
    node::{Course, Judged, Prospect, Role, foresee, held_back_by},
};

/// Who else could serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    /// What is known of the living peer that bids most: its name, and its priority if that is known.
    pub(super) rival: Option<(String, Option<u8>)>,
}

/// What an instance would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Would {
    /// Its present role, if a daemon says so.
    role: Option<State>,
    master: Prospect,
    backup: Prospect,
    addresses: String,
    rival: Option<String>,
    priority: u8,
    /// What of its group is worse than the instance itself.
    held_back: Option<String>,
}

/// A change of the role, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) from: State,
    pub(super) to: Role,
    pub(super) course: Course,
    /// Nobody knows which role the node has: it is one of those that it may have.
    pub(super) is_supposed: bool,
}

impl Others {
    /// As the running daemon knows them.
    pub(super) fn beside(beside: &protocol::Instance) -> Self {
        let living = beside.peers.iter().filter(|peer| peer.configured && peer.alive);
        let rival = living.max_by_key(|peer| peer.priority);
        Self { rival: rival.map(|peer| (peer.address.to_string(), peer.priority)) }
    }

    /// As they are configured: all alive.
    pub(super) fn configured(instance: &Instance) -> Self {
        Self { rival: instance.peers.first().map(|peer| (peer.to_string(), None)) }
    }
}

impl Would {
    /// What follows for an instance that is judged like this, beside those that it leads together with.
    pub(super) fn of(
        own: &Judged<'_>,
        role: Option<State>,
        others: &Others,
        group: Option<(&str, &[Judged<'_>])>,
    ) -> Self {
        let instance = own.instance;
        let members = group.map(|(_, members)| members).unwrap_or_default();
        // A peer of which no priority is known is thought of as the other half of a pair, beside the present role.
        let known = |unknown: u8| others.rival.as_ref().map(|(_, priority)| priority.unwrap_or(unknown));
        let addresses: Vec<String> = instance.held_addresses().map(ToString::to_string).collect();
        Self {
            role,
            master: foresee(own, members, true, known(1)),
            backup: foresee(own, members, false, known(255)),
            addresses: addresses.join(", "),
            rival: others.rival.as_ref().map(|(name, _)| name.clone()),
            priority: instance.priority.get(),
            held_back: group.and_then(|(name, members)| held_back_by(own, name, members)),
        }
    }

    /// The same is done, whatever the words for it.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let done = |would: &Self| (would.role, would.master, would.backup, would.held_back.is_some());
        done(self) == done(other)
    }

    /// For scripts: what a master does.
    pub(super) fn action(&self) -> &'static str {
        match self.master.course {
            Course::Out => "release",
            Course::HandOver => "hand_over",
            Course::Offer => "offer",
            Course::Keep => "keep",
            Course::Stay => "stay",
            Course::Bid(priority) if priority.get() == self.priority => "serve",
            Course::Bid(_) => "bid",
        }
    }

    /// Where the present role leads, or each that the node may have.
    pub(super) fn turns(&self) -> Vec<Turn> {
        let of = |from: State, is_supposed: bool| {
            let Prospect { course, role, .. } = if from == State::Master { self.master } else { self.backup };
            Turn { from, to: role, course, is_supposed }
        };
        match self.role {
            Some(role) => vec![of(role, false)],
            None => vec![of(State::Master, true), of(State::Backup, true)],
        }
    }

    /// For people, one line each.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self.held_back.iter().cloned().collect();
        if let Course::Bid(priority) = self.master.course {
            let bid = priority.get();
            sentences.push(if bid == self.priority {
                format!("bid priority {bid}")
            } else {
                format!("bid priority {bid} instead of {}", self.priority)
            });
        }
        match self.role {
            Some(State::Master) => sentences.extend(self.as_master()),
            Some(State::Backup | State::Fault) => sentences.extend(self.as_backup()),
            None => {
                sentences.extend(self.as_master().map(|what| format!("as master: {what}")));
                sentences.extend(self.as_backup().map(|what| format!("as backup: {what}")));
            }
        }
        sentences
    }

    fn as_master(&self) -> Option<String> {
        let addresses = &self.addresses;
        let heir = match &self.rival {
            Some(rival) => format!("peer {rival} takes over"),
            None => "no peer is alive: nobody has the address then".to_owned(),
        };
        Some(match self.master.course {
            Course::Out => format!("release {addresses} at once; {heir}"),
            Course::HandOver => format!("hand {addresses} over; {heir}"),
            Course::Offer => format!("offer {addresses}; {heir}, or else this node keeps it at priority 1"),
            Course::Keep => format!("keep {addresses} at priority 1: no peer is alive"),
            Course::Stay => "keep its role and the address".to_owned(),
            Course::Bid(_) if self.master.role == Role::Backup => format!("{heir} with its higher priority"),
            Course::Bid(_) => return None,
        })
    }

    fn as_backup(&self) -> Option<String> {
        let addresses = &self.addresses;
        match (self.backup.course, self.backup.role) {
            (Course::Bid(_), Role::Master) => Some(format!("take {addresses}")),
            (Course::Stay, Role::Master) => {
                Some(format!("take {addresses} at priority 1, after one more down interval without a master"))
            }
            (Course::Bid(_), Role::Backup) if self.rival.is_some() => None,
            (Course::Bid(_), Role::Backup) => {
                Some(format!("not take {addresses} before every `require` was seen to be well"))
            }
            (_, Role::Master | Role::Backup | Role::Fault) => Some(format!("not take {addresses}")),
        }
    }

    pub(super) fn document(&self) -> Value {
        json!({
            "do": self.action(),
            "text": self.sentences(),
            "as_master": prospect(&self.master),
            "as_backup": prospect(&self.backup),
        })
    }
}

fn prospect(prospect: &Prospect) -> Value {
    json!({
        "role": prospect.role.to_string(),
        "holds": prospect.role == Role::Master,
        "priority": prospect.priority.map(crate::wire::Priority::get),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::fixture,
        node::Tracked,
        policy::{FaultCause, Report, Verdict},
        words::Instant,
    };

    fn would(role: Option<State>, others: &Others, verdict: Verdict) -> Would {
        let report = Report {
            policy: "p".into(),
            generation: 0,
            started_at: Instant::ZERO,
            elapsed: std::time::Duration::ZERO,
            followed_within: None,
            verdict,
            rules: vec![],
            observed_ok: true,
            may_take_over: None,
            error: None,
        };
        let (instance, tracked) = (fixture::instance(), Tracked::default());
        Would::of(&Judged { instance: &instance, reports: &[report], tracked: &tracked }, role, others, None)
    }

    #[test]
    fn what_follows_is_said_for_each_role() {
        let pair = Others { rival: Some(("K2".to_owned(), Some(99))) };
        let healthy = |delta| Verdict::Healthy { delta, note: String::new() };
        let fault = |cause| Verdict::Fault { why: String::new(), cause };
        let mut text = String::new();
        for (name, verdict) in [
            ("healthy", healthy(0)),
            ("priority -10", healthy(-10)),
            ("fault", fault(FaultCause::Rules)),
            ("external", fault(FaultCause::External)),
            ("hold", Verdict::Hold { why: String::new() }),
            ("maintenance", Verdict::Maintenance { why: String::new() }),
        ] {
            for (who, others) in [("beside K2", &pair), ("alone", &Others::default())] {
                let would = would(None, others, verdict.clone());
                text += &format!("{name}, {who}: {}\n    {}\n", would.action(), would.sentences().join("\n    "));
            }
        }
        text += &would(Some(State::Master), &pair, fault(FaultCause::Rules)).sentences().join("\n");
        insta::assert_snapshot!(text);
    }
}
