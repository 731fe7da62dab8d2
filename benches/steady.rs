//! Advertisements every 10 ms (version 3) while other processes keep every processor busy.
//!
//! `cargo bench --bench steady -- [--minutes N] [--keepalived-minutes N] [--hogs N]`, as root: real-time priority is not
//! to be had in a user namespace. A pair of `ha` with real-time priority, then one of keepalived with the same. Counts
//! takeovers, all of them false, and how late advertisements are, by the kernel's time of their arrival at the switch.
//!
//! Exit code 1 where `ha` had no real-time priority (this run shows nothing then) or the address moved.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark may stop where it stands"
)]

#[allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]
mod common;

use std::{
    fs,
    process::{Child, Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use common::{
    Maker, Result,
    machine::{Busy, processors},
    pair::{Checks, Pair, Plan},
};
use ha::lab::{Host, Process, Setup, capture::What};

/// Length of the run with `ha` unless told otherwise.
const MINUTES: f64 = 10.0;
/// Length of the run with keepalived.
const KEEPALIVED_MINUTES: f64 = 2.0;
/// Between two advertisements.
const INTERVAL: Duration = Duration::from_millis(10);
/// The argument of a process that only burns.
const HOG: &str = "--burn";

fn main() -> ExitCode {
    ha::lab::become_program();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == HOG) {
        burn();
    }
    match measure(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("steady: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> Result<ExitCode> {
    let minutes = |name, usual| -> Result<Duration> {
        Ok(Duration::from_secs_f64(60.0 * common::option::<f64>(arguments, name, usual)?))
    };
    let lengths = [minutes("--minutes", MINUTES)?, minutes("--keepalived-minutes", KEEPALIVED_MINUTES)?];
    let hogs = common::option(arguments, "--hogs", processors())?;
    ha::lab::netns::enter_as_root().map_err(|trouble| format!("{trouble}; this benchmark needs root"))?;
    let mut code = ExitCode::SUCCESS;
    for (maker, length) in Maker::ALL.into_iter().zip(lengths).filter(|(_, length)| !length.is_zero()) {
        let steady = watch(maker, length, hogs)?;
        if maker == Maker::Ha && !steady {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Whether it was steady, and by real-time priority.
fn watch(maker: Maker, length: Duration, hogs: usize) -> Result<bool> {
    let mut pair = Pair::start(Plan {
        setups: Host::NODES.map(|node| Setup::founding(node).version3(INTERVAL)),
        checks: Checks::None,
        top: "realtime_priority = 50\nlock_memory = true\n",
        globals: " vrrp_rt_priority 50\n vrrp_no_swap\n",
        ..Plan::founding([maker; 2])
    })?;
    let _hogs = Hogs::start(hogs)?;
    thread::sleep(Duration::from_secs(1));
    let real_time = pair.daemons.each_mut().map(|daemon| real_time_threads(daemon.process()));
    let busy = Busy::start();
    let begin = Instant::now();
    thread::sleep(length);
    let end = Instant::now();
    println!("\n{}, 10 ms, {hogs} busy processes, {:.1} minutes", maker.name(), length.as_secs_f64() / 60.0);
    println!("  {}", busy.describe());
    for (node, threads) in Host::NODES.into_iter().zip(&real_time) {
        let threads = if threads.is_empty() { "no".to_owned() } else { threads.join(", ") };
        println!("  {node}: real-time: {threads}");
    }
    let moved = pair.observer.changes().iter().filter(|change| change.at >= begin && change.at <= end).count();
    let taken = count_of_node2(&pair, begin, end);
    println!("  false takeovers: {taken} advertised by the backup, {moved} changes of the holder");
    lateness(&pair, begin, end);
    Ok(taken == 0 && moved == 0 && real_time.iter().all(|threads| !threads.is_empty()))
}

/// How often the backup began to advertise.
fn count_of_node2(pair: &Pair, begin: Instant, end: Instant) -> usize {
    let mut count = 0;
    let mut last: Option<Instant> = None;
    for frame in pair.capture.from(Host::Node2, begin, end) {
        if matches!(frame.what, What::Advertisement { .. }) {
            count += usize::from(last.is_none_or(|last| frame.at - last > 5 * INTERVAL));
            last = Some(frame.at);
        }
    }
    count
}

fn lateness(pair: &Pair, begin: Instant, end: Instant) {
    let is_advertisement = |what: &What| matches!(what, What::Advertisement { .. });
    let frames = pair.capture.from(Host::Node1, begin, end);
    let at: Vec<Instant> = frames.iter().filter(|frame| is_advertisement(&frame.what)).map(|frame| frame.at).collect();
    let mut late: Vec<Duration> =
        at.windows(2).map(|two| two[1].duration_since(two[0]).saturating_sub(INTERVAL)).collect();
    late.sort();
    let Some(worst) = late.last() else { return println!("  no advertisement") };
    let permille = |part| late[(late.len() - 1).min(late.len() * part / 1000)].as_secs_f64() * 1000.0;
    let more = |than: u64| late.iter().filter(|late| **late > Duration::from_millis(than)).count();
    println!(
        "  {} advertisements; later than 10 ms after the one before by: median {:.3} ms, 99 % {:.3} ms, 99.9 % {:.3} ms, \
         worst {:.3} ms; {} by more than 1 ms, {} by more than 10 ms, {} by more than 20 ms",
        at.len(),
        permille(500),
        permille(990),
        permille(999),
        worst.as_secs_f64() * 1000.0,
        more(1),
        more(10),
        more(20)
    );
}

/// "ha-protocol SCHED_FIFO 50" for each thread of the daemon that the kernel runs so.
fn real_time_threads(process: &Process) -> Vec<String> {
    let tasks = |pid: i32| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let all = process.family().into_iter().flat_map(tasks);
    all.filter_map(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
        // proc_pid_stat(5): field 40 is the real-time priority, 41 the policy; the first here is field 3.
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let policy = match *fields.get(38)? {
            "1" => "SCHED_FIFO",
            "2" => "SCHED_RR",
            _ => return None,
        };
        Some(format!("{name} {policy} {}", fields.get(37)?))
    })
    .collect()
}

/// Processes that do nothing but burn processor time, until they are dropped.
#[derive(Debug)]
struct Hogs(Vec<Child>);

impl Hogs {
    fn start(count: usize) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut hogs = Self(Vec::new());
        for _ in 0..count {
            hogs.0.push(Command::new(&program).arg(HOG).spawn()?);
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

/// Until whoever wants it busy is gone.
fn burn() -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    loop {
        std::hint::spin_loop();
    }
}
