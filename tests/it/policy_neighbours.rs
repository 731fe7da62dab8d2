//! A hostile policy beside a good one, in the daemon's own evaluators: the good one is evaluated all the time, and the
//! hostile one says what is wrong with it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test's own machinery")]

use std::{
    fs,
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use ha::{
    config::{self, Config},
    daemon::{
        policies::{DriverClock, Keeping, Policies, Said, Surroundings},
        store::Store,
    },
    policy::{
        Report, STACK,
        probe::{Pending, ProbeKind, ProbeRequest, Prober},
    },
};
use tokio::sync::watch;

/// Never answers; a file is the probe that panics.
struct Bad;

impl Prober for Bad {
    fn start(&self, request: &ProbeRequest) -> Pending {
        assert!(!matches!(request.kind, ProbeKind::File(_)), "a probe that panics, on purpose");
        let (sender, receiver) = mpsc::channel();
        std::mem::forget(sender);
        receiver
    }
}

/// What each does, and a part of the error that follows. Where there is a probe, the deadline of 5 s passes.
const BOMBS: [(&str, &str); 8] = [
    ("loop {}", "computes too long"),
    ("check()", "deep"),
    ("let a = []; a.pad(1000, 0); a.sort(|x, y| 1); a.sort(|x, y| 1); loop { a.sort(|x, y| 1) }", "computes too long"),
    ("let s = \"\"; s.pad(60000, \"x\"); let m = #{}; for i in 0..1000 { m[`k${i}`] = s + i; }", "more than 8 MiB"),
    ("let f = || 1; loop { let g = f; f = || g.call(); }", "computes too long"),
    ("let s = \"\"; s.pad(120000, \"x\"); s.replace(\"x\", s)", "grows longer"),
    ("file(\"/x\")", "a fault inside ha itself"),
    ("while !ping(\"192.0.2.1\", #{ timeout: \"1m\" }).ok {}", "not finished within its deadline of 1m"),
];

/// An evaluation of the good one each 100 ms; where this machine is busy, two seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// The last bomb's deadline is a minute: it is left alone after this.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

fn configuration(base: &Path) -> Config {
    let text = "node = \"K1\"\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\npriority = 100\nversion = 2\n\
                advertise = \"1s\"\naddresses = [\"192.168.0.60/24\"]\npeers = [\"192.168.0.21\"]\npolicies = [\"good\", \"hostile\"]\n";
    config::parse(text, &base.join("ha.toml"), &config::Facts::default()).unwrap().config
}

struct Reports {
    said: mpsc::Receiver<Report>,
    last_good: Instant,
}

impl Reports {
    /// The next report of the hostile one within that time. Meanwhile the good one's come, or this panics.
    fn hostile(&mut self, within: Duration) -> Option<Report> {
        let until = Instant::now() + within;
        loop {
            let report = self.said.recv_timeout(PATIENCE).unwrap();
            assert!(
                self.last_good.elapsed() < PATIENCE,
                "the good policy is kept waiting: {:?}",
                self.last_good.elapsed()
            );
            match report.policy.as_str() {
                "good" => {
                    assert_eq!(report.error, None);
                    self.last_good = Instant::now();
                }
                _ => return Some(report),
            }
            if Instant::now() > until {
                return None;
            }
        }
    }
}

#[test]
fn a_hostile_policy_delays_no_other() {
    let base = tempfile::tempdir().unwrap();
    let policies = base.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let write = |number: usize, body: &str| {
        let text = format!("const INTERVAL = \"100ms\";\n// {number}\nfn check() {{ {body} }}\n");
        fs::write(policies.join("hostile.rhai"), text).unwrap();
    };
    fs::write(policies.join("good.rhai"), "const INTERVAL = \"100ms\";\nfn check() { require(\"fine\", true); }\n")
        .unwrap();
    write(0, BOMBS[0].0);
    let config = configuration(base.path());
    let mut node = ha::node::Node::new(ha::words::Instant::ZERO, &config).status();
    node.instances[0].source = Some("192.168.0.20".parse().unwrap());
    let status = watch::Sender::new(Arc::new(node));
    let (tell, said) = mpsc::channel();
    let store = Store::open(&base.path().join("state")).unwrap();
    let keeping = Keeping::open(store.clone(), Arc::new(DriverClock::default()));
    let surroundings = Surroundings {
        clock: Arc::new(DriverClock::default()),
        prober: Arc::new(Bad),
        store,
        keeping,
        status: status.subscribe(),
        say: Arc::new(move |said| {
            if let Said::Judged { report, .. } = said {
                let _ = tell.send(report);
            }
        }),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_stack_size(STACK).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let _policies = Policies::start(&config, surroundings).unwrap();
    let mut said = Reports { said, last_good: Instant::now() };
    for (number, (body, wanted)) in BOMBS.into_iter().enumerate() {
        write(number, body);
        let is_last = number + 1 == BOMBS.len();
        let until = Instant::now() + if is_last { LONG_ENOUGH } else { Duration::from_secs(30) };
        let error = loop {
            let report = said.hostile(until.saturating_duration_since(Instant::now()));
            match report.and_then(|report| report.error) {
                Some(error) if error.contains(wanted) => break Some(error),
                Some(_) => {}
                None if Instant::now() >= until => break None,
                None => {}
            }
        };
        assert!(is_last || error.is_some(), "no error with `{wanted}`: {body}");
    }
    runtime.shutdown_background();
}
