//! What a daemon that died with its keeper left behind and this configuration does not name (R13): a table of nftables and a
//! device have no lifetime. What the configuration names is taken over.

use std::{collections::BTreeSet, io};

use super::{
    devices_of,
    equipment::guards_of,
    gates::gate_of,
    store::{Record, Store},
};
use crate::{
    config::{Config, RoutingKeys},
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

/// Records what may be held from now on.
///
/// # Errors
/// A sentence.
pub(super) fn record(store: &Store, config: &Config) -> Result<(), String> {
    let before = store.held().unwrap_or_default();
    store.record_held(&Record::after(config, &before)).map_err(|error| unrecorded(&error))
}

pub(super) fn unrecorded(error: &io::Error) -> String {
    format!("what this node may hold cannot be recorded in the state directory: {error}")
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
