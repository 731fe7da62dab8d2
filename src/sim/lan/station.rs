//! One machine of a LAN: a real node on a kernel that is played.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a world of its own: its machines are numbered by it")]

use super::*;

impl Station {
    pub(super) fn new(now: Instant, index: usize, ip: IpAddr, configured: Instance) -> Self {
        let asking = Asking::begin(now, configured.witness);
        Self {
            node: Node::new(now, &config(configured.clone())),
            mac: MacAddr([2, 0, 0, 0, 0, u8::try_from(index).unwrap()]),
            ip,
            judges: !configured.policies.is_empty(),
            native: configured.priority.is_owner() && configured.addresses.contains(&VIP.parse().unwrap()),
            configured,
            kernel: BTreeMap::new(),
            frozen: false,
            backlog: VecDeque::new(),
            reads: None,
            mute: false,
            dead: false,
            powered: true,
            plugged: true,
            port_of: None,
            misplaced: false,
            deaf: false,
            blocked: false,
            link: Some(2),
            addressed: true,
            spins: (now, 0),
            verdict: healthy(),
            observed_ok: true,
            may_take_over: None,
            farewell: Instant::ZERO,
            error: None,
            pace: Pace::Normal,
            judged_at: Instant::ZERO,
            asking,
        }
    }

    pub(super) fn runs(&self) -> bool {
        !self.frozen && !self.dead
    }

    /// Its kernel is on the network, whatever its daemon does.
    pub(super) fn is_on(&self) -> bool {
        self.plugged && self.powered && !self.blocked && self.link.is_some()
    }

    pub(super) fn answers(&self, target: IpAddr) -> bool {
        let has = (self.ip == target && self.addressed)
            || (self.native && VIP.parse::<IpNet>().unwrap().addr() == target)
            || self.kernel.keys().any(|address| address.addr() == target);
        has && !self.deaf
    }

    pub(super) fn judge_at(&self) -> Instant {
        let interval = match self.pace {
            Pace::Normal => Duration::from_secs(1),
            Pace::Fast => Duration::from_millis(200),
        };
        self.judged_at + interval
    }
}
