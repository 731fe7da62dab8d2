//! Policies that were damaged: each is refused or loaded, and what is loaded is judged. Nothing panics, nothing hangs.
//!
//! `HA_DAMAGE=5000 cargo test --test it damaged` tries more; a failure prints the text, which is all there is to it. The
//! same with a fuzzer's imagination is `fuzz/fuzz_targets/policy.rs`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's own machinery")]

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use ha::{
    policy::{
        Cap, Clock, Context, Engine, Judge, Policy, STACK, WallTime,
        probe::{ErrorKind, Pending, ProbeOutcome, ProbeRequest, Prober},
        run_tests,
    },
    words::Instant,
};

use crate::sources::root;

/// How often each policy is damaged unless told otherwise.
const TIMES: u64 = 30;

/// Every policy that is shipped.
fn shipped() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut directories: Vec<PathBuf> = ["scripts", "examples", "std"].map(|name| root().join(name)).to_vec();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.extension() {
                _ if path.is_dir() => directories.push(path),
                Some(extension) if extension == "rhai" => paths.push(path),
                Some(_) | None => {}
            }
        }
    }
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(below.max(1)).unwrap()).unwrap()
    }
}

/// Words, numbers, spaces, and each other character for itself.
fn tokens(text: &str) -> Vec<String> {
    let class = |c: char| if c.is_alphanumeric() || c == '_' { 1 } else { u8::from(c == ' ') * 2 };
    let mut tokens: Vec<String> = Vec::new();
    let mut last = 0;
    for c in text.chars() {
        match tokens.last_mut() {
            Some(token) if class(c) != 0 && class(c) == last => token.push(c),
            Some(_) | None => tokens.push(c.to_string()),
        }
        last = class(c);
    }
    tokens
}

/// One to four slips of a hand, or of a disk.
fn damaged(text: &str, dice: &mut Dice) -> String {
    let mut text = text.to_owned();
    for _ in 0..=dice.throw(4) {
        text = if dice.throw(4) == 0 { damaged_bytes(&text, dice) } else { damaged_tokens(&text, dice) };
    }
    text
}

fn damaged_tokens(text: &str, dice: &mut Dice) -> String {
    let mut tokens = tokens(text);
    if tokens.is_empty() {
        return String::new();
    }
    let (one, other) = (dice.throw(tokens.len()), dice.throw(tokens.len()));
    match dice.throw(5) {
        0 => drop(tokens.remove(one)),
        1 => tokens.insert(one, tokens[other].clone()),
        2 => tokens.swap(one, other),
        3 => drop(tokens.drain(one.min(other)..(one.min(other) + dice.throw(30)).min(tokens.len()))),
        _ => tokens.insert(one, HOSTILE[dice.throw(HOSTILE.len())].to_owned()),
    }
    tokens.concat()
}

/// What a hand would not slip to.
const HOSTILE: [&str; 16] = [
    "loop {}",
    "9223372036854775807",
    "-",
    "1e308",
    "[[[[",
    "|x|",
    "`${",
    "#{",
    "()",
    "this",
    "node",
    "check()",
    "/*",
    "\0",
    "9999.h",
    "Fn(\"check\").call()",
];

fn damaged_bytes(text: &str, dice: &mut Dice) -> String {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.is_empty() {
        return String::new();
    }
    let at = dice.throw(bytes.len());
    match dice.throw(3) {
        0 => drop(bytes.remove(at)),
        1 => bytes.insert(at, bytes[at]),
        _ => bytes[at] ^= 1 << dice.throw(8),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every other probe fails.
#[derive(Default)]
struct Fickle(AtomicU64);

impl Prober for Fickle {
    fn start(&self, _: &ProbeRequest) -> Pending {
        let (sender, pending) = mpsc::sync_channel(1);
        let ok = self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let error = if ok { ErrorKind::None } else { ErrorKind::Refused };
        let (why, elapsed, fields) = ("so it is".to_owned(), Duration::from_millis(1), BTreeMap::new());
        let _ = sender.try_send(ProbeOutcome { ok, why, error, blind: false, elapsed, fields });
        pending
    }
}

/// Each look takes ten milliseconds: a deadline comes soon, and always at the same step.
#[derive(Default)]
struct Hasty(AtomicU64);

impl Clock for Hasty {
    fn now(&self) -> Instant {
        Instant::from_epoch(Duration::from_millis(10 * self.0.fetch_add(1, Ordering::Relaxed)))
    }

    fn wall(&self) -> WallTime {
        WallTime::default()
    }
}

/// What is wrong with `ha`, not with the text.
fn fault(engine: &Engine, text: &str) -> Option<String> {
    let policy = Policy::load(engine, "damaged", "damaged.rhai", text).ok()?;
    let prober: Arc<dyn Prober> = Arc::new(Fickle::default());
    let clock: Arc<dyn Clock> = Arc::new(Hasty::default());
    let mut judge = Judge::new();
    let reports = [1, 2].map(|number| judge.evaluate(engine, &policy, number, &Context::default(), &prober, &clock));
    let cap = Cap { clock, time: Duration::from_secs(1) };
    let failures = run_tests(engine, &policy, Some(cap)).failures;
    let said = reports.into_iter().filter_map(|report| report.error);
    said.chain(failures.into_iter().map(|failure| failure.message)).find(|said| said.contains("a fault inside ha"))
}

#[test]
fn damaged_policies_are_refused_or_judged() {
    let times = std::env::var("HA_DAMAGE").ok().and_then(|set| set.parse().ok()).unwrap_or(TIMES);
    let (engine, mut loaded) = (Engine::new(), 0);
    for (path, text) in shipped() {
        for seed in 0..times {
            let text = damaged(&text, &mut Dice(seed));
            loaded += u64::from(Policy::load(&engine, "damaged", "damaged.rhai", &text).is_ok());
            let found = std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().stack_size(STACK);
                let work = || catch_unwind(AssertUnwindSafe(|| fault(&engine, &text)));
                thread.spawn_scoped(scope, work).unwrap().join().unwrap()
            });
            match found {
                Ok(None) => {}
                Ok(Some(fault)) => panic!("{fault}\n{} with seed {seed}:\n{text}", path.display()),
                Err(_) => panic!("a panic\n{} with seed {seed}:\n{text}", path.display()),
            }
        }
    }
    assert!(loaded > times / 20, "so few are still policies that nothing is shown: {loaded}");
}
