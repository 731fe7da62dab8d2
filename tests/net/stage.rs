//! What every story finds: the machines, and those who watch.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup, World, capture::Capture, client::Stream, observer::Observer, service::start_echo};

use crate::runner;

/// Longer than any handover, on a busy machine too; much shorter than a lease, and than a takeover by silence.
pub(crate) const A_HANDOVER: Duration = Duration::from_secs(1);

/// Calls of the client's 500 a second that may go without an answer where something moves: a busy machine loses some, a takeover
/// by silence hundreds.
pub(crate) const A_FEW: usize = 60;

/// The program under test.
pub(crate) const HA: &str = env!("CARGO_BIN_EXE_ha");

/// The lab and its observers.
pub(crate) struct Stage {
    begin: Instant,
    pub(crate) observer: Observer,
    pub(crate) capture: Capture,
    pub(crate) world: World,
}

impl Stage {
    pub(crate) fn build() -> ha::lab::Result<Self> {
        let world = World::build()?;
        for node in Host::NODES {
            start_echo(&world, node)?;
        }
        Ok(Self { begin: Instant::now(), observer: Observer::start(&world)?, capture: Capture::start(&world)?, world })
    }

    /// keepalived on a node.
    pub(crate) fn keepalived(&self, node: Host, setup: &Setup) -> Daemon {
        self.keepalived_with(node, &setup.keepalived_conf(node, None))
    }

    /// keepalived on a node, with a configuration.
    pub(crate) fn keepalived_with(&self, node: Host, config: &str) -> Daemon {
        let program = runner::keepalived().expect("keepalived was looked for before");
        Daemon::keepalived(&self.world, node, &program, config).unwrap()
    }

    /// `ha` on a node, without policies.
    pub(crate) fn ha(&self, node: Host, setup: &Setup) -> Daemon {
        self.ha_with(node, &setup.toml(node), &[])
    }

    /// `ha` on a node, with a configuration and its policies.
    pub(crate) fn ha_with(&self, node: Host, config: &str, policies: &[(&str, &str)]) -> Daemon {
        Daemon::ha(&self.world, node, Path::new(HA), config, policies).unwrap()
    }

    /// `ha` on both nodes, node1 serving.
    pub(crate) fn pair(&self, setup: fn(Host) -> Setup) -> [Daemon; 2] {
        let pair = Host::NODES.map(|node| self.ha(node, &setup(node)));
        self.held_by(&[Host::Node1], 20);
        pair
    }

    /// Who holds the address now, in order.
    pub(crate) fn holders(&self) -> Vec<Host> {
        self.observer.holders().into_iter().collect()
    }

    /// What a daemon says of its only instance.
    pub(crate) fn instance(&self, daemon: &Daemon) -> Option<serde_json::Value> {
        Some(daemon.status(&self.world)?["instances"][0].clone())
    }

    /// The state it says it is in.
    pub(crate) fn state(&self, daemon: &Daemon) -> Option<String> {
        self.instance(daemon)?["state"].as_str().map(str::to_owned)
    }

    /// Whether it says that a condition is so.
    pub(crate) fn has(&self, daemon: &Daemon, condition: &str) -> bool {
        let instance = self.instance(daemon).unwrap_or_default();
        instance["conditions"].as_array().into_iter().flatten().any(|is| is["name"] == condition)
    }

    /// Waits until it says that a condition is so.
    #[track_caller]
    pub(crate) fn says(&self, daemon: &Daemon, condition: &str, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds);
        while !self.has(daemon, condition) {
            assert!(
                Instant::now() < until,
                "no condition `{condition}`: {:#}",
                self.instance(daemon).unwrap_or_default()
            );
            pass(Duration::from_millis(100));
        }
    }

    /// Waits until a daemon leads because its peer resigned, not because it heard nobody for long enough.
    #[track_caller]
    pub(crate) fn leads_after_a_resignation(&self, daemon: &Daemon) {
        wait_until("it leads because its peer resigned", Duration::from_secs(5), || {
            let instance = self.instance(daemon).unwrap_or_default();
            instance["state"] == "master"
                && instance["reason"].as_str().is_some_and(|reason| reason.ends_with(" resigned"))
        });
    }

    /// The client's stream.
    pub(crate) fn client(&self) -> Stream {
        Stream::start(&self.world).unwrap()
    }

    /// Waits until exactly these hold the address.
    #[track_caller]
    pub(crate) fn held_by(&self, holders: &[Host], seconds: u64) -> Instant {
        self.observer.wait_for(holders, Duration::from_secs(seconds)).unwrap_or_else(|trouble| panic!("{trouble}"))
    }

    /// What the daemons wrote, for a reader of a failure.
    pub(crate) fn print_logs(&self) {
        for node in Host::NODES {
            let log = self.world.root().join(node.name()).join("log");
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            println!("--- {node}'s daemon, last lines\n{}", lines[lines.len().saturating_sub(80)..].join("\n"));
        }
        println!("--- seconds since the start, holders and frames, last ones");
        let since = |at: Instant| at.saturating_duration_since(self.begin).as_secs_f64();
        for change in self.observer.changes() {
            println!("{:9.4} {} {}", since(change.at), change.node, if change.holds { "holds" } else { "let go" });
        }
        let frames = self.capture.frames();
        for frame in &frames[frames.len().saturating_sub(80)..] {
            println!("{:9.4} from {}: {:?}", since(frame.at), frame.from, frame.what);
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, at_most: Duration, mut is_so: impl FnMut() -> bool) -> Instant {
    let until = Instant::now() + at_most;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within {at_most:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Instant::now()
}

/// Nothing happens for a while, on purpose.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// A random part of a second, so that a fault meets every phase of an advertisement interval in the long run.
pub(crate) fn random_phase() -> Duration {
    use std::hash::{BuildHasher, RandomState};
    Duration::from_millis(RandomState::new().hash_one(0) % 1000)
}

/// How often to repeat what depends on a phase: `HA_NET_REPEAT`, or this many times.
pub(crate) fn repetitions(usually: u32) -> u32 {
    std::env::var("HA_NET_REPEAT").ok().and_then(|set| set.parse().ok()).unwrap_or(usually)
}
