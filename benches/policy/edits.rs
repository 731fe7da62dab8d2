//! From the last write of a policy's file to the first report of its new version, through the daemon's watch.

use std::{
    fs,
    os::unix::fs::symlink,
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
    policy::probe::{Pending, ProbeRequest, Prober},
};
use tokio::sync::watch;

use super::{common::Result, met, milliseconds, permille};

/// From the beginning of the last write.
const MOST: Duration = Duration::from_millis(100);

/// Ways in which people and programs save a file.
#[derive(Clone, Copy, Debug)]
enum Way {
    InPlace,
    Rename,
    SymlinkSwap,
}

/// Every way, so many times each. Whether the bound was met by each median and 99 of 100.
pub(crate) fn measure(times: usize) -> Result<bool> {
    println!(
        "\nsaved and live: from the beginning of the last write to the first report of the new version, {times} times each"
    );
    let mut all_met = true;
    for way in [Way::InPlace, Way::Rename, Way::SymlinkSwap] {
        let mut taken = one_way(way, times)?;
        taken.sort();
        let is_met = permille(&taken, 990) < MOST;
        all_met &= is_met;
        println!(
            "  {:14} median {}, 99 % {}, worst {} (99 % below 100 ms: {})",
            format!("{way:?}"),
            milliseconds(permille(&taken, 500)),
            milliseconds(permille(&taken, 990)),
            milliseconds(taken[taken.len() - 1]),
            met(is_met)
        );
    }
    Ok(all_met)
}

fn one_way(way: Way, times: usize) -> Result<Vec<Duration>> {
    let base = tempfile::tempdir()?;
    let directory = base.path().join("policies");
    fs::create_dir(&directory)?;
    save(way, &directory, 0)?;
    let config = configuration(base.path())?;
    let mut node = ha::node::Node::new(ha::words::Instant::ZERO, &config).status();
    node.instances[0].source = Some("192.168.0.20".parse()?);
    let status = watch::Sender::new(Arc::new(node));
    let (tell, said) = mpsc::channel();
    let store = Store::open(&base.path().join("state"))?;
    let surroundings = Surroundings {
        clock: Arc::new(DriverClock::default()),
        prober: Arc::new(NoProbes),
        keeping: Keeping::open(store.clone(), Arc::new(DriverClock::default())),
        store,
        status: status.subscribe(),
        say: Arc::new(move |said| drop(tell.send((Instant::now(), said)))),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let _policies = Policies::start(&config, surroundings).map_err(|error| error.to_string())?;
    wait_for(&said, 0)?;
    let taken = (1..=times).map(|number| {
        // No rhythm that could agree with a timer's.
        std::thread::sleep(Duration::from_millis(350 + u64::try_from(number * 37 % 100)?));
        let begun = save(way, &directory, number)?;
        Ok(wait_for(&said, number)?.saturating_duration_since(begun))
    });
    taken.collect()
}

/// When the report of that version came.
fn wait_for(said: &mpsc::Receiver<(Instant, Said)>, number: usize) -> Result<Instant> {
    let wanted = format!("version {number}.");
    loop {
        let (at, said) = said.recv_timeout(Duration::from_secs(5))?;
        if let Said::Judged { report, .. } = said
            && format!("{:?}", report.verdict).contains(&wanted)
        {
            return Ok(at);
        }
    }
}

/// When the last write began.
fn save(way: Way, directory: &Path, number: usize) -> Result<Instant> {
    let file = directory.join("edited.rhai");
    let text = format!("const INTERVAL = \"30s\";\nfn check() {{ hold(\"version {number}.\") }}\n");
    match way {
        Way::InPlace => {
            let begun = Instant::now();
            fs::write(&file, text)?;
            Ok(begun)
        }
        Way::Rename => {
            let beside = directory.join(".edited.rhai.new");
            fs::write(&beside, text)?;
            let begun = Instant::now();
            fs::rename(&beside, &file)?;
            Ok(begun)
        }
        // As Kubernetes does: the file is a link through `..data`, which is renamed over.
        Way::SymlinkSwap => {
            let version = format!("..version{number}");
            fs::create_dir(directory.join(&version))?;
            fs::write(directory.join(&version).join("edited.rhai"), text)?;
            symlink(&version, directory.join("..data_tmp"))?;
            if number == 0 {
                symlink("..data/edited.rhai", &file)?;
            }
            let begun = Instant::now();
            fs::rename(directory.join("..data_tmp"), directory.join("..data"))?;
            Ok(begun)
        }
    }
}

fn configuration(base: &Path) -> Result<Config> {
    let text = "node = \"K1\"\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\npriority = 100\nversion = 2\n\
                advertise = \"1s\"\naddresses = [\"192.168.0.60/24\"]\npeers = [\"192.168.0.21\"]\npolicies = [\"edited\"]\n";
    let loaded = config::parse(text, &base.join("ha.toml"), &config::Facts::default());
    Ok(loaded.map_err(|problems| format!("{problems:?}"))?.config)
}

/// No probe is made here.
struct NoProbes;

impl Prober for NoProbes {
    fn start(&self, _: &ProbeRequest) -> Pending {
        mpsc::channel().1
    }
}
