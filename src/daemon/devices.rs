//! The devices with virtual MAC addresses, and the interfaces beneath them, which must say nothing of addresses that are not
//! theirs: they would be known at two MAC addresses.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::{Config, Instance},
    linux::{ArpHabits, Macvlan, Macvlans},
    words::{Family, InterfaceName, MacAddr},
};

/// The devices of an instance.
pub fn devices_of(instance: &Instance) -> impl Iterator<Item = Macvlan> + '_ {
    let mac = MacAddr::virtual_router(instance.family, instance.vrid.get());
    let device =
        move |(name, base): (&InterfaceName, &InterfaceName)| Macvlan { name: name.clone(), base: base.clone(), mac };
    instance.mac_devices().into_iter().map(device)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Devices {
    macvlans: Option<Macvlans>,
    wanted: BTreeMap<Macvlan, Wanted>,
    target: BTreeMap<Macvlan, Wanted>,
    state: BTreeMap<Macvlan, Result<(), String>>,
    /// What interfaces beneath did before.
    habits: BTreeMap<InterfaceName, ArpHabits>,
}

/// For whom a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    instance: String,
    family: Family,
}

impl Devices {
    /// `habits`: what a daemon before this one found, and did not give back.
    pub(super) fn new(config: &Config, habits: BTreeMap<InterfaceName, ArpHabits>) -> Self {
        let wanted = demands(config);
        Self { target: wanted.clone(), wanted, habits, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    pub(super) fn reconfigure(&mut self, config: &Config) {
        self.target = demands(config);
        self.wanted.extend(self.target.clone());
    }

    pub(super) fn is_settled(&self) -> bool {
        self.wanted == self.target
    }

    /// What is not needed any more goes. Returns what to tell.
    pub(super) fn settle(&mut self) -> Vec<String> {
        let gone: Vec<Macvlan> = self.wanted.keys().filter(|it| !self.target.contains_key(it)).cloned().collect();
        self.wanted.clone_from(&self.target);
        self.state.retain(|device, _| !gone.contains(device));
        gone.iter().filter_map(|device| self.remove(device).err()).collect()
    }

    /// Every device is there. Returns what to tell.
    pub(super) fn look(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        for (device, wanted) in &self.wanted {
            let before = self.state.get(device);
            let state = ensure(&mut self.macvlans, device, before.is_none()).and_then(|was_there| {
                // Made anew with the interface beneath, which has forgotten its habits as well.
                if !was_there || before.is_none() {
                    calm(&mut self.macvlans, device, wanted.family, &mut self.habits)?;
                }
                Ok(was_there)
            });
            if matches!((before, &state), (Some(Ok(())), Ok(false))) {
                let name = &device.name;
                notes.push(format!("the macvlan {name} was gone, with all its addresses: it is made again"));
            }
            self.state.insert(device.clone(), state.map(|_| ()));
        }
        notes
    }

    /// What each instance with a device has to know.
    pub(super) fn told(&self) -> impl Iterator<Item = (String, Result<(), String>)> + '_ {
        let told =
            |(device, wanted): (&Macvlan, &Wanted)| Some((wanted.instance.clone(), self.state.get(device)?.clone()));
        self.wanted.iter().filter_map(told)
    }

    /// The device of an instance is up before addresses are held on it.
    ///
    /// # Errors
    /// A sentence: nothing may be held.
    pub(super) fn raise(&mut self, interface: &InterfaceName) -> Result<(), String> {
        self.set_up(interface, true)
    }

    /// Nothing is held on it any more.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn lower(&mut self, interface: &InterfaceName) -> Result<(), String> {
        self.set_up(interface, false)
    }

    fn set_up(&mut self, interface: &InterfaceName, up: bool) -> Result<(), String> {
        let Some(device) = self.wanted.keys().find(|device| device.name == *interface) else { return Ok(()) };
        let set = opened(&mut self.macvlans)?.set_up(&device.name, up);
        let how = if up { "up" } else { "down" };
        set.map_err(|error| format!("the macvlan {interface} could not be set {how}: {error}"))
    }

    /// Everything that is there.
    pub(super) fn all(&self) -> impl Iterator<Item = &Macvlan> {
        self.wanted.keys()
    }

    /// What the interfaces beneath did before.
    pub(super) fn habits(&self) -> &BTreeMap<InterfaceName, ArpHabits> {
        &self.habits
    }

    /// Takes everything away, but for those who still hold something. Returns what to tell.
    pub(super) fn remove_all(&mut self, holding: &BTreeSet<String>) -> Vec<String> {
        let gone: Vec<Macvlan> = self
            .wanted
            .iter()
            .filter(|(_, wanted)| !holding.contains(&wanted.instance))
            .map(|(device, _)| device.clone())
            .collect();
        self.wanted.retain(|device, _| !gone.contains(device));
        gone.iter().filter_map(|device| self.remove(device).err()).collect()
    }

    /// The interface beneath gets its habits back with its last device.
    fn remove(&mut self, device: &Macvlan) -> Result<(), String> {
        let macvlans = opened(&mut self.macvlans)?;
        let removed = macvlans.remove(&device.name, device.mac);
        if !self.wanted.keys().any(|other| other.base == device.base)
            && let Some(habits) = self.habits.remove(&device.base)
        {
            // An interface that is gone has none.
            let _ = macvlans.set_arp(&device.base, habits);
        }
        removed.map(|_| ()).map_err(|error| format!("the macvlan {} could not be removed: {error}", device.name))
    }
}

fn demands(config: &Config) -> BTreeMap<Macvlan, Wanted> {
    let wanted = |instance: &Instance| Wanted { instance: instance.name.clone(), family: instance.family };
    let all = config.instances.iter();
    all.flat_map(|instance| devices_of(instance).map(move |device| (device, wanted(instance)))).collect()
}

fn opened(macvlans: &mut Option<Macvlans>) -> Result<&mut Macvlans, String> {
    match macvlans {
        Some(macvlans) => Ok(macvlans),
        none => Ok(none.insert(Macvlans::open().map_err(|error| format!("no netlink socket: {error}"))?)),
    }
}

/// Returns whether it was there. One that a daemon before this one left up without an address rests.
fn ensure(macvlans: &mut Option<Macvlans>, device: &Macvlan, is_new: bool) -> Result<bool, String> {
    let macvlans = opened(macvlans)?;
    let was_there = macvlans.ensure(device)?;
    if was_there && is_new {
        // A device that stays up says nothing before it has an address.
        let _ = macvlans.rest(&device.name);
    }
    Ok(was_there)
}

fn calm(
    macvlans: &mut Option<Macvlans>,
    device: &Macvlan,
    family: Family,
    habits: &mut BTreeMap<InterfaceName, ArpHabits>,
) -> Result<(), String> {
    let Some(now) = ArpHabits::of(&device.base).filter(|_| family == Family::V4) else { return Ok(()) };
    habits.entry(device.base.clone()).or_insert(now);
    let calm = now.at_least(ArpHabits::BENEATH);
    let set = if calm == now { Ok(()) } else { opened(macvlans)?.set_arp(&device.base, calm) };
    set.map_err(|error| {
        let base = &device.base;
        format!(
            "arp_ignore and arp_announce of {base} could not be set: {error}; ha needs the capability CAP_NET_ADMIN"
        )
    })
}
