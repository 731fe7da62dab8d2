//! Which configuration the daemon runs by: the file's, or, if that is broken at boot, the last good one.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    awaited::Awaited,
    guarded, keys,
    origin::Origin,
    policies::{DriverClock, Keeping},
    refusal::{Refusal, Unusable},
    regular,
    store::Store,
};
use crate::{
    config::{Config, Facts, Instance, Loaded, Problems, Renames, parse, text_of},
    control::Reload,
    linux::{enter_network, snapshot},
};

/// Where the state lies if the file does not say otherwise.
const STATE_DIR: &str = "/var/lib/ha";
/// How long a start waits for the keys and passwords that the configuration names: their file server may start as well.
const START_TIME: Duration = Duration::from_secs(30);
/// So long before nobody waits any more it is said which of them does not come.
const TO_SAY_SO: Duration = Duration::from_millis(200);

/// A configuration, the text it was made of, and whether that is the one on disk.
#[derive(Debug)]
pub(super) struct Booted {
    /// What this process does of it.
    pub(super) loaded: Loaded,
    /// All of it, with what is done in other networks.
    pub(super) whole: Config,
    pub(super) text: String,
    pub(super) last_good: bool,
}

/// The configuration, read inside the network namespace that it names: from here on this thread, and whoever it starts,
/// works there.
///
/// # Errors
/// There is no usable configuration, or no such namespace: nothing may be held in another one.
pub(super) fn inside(origin: &Origin) -> Result<Booted, Refusal> {
    let awaited = Awaited::within(START_TIME);
    let booted = configuration(origin, &awaited)?;
    // Whoever works for another one was started in its network, which may have lost its name since.
    let Some(netns) = booted.loaded.config.netns.as_ref().filter(|_| origin.network().is_none()) else {
        return Ok(booted);
    };
    enter_network(&netns.path()).map_err(|why| Refusal::Machine(format!("{why}; not started")))?;
    // What it says of this machine's networks was another network.
    let again = configuration(origin, &awaited)?;
    stays_inside(&booted.loaded.config, &again.loaded.config).map_err(Refusal::Machine)?;
    Ok(again)
}

/// A daemon that runs stays in its network.
///
/// # Errors
/// A sentence.
pub(super) fn stays_inside(old: &Config, new: &Config) -> Result<(), String> {
    if old.netns == new.netns {
        return Ok(());
    }
    Err("netns cannot change while ha runs, it would hold addresses in two networks: restart ha".to_owned())
}

/// The file's configuration, or the last good one with an alarm.
///
/// # Errors
/// Everything that is wrong with the file, if there is no last good one or it is not wanted. Or what it names does not come: then
/// nothing is known to be wrong with it.
pub(super) fn configuration(origin: &Origin, awaited: &Awaited) -> Result<Booted, Unusable> {
    configuration_or_kept(origin, awaited, Path::new(STATE_DIR))
}

/// `usual`: where the last good one lies unless the file says otherwise.
fn configuration_or_kept(origin: &Origin, awaited: &Awaited, usual: &Path) -> Result<Booted, Unusable> {
    let path = &origin.path();
    let problems = match from_file(origin, awaited) {
        Err(unusable) if !unusable.is_late => unusable.problems,
        booted_or_late => return booted_or_late,
    };
    // What others could have written does not even say where the last good one lies.
    let trusted = guarded::distrust(path).is_none();
    let written = text_of(path, regular::open).ok().filter(|_| trusted).unwrap_or_default();
    let wanted = setting(&written, "boot_last_good").is_none_or(|value| value != "false");
    let state_dir =
        setting(&written, "state_dir").map_or_else(|| usual.to_owned(), |dir| path.with_file_name("").join(dir));
    let store = Store::at(&state_dir);
    let kept = wanted.then(|| store.last_good_config().ok().flatten()).flatten();
    let Some(text) = kept else { return Err(problems.into()) };
    let Ok(mut loaded) = parse(&text, path, &facts(origin)) else { return Err(problems.into()) };
    if !loaded.config.boot_last_good {
        return Err(problems.into());
    }
    if let Some(objection) = guarded::distrust_kept(&store.config_file(), keeper_of(&written, &text).as_deref()) {
        tracing::error!("the last good configuration is not used: {}", objection.what());
        return Err(problems.into());
    }
    if keys::demand(path, &mut loaded.config, until(awaited)).is_err() {
        return Err(problems.into());
    }
    let Ok((loaded, whole)) = part_of(loaded, origin) else { return Err(problems.into()) };
    let problems = problems.with_outcome("running by the last good configuration instead");
    tracing::error!("{problems}");
    Ok(Booted { loaded, whole, text, last_good: true })
}

/// The file's configuration. What reading writes is not written for nobody.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn from_file(origin: &Origin, awaited: &Awaited) -> Result<Booted, Unusable> {
    origin.refresh(&|| !awaited.is_given_up())?;
    let path = &origin.path();
    guarded::refuse(path)?;
    let text = text_of(path, regular::open)?;
    let mut loaded = parse(&text, path, &facts(origin))?;
    loaded.warnings.extend(guarded::exposure(path, &loaded.config));
    keys::demand(path, &mut loaded.config, until(awaited))?;
    let (loaded, whole) = part_of(loaded, origin)?;
    Ok(Booted { loaded, whole, text, last_good: false })
}

/// Until when keys and passwords are waited for.
fn until(awaited: &Awaited) -> Instant {
    let until = awaited.until();
    until.checked_sub(TO_SAY_SO).unwrap_or(until)
}

/// The user as whom the daemon works that kept a text, as the file on disk says. Whoever works as that user can write there what he
/// likes: it counts only if it gives him no other rights and no other places than the file does.
fn keeper_of(written: &str, kept: &str) -> Option<String> {
    let [written, kept] = [written, kept].map(|text| text.parse::<toml::Table>().ok());
    let (written, kept) = (written?, kept?);
    let agree = ["privileges", "control"].iter().all(|table| written.get(*table) == kept.get(*table));
    let user = written.get("privileges")?.get("user")?.as_str()?;
    agree.then(|| user.to_owned())
}

/// What this process does of a configuration, and all of it.
///
/// # Errors
/// There is nothing to do for it in its network.
fn part_of(loaded: Loaded, origin: &Origin) -> Result<(Loaded, Config), Problems> {
    let whole = loaded.config;
    let config = origin.part_of(&whole);
    if let Some(network) = origin.network().filter(|_| config.instances.is_empty()) {
        let what = format!("{}: no instance names the network namespace {network} any more", origin.path().display());
        return Err(Problems::unreadable(origin.path(), what, "`ha reload` ends the process for that network"));
    }
    Ok((Loaded { config, ..loaded }, whole))
}

/// What policies remembered in the process before this one, by the names that their instances have now.
pub(super) fn remembered(store: &Store, origin: &Origin, config: &Config) -> Keeping {
    let keeping = Keeping::open(store.clone(), Arc::new(DriverClock::default()));
    let renamed = renames_since(store, origin, config);
    if !renamed.is_empty() {
        keeping.rename(&renamed);
    }
    keeping
}

/// Instances that the process before this one called otherwise, by the configuration that it kept. What is known by their names goes
/// on under the new ones, as in a reload.
fn renames_since(store: &Store, origin: &Origin, new: &Config) -> Renames {
    let Ok(Some(text)) = store.last_good_config() else { return Renames::default() };
    // One that cannot be read any more tells nothing.
    let Ok(before) = parse(&text, &origin.path(), &facts(origin)) else { return Renames::default() };
    Renames::between(&origin.part_of(&before.config).instances, [], &new.instances)
}

/// Keeps a text for a boot with a broken file.
pub(super) fn keep(store: &Store, text: &str) -> io::Result<()> {
    if text.is_empty() { Ok(()) } else { store.keep_config(text) }
}

/// What a reload changes, one sentence each.
pub(super) fn changes(old: &Config, new: &Config) -> Vec<String> {
    let renames = Renames::between(&old.instances, [], &new.instances);
    let mut changes = Vec::new();
    let mut before: BTreeMap<&str, &Instance> =
        old.instances.iter().map(|instance| (renames.name(&instance.name), instance)).collect();
    for instance in &new.instances {
        let name = &instance.name;
        let Some(previous) = before.remove(name.as_str()) else {
            changes.push(format!("instance {name} added"));
            continue;
        };
        if previous.name != *name {
            changes.push(format!("instance {} is called {name} now", previous.name));
        }
        if (Instance { name: name.clone(), ..previous.clone() }) != *instance {
            changes.push(format!("instance {name} changed"));
        }
    }
    changes.extend(before.values().map(|gone| format!("instance {} removed", gone.name)));
    if old.policy != new.policy {
        changes.push("[policy] changed".to_owned());
    }
    if old.mail != new.mail {
        changes.push("mail changed".to_owned());
    }
    if old.witness != new.witness {
        changes.push("[witness] changed".to_owned());
    }
    if old.events != new.events {
        changes.push("[events] changed".to_owned());
    }
    if old.policy_dir != new.policy_dir {
        changes.push(format!("policies are read from {}", new.policy_dir.display()));
    }
    if old.webhooks != new.webhooks {
        let names: Vec<&str> = new.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        changes.push(format!("webhooks: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }));
    }
    if old.permits.secrets_dir != new.permits.secrets_dir {
        changes.push(format!("secrets are read from {}", new.permits.secrets_dir.display()));
    }
    if old.permits.allow_exec != new.permits.allow_exec {
        let programs: Vec<String> = new.permits.allow_exec.iter().map(|path| path.display().to_string()).collect();
        let may = if programs.is_empty() { "no program".to_owned() } else { programs.join(", ") };
        changes.push(format!("policies may run {may}"));
    }
    if old.control != new.control
        || old.realtime_priority != new.realtime_priority
        || old.lock_memory != new.lock_memory
        || old.privileges != new.privileges
    {
        let what = "[control], [privileges], realtime_priority and lock_memory";
        changes.push(format!("{what} take effect at the next start"));
    }
    changes
}

/// What a reload did goes to the log.
pub(super) fn tell(reload: &Reload) {
    if reload.changes.is_empty() && reload.remarks.is_empty() && reload.errors.is_empty() {
        tracing::info!("reload: nothing has changed; what is on disk is what runs");
    }
    reload.changes.iter().for_each(|change| tracing::info!("reload: {change}"));
    reload.remarks.iter().for_each(|remark| tracing::warn!("reload: {remark}"));
    reload.errors.iter().for_each(|error| tracing::error!("reload refused: {error}"));
}

/// What this machine knows of its networks, without what this program put there.
fn facts(origin: &Origin) -> Facts {
    let own = |addresses: Vec<crate::node::AddressSeen>| {
        addresses.into_iter().filter(|seen| !seen.marked).map(|seen| seen.address).collect()
    };
    let interfaces = snapshot().unwrap_or_default();
    let interfaces = interfaces.into_iter().map(|(link, addresses)| (link.name, own(addresses))).collect();
    Facts { network: origin.network().cloned(), interfaces }
}

/// The value of a key in a text that is no longer TOML: the first line that reads like it.
fn setting(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.trim_start().strip_prefix(key)?.trim_start().strip_prefix('=')?;
        let value = value.split('#').next().unwrap_or_default().trim();
        Some(value.trim_matches(['"', '\'']).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, sync::mpsc, thread, time::Duration};

    use super::{
        Awaited, Origin, Path, Refusal, START_TIME, Store, changes, configuration_or_kept, keeper_of, renames_since,
        setting, stays_inside,
    };
    use crate::config::{Facts, Netns, parse};

    const GOOD: &str =
        "node = \"a\"\n[instance.A]\ninterface = \"eth0\"\nvirtual_router_id = 1\naddresses = [\"10.0.0.1/24\"]\n";

    fn write(file: &Path, text: &str, mode: u32) {
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn now() -> Awaited {
        Awaited::within(START_TIME)
    }

    /// A service manager starts it again after the one, and not after the other.
    #[test]
    fn a_key_that_does_not_come_is_another_thing_than_a_wrong_one() {
        let directory = tempfile::tempdir().unwrap();
        let (file, usual) = (directory.path().join("ha.toml"), directory.path().join("usual"));
        fs::create_dir(&usual).unwrap();
        fs::set_permissions(&usual, fs::Permissions::from_mode(0o700)).unwrap();
        let key = "peers = [\"10.0.0.2\"]\nauth_hmac = { active_key = 1, keys = { 1 = \"file:key\" } }\n";
        write(&file, &format!("{GOOD}{key}"), 0o600);
        write(&usual.join("ha.toml"), GOOD, 0o600);
        let key = |text: &str| write(&directory.path().join("key"), text, 0o600);
        let boots = |awaited: &Awaited| configuration_or_kept(&Origin::Own(file.clone()), awaited, &usual);
        key(&"k".repeat(32));
        assert!(!boots(&now()).unwrap().last_good);
        let late = boots(&Awaited::within(Duration::ZERO)).unwrap_err();
        let why = late.problems.to_string();
        assert!(why.contains("key is not looked at") && why.contains("look at the file system"), "{why}");
        assert!(matches!(Refusal::from(late), Refusal::Late(_)), "and the last good one is not run by");
        key("short");
        assert!(boots(&now()).unwrap().last_good);
        fs::remove_file(usual.join("ha.toml")).unwrap();
        assert!(matches!(Refusal::from(boots(&now()).unwrap_err()), Refusal::Configuration(_)));
    }

    /// Whoever can write one of them would decide what this process runs.
    #[test]
    fn neither_the_file_nor_the_last_good_one_counts_if_others_could_have_written_it() {
        let directory = tempfile::tempdir().unwrap();
        let (file, state) = (directory.path().join("ha.toml"), directory.path().join("state"));
        fs::create_dir(&state).unwrap();
        let broken = format!("[control]\nstate_dir = \"{}\"\nnode = nobody\n", state.display());
        let boots = |of_file, of_kept, of_state| {
            write(&file, &broken, of_file);
            write(&state.join("ha.toml"), GOOD, of_kept);
            fs::set_permissions(&state, fs::Permissions::from_mode(of_state)).unwrap();
            let booted = configuration_or_kept(&Origin::Own(file.clone()), &now(), &directory.path().join("usual"));
            booted.map(|booted| booted.last_good).ok()
        };
        assert_eq!(boots(0o644, 0o600, 0o700), Some(true));
        assert_eq!(boots(0o666, 0o600, 0o700), None, "it does not say where the last good one lies");
        assert_eq!(boots(0o644, 0o666, 0o700), None);
        assert_eq!(boots(0o644, 0o600, 0o777), None);
    }

    #[test]
    fn a_pipe_in_its_place_keeps_nobody_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let (file, usual) = (directory.path().join("ha.toml"), directory.path().join("usual"));
        fs::create_dir(&usual).unwrap();
        fs::set_permissions(&usual, fs::Permissions::from_mode(0o700)).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let boots = || {
            let (tell, told) = mpsc::channel();
            let (origin, usual) = (Origin::Own(file.clone()), usual.clone());
            thread::spawn(move || tell.send(configuration_or_kept(&origin, &now(), &usual)).is_ok());
            told.recv_timeout(Duration::from_secs(20)).expect("it waits for a writer")
        };
        let refused = boots().unwrap_err().problems.to_string();
        assert!(refused.contains("ha.toml cannot be read: it is no regular file"), "{refused}");
        write(&usual.join("ha.toml"), GOOD, 0o600);
        assert!(boots().unwrap().last_good);
    }

    #[test]
    fn the_last_good_one_may_say_that_it_is_not_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let (file, usual) = (directory.path().join("ha.toml"), directory.path().join("usual"));
        fs::create_dir(&usual).unwrap();
        fs::set_permissions(&usual, fs::Permissions::from_mode(0o700)).unwrap();
        let boots = |kept: &str| {
            // What others could have written does not say whether it is.
            write(&file, &format!("boot_last_good = false\n{GOOD}"), 0o666);
            write(&usual.join("ha.toml"), kept, 0o600);
            configuration_or_kept(&Origin::Own(file.clone()), &now(), &usual).map(|booted| booted.last_good).ok()
        };
        assert_eq!(boots(GOOD), Some(true));
        assert_eq!(boots(&format!("boot_last_good = false\n{GOOD}")), None);
    }

    /// Root's daemon becomes a user, who then keeps the configuration, and could write another one there.
    #[test]
    fn what_the_daemons_user_kept_gives_him_nothing_that_the_file_does_not() {
        let file = |rest: &str| format!("node = 5\n[privileges]\nuser = \"ha\"\n[control]\nstate_dir = \"/s\"\n{rest}");
        assert_eq!(keeper_of(&file(""), &file("[mail]\n")).as_deref(), Some("ha"));
        for kept in [
            GOOD.to_owned(),
            file("").replace("\"ha\"", "\"root\""),
            file("").replace("user = \"ha\"", "user = \"ha\"\ncapabilities = [\"CAP_SYS_ADMIN\"]"),
            file("").replace("/s", "/etc/cron.d"),
            "no TOML".to_owned(),
        ] {
            assert_eq!(keeper_of(&file(""), &kept), None, "{kept}");
        }
        // Nobody can say what such a file gives; nor one in which nobody is named.
        assert_eq!(keeper_of("node = [", &file("")), None);
        assert_eq!(keeper_of(GOOD, GOOD), None);
    }

    #[test]
    fn a_setting_is_found_in_a_broken_text() {
        let text = "node = \"a\n[control]\n  state_dir = \"/tmp/x\" # here\nboot_last_good=false\n";
        assert_eq!(setting(text, "state_dir").as_deref(), Some("/tmp/x"));
        assert_eq!(setting(text, "boot_last_good").as_deref(), Some("false"));
        assert_eq!(setting(text, "socket"), None);
    }

    #[test]
    fn a_daemon_that_runs_stays_in_its_network() {
        const REST: &str =
            "node = \"a\"\n[instance.A]\ninterface = \"eth0\"\nvirtual_router_id = 1\naddresses = [\"10.0.0.1/24\"]\n";
        let config = |netns: &str| {
            let loaded = parse(&format!("{netns}{REST}"), std::path::Path::new("/ha.toml"), &Facts::default());
            loaded.unwrap().config
        };
        let (blue, red, none) = (config("netns = \"blue\"\n"), config("netns = \"red\"\n"), config(""));
        assert_eq!(stays_inside(&blue, &blue), Ok(()));
        for other in [red, none] {
            assert!(stays_inside(&blue, &other).unwrap_err().contains("restart ha"));
        }
    }

    #[test]
    fn what_the_process_before_called_otherwise_is_known_by_what_it_kept() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).unwrap();
        let origin = Origin::Own(directory.path().join("ha.toml"));
        let text = |name: &str| {
            format!(
                "node = \"a\"\n[instance.{name}]\ninterface = \"eth0\"\nvirtual_router_id = 1\naddresses = [\"10.0.0.1/24\"]\n"
            )
        };
        let config = |name: &str| parse(&text(name), &origin.path(), &Facts::default()).unwrap().config;
        let since = |name: &str| {
            let renames = renames_since(&store, &origin, &config(name));
            renames.iter().map(|(old, new)| format!("{old} {new}")).collect::<Vec<_>>()
        };
        assert_eq!(since("WEB"), [""; 0], "nothing was kept");
        store.keep_config(&text("VI_1")).unwrap();
        assert_eq!((since("VI_1"), since("WEB")), (vec![], vec!["VI_1 WEB".to_owned()]));
        store.keep_config("of another version").unwrap();
        assert_eq!(since("WEB"), [""; 0]);
    }

    #[test]
    fn an_instance_that_is_called_otherwise_is_neither_added_nor_removed() {
        let config = |all: &[(&str, u8, u8)]| {
            let one = |(name, vrid, priority): &(&str, u8, u8)| {
                format!(
                    "[instance.{name}]\ninterface = \"eth0\"\nvirtual_router_id = {vrid}\npriority = {priority}\n\
                     addresses = [\"10.0.0.{vrid}/24\"]\n"
                )
            };
            let text = format!("node = \"a\"\n{}", all.iter().map(one).collect::<String>());
            parse(&text, std::path::Path::new("/ha.toml"), &Facts::default()).unwrap().config
        };
        let before = config(&[("A", 1, 100), ("B", 2, 100), ("C", 3, 100)]);
        let after = config(&[("B", 1, 100), ("A", 2, 90), ("D", 4, 100)]);
        assert_eq!(
            changes(&before, &after),
            [
                "instance B is called A now",
                "instance A changed",
                "instance A is called B now",
                "instance D added",
                "instance C removed"
            ]
        );
        assert_eq!(changes(&before, &config(&[("B", 1, 100)])).last().unwrap(), "instance C removed");
        // The same numbers in other networks.
        let mut apart = config(&[("A", 1, 100), ("B", 2, 100)]);
        (apart.instances[1].netns, apart.instances[1].vrid) = (Netns::of("blue"), apart.instances[0].vrid);
        assert_eq!(changes(&apart, &apart), [""; 0]);
    }
}
