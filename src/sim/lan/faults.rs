//! What a test does to the nodes of a LAN.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a world of its own: its machines are numbered by it")]

use super::*;

impl Lan {
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.advance_to(next);
            self.turn();
        }
        self.advance_to(end);
    }

    /// Until it is so, at most this long; how long that took.
    pub fn run_until(&mut self, limit: Duration, so: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !so(self) {
            let next = self.next_moment().filter(|next| *next <= start + limit);
            assert!(next.is_some(), "not so within {limit:?}\n{}", self.tale(40));
            self.advance_to(next.unwrap());
            self.turn();
        }
        self.now.saturating_since(start)
    }

    /// The whole machine is gone at once, with its addresses.
    pub fn power_off(&mut self, index: usize) {
        self.stations[index].dead = true;
        self.stations[index].powered = false;
        self.stations[index].kernel.clear();
        self.count();
    }

    /// Everything of the daemon is killed, the kernel lives.
    pub fn kill(&mut self, index: usize) {
        self.stations[index].dead = true;
    }

    /// A new process on the same machine, with the configuration of the one before.
    pub fn start(&mut self, index: usize) {
        self.start_as(index, &config(self.stations[index].configured.clone()));
    }

    /// The same, with this one.
    pub fn start_as(&mut self, index: usize, config: &Config) {
        let station = &mut self.stations[index];
        station.node = Node::new(self.now, config);
        station.asking = Asking::begin(self.now, station.configured.witness);
        (station.dead, station.powered) = (false, true);
        station.backlog.clear();
        self.tell_link(index);
        self.tell_addresses(index);
    }

    pub fn start_if_dead(&mut self, index: usize) {
        if self.stations[index].dead {
            self.stations[index].frozen = false;
            self.start(index);
        }
    }

    pub fn freeze(&mut self, index: usize) {
        self.note(index, Line::Done("frozen"));
        self.stations[index].frozen = true;
    }

    pub fn thaw(&mut self, index: usize) {
        self.note(index, Line::Done("thawed"));
        self.stations[index].frozen = false;
        if self.stations[index].reads.is_none() {
            self.read(index);
        }
    }

    pub fn plug(&mut self, index: usize, plugged: bool) {
        self.stations[index].plugged = plugged;
        self.tell_link(index);
    }

    /// It runs again, and has read nothing yet.
    pub fn thaw_but_do_not_turn(&mut self, index: usize) {
        self.stations[index].frozen = false;
    }

    /// The interface goes, or another one of the same name comes.
    pub fn set_link(&mut self, index: usize, link: Option<u32>) {
        self.stations[index].link = link;
        self.stations[index].kernel.clear();
        self.count();
        self.tell_link(index);
        if link.is_some() {
            self.tell_addresses(index);
        }
    }

    /// The machine gets or loses its own address.
    pub fn set_addressed(&mut self, index: usize, addressed: bool) {
        self.stations[index].addressed = addressed;
        self.tell_addresses(index);
    }

    pub fn cut_vrrp(&mut self, from: usize, to: usize) {
        self.cut.push((from, to));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn stop(&mut self, index: usize) {
        self.hand_in(index, Input::Command(Command::Stop));
    }

    /// What is known of its hooks before a release.
    pub fn hook(&mut self, index: usize, release: ReleaseHook) {
        self.hand_in(index, Input::Hooks { instance: "VI_1".to_owned(), release });
    }

    /// What it last asked for before a release is done.
    pub fn farewell_is_over(&mut self, index: usize) {
        let asked_at = self.stations[index].farewell;
        self.hook(index, ReleaseHook::Finished { asked_at });
    }

    pub fn reload(&mut self, index: usize, instance: Instance) {
        self.stations[index].configured = instance.clone();
        self.hand_in(index, Input::Reload(Arc::new(config(instance))));
    }

    pub fn delete_address(&mut self, index: usize) {
        self.note(index, Line::Done("address deleted"));
        self.stations[index].kernel.clear();
        self.count();
        self.tell_addresses(index);
    }

    /// Somebody puts the virtual address there.
    pub fn misplace_address(&mut self, index: usize) {
        self.note(index, Line::Done("address put there"));
        self.stations[index].kernel.insert(VIP.parse().unwrap(), None);
        self.stations[index].misplaced = true;
        self.count();
        self.tell_addresses(index);
    }

    /// Its interface becomes a port of a bridge, or is one no more.
    pub fn make_port(&mut self, index: usize, of: Option<&str>) {
        self.stations[index].port_of = of.map(str::to_owned);
        self.tell_link(index);
    }

    pub fn remove_from_kernel(&mut self, index: usize, address: &str) {
        self.stations[index].kernel.remove(&address.parse::<IpNet>().unwrap());
        self.tell_addresses(index);
    }

    /// From now on the policy says this each second (and when it is asked to hurry).
    pub fn set_policy(&mut self, index: usize, ok: bool) {
        let broken = Verdict::Fault { why: "the web is broken".to_owned(), cause: FaultCause::Rules };
        self.set_verdict(index, if ok { healthy() } else { broken });
        self.stations[index].observed_ok = ok;
    }

    /// From now on the policy says this, with no word on what it observed.
    pub fn set_verdict(&mut self, index: usize, verdict: Verdict) {
        self.stations[index].verdict = verdict;
    }

    /// From now on its policy cannot be evaluated.
    pub fn break_policy(&mut self, index: usize) {
        self.stations[index].error = Some("it throws".to_owned());
        self.stations[index].observed_ok = false;
        self.set_verdict(index, Verdict::Hold { why: "the policy could not be evaluated: it throws".to_owned() });
    }

    /// Its policy cannot be loaded, and none was running.
    pub fn never_load(&mut self, index: usize) {
        self.stations[index].judges = false;
        let (policy, why) = ("check_local".to_owned(), "there is no such file".to_owned());
        self.hand_in(index, Input::NeverLoaded { instance: "VI_1".to_owned(), policy, why });
    }

    /// From now on its policy does not let it take over.
    pub fn forbid_takeover(&mut self, index: usize) {
        self.stations[index].may_take_over = Some(false);
    }

    pub fn judge(&mut self, index: usize, verdict: Verdict) {
        let observed_ok = self.stations[index].observed_ok;
        let report = Report {
            policy: "check_local".to_owned(),
            generation: 1,
            started_at: self.now,
            elapsed: Duration::ZERO,
            followed_within: None,
            verdict,
            rules: vec![],
            observed_ok,
            may_take_over: self.stations[index].may_take_over,
            error: self.stations[index].error.clone(),
        };
        self.hand_in(index, Input::Judged { instance: "VI_1".to_owned(), report });
    }

    /// A master that hears nobody advertises: version 2, the founding pair's password, this priority.
    pub fn hear_from_a_deaf_master(&mut self, index: usize, priority: u8) {
        self.hear(index, addresses(2)[1], priority, b"1111\0\0\0\0");
    }

    /// An advertisement of version 2 for the founding pair's address arrives.
    pub fn hear(&mut self, index: usize, source: IpAddr, priority: u8, password: &[u8; 8]) {
        self.hear_at(index, source, crate::wire::group(Family::V4), priority, password);
    }

    /// The same, to this station alone.
    pub fn hear_unicast(&mut self, index: usize, source: IpAddr, priority: u8) {
        self.hear_at(index, source, self.stations[index].ip, priority, b"1111\0\0\0\0");
    }

    fn hear_at(&mut self, index: usize, source: IpAddr, destination: IpAddr, priority: u8, password: &[u8; 8]) {
        let adv = crate::wire::Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(priority),
            interval: AdverInterval::from_secs(1).unwrap(),
            addresses: vec![VIP.parse::<IpNet>().unwrap().addr()],
        };
        let payload = crate::wire::encode_v2(&adv, Some(password));
        self.stations[index].backlog.push_back(Delivery::Vrrp { source, destination, payload });
        if self.stations[index].runs() {
            self.turn();
        }
    }

    /// An advertisement of version 3 arrives, for this address.
    pub fn hear_of(&mut self, index: usize, source: IpAddr, priority: u8, address: IpAddr) {
        self.hear_every(index, source, priority, address, 100);
    }

    /// The same, of somebody who advertises every so many hundredths of a second.
    pub fn hear_every(&mut self, index: usize, source: IpAddr, priority: u8, address: IpAddr, centis: u16) {
        let adv = crate::wire::Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(priority),
            interval: AdverInterval::from_centis(centis).unwrap(),
            addresses: vec![address],
        };
        let destination = crate::wire::group(Family::of(address));
        let payload = crate::wire::encode_v3(&adv, source, destination, crate::wire::ChecksumForm::PseudoHeader);
        self.stations[index].backlog.push_back(Delivery::Vrrp { source, destination, payload });
        if self.stations[index].runs() {
            self.turn();
        }
    }

    /// So many frames of ARP that concern nobody wait in its sockets.
    pub fn flood(&mut self, index: usize, frames: usize) {
        let kind = NeighborKind::Request { sender: [192, 168, 0, 200].into(), target: [192, 168, 0, 201].into() };
        let mac = MacAddr([2, 0, 0, 0, 9, 9]);
        let frame = NeighborFrame { interface: eth0(), kind, source_mac: mac, mac };
        self.stations[index].backlog.extend(vec![Delivery::Neighbor(frame); frames]);
    }
}
