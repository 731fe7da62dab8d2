//! What is done to machines and networks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Air, Delivery, World, forgery::Forgery, judging::Hangs, mishap::Mishap};
use crate::{
    config::Config,
    node::Will,
    policy::{Forced, Policy},
    sim::{log::What, mutation::Mutation},
    wire::Priority,
    words::{InterfaceName, readable},
};

/// What a probe or a rule is made to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All is well.
    Up,
    /// It is not.
    Down,
    /// The machine cannot look.
    Blind,
}

/// How a configuration is loaded anew.
#[derive(Clone, Debug)]
pub enum Reload {
    /// The same again.
    Same,
    /// Every instance has this priority.
    Priority(Priority),
    /// Another file; its name, what it says, and its policies.
    File(String, Box<Config>, BTreeMap<String, Policy>),
}

/// Something that is done. Machines are numbers.
#[derive(Clone, Debug)]
pub enum Act {
    /// The cable of an interface, or of all, is pulled.
    Pull(usize, Option<InterfaceName>),
    /// It is plugged in again.
    Plug(usize, Option<InterfaceName>),
    /// Nothing passes from the one to the other.
    Cut(usize, usize),
    /// Nothing passes between this one and anybody.
    Isolate(usize),
    /// Advertisements do not pass from the one to the other.
    Filter(usize, usize),
    /// Nothing passes between these and the others.
    Partition(Vec<usize>),
    /// Everything passes again.
    Heal,
    /// So many of a hundred packets are lost.
    Loss(u32),
    /// So many of a hundred packets arrive twice.
    Duplicates(u32),
    /// How long packets take.
    Delay(Duration, Duration),
    /// The daemon does not run, and does not know.
    Freeze(usize),
    /// It runs again.
    Thaw(usize),
    /// The daemon is killed; its keeper lives.
    Kill(usize),
    /// Daemon and keeper are killed.
    KillAll(usize),
    /// The daemon is stopped in order.
    Stop(usize),
    /// The machine has no power.
    PowerOff(usize),
    /// The daemon, or the machine, is started.
    Start(usize),
    /// Whenever it is its turn it is up to this late.
    Slow(usize, Duration),
    /// The wall clock is set, ahead or back, in seconds.
    Clock(usize, i64),
    /// Its sends fail, or do so no more.
    Mute(usize, bool),
    /// Somebody deletes its virtual addresses.
    Delete(usize),
    /// Somebody puts its virtual addresses there.
    Misplace(usize),
    /// Probes of a policy find something; by their key, or a part of it.
    Probe { machine: usize, policy: String, probe: String, found: Found },
    /// A rule of a policy finds something.
    Rule { machine: usize, policy: String, rule: String, found: Found },
    /// Evaluations of a policy take this long.
    Takes { machine: usize, policy: String, time: Duration },
    /// Evaluations of a policy do not come back, or do so again.
    Hangs { machine: usize, policy: String, hangs: Hangs },
    /// A configuration is loaded anew.
    Reload(usize, Reload),
    /// Somebody who is none of the machines sends an advertisement to a machine, of its first virtual router.
    Forge { to: usize, priority: u8 },
    /// Something befalls the witness.
    Witness(Mishap),
    /// Everything is well again, on all machines.
    Calm,
}

impl Act {
    /// As a scenario has it.
    #[must_use]
    pub fn text(&self, names: &[String]) -> String {
        let name = |index: &usize| names.get(*index).map_or("?", String::as_str);
        let on = |interface: &Option<InterfaceName>| {
            interface.as_ref().map(|interface| format!(" {interface}")).unwrap_or_default()
        };
        match self {
            Self::Pull(index, interface) => format!("pull {}{}", name(index), on(interface)),
            Self::Plug(index, interface) => format!("plug {}{}", name(index), on(interface)),
            Self::Cut(from, to) => format!("cut {} -> {}", name(from), name(to)),
            Self::Isolate(index) => format!("cut {}", name(index)),
            Self::Filter(from, to) => format!("filter {} -> {}", name(from), name(to)),
            Self::Partition(side) => format!("partition {}", side.iter().map(name).collect::<Vec<_>>().join(" ")),
            Self::Heal => "heal".to_owned(),
            Self::Loss(percent) => format!("loss {percent}%"),
            Self::Duplicates(percent) => format!("duplicate {percent}%"),
            Self::Delay(least, most) => format!("delay {}..{}", time(*least), time(*most)),
            Self::Freeze(index) => format!("freeze {}", name(index)),
            Self::Thaw(index) => format!("thaw {}", name(index)),
            Self::Kill(index) => format!("kill {}", name(index)),
            Self::KillAll(index) => format!("kill {} all", name(index)),
            Self::Stop(index) => format!("stop {}", name(index)),
            Self::PowerOff(index) => format!("poweroff {}", name(index)),
            Self::Start(index) => format!("start {}", name(index)),
            Self::Slow(index, late) => format!("slow {} {}", name(index), time(*late)),
            Self::Clock(index, seconds) => format!("clock {} {seconds:+}s", name(index)),
            Self::Mute(index, mute) => format!("mute {} {}", name(index), if *mute { "on" } else { "off" }),
            Self::Delete(index) => format!("delete {}", name(index)),
            Self::Misplace(index) => format!("misplace {}", name(index)),
            Self::Probe { machine, policy, probe, found } => {
                format!("probe {} {policy} {probe} {}", name(machine), found.word())
            }
            Self::Rule { machine, policy, rule, found } => {
                format!("rule {} {policy} {rule} {}", name(machine), found.word())
            }
            Self::Takes { machine, policy, time: takes } => {
                format!("policy {} {policy} takes {}", name(machine), time(*takes))
            }
            Self::Hangs { machine, policy, hangs } => {
                let word = match hangs {
                    Hangs::No => "returns",
                    Hangs::Told => "hangs",
                    Hangs::Untold => "silent",
                };
                format!("policy {} {policy} {word}", name(machine))
            }
            Self::Reload(index, Reload::Same) => format!("reload {}", name(index)),
            Self::Reload(index, Reload::Priority(priority)) => format!("reload {} priority {priority}", name(index)),
            Self::Reload(index, Reload::File(file, ..)) => format!("reload {} {file}", name(index)),
            Self::Forge { to, priority } => format!("forge {} priority {priority}", name(to)),
            Self::Witness(mishap) => mishap.text(name),
            Self::Calm => "calm".to_owned(),
        }
    }
}

/// A time as a scenario has it.
pub(in crate::sim) fn time(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0 => "0s".to_owned(),
        _ if micros.is_multiple_of(1_000_000) => format!("{}s", micros / 1_000_000),
        _ if micros.is_multiple_of(1000) => format!("{}ms", micros / 1000),
        _ => format!("{micros}us"),
    }
}

impl Found {
    pub(in crate::sim) const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Blind => "blind",
        }
    }
}

impl World {
    /// The names of the machines, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.machines.iter().map(|machine| machine.name.clone()).collect()
    }

    /// Does it, now.
    pub fn perform(&mut self, act: &Act) {
        let text = act.text(&self.names());
        self.note_of_all(What::Act(text));
        let handovers = self.handovers_of(act);
        match act {
            Act::Pull(index, interface) => self.plug(*index, interface.as_ref(), false),
            Act::Plug(index, interface) => self.plug(*index, interface.as_ref(), true),
            Act::Cut(from, to) => drop(self.air.cut.insert((*from, *to))),
            Act::Isolate(index) => self.separate(&[*index]),
            Act::Filter(from, to) => drop(self.air.filtered.insert((*from, *to))),
            Act::Partition(side) => self.separate(side),
            Act::Heal => self.heal(),
            Act::Loss(percent) => self.air.loss = *percent,
            Act::Duplicates(percent) => self.air.duplicates = *percent,
            Act::Delay(least, most) => self.air.delay = (*least, *most),
            Act::Freeze(index) => self.freeze(*index),
            Act::Thaw(index) => self.thaw(*index),
            Act::Kill(index) => self.kill(*index, true),
            Act::KillAll(index) => self.kill(*index, false),
            Act::Stop(index) => self.stop(*index),
            Act::PowerOff(index) => self.power_off(*index),
            Act::Start(index) => self.start(*index),
            Act::Slow(index, late) => self.slow(*index, *late),
            Act::Clock(index, seconds) => self.machines[*index].wall += seconds,
            Act::Mute(index, mute) => self.machines[*index].mute = *mute,
            Act::Delete(index) => self.delete(*index),
            Act::Misplace(index) => self.misplace(*index),
            Act::Probe { machine, policy, probe, found } => self.fake(*machine, policy, probe, *found),
            Act::Rule { machine, policy, rule, found } => {
                let forced = match found {
                    Found::Up => None,
                    Found::Down => Some(Forced::Down),
                    Found::Blind => Some(Forced::Blind),
                };
                self.force(*machine, policy, rule, forced);
            }
            Act::Takes { machine, policy, time } => {
                self.each_judging(*machine, policy, |judging| judging.takes = *time)
            }
            Act::Hangs { machine, policy, hangs } => {
                self.each_judging(*machine, policy, |judging| judging.hangs = *hangs);
            }
            Act::Reload(index, reload) => self.reload(*index, reload),
            Act::Forge { to, priority } => self.forge(*to, *priority),
            Act::Witness(mishap) => self.befall(*mishap),
            Act::Calm => self.calm(),
        }
        self.clear_since = if self.air.is_clear() { self.clear_since.or(Some(self.now)) } else { None };
        self.sound_since = if self.is_sound() { self.sound_since.or(Some(self.now)) } else { None };
        self.count();
        self.promised.handovers = handovers;
        self.look_at_promises();
    }

    fn plug(&mut self, index: usize, interface: Option<&InterfaceName>, plugged: bool) {
        for at in 0..self.machines[index].ports.len() {
            let port = &mut self.machines[index].ports[at];
            if interface.is_none_or(|interface| port.interface == *interface) && port.plugged != plugged {
                port.plugged = plugged;
                self.tell(index, Delivery::Link(at));
            }
        }
        // A path that has just come back is not sound at once.
        (self.clear_since, self.sound_since) = (None, None);
    }

    fn separate(&mut self, side: &[usize]) {
        for (a, b) in side.iter().flat_map(|a| (0..self.machines.len()).map(move |b| (*a, b))) {
            if !side.contains(&b) {
                self.air.cut.extend([(a, b), (b, a)]);
            }
        }
    }

    fn heal(&mut self) {
        self.air.cut.clear();
        self.air.filtered.clear();
    }

    fn freeze(&mut self, index: usize) {
        let now = self.now;
        let machine = &mut self.machines[index];
        if !machine.frozen {
            (machine.frozen, machine.frozen_at) = (true, now);
        }
    }

    fn thaw(&mut self, index: usize) {
        let now = self.now;
        let stands_still = self.mutation == Some(Mutation::ClockStopsWhileFrozen);
        let machine = &mut self.machines[index];
        if std::mem::replace(&mut machine.frozen, false) {
            machine.thawed_at = now;
            machine.apart_since.clear();
            if stands_still {
                machine.lag += now.saturating_since(machine.frozen_at);
            }
        }
    }

    fn slow(&mut self, index: usize, late: Duration) {
        let machine = &mut self.machines[index];
        machine.late_until = self.now + machine.slow;
        machine.slow = late;
    }

    fn stop(&mut self, index: usize) {
        self.promised.stopped(index);
        self.tell(index, Delivery::Stop);
    }

    fn kill(&mut self, index: usize, keeper: bool) {
        let machine = &mut self.machines[index];
        if !machine.alive || !machine.powered {
            return;
        }
        let names: Vec<String> = machine.roles.keys().cloned().collect();
        let wills: Vec<_> = names.iter().filter_map(|name| machine.daemon.last_will(name)).collect();
        machine.alive = false;
        machine.backlog.clear();
        if !keeper {
            return;
        }
        for Will { releases, resignations, seal, .. } in wills {
            for release in releases {
                self.remove(index, &release.configured);
            }
            if self.mutation == Some(Mutation::KeeperSilent) {
                continue;
            }
            // Nobody sets the clocks here: the wall clock is the machine's own.
            let now = self.now - self.machines[index].lag;
            for mut resignation in resignations {
                for payload in &mut resignation.payloads {
                    if let Some(seal) = &seal {
                        let source = resignation.source;
                        *payload = seal.sign(now, now.since_epoch(), source, std::mem::take(payload));
                    }
                }
                self.transmit(index, resignation);
            }
        }
        while self.machines[index].poll_output().is_some() {}
    }

    fn power_off(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        (machine.alive, machine.powered) = (false, false);
        machine.backlog.clear();
        let all: Vec<_> = machine.held();
        self.remove(index, &all);
    }

    fn start(&mut self, index: usize) {
        if self.machines[index].alive && self.machines[index].powered {
            return;
        }
        let now = self.now;
        let engine = self.engine.clone();
        self.machines[index].begin(now, &engine);
        self.wake(index);
    }

    /// Gone from the kernel, by another hand than the daemon's.
    fn remove(&mut self, index: usize, addresses: &[ipnet::IpNet]) {
        for at in 0..self.machines[index].ports.len() {
            let held = &mut self.machines[index].ports[at].held;
            let gone: Vec<_> = addresses.iter().copied().filter(|address| held.remove(address).is_some()).collect();
            if !gone.is_empty() {
                self.note(index, "", What::LetsGo(gone));
                self.tell(index, Delivery::Addresses(at));
            }
        }
    }

    fn delete(&mut self, index: usize) {
        let all = self.machines[index].held();
        self.promised.deleted(self.now, index, self.machines[index].ports.len());
        self.machines[index].deleted.extend(&all);
        self.remove(index, &all);
    }

    /// Whatever its instances have and the kernel has not: for ever, for nobody renews it.
    fn misplace(&mut self, index: usize) {
        let instances = self.machines[index].config.instances.clone();
        for instance in instances.iter().filter(|instance| !instance.priority.is_owner()) {
            for (interface, nets) in instance.places() {
                let Some(at) = super::port_of(&self.machines[index], interface) else { continue };
                let held = &mut self.machines[index].ports[at].held;
                let new: Vec<_> = nets.into_iter().filter(|net| !held.contains_key(net)).collect();
                held.extend(new.iter().map(|net| (*net, None)));
                if !new.is_empty() {
                    self.note(index, "", What::Takes(new));
                    self.tell(index, Delivery::Addresses(at));
                }
            }
        }
        self.count();
    }

    fn fake(&mut self, index: usize, policy: &str, probe: &str, found: Found) {
        let key = if probe.contains(':') || probe == "*" { probe.to_owned() } else { format!("{probe}:*") };
        self.each_judging(index, policy, |judging| {
            match found {
                Found::Up => judging.simulation.mend(Some(&key)),
                // Whether there is such a kind of probe was found out when the scenario was read.
                Found::Down | Found::Blind => drop(judging.simulation.fail(&key, found == Found::Blind)),
            }
        });
    }

    fn each_judging(&mut self, index: usize, policy: &str, change: impl Fn(&mut super::judging::Judging)) {
        let judges = self.machines[index].judges.iter_mut();
        judges.filter(|judging| judging.simulation.policy().name() == policy).for_each(change);
    }

    fn reload(&mut self, index: usize, reload: &Reload) {
        let machine = &mut self.machines[index];
        match reload {
            Reload::Same => {}
            Reload::Priority(priority) => {
                machine.config.instances.iter_mut().for_each(|instance| instance.priority = *priority);
            }
            Reload::File(_, config, policies) => {
                machine.config = (**config).clone();
                machine.policies.clone_from(policies);
            }
        }
        self.tell(index, Delivery::Reload);
    }

    /// What a daemon makes of its file.
    pub(super) fn load(&mut self, index: usize) {
        let (now, engine) = (self.now, self.engine.clone());
        let machine = &mut self.machines[index];
        machine.started_at = now;
        let config = Arc::new(machine.told());
        self.hand_in(index, crate::node::Input::Reload(Arc::clone(&config)));
        let machine = &mut self.machines[index];
        machine.hire(now, &engine);
        for instance in &config.instances {
            machine.roles.entry(instance.name.clone()).or_insert(crate::node::Role::Fault);
        }
        for port in 0..self.machines[index].ports.len() {
            self.tell_link(index, port);
        }
    }

    fn forge(&mut self, to: usize, priority: u8) {
        let machine = &self.machines[to];
        let Some(instance) = machine.config.instances.first() else { return };
        let Some(port) = super::port_of(machine, &instance.interface) else { return };
        let Some(Forgery { source, destination, payload }) = Forgery::of(instance, priority) else { return };
        if instance.claim == crate::config::Claim::Off {
            // Whoever does not look believes that the master has resigned, whoever says so (R17).
            self.clear_since = None;
        }
        self.tell(to, Delivery::Vrrp { port, source, destination, payload: payload.into() });
        self.machines[to].forged_at = self.now;
    }

    /// Everything is well again. What was changed by a reload stays.
    fn calm(&mut self) {
        self.heal();
        self.etcd.mend();
        (self.air.loss, self.air.duplicates, self.air.delay) = (0, 0, Air::default().delay);
        for index in 0..self.machines.len() {
            self.machines[index].mute = false;
            self.slow(index, Duration::ZERO);
            self.machines[index].wakes_at = None;
            self.thaw(index);
            self.start(index);
            self.plug(index, None, true);
            for judging in &mut self.machines[index].judges {
                judging.hangs = Hangs::No;
                judging.takes = Duration::from_millis(1);
                judging.simulation.context.forced.clear();
                judging.simulation.mend(None);
            }
        }
    }

    /// How long the world has been sound, for whoever explains.
    #[must_use]
    pub fn sound_for(&self) -> String {
        self.sound_since.map_or_else(|| "not".to_owned(), |since| readable(self.now.saturating_since(since)))
    }
}
