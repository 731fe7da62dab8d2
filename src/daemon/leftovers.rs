//! What a daemon that died with its keeper left behind and this configuration does not name (R13): a table of nftables has no
//! lifetime. What the configuration names is taken over.

use super::{equipment::guard_of, store::Store};
use crate::{
    config::Config,
    linux::{Guards, Holder, Which},
};

/// Removes it, the addresses first. What cannot be removed is told, and does not keep the daemon from starting.
pub(super) fn clear(store: &Store, config: &Config) {
    let named: Vec<_> = config.instances.iter().filter_map(guard_of).collect();
    for record in store.held().unwrap_or_default() {
        let Some(table) = record.table.filter(|table| !named.contains(table)) else { continue };
        let addresses: Vec<_> = record.addresses.iter().map(ipnet::IpNet::addr).collect();
        let removed =
            record.interface.parse().map_err(|_| "it cannot be the name of an interface".to_owned()).and_then(
                |interface| {
                    let mut holder = Holder::open().map_err(|error| error.to_string())?;
                    holder.remove(&interface, &addresses, Which::Marked)
                },
            );
        let removed = removed.and_then(|_| {
            Guards::open().and_then(|mut guards| guards.remove(&table)).map_err(|error| error.to_string())
        });
        match removed {
            Ok(true) => {
                tracing::info!("removed the nftables table {table}, which another configuration had left behind")
            }
            Ok(false) => {}
            Err(why) => tracing::warn!("the nftables table {table} of another configuration stays: {why}"),
        }
    }
}
