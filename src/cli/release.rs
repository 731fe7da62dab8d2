//! `ha release`: removes what a dead daemon left. 0 nothing is left, 75 a daemon is alive, 77 not permitted.
//!
//! With `--stale` only what the daemon has recorded as held, and of that only what bears its mark where the kernel keeps
//! marks: fit to run unattended after the daemon's end. Without it every virtual address of the configuration, whoever
//! put it there. In every network where the daemon has instances, or had some.

use std::{
    collections::BTreeSet,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use super::{CONFIG, Code, address, output};
use crate::{
    config::{self, Config, Control, Netns},
    control::Client,
    daemon::{
        leftovers, process_that_runs,
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
    match release(arguments) {
        Ok(()) => Code::OK,
        Err(Failure(code, why)) => {
            output::complain(&why);
            code
        }
    }
}

fn release(arguments: &Arguments) -> Result<(), Failure> {
    let state_dir = address::state_dir_of(&arguments.config);
    let whole = match arguments.stale {
        true => None,
        false => Some(config::load(&arguments.config).map_err(|all| Failure(Code::CONFIG, all.to_string()))?.config),
    };
    let control = Control { socket: address::socket_of(&arguments.config), state_dir };
    let mut networks = remembered(&control.state_dir);
    networks.extend(whole.iter().flat_map(Config::networks));
    let own = Target { control: control.clone(), config: whole.as_ref().map(|whole| whole.part(None)) };
    // Nothing anywhere while the daemon lives.
    let here = address::enter_network_of(&arguments.config).map_err(|why| Failure(code_of(&why), why));
    let mut removed = here.and_then(|()| own.release());
    for network in networks {
        let target = Target {
            control: control.of_network(&network),
            config: whole.as_ref().map(|whole| whole.part(Some(&network))),
        };
        if matches!(removed, Err(Failure(Code::TRY_AGAIN, _))) {
            break;
        }
        // Where nothing is left there is no need to go, which takes rights that a unit may not give any more.
        if target.config.as_ref().is_none_or(|config| config.instances.is_empty()) && target.has_left_nothing() {
            continue;
        }
        // One that fails keeps the others from nothing.
        let there = within(&network, || target.release());
        removed = match (removed, there) {
            (Ok(some), Ok(more)) => Ok(some.zip(more).map(|(some, more)| some + more)),
            (Err(why), _) | (Ok(_), Err(why)) => Err(why),
        };
    }
    if removed? == Some(0) {
        output::print("nothing was left behind\n");
    }
    Ok(())
}

/// The networks in which this daemon has worked for its instances.
fn remembered(state_dir: &Path) -> BTreeSet<Netns> {
    let entries = fs::read_dir(state_dir.join("network")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Netns::of_file_name(entry.file_name().to_str()?)).collect()
}

/// On a thread in that network.
fn within(
    network: &Netns,
    work: impl FnOnce() -> Result<Option<usize>, Failure> + Send,
) -> Result<Option<usize>, Failure> {
    if !network.path().exists() {
        output::print(&format!("the network namespace {network} is not there any more, nor is anything in it\n"));
        return Ok(Some(0));
    }
    address::within(network, work).map_err(|why| Failure(code_of(&why), why))?
}

/// What one process held, in its network.
struct Target {
    control: Control,
    /// None: only what it recorded counts.
    config: Option<Config>,
}

impl Target {
    /// Its record is there and empty: it ended in order.
    fn has_left_nothing(&self) -> bool {
        Store::at(&self.control.state_dir).held().is_ok_and(|held| held.is_empty())
    }

    /// How many things were removed; `None` where it was said why there was nothing to do.
    fn release(&self) -> Result<Option<usize>, Failure> {
        let store = Store::at(&self.control.state_dir);
        match &self.config {
            None => self.release_stale(&store),
            Some(config) => self.release_configured(config, &store).map(Some),
        }
    }

    fn release_stale(&self, store: &Store) -> Result<Option<usize>, Failure> {
        let now = BootClock.now();
        if let Some(until) = store.left_until(now) {
            let long = readable(until.saturating_since(now));
            output::print(&format!("a restart is under way: what is held is the next process's, or gone in {long}\n"));
            return Ok(None);
        }
        let _lock = self.claim(store)?;
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
        forget(store)?;
        Ok(Some(removed))
    }

    fn release_configured(&self, config: &Config, store: &Store) -> Result<usize, Failure> {
        let _lock = self.claim(store)?;
        let mut removed = 0;
        for instance in &config.instances {
            for (interface, addresses) in instance.places() {
                let addresses = addresses.iter().map(ipnet::IpNet::addr).collect();
                removed += remove(interface.as_str(), addresses, Which::Any)?;
            }
        }
        // Of a configuration that is not this one, too; addresses of that are nobody's business.
        let recorded = store.held().unwrap_or_default();
        for record in recorded.iter().chain(&Record::after(config, &recorded)) {
            removed += remove_equipment(record)?;
        }
        forget(store)?;
        Ok(removed)
    }

    /// Nobody may live who holds what is about to be removed.
    fn claim(&self, store: &Store) -> Result<Option<Lock>, Failure> {
        let alive = || {
            Failure(
                Code::TRY_AGAIN,
                "the daemon is alive and holds its addresses itself; nothing is removed".to_owned(),
            )
        };
        if Client::new(&self.control.socket).status().is_ok() {
            return Err(alive());
        }
        let lock = match patiently(store) {
            Ok(lock) => Some(lock),
            // No state directory: no daemon has had it, or somebody deleted it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(alive()),
            Err(error) => return Err(system("the state directory cannot be locked", &error)),
        };
        // Socket and lock are files that can be deleted beneath a daemon.
        let until = Instant::now() + LEAVING;
        match self.config.as_ref().and_then(|config| process_that_runs(config, until)) {
            Some(pid) => Err(Failure(
                Code::TRY_AGAIN,
                format!(
                    "process {pid} runs a virtual router of this configuration and holds its addresses itself; nothing is removed"
                ),
            )),
            None => Ok(lock),
        }
    }
}

/// Empties the record, if there is one.
fn forget(store: &Store) -> Result<(), Failure> {
    if store.held().is_ok_and(|held| held.is_empty()) {
        return Ok(());
    }
    store.record_held(&[]).map_err(|error| system("the record of held addresses cannot be emptied", &error))
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
