//! Many policies on one processor: how many are late, and what all of them cost.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Process, Setup, World, process::on_path};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{
    common::{
        Maker, Result,
        machine::{may_run_scripts, program},
    },
    milliseconds, permille,
    server::Visits,
};

/// Between two evaluations.
const INTERVAL: Duration = Duration::from_secs(1);
/// An evaluation is late that begins so much after it was due.
const LATE: Duration = Duration::from_millis(100);
/// What a start costs is over by then.
const SETTLE: Duration = Duration::from_secs(8);

/// Both makers, one after the other.
pub(crate) fn measure(policies: usize, length: Duration) -> Result<()> {
    println!(
        "\n{policies} policies each second on one processor, {} s each (late: {} ms or more)",
        length.as_secs(),
        LATE.as_millis()
    );
    for maker in Maker::ALL {
        match watch(maker, policies, length) {
            Ok(()) => {}
            // The incumbent's figures need its programs, and root.
            Err(error) if maker == Maker::Keepalived => println!("  {:10} not measured: {error}", maker.name()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn watch(maker: Maker, policies: usize, length: Duration) -> Result<()> {
    let world = World::build()?;
    let visits = Visits::serve(&world, Host::Node1)?;
    let mut daemon = on_one_processor(|| match maker {
        Maker::Ha => ha(&world, policies),
        Maker::Keepalived => keepalived(&world, policies),
    })?;
    thread::sleep(SETTLE);
    let (before, from) = (daemon.process().processor_time(), Instant::now());
    thread::sleep(length);
    let to = Instant::now();
    let used = daemon.process().processor_time().saturating_sub(before);
    let visits = visits.between(from, to);
    let made: usize = visits.values().map(Vec::len).sum();
    let gaps = visits.values().flat_map(|times| times.windows(2).map(|two| two[1] - two[0]));
    let mut late: Vec<Duration> = gaps.map(|gap| gap.saturating_sub(INTERVAL)).collect();
    late.sort();
    if late.is_empty() {
        return Err(format!("nothing was asked; its log ends with {:?}", daemon.log().lines().last()).into());
    }
    let expected = policies * usize::try_from(length.as_secs())?;
    let share = |part: usize, of: usize| {
        100.0 * f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(of).unwrap())
    };
    println!(
        "  {:10} made {:.1} % of {expected} evaluations; late {:.1} %; lateness median {}, 99 % {}, worst {}; processor {:.1} %{}",
        maker.name(),
        share(made, expected),
        share(late.iter().filter(|late| **late >= LATE).count(), late.len()),
        milliseconds(permille(&late, 500)),
        milliseconds(permille(&late, 990)),
        milliseconds(late[late.len() - 1]),
        100.0 * used.as_secs_f64() / length.as_secs_f64(),
        memory(daemon.process())
    );
    Ok(())
}

fn memory(process: &Process) -> String {
    format!(", {:.1} MiB PSS", f64::from(u32::try_from(process.memory() / 1024).unwrap_or(u32::MAX)) / 1024.0)
}

/// What is started in `work` inherits the processor.
fn on_one_processor<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).ok_or("no processor")?;
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one)?;
    let done = work();
    sched_setaffinity(None, &before)?;
    done
}

fn names(policies: usize) -> Vec<String> {
    (0..policies).map(|number| format!("p{number:04}")).collect()
}

fn ha(world: &World, policies: usize) -> Result<Daemon> {
    let names = names(policies);
    let text = |name: &String| {
        format!(
            "fn check() {{\n    require(\"web\", http(`http://${{node.addr}}/{name}`));\n    \
             require(\"arbiter\", ping(\"{}\", #{{ timeout: \"1s\" }}), #{{ external: true }});\n}}\n",
            Host::Arbiter.address()
        )
    };
    let texts: Vec<(String, String)> = names.iter().map(|name| (name.clone(), text(name))).collect();
    let pairs: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let config = format!("{}policies = [{}]\n", Setup::founding(Host::Node1).toml(Host::Node1), quoted.join(", "));
    Ok(Daemon::ha(world, Host::Node1, &program(Maker::Ha)?, &config, &pairs)?)
}

fn keepalived(world: &World, policies: usize) -> Result<Daemon> {
    if !may_run_scripts() {
        return Err("keepalived runs no script in a user namespace; run this as root".into());
    }
    for needed in ["curl", "ping"] {
        on_path(needed).ok_or_else(|| format!("{needed} is not installed"))?;
    }
    let directory = world.directory(Host::Node1)?;
    let (mut scripts, mut tracked) = (String::new(), String::new());
    for name in names(policies) {
        let path = directory.join(format!("{name}.sh"));
        fs::write(&path, script(&name))?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        scripts.push_str(&vrrp_script(&name, &path));
        tracked.push_str(&format!("  {name}\n"));
    }
    let setup = Setup::founding(Host::Node1).keepalived_conf(Host::Node1, None);
    let (globals, instance) = setup.split_once("vrrp_instance").ok_or("no instance in the configuration")?;
    let instance = instance.strip_suffix("}\n").ok_or("the configuration ends otherwise")?;
    let config = format!("{globals}{scripts}vrrp_instance{instance} track_script {{\n{tracked} }}\n}}\n");
    Ok(Daemon::keepalived(world, Host::Node1, &program(Maker::Keepalived)?, &config)?)
}

fn vrrp_script(name: &str, path: &Path) -> String {
    format!("vrrp_script {name} {{\n script \"{}\"\n interval 1\n timeout 3\n fall 3\n rise 2\n}}\n", path.display())
}

fn script(name: &str) -> String {
    format!(
        "#!/bin/sh\n[ \"$(curl -s -o /dev/null -m 2 -w '%{{http_code}}' http://{}/{name})\" = 200 ] || exit 1\n\
         exec ping -q -c 1 -W 1 {} >/dev/null\n",
        Host::Node1.address(),
        Host::Arbiter.address()
    )
}
