//! `ha release`: removes what a dead daemon left. 0 nothing is left, 75 a daemon is alive, 77 not permitted.
//!
//! With `--stale` only what the daemon has recorded as held, and of that only what bears its mark where the kernel keeps
//! marks: fit to run unattended after the daemon's end. Without it every virtual address of the configuration, whoever
//! put it there.

use std::{
    io,
    net::IpAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use super::{CONFIG, Code, address, output};
use crate::{
    config,
    control::Client,
    daemon::{
        leftovers,
        store::{Lock, Record, Store},
    },
    linux::{BootClock, Holder, Which},
    words::{InterfaceName, readable},
};

/// How long a dying process may still hold what is its own.
const LEAVING: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The dead daemon's configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// Only what the dead daemon recorded as held
    #[arg(long)]
    stale: bool,
}

/// Why nothing, or not everything, was released.
struct Failure(Code, String);

pub(super) fn perform(arguments: &Arguments) -> Code {
    let entered = address::enter_network_of(&arguments.config).map_err(|why| Failure(code_of(&why), why));
    let done =
        entered.and_then(|()| if arguments.stale { release_stale(arguments) } else { release_configured(arguments) });
    match done {
        Ok(()) => Code::OK,
        Err(Failure(code, why)) => {
            output::complain(&why);
            code
        }
    }
}

fn release_stale(arguments: &Arguments) -> Result<(), Failure> {
    let store = Store::at(&address::state_dir_of(&arguments.config));
    let now = BootClock.now();
    if let Some(until) = store.left_until(now) {
        let long = readable(until.saturating_since(now));
        output::print(&format!("a restart is under way: what is held is the next process's, or gone in {long}\n"));
        return Ok(());
    }
    let _lock = claim(&store, arguments)?;
    let records = store.held().map_err(|error| system("the record of held addresses cannot be read", &error))?;
    let mut removed = 0;
    for record in &records {
        let addresses = record.addresses.iter().map(ipnet::IpNet::addr).collect();
        removed += remove(&record.interface, addresses, Which::Marked)?;
    }
    // One table may drop what is sent to addresses on several interfaces.
    for record in &records {
        removed += remove_equipment(record)?;
    }
    conclude(removed);
    forget(&store)
}

fn release_configured(arguments: &Arguments) -> Result<(), Failure> {
    let problems = |problems: config::Problems| Failure(Code::CONFIG, problems.to_string());
    let config = config::load(&arguments.config).map_err(problems)?.config;
    let store = Store::at(&config.control.state_dir);
    let _lock = claim(&store, arguments)?;
    let mut removed = 0;
    for instance in &config.instances {
        for (interface, addresses) in instance.places() {
            let addresses = addresses.iter().map(ipnet::IpNet::addr).collect();
            removed += remove(interface.as_str(), addresses, Which::Any)?;
        }
    }
    // Of a configuration that is not this one, too; addresses of that are nobody's business.
    let recorded = store.held().unwrap_or_default();
    for record in recorded.iter().chain(&Record::after(&config, &recorded)) {
        removed += remove_equipment(record)?;
    }
    conclude(removed);
    forget(&store)
}

fn conclude(removed: usize) {
    if removed == 0 {
        output::print("nothing was left behind\n");
    }
}

/// Empties the record, if there is one.
fn forget(store: &Store) -> Result<(), Failure> {
    if store.held().is_ok_and(|held| held.is_empty()) {
        return Ok(());
    }
    store.record_held(&[]).map_err(|error| system("the record of held addresses cannot be emptied", &error))
}

/// Nobody may live who holds what is about to be removed.
fn claim(store: &Store, arguments: &Arguments) -> Result<Option<Lock>, Failure> {
    let alive = || {
        Failure(Code::TRY_AGAIN, "the daemon is alive and holds its addresses itself; nothing is removed".to_owned())
    };
    if Client::new(&address::socket_of(&arguments.config)).status().is_ok() {
        return Err(alive());
    }
    match patiently(store) {
        Ok(lock) => Ok(Some(lock)),
        // No state directory: no daemon has ever had it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(alive()),
        Err(error) => Err(system("the state directory cannot be locked", &error)),
    }
}

/// A daemon that was killed this moment still has its lock.
fn patiently(store: &Store) -> io::Result<Lock> {
    let until = Instant::now() + LEAVING;
    loop {
        match store.lock() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// Says what was removed, and how many that were.
fn remove(interface: &str, addresses: Vec<IpAddr>, which: Which) -> Result<usize, Failure> {
    let Ok(name) = interface.parse::<InterfaceName>() else {
        return Err(Failure(Code::SYSTEM, format!("the record names an interface `{interface}` that cannot exist")));
    };
    let mut holder = Holder::open().map_err(|error| system("the kernel cannot be asked for addresses", &error))?;
    let removed = holder.remove(&name, &addresses, which).map_err(|why| Failure(code_of(&why), why))?;
    for address in &removed {
        output::print(&format!("removed {address} from {name}\n"));
    }
    Ok(removed.len())
}

/// The table and the device of the addresses, which are gone by now.
fn remove_equipment(record: &Record) -> Result<usize, Failure> {
    let removed = leftovers::remove_equipment(record).map_err(|why| Failure(code_of(&why), why))?;
    for what in &removed {
        output::print(&format!("removed {what}\n"));
    }
    Ok(removed.len())
}

/// The kernel's refusals arrive as sentences.
fn code_of(why: &str) -> Code {
    if why.contains("not permitted") { Code::PERMISSION } else { Code::SYSTEM }
}

fn system(what: &str, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::PermissionDenied { Code::PERMISSION } else { Code::SYSTEM };
    Failure(code, format!("{what}: {error}"))
}
