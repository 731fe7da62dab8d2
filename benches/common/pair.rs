//! A pair of daemons in a lab of its own, with everybody who watches it: the founding pair unless told otherwise.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use ha::lab::{
    Daemon, Host, Setup, World,
    capture::{Capture, Frame, What},
    observer::Observer,
    process::on_path,
    service::{Web, start_echo},
};

use super::{
    Maker, Result,
    machine::{may_run_scripts, program},
};

/// The policy of the founding pair.
const POLICY: &str = include_str!("../../scripts/check_local.rhai");
/// How long a start may take.
const START: Duration = Duration::from_secs(20);

/// What judges the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Nothing.
    None,
    /// The founding policy; for keepalived the same as a shell script: each second, three failures, two successes.
    Founding,
}

/// How a pair is made up.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose daemon each node runs.
    pub makers: [Maker; 2],
    /// How each is set up.
    pub setups: [Setup; 2],
    /// What judges both.
    pub checks: Checks,
    /// Lines for the top of `ha`'s configuration.
    pub top: &'static str,
    /// Lines for the end of its instance.
    pub instance: &'static str,
    /// The same for keepalived, in its `global_defs`.
    pub globals: &'static str,
}

impl Plan {
    /// The founding pair.
    pub fn founding(makers: [Maker; 2]) -> Self {
        Self {
            makers,
            setups: Host::NODES.map(Setup::founding),
            checks: Checks::Founding,
            top: "",
            instance: "",
            globals: "",
        }
    }
}

/// A pair that runs.
#[derive(Debug)]
pub struct Pair {
    /// Node1's daemon and node2's.
    pub daemons: [Daemon; 2],
    /// Who holds the address.
    pub observer: Observer,
    /// Who says what.
    pub capture: Capture,
    /// Their web servers.
    pub webs: [Web; 2],
    /// The machines.
    pub world: World,
    plan: Plan,
}

impl Pair {
    /// Starts node1, waits until it has the address, starts node2, and lets both settle.
    ///
    /// # Errors
    /// Something is missing on this machine, or they do not come up.
    pub fn start(plan: Plan) -> Result<Self> {
        let world = World::build()?;
        for node in Host::NODES {
            start_echo(&world, node)?;
        }
        let [node1, node2] = Host::NODES;
        let webs = [Web::start(&world, node1)?, Web::start(&world, node2)?];
        let (observer, capture) = (Observer::start(&world)?, Capture::start(&world)?);
        let first = daemon(&world, node1, &plan)?;
        observer.wait_for(&[node1], START)?;
        let daemons = [first, daemon(&world, node2, &plan)?];
        thread::sleep(Duration::from_secs(3));
        if observer.holders().into_iter().ne([node1]) {
            return Err("node1 did not keep the address while node2 started".into());
        }
        Ok(Self { daemons, observer, capture, webs, world, plan })
    }

    /// Whose daemon a node runs.
    pub fn maker(&self, node: Host) -> Maker {
        self.plan.makers[index(node)]
    }

    /// Starts the daemon of node1 once more.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self) -> Result<Instant> {
        let now = Instant::now();
        let [first, _] = &mut self.daemons;
        *first = daemon(&self.world, Host::Node1, &self.plan)?;
        Ok(now)
    }

    /// Waits for an advertisement of node1, and then for a part of the interval that is different in each `run`, spread
    /// evenly over many runs. Returns when the last advertisement was.
    pub fn reach_a_phase(&self, run: u32) -> Instant {
        const GOLDEN: f64 = 0.618_033_988_749_895;
        let interval = self.plan.setups[0].advertise;
        let since = Instant::now();
        let heard = loop {
            if let Some(frame) = self.first_advertisement(Host::Node1, since, |_| true) {
                break frame.at;
            }
            thread::sleep(Duration::from_millis(1));
        };
        let phase = interval.mul_f64((f64::from(run) * GOLDEN).fract() * 0.95);
        thread::sleep((heard + phase).saturating_duration_since(Instant::now()));
        heard
    }

    /// The first advertisement of a node after a moment whose priority is as wanted.
    pub fn first_advertisement(&self, node: Host, after: Instant, wanted: impl Fn(u8) -> bool) -> Option<Frame> {
        self.capture.frames().into_iter().find(|frame| {
            frame.from == node
                && frame.at >= after
                && matches!(frame.what, What::Advertisement { priority, .. } if wanted(priority))
        })
    }

    /// Waits until a node has taken the address (or let go of it) after a moment; `None` if it does not in time.
    pub fn wait_for(&self, node: Host, holds: bool, after: Instant, at_most: Duration) -> Option<Instant> {
        let until = Instant::now() + at_most;
        loop {
            let seen = self.observer.first(node, holds, after);
            if seen.is_some() || Instant::now() > until {
                return seen;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn daemon(world: &World, node: Host, plan: &Plan) -> Result<Daemon> {
    let (maker, setup) = (plan.makers[index(node)], &plan.setups[index(node)]);
    // Each node has its own copy: no page of one counts as shared with the other.
    let copy = copy_of(world, node, maker)?;
    Ok(match (maker, plan.checks) {
        (Maker::Ha, Checks::None) => {
            let config = format!("{}{}{}", plan.top, setup.toml(node), plan.instance);
            Daemon::ha(world, node, &copy, &config, &[])?
        }
        (Maker::Ha, Checks::Founding) => {
            let config = format!("{}{}{}policies = [\"check_local\"]\n", plan.top, setup.toml(node), plan.instance);
            Daemon::ha(world, node, &copy, &config, &[("check_local", POLICY)])?
        }
        (Maker::Keepalived, checks) => {
            let script = match checks {
                Checks::None => None,
                Checks::Founding => Some(script(world, node)?),
            };
            let config = setup.keepalived_conf(node, script.as_deref());
            // The script lies in a directory for temporary files, which keepalived would object to.
            let config = config.replace(" enable_script_security\n", plan.globals);
            Daemon::keepalived(world, node, &copy, &config)?
        }
    })
}

fn index(node: Host) -> usize {
    usize::from(node == Host::Node2)
}

fn copy_of(world: &World, node: Host, maker: Maker) -> Result<PathBuf> {
    let copy = world.directory(node)?.join(maker.name());
    if !copy.exists() {
        fs::copy(program(maker)?, &copy)?;
    }
    Ok(copy)
}

/// The founding policy as keepalived's users write it.
fn script(world: &World, node: Host) -> Result<PathBuf> {
    if !may_run_scripts() {
        return Err("keepalived runs no script in a user namespace; run this as root".into());
    }
    for needed in ["curl", "ping"] {
        on_path(needed).ok_or_else(|| format!("{needed} is not installed"))?;
    }
    let path = world.directory(node)?.join("check_local.sh");
    let text = format!(
        "#!/bin/sh\n[ \"$(curl -s -o /dev/null -m 2 -w '%{{http_code}}' http://{}/)\" = 200 ] || exit 1\n\
         exec ping -q -c 1 -W 1 {} >/dev/null\n",
        node.address(),
        Host::Arbiter.address()
    );
    fs::write(&path, text)?;
    fs::set_permissions(&path, Permissions::from_mode(0o700))?;
    Ok(path)
}
