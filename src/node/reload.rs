//! A new configuration as a keyed difference: what did not change is not touched.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Hold, Lifetime, Node, Output, Pace, group,
    instance::{Instance, Outbox},
    meet_devices,
    rivals::Rivals,
    virtual_addresses, ways,
};
use crate::{
    config::{self, Config, Renames, lease_length},
    vrrp::{Config as RouterConfig, State},
    words::Instant,
};

/// What becomes of a running instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It goes on, role and address untouched.
    Adapt,
    /// It speaks another protocol or sits elsewhere: it stops, and a new one starts.
    Replace,
}

/// Which of the two a new configuration asks for.
pub(super) fn change(old: &config::Instance, new: &config::Instance) -> Change {
    let identity = |instance: &config::Instance| {
        let (at, way) =
            ((instance.interface.clone(), instance.device().clone()), (instance.transport, instance.group()));
        (at, instance.vrid, instance.family, instance.protocol.version(), way)
    };
    if identity(old) == identity(new) { Change::Adapt } else { Change::Replace }
}

/// Whether an instance that goes must be gone before this one begins: both would be one in the eyes of somebody.
pub(super) fn collide(going: &config::Instance, coming: &config::Instance) -> bool {
    let router = |instance: &config::Instance| (instance.vrid, instance.family);
    let shared = going.held_addresses().any(|net| coming.held_addresses().any(|other| other.addr() == net.addr()));
    going.name == coming.name || going.interface == coming.interface && (router(going) == router(coming) || shared)
}

impl Node {
    pub(super) fn reload(&mut self, config: &Arc<Config>) {
        if self.stopping {
            return;
        }
        self.name.clone_from(&config.node);
        self.links.configure(&config.links);
        self.virtual_here = Arc::new(virtual_addresses(config));
        self.coming.clear();
        self.rename(config);
        let names: Vec<String> = self.instances.keys().cloned().collect();
        for name in names {
            let new = config.instances.iter().find(|instance| instance.name == name);
            let keep = |instance: &Instance| new.is_some_and(|new| change(&instance.config, new) == Change::Adapt);
            if self.instances.get(&name).is_some_and(|instance| !keep(instance))
                && let Some(mut instance) = self.instances.remove(&name)
            {
                instance.stopping = true;
                instance.ties = group::Ties::default();
                instance.reassess(self.now, &mut self.outbox);
                self.leaving.push(instance);
            }
        }
        for new in &config.instances {
            match self.instances.get_mut(&new.name) {
                Some(instance) => {
                    instance.virtual_here = Arc::clone(&self.virtual_here);
                    instance.seen_tracked.take(&new.tracks, self.links.all(), &self.facts);
                    meet_devices(instance, self.links.all(), &self.addresses, new);
                    if let Some(clock) = self.clock {
                        instance.signing.set_clock(clock);
                    }
                    instance.adapt(self.now, new.clone(), &mut self.outbox);
                    ways::show(self.links.all(), &self.addresses, instance);
                }
                None => self.coming.push(new.clone()),
            }
        }
        self.facts.forget_all_but(config);
        self.form_groups(&config.groups);
    }

    /// Forgets the instances that have gone, and starts those that waited for them.
    pub(super) fn retire(&mut self) {
        for mut gone in self.leaving.extract_if(.., |instance| instance.is_stopped()) {
            gone.end_conditions(self.now, &mut self.outbox);
            // The kernel will say so, a little later.
            for (interface, addresses) in gone.config.places() {
                if let Some(seen) = self.addresses.get_mut(interface).filter(|_| !gone.native) {
                    seen.retain(|seen| !addresses.iter().any(|net| net.addr() == seen.address.addr()));
                }
            }
        }
        let waits = |new: &config::Instance| self.leaving.iter().any(|old| collide(&old.config, new));
        let (waiting, ready): (Vec<_>, Vec<_>) = std::mem::take(&mut self.coming).into_iter().partition(waits);
        self.coming = waiting;
        for new in ready {
            self.start(new);
        }
    }

    /// Names first: everything else goes by them.
    fn rename(&mut self, config: &Config) {
        let running = self.instances.values().map(|instance| &instance.config);
        let going = self.leaving.iter().map(|instance| instance.config.name.as_str());
        let renames = Renames::between(running, going, &config.instances);
        if renames.is_empty() {
            return;
        }
        let (now, out) = (self.now, &mut self.outbox);
        out.push_back(Output::Renamed(renames.clone()));
        self.instances.rename(&renames);
        for instance in self.instances.values_mut().chain(&mut self.leaving) {
            instance.rename(now, &renames, out);
        }
        self.groups.iter_mut().for_each(|group| group.rename(&renames));
    }
}

impl Instance {
    fn rename(&mut self, now: Instant, renames: &Renames, out: &mut Outbox) {
        self.ties.rename(renames);
        let old = self.config.name.clone();
        renames.rename(&mut self.config.name);
        if old != self.config.name {
            self.note(now, format!("it was called {old} until now"), out);
        }
    }

    /// Takes a configuration of the same identity.
    pub(super) fn adapt(&mut self, now: Instant, config: config::Instance, out: &mut Outbox) {
        // Who else takes part is looked at anew, also where nothing changed on this node (R17).
        self.peers.configure(&config.peers);
        if self.config == config {
            return self.mind_own_peers(now, out);
        }
        self.yield_if_lapsed(now, out);
        let length = self.tenure.planned().length;
        let old = std::mem::replace(&mut self.config, config);
        self.mind_own_peers(now, out);
        self.router.reconfigure(now, router_config(&self.config));
        self.judgement.configure(&self.config.policies);
        self.judgement.weigh(&self.config.policy_weights);
        for event in self.alerts.keep(&self.config.policies) {
            self.report(now, event, out);
        }
        self.tenure.replan(now, lease_length(&self.config, None));
        self.native = self.addresses_are_native();
        self.adapt_witness(now, old.witness);
        self.paths.adapt(&old.paths, &self.config.paths);
        self.signing.adapt(old.auth_hmac.as_ref(), self.config.auth_hmac.as_ref());
        if old.advertise != self.config.advertise {
            self.rivals = Rivals::new(self.interval());
        }
        if old.policies != self.config.policies {
            // A policy that is new is not in a hurry yet.
            self.pace = Pace::Normal;
        }
        let other_addresses = old.addresses != self.config.addresses
            || old.excluded != self.config.excluded
            || old.manners != self.config.manners;
        if self.router.holds()
            && (other_addresses || old.advertise != self.config.advertise || length != self.tenure.planned().length)
        {
            self.exchange(now, &old, out);
        }
        if self.router.holds() && old.routing != self.config.routing {
            self.exchange_routes(now, out);
        }
        if old.announce != self.config.announce {
            self.announcer.configure(now, self.config.announce, self.leads());
        }
        if self.router.holds() && other_addresses {
            self.announcer.start(now);
            self.announce_if_due(now, out);
        }
        if let Some(link) = &self.link {
            self.mind_own_link(now, link.up && link.carrier, out);
        }
        self.reassess(now, out);
        self.unsettled = true;
    }

    /// Other addresses, another lease or another beat while holding: said, then held, and nothing of the old is left.
    fn exchange(&mut self, now: Instant, old: &config::Instance, out: &mut Outbox) {
        // Whoever is about to go repeats that: a priority would make the one step down who takes over.
        let goes = matches!(self.router.state(), State::Resigning { .. });
        let priority = self.router.standing().priority().filter(|_| !goes);
        self.transmit(now, priority, out);
        self.tenure.begin(now);
        let before = out.len();
        self.hold(now, out);
        let mut left = old.places();
        for output in out.iter_mut().skip(before) {
            if let Output::Hold(hold) = output {
                let old_here = left.extract_if(.., |(interface, _)| **interface == hold.interface);
                let gone = old_here.flat_map(|(_, nets)| nets).filter(|net| !hold.addresses.contains(net));
                hold.configured.extend(gone.collect::<Vec<_>>());
            }
        }
        for (interface, configured) in left {
            out.push_back(Output::Hold(Hold {
                instance: self.config.name.clone(),
                interface: interface.clone(),
                addresses: Vec::new(),
                manners: BTreeMap::new(),
                configured,
                lifetime: Lifetime::Forever,
                not_after: None,
            }));
        }
    }
}

/// What the state machine needs of the configuration.
pub(super) fn router_config(config: &config::Instance) -> RouterConfig {
    RouterConfig {
        version: config.protocol.version(),
        interval: config.advertise,
        preempt: match config.preempt {
            config::Preempt::Never => None,
            config::Preempt::AtOnce => Some(Duration::ZERO),
            config::Preempt::After(delay) => Some(delay),
        },
        down_adverts: config.down_adverts,
    }
}
