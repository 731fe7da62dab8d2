//! What a daemon that died with its keeper left behind and this configuration does not name (R13): a table of nftables and a
//! device have no lifetime. What the configuration names is taken over.

use std::{collections::BTreeSet, fmt};

use super::{
    devices_of,
    equipment::guards_of,
    gates::gate_of,
    store::{Record, Store},
};
use crate::{
    config::{Config, Instance, Lease, RoutingKeys},
    linux::{Guards, Holder, Macvlans, Routes, Which},
};

/// Clears what is left of before, and records what may be held from now on. Returns what was recorded before.
///
/// # Errors
/// A sentence: nothing can be recorded.
pub(super) fn take_over(store: &Store, config: &Config) -> Result<Vec<Record>, String> {
    let before = store.held().unwrap_or_default();
    clear(&before, config);
    record(store, config)?;
    Ok(before)
}

/// Records what may be held from now on, if that is not what is recorded. Where it cannot be and all that may be held has a
/// lifetime, the daemon goes on without. Returns what was recorded before, if that was known and something else.
///
/// # Errors
/// A sentence.
pub(super) fn record(store: &Store, config: &Config) -> Result<Option<Vec<Record>>, String> {
    let before = store.held();
    let wanted = Record::after(config, before.as_deref().unwrap_or_default());
    if before.as_ref().is_ok_and(|before| *before == wanted) {
        return Ok(None);
    }
    match store.record_held(&wanted) {
        Ok(()) => Ok(before.ok()),
        Err(error) => go_on_without(config, &error).map(|()| None),
    }
}

/// Nothing is recorded: says that, and why.
///
/// # Errors
/// A sentence: something has no lifetime, and may not be held then.
pub(super) fn go_on_without(config: &Config, why: &dyn fmt::Display) -> Result<(), String> {
    if let Some(instance) = lasting(config) {
        return Err(format!(
            "{}. {instance} has an address, a table, a device, a route or a rule without a lifetime, which nobody would find \
             after a crash",
            unrecorded(why)
        ));
    }
    tracing::warn!("{}; it goes on, for the kernel removes all of that by itself", unrecorded(why));
    Ok(())
}

/// The first instance with something that stays when daemon and keeper have died. What keeps packets away only while an
/// address is on its way ends with it.
fn lasting(config: &Config) -> Option<&str> {
    let lasts = |instance: &&Instance| {
        instance.lease == Lease::Off
            || !guards_of(instance, &instance.all_addresses()).is_empty()
            || devices_of(instance).next().is_some()
            || instance.routing.keys() != RoutingKeys::default()
    };
    config.instances.iter().find(lasts).map(|instance| instance.name.as_str())
}

pub(super) fn unrecorded(why: &dyn fmt::Display) -> String {
    format!("what this node may hold cannot be recorded in the state directory: {why}")
}

/// Removes it, the addresses first. What cannot be removed is told, and does not keep the daemon from starting.
fn clear(before: &[Record], config: &Config) {
    let of = |instance| guards_of(instance, &instance.all_addresses()).into_iter().chain(gate_of(instance));
    let tables: Vec<_> = config.instances.iter().flat_map(of).collect();
    let devices: Vec<_> = config.instances.iter().flat_map(devices_of).collect();
    let mut routing = RoutingKeys::default();
    config.instances.iter().for_each(|instance| routing.extend(&instance.routing.keys()));
    // What is named now stays: it is taken over.
    let strip = |record: &Record| Record {
        tables: record.tables.iter().filter(|table| !tables.contains(table)).cloned().collect(),
        device: record.device.clone().filter(|device| !devices.contains(device)),
        ..record.clone()
    };
    let mut old: Vec<Record> = before.iter().map(strip).collect();
    for record in &mut old {
        record.routing.retain(|key| !routing.routes.contains(key), |key| !routing.rules.contains(key));
    }
    for record in &old {
        tell(record, remove_routing(record));
    }
    old.retain(|record| !record.tables.is_empty() || record.device.is_some());
    // The addresses of one table may be on several interfaces.
    let mut still_held = BTreeSet::new();
    for record in &old {
        if !tell(record, remove_addresses(record)) {
            still_held.insert(&record.instance);
        }
    }
    for record in old.iter().filter(|record| !still_held.contains(&record.instance)) {
        tell(record, remove_equipment(record));
    }
}

/// Returns whether all went well.
fn tell(record: &Record, removed: Result<Vec<String>, String>) -> bool {
    match &removed {
        Ok(removed) => {
            for what in removed {
                tracing::info!("removed {what}, which another configuration had left behind");
            }
        }
        Err(why) => {
            tracing::warn!("what another configuration of {} had left behind stays: {why}", record.instance);
        }
    }
    removed.is_ok()
}

fn remove_addresses(record: &Record) -> Result<Vec<String>, String> {
    let Ok(interface) = record.interface.parse() else { return Ok(Vec::new()) };
    let addresses: Vec<_> = record.addresses.iter().map(ipnet::IpNet::addr).collect();
    let mut holder = Holder::open().map_err(|error| error.to_string())?;
    let gone = holder.remove(&interface, &addresses, Which::Marked)?;
    Ok(gone.iter().map(|address| format!("{address} from {interface}")).collect())
}

/// Routes and rules that bear the mark. Returns what was there.
fn remove_routing(record: &Record) -> Result<Vec<String>, String> {
    if record.routing == RoutingKeys::default() {
        return Ok(Vec::new());
    }
    Routes::open().map_err(|error| error.to_string())?.remove(&record.routing)
}

/// Takes away the tables and the device of addresses that are gone, and gives the interface beneath its habits back. Returns
/// what was there.
///
/// # Errors
/// A sentence about the first thing that could not be removed.
pub fn remove_equipment(record: &Record) -> Result<Vec<String>, String> {
    let mut removed = remove_routing(record)?;
    for table in &record.tables {
        let gone = Guards::open().and_then(|mut guards| guards.remove(table));
        if gone.map_err(|error| format!("the nftables table {table} cannot be removed: {error}"))? {
            removed.push(format!("the nftables table {table}"));
        }
    }
    if let Some(device) = &record.device {
        let mut macvlans = Macvlans::open().map_err(|error| error.to_string())?;
        let gone = macvlans.remove(&device.name, device.mac);
        if gone.map_err(|error| format!("the macvlan {} cannot be removed: {error}", device.name))? {
            removed.push(format!("the macvlan {}", device.name));
        }
        if let Some((base, habits)) = record.beneath() {
            // An interface that is gone has none.
            let _ = macvlans.set_arp(&base, habits);
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use super::*;
    use crate::config::fixture;

    /// The directory of the store is a file: nothing can be written there, by root neither.
    #[test]
    fn a_record_that_cannot_be_written_stops_only_what_has_no_lifetime() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("state");
        fs::write(&file, "").unwrap();
        let (store, (mut config, _)) = (Store::at(&file), fixture::pair());
        assert_eq!(record(&store, &config), Ok(None), "addresses with a lease");
        config.instances[0].lease = Lease::Off;
        let why = record(&store, &config).unwrap_err();
        assert!(why.contains("cannot be recorded") && why.contains("without a lifetime"), "{why}");
    }

    #[test]
    fn what_is_recorded_already_is_not_written_and_a_directory_that_was_deleted_is_made_again() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("state");
        let (store, (mut config, _)) = (Store::open(&directory).unwrap(), fixture::pair());
        assert_eq!(record(&store, &config), Ok(Some(Vec::new())));
        // Another file takes the place of what is written anew.
        let file = || fs::metadata(directory.join("held.json")).unwrap().ino();
        let first = file();
        config.instances[0].priority = crate::wire::Priority::new(7).unwrap();
        record(&store, &config).unwrap();
        assert_eq!(file(), first);
        fs::remove_dir_all(&directory).unwrap();
        record(&store, &config).unwrap();
        assert_eq!(store.held().unwrap(), Record::of(&config));
    }
}
