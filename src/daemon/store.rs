//! What outlives the process: which addresses it may hold, the last good configuration, the last good generations of each
//! policy, what policies remember, and who changed what.
//!
//! Plain files in `state_dir`, mode 0600, each replaced by a rename so that a reader never sees half of one, and on the disk
//! before that, so that a machine that loses its power finds the old one or the new one. How long an address that was left
//! behind still lives is not here: the kernel knows that better.

mod record;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
pub use record::Record;
use serde::{Deserialize, Serialize};

use super::routing_keys::WrittenKeys;
use crate::{
    config::RoutingKeys,
    linux::{ArpHabits, Macvlan},
    words::{Instant, InterfaceName, MacAddr},
};

const HELD: &str = "held.json";
const CONFIG: &str = "ha.toml";
const POLICIES: &str = "policies";
const MEMORY: &str = "memory.json";
const LEFT: &str = "left.json";
const LOCK: &str = "lock";
const AUDIT: &str = "audit.jsonl";

/// The state directory of one daemon.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// As on disk. No address outlives the boot.
#[derive(Serialize, Deserialize)]
struct HeldFile {
    boot: String,
    held: Vec<HeldEntry>,
}

/// What a process left to the one after it.
#[derive(Serialize, Deserialize)]
struct LeftFile {
    boot: String,
    /// Until when, since the boot.
    until_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct HeldEntry {
    instance: String,
    interface: String,
    addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tables: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<DeviceEntry>,
    #[serde(default, skip_serializing_if = "WrittenKeys::is_empty")]
    routing: WrittenKeys,
}

#[derive(Serialize, Deserialize)]
struct DeviceEntry {
    base: String,
    mac: [u8; 6],
    arp: Option<(u8, u8)>,
}

/// The state directory is this process's as long as this lives. The kernel lets go of it with the process: a file that
/// is left behind never stops a start.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "held, not read")] fs::File);

impl Store {
    /// Creates the directory, mode 0700, if it is not there.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Of a directory that may not exist; nothing is created.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Makes the directory this process's own. Where nothing can be written, a file of an earlier process will do.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it; otherwise what the system said.
    pub fn lock(&self) -> io::Result<Lock> {
        let path = self.directory.join(LOCK);
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&path).or_else(|error| {
            let read = fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path);
            read.map_err(|_| error)
        })?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(Lock(file))
    }

    /// Remembers what this node may hold from now on; nothing, once it has stopped in order.
    ///
    /// # Errors
    /// What the system said.
    pub fn record_held(&self, held: &[Record]) -> io::Result<()> {
        let entries = held.iter().map(|record| HeldEntry {
            instance: record.instance.clone(),
            interface: record.interface.clone(),
            addresses: record.addresses.iter().map(ToString::to_string).collect(),
            tables: record.tables.iter().map(ToString::to_string).collect(),
            device: record.device.as_ref().map(|device| DeviceEntry {
                base: device.base.to_string(),
                mac: device.mac.0,
                arp: record.habits.map(|habits| (habits.ignore, habits.announce)),
            }),
            routing: WrittenKeys::from(&record.routing),
        });
        let file = HeldFile { boot: boot_id(), held: entries.collect() };
        // It means nothing after a boot, and addresses wait for it: it need not reach the disk.
        replace(&self.directory.join(HELD), &serde_json::to_vec(&file)?, |_| Ok(()))
    }

    /// What was recorded last; nothing if that was before the machine was booted.
    ///
    /// # Errors
    /// What the system said; `InvalidData` if the record is damaged.
    pub fn held(&self) -> io::Result<Vec<Record>> {
        let Some(text) = self.read(Path::new(HELD))? else { return Ok(Vec::new()) };
        let file: HeldFile = serde_json::from_str(&text)?;
        if file.boot != boot_id() {
            return Ok(Vec::new());
        }
        file.held.into_iter().map(HeldEntry::into_record).collect()
    }

    /// What is held is left to the process after this one until then; `None`: nothing is.
    ///
    /// # Errors
    /// What the system said.
    pub fn record_left(&self, until: Option<Instant>) -> io::Result<()> {
        let path = self.directory.join(LEFT);
        let Some(until) = until else {
            // A file system that is read-only refuses before it looks.
            return if fs::exists(&path)? { fs::remove_file(&path) } else { Ok(()) };
        };
        let until_ms = u64::try_from(until.since_epoch().as_millis()).unwrap_or(u64::MAX);
        replace(&path, &serde_json::to_vec(&LeftFile { boot: boot_id(), until_ms })?, |_| Ok(()))
    }

    /// Until when what is held is left to the next process, if it is and that is not over.
    #[must_use]
    pub fn left_until(&self, now: Instant) -> Option<Instant> {
        let text = self.read(Path::new(LEFT)).ok()??;
        let LeftFile { boot, until_ms } = serde_json::from_str(&text).ok()?;
        let until = Instant::from_epoch(Duration::from_millis(until_ms));
        (boot == boot_id() && now < until).then_some(until)
    }

    /// Keeps a configuration that runs.
    ///
    /// # Errors
    /// What the system said.
    pub fn keep_config(&self, text: &str) -> io::Result<()> {
        self.replace(Path::new(CONFIG), text.as_bytes())
    }

    /// Where that is.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.directory.join(CONFIG)
    }

    /// The last configuration that ran.
    ///
    /// # Errors
    /// What the system said; nothing kept is not an error.
    pub fn last_good_config(&self) -> io::Result<Option<String>> {
        self.read(Path::new(CONFIG))
    }

    /// Keeps what is to be known of a policy after a restart.
    ///
    /// # Errors
    /// What the system said.
    pub fn keep_policy(&self, name: &str, content: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.directory.join(POLICIES))?;
        self.replace(&policy_file(name)?, content)
    }

    /// What was kept of a policy last.
    ///
    /// # Errors
    /// What the system said; nothing kept is not an error.
    pub fn policy(&self, name: &str) -> io::Result<Option<String>> {
        self.read(&policy_file(name)?)
    }

    /// Keeps what policies remember.
    ///
    /// # Errors
    /// What the system said.
    pub fn keep_memory(&self, text: &[u8]) -> io::Result<()> {
        self.replace(Path::new(MEMORY), text)
    }

    /// What policies remembered last.
    ///
    /// # Errors
    /// What the system said; nothing kept is not an error.
    pub fn memory(&self) -> io::Result<Option<String>> {
        self.read(Path::new(MEMORY))
    }

    /// Where the record of who changed what lies.
    #[must_use]
    pub fn audit_file(&self) -> PathBuf {
        self.directory.join(AUDIT)
    }

    fn read(&self, file: &Path) -> io::Result<Option<String>> {
        match fs::read_to_string(self.directory.join(file)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn replace(&self, file: &Path, content: &[u8]) -> io::Result<()> {
        replace(&self.directory.join(file), content, fs::File::sync_all)
    }
}

/// Puts `content` in the place of the file. `sync` is called with the new file before it takes that place, and with the
/// directory afterwards.
fn replace(target: &Path, content: &[u8], sync: impl Fn(&fs::File) -> io::Result<()>) -> io::Result<()> {
    let mut aside = target.to_owned().into_os_string();
    aside.push(".new");
    let directory = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let open = || {
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(&aside)
    };
    let mut file = match open() {
        // Somebody deleted the directory.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            open()?
        }
        opened => opened?,
    };
    io::Write::write_all(&mut file, content)?;
    sync(&file)?;
    fs::rename(&aside, target)?;
    sync(&fs::File::open(directory)?)
}

impl HeldEntry {
    fn into_record(self) -> io::Result<Record> {
        let damaged = |_| io::Error::new(io::ErrorKind::InvalidData, "an address in the record makes no sense");
        let addresses: Vec<IpNet> =
            self.addresses.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(damaged)?;
        let tables = self.tables.iter().filter_map(|table| table.parse().ok()).collect();
        let routing = RoutingKeys::from(&self.routing);
        let habits = self.device.as_ref().and_then(|entry| entry.arp);
        let habits = habits.map(|(ignore, announce)| ArpHabits { ignore, announce });
        let name = self.interface.parse::<InterfaceName>().ok();
        let device = name
            .zip(self.device)
            .and_then(|(name, entry)| Some(Macvlan { name, base: entry.base.parse().ok()?, mac: MacAddr(entry.mac) }));
        Ok(Record { instance: self.instance, interface: self.interface, addresses, tables, device, habits, routing })
    }
}

fn policy_file(name: &str) -> io::Result<PathBuf> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a policy"));
    }
    Ok(Path::new(POLICIES).join(format!("{name}.json")))
}

/// Names this boot of the machine; empty where the kernel does not say.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).unwrap();
        (directory, store)
    }

    /// What is in the file's place is whole on the disk, and then the place is.
    #[test]
    fn a_file_is_on_the_disk_before_it_takes_the_place_of_another() {
        let (base, _) = store();
        let target = base.path().join("x");
        let steps = std::cell::RefCell::new(Vec::new());
        let sync = |file: &fs::File| {
            let now = fs::read_to_string(&target).unwrap_or_default();
            steps.borrow_mut().push((file.metadata()?.is_dir(), file.metadata()?.len() == 3, now));
            Ok(())
        };
        replace(&target, b"old", sync).unwrap();
        replace(&target, b"new", sync).unwrap();
        let seen: Vec<(bool, String)> = steps
            .take()
            .into_iter()
            .map(|(is_dir, whole, now)| {
                assert!(is_dir || whole);
                (is_dir, now)
            })
            .collect();
        let seen: Vec<(bool, &str)> = seen.iter().map(|(is_dir, now)| (*is_dir, now.as_str())).collect();
        assert_eq!(seen, [(false, ""), (true, "old"), (false, "old"), (true, "new")]);
        let full = |_: &fs::File| Err(io::Error::from(io::ErrorKind::StorageFull));
        assert!(replace(&target, b"bad", full).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    fn record() -> Record {
        Record {
            instance: "VI_1".into(),
            interface: "eth0".into(),
            addresses: vec!["192.168.0.60/24".parse().unwrap()],
            tables: Vec::new(),
            device: None,
            habits: None,
            routing: RoutingKeys::default(),
        }
    }

    #[test]
    fn what_is_held_is_found_again() {
        let (_directory, store) = store();
        assert_eq!(store.held().unwrap(), vec![]);
        let table = "ip ha_eth0_51".parse().unwrap();
        let device = Macvlan { name: "eth0".parse().unwrap(), base: "eth1".parse().unwrap(), mac: MacAddr([2; 6]) };
        let habits = ArpHabits { ignore: 0, announce: 1 };
        let other = Record {
            tables: vec![table, "netdev ha_gate_eth0_51_4".parse().unwrap()],
            device: Some(device),
            habits: Some(habits),
            ..record()
        };
        let held = vec![record(), other];
        store.record_held(&held).unwrap();
        assert_eq!(store.held().unwrap(), held);
        store.record_held(&[]).unwrap();
        assert_eq!(store.held().unwrap(), vec![]);
    }

    #[test]
    fn a_record_of_another_boot_means_nothing() {
        let (directory, store) = store();
        store.record_held(&[record()]).unwrap();
        let path = directory.path().join("state/held.json");
        let text = fs::read_to_string(&path).unwrap().replace(&boot_id(), "another");
        fs::write(&path, text).unwrap();
        assert_eq!(store.held().unwrap(), vec![]);
    }

    #[test]
    fn an_owners_addresses_are_not_let_go() {
        let (node1, _) = crate::config::fixture::pair();
        assert_eq!(Record::of(&node1), vec![record()]);
        let mut owner = node1;
        owner.instances[0].priority = crate::wire::Priority::OWNER;
        assert_eq!(Record::of(&owner), vec![]);
    }

    #[test]
    fn the_routes_of_an_owner_are_recorded_as_others_are() {
        let (mut node1, _) = crate::config::fixture::pair();
        let routing = crate::config::fixture::routing();
        node1.instances[0].routing = routing.clone();
        let with_addresses = Record { routing: routing.keys(), ..record() };
        assert_eq!(Record::of(&node1), vec![with_addresses.clone()]);
        node1.instances[0].priority = crate::wire::Priority::OWNER;
        let alone = Record { addresses: Vec::new(), ..with_addresses };
        assert_eq!(Record::of(&node1), vec![alone.clone()]);
        let (_directory, store) = store();
        store.record_held(std::slice::from_ref(&alone)).unwrap();
        assert_eq!(store.held().unwrap(), vec![alone]);
    }

    #[test]
    fn configuration_and_policies_are_kept_for_this_user_only() {
        let (directory, store) = store();
        assert_eq!(store.last_good_config().unwrap(), None);
        store.keep_config("node = \"K1\"").unwrap();
        store.keep_policy("check_local", b"{}").unwrap();
        assert_eq!(store.last_good_config().unwrap().unwrap(), "node = \"K1\"");
        assert_eq!(store.policy("check_local").unwrap().unwrap(), "{}");
        let mode = |file: &str| fs::metadata(directory.path().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("state"), mode("state/ha.toml")), (0o700, 0o600));
        assert_eq!(mode("state/policies/check_local.json"), 0o600);
    }

    #[test]
    fn a_policy_cannot_be_named_out_of_the_directory() {
        let (_directory, store) = store();
        assert!(store.keep_policy("../../etc/cron.d/x", b"").is_err());
        assert!(store.policy("..").is_err());
    }

    #[test]
    fn what_is_left_to_the_next_process_is_known_until_then() {
        let (_directory, store) = store();
        let at = |millis| Instant::from_epoch(Duration::from_millis(millis));
        assert_eq!(store.left_until(at(0)), None);
        store.record_left(Some(at(5000))).unwrap();
        assert_eq!((store.left_until(at(4999)), store.left_until(at(5000))), (Some(at(5000)), None));
        fs::write(store.directory.join(LEFT), r#"{"boot":"another","until_ms":5000}"#).unwrap();
        assert_eq!(store.left_until(at(0)), None, "no address outlives the boot");
        store.record_left(None).unwrap();
        store.record_left(None).unwrap();
    }

    #[test]
    fn one_process_at_a_time() {
        let (_directory, store) = store();
        let first = store.lock().unwrap();
        assert_eq!(store.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        store.lock().unwrap();
    }
}
