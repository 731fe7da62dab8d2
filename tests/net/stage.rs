//! What every story finds: the machines, and those who watch.

use std::{
    fs,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup, World, capture::Capture, client::Stream, observer::Observer, service::start_echo};

use crate::runner;

/// The lab and its observers.
pub(crate) struct Stage {
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
        Ok(Self { observer: Observer::start(&world)?, capture: Capture::start(&world)?, world })
    }

    /// keepalived on a node.
    pub(crate) fn keepalived(&self, node: Host, setup: &Setup) -> Daemon {
        let program = runner::keepalived().expect("keepalived was looked for before");
        Daemon::keepalived(&self.world, node, &program, &setup.keepalived_conf(node, None)).unwrap()
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
        println!("--- holders: {:?}", self.observer.changes());
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
