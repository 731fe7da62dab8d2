//! The checks of simulations are seen to fail: each deliberate fault is found by a storm, and by none where nothing is wrong.
//!
//! `HA_STORMS=N` runs that many seeds of each, `HA_STORM_SEED=S` one of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own machinery")]

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use ha::{
    config::{self, Claim, Facts, Preempt},
    policy::{Engine, Policy},
    sim::{self, Done, File, Happening, Held, Mutation, Promise, Scenario, rage, shrink, storm},
};

use crate::storms::seeds;

/// How long the storms are.
const MINUTE: Duration = Duration::from_secs(60);
/// Among so many seeds every mutation is found.
const SEEDS: u64 = 150;

fn load(engine: &Engine, file: &str) -> File {
    let path = crate::sources::root().join(file);
    let config = config::load_with(&path, &Facts::default()).unwrap().config;
    let names = config.instances.iter().flat_map(|instance| instance.policies.clone());
    let policies = names.map(|name| {
        let path = config.policy_dir.join(format!("{name}.rhai"));
        let policy = Policy::load(engine, &name, &path.display().to_string(), &fs::read_to_string(&path).unwrap());
        (name, policy.unwrap())
    });
    let policies: BTreeMap<String, Policy> = policies.collect();
    File { config, policies }
}

pub(crate) fn scenario(engine: &Engine, text: &str) -> Scenario {
    sim::read(text, engine, &mut |file| Ok(load(engine, file))).unwrap()
}

pub(crate) const FOUNDING: &str = "node a config/node1.toml\nnode b config/node2.toml\n";

const WITNESSED: &str = "node a tests/scenarios/witness/strict1.toml\nnode b tests/scenarios/witness/strict2.toml\n";

/// Whose violation is found first, with its seed.
fn found(
    engine: &Engine,
    nodes: &Scenario,
    mutation: Option<Mutation>,
    mut seeds: impl Iterator<Item = u64>,
) -> Option<(u64, Scenario, &'static str)> {
    seeds.find_map(|seed| {
        let storm = storm(&nodes.nodes, seed, MINUTE);
        let world = rage(&storm, engine, mutation);
        world.violations.first().map(|violation| (seed, storm, violation.kind))
    })
}

/// Where each mutation is looked for: where nothing else makes up for it. And a seed that finds it, tried first.
fn place(engine: &Engine, mutation: Mutation) -> (Scenario, u64) {
    let pair = if mutation == Mutation::WitnessIgnored { WITNESSED } else { FOUNDING };
    let mut nodes = scenario(engine, pair);
    let (preempts, claims, hint) = match mutation {
        // Nobody yields to whoever wakes, so whoever goes on as if nothing had been takes what another has.
        Mutation::ClockStopsWhileFrozen => (false, true, 1),
        // A master that has preempted and is not heard yields by itself.
        Mutation::NoClaim => (false, true, 1),
        Mutation::PriorityZeroFromAnybody => (false, true, 7),
        // A claim would find out in time, and so would whoever waits for a policy.
        Mutation::ClockBeforePackets => (false, false, 41),
        Mutation::RenewBeforeSend => (true, true, 12),
        Mutation::PutBackBlindly | Mutation::LeaseForEver => (true, true, 30),
        Mutation::KeepWhatIsReleased => (true, true, 1),
        Mutation::NoAnnouncement => (true, true, 0),
        Mutation::Deaf => (true, true, 3),
        Mutation::VerdictsIgnored => (true, true, 12),
        Mutation::WitnessIgnored => (true, true, 9),
        Mutation::KeeperSilent => (true, true, 71),
        Mutation::DeafToResignations => (true, true, 24),
        Mutation::DownTimerTooLong | Mutation::DeletedForGood => (true, true, 0),
        Mutation::NeverYields => (true, true, 1),
        Mutation::BlindToConflicts => (true, true, 73),
    };
    for instance in nodes.nodes.iter_mut().flat_map(|node| &mut node.setup.config.instances) {
        instance.preempt = if preempts { Preempt::AtOnce } else { Preempt::Never };
        instance.claim = if claims { Claim::Auto } else { Claim::Off };
        if mutation == Mutation::ClockBeforePackets {
            instance.policies.clear();
        }
    }
    (nodes, hint)
}

#[test]
fn every_mutation_is_found() {
    let engine = Engine::new();
    for mutation in Mutation::ALL {
        let began = Instant::now();
        let (nodes, hint) = place(&engine, mutation);
        let seeds = std::iter::once(hint).chain(0..SEEDS);
        let Some((seed, _, kind)) = found(&engine, &nodes, Some(mutation), seeds) else {
            panic!("no storm of {SEEDS} finds {mutation:?}");
        };
        eprintln!("{mutation:?}: {kind}, by seed {seed}, in {:.1} s", began.elapsed().as_secs_f32());
    }
}

#[test]
fn what_breaks_is_shrunk_to_a_few_steps_that_break_it_again() {
    let engine = Engine::new();
    let nodes = scenario(&engine, FOUNDING);
    let mutation = Some(Mutation::LeaseForEver);
    let (_, storm, kind) = found(&engine, &nodes, mutation, std::iter::once(30).chain(0..SEEDS)).unwrap();
    let shortest = shrink(&storm, &engine, mutation);
    assert!(shortest.steps.len() < storm.steps.len() / 3, "{shortest}");
    let again = scenario(&engine, &shortest.to_string());
    let world = rage(&again, &engine, mutation);
    assert_eq!(world.violations.first().map(|violation| violation.kind), Some(kind), "{shortest}");
    assert!(rage(&again, &engine, None).violations.is_empty(), "nothing is wrong without the mutation");
}

/// Pairs and triples whose nodes are in files, in every form.
const PLACES: [&str; 10] = [
    FOUNDING,
    "node a examples/fast-node1.toml\nnode b examples/fast-node2.toml\n",
    "node a examples/ipv6-node1.toml\nnode b examples/ipv6-node2.toml\n",
    "node a examples/unicast-node1.toml\nnode b examples/unicast-node2.toml\n",
    "node a config/node1.toml\nkeepalived b config/node2.toml\n",
    "keepalived a config/node1.toml\nnode b config/node2.toml\n",
    WITNESSED,
    "node a tests/scenarios/witness/arbiter1.toml\nnode b tests/scenarios/witness/arbiter2.toml\n",
    "node a tests/scenarios/witness/short1.toml\nnode b tests/scenarios/witness/short2.toml\n",
    "node a tests/scenarios/witness/several1.toml\nnode b tests/scenarios/witness/several2.toml\n",
];

#[test]
fn storms_over_configurations_break_nothing() {
    let engine = Engine::new();
    for place in PLACES {
        let nodes = scenario(&engine, place);
        for seed in seeds(12) {
            let storm = storm(&nodes.nodes, seed, MINUTE);
            if let Some(violation) = rage(&storm, &engine, None).violations.first() {
                panic!("{violation:?}\n{}", shrink(&storm, &engine, None));
            }
        }
    }
}

/// It answers and says nothing. Whoever takes over after silence asks; whoever led before asks nobody, and goes on.
#[test]
fn what_a_killed_keepalived_leaves_is_found_by_whoever_takes_over() {
    let engine = Engine::new();
    let broken = |steps: &str, mutation| {
        let nodes = "keepalived a config/node1.toml\nnode b config/node2.toml\n";
        let world = rage(&scenario(&engine, &format!("{nodes}{steps}")), &engine, mutation);
        world.violations.iter().map(|violation| violation.kind).collect::<Vec<_>>()
    };
    let (before, after) = ("at 17s cut a -> b\nat 35s kill a\nat 37s heal\nend 90s\n", "at 17s kill a\nend 60s\n");
    assert_eq!(broken(before, None), [""; 0]);
    assert_eq!(broken(after, None), [""; 0]);
    assert_eq!(broken(after, Some(Mutation::NoClaim)), ["usurped"]);
}

/// Nobody who serves, or somebody too late: one story each, which breaks nothing without the mutation.
#[test]
fn whoever_leaves_nobody_serving_or_serves_late_is_found() {
    each_is_found(&[
        (Mutation::KeeperSilent, "at 12s kill a\nend 20s\n", "handover"),
        (Mutation::DeafToResignations, "at 12s stop a\nend 20s\n", "handover"),
        (Mutation::DownTimerTooLong, "at 12s poweroff a\nend 20s\n", "unserved"),
        (Mutation::DownTimerTooLong, "end 10s\n", "unserved"),
        (Mutation::DeletedForGood, "at 12s delete a\nend 20s\n", "lost"),
        // It is the isolated one, and goes on.
        (Mutation::VerdictsIgnored, "at 12s poweroff b\nat 12s rule a check_local arbiter down\nend 30s\n", "isolated"),
    ]);
}

/// Two who serve, for longer than what is wrong excuses: one story each, which breaks nothing without the mutation.
#[test]
fn whoever_goes_on_beside_another_is_found() {
    let parted = "at 12s cut a -> b\nat 12s cut b -> a\nat 30s heal\n";
    let deaf = format!("{parted}at 30s filter a -> b\nat 30s filter b -> a\nend 40s\n");
    let parted = format!("{parted}end 40s\n");
    each_is_found(&[
        (Mutation::NeverYields, "at 12s reload b priority 250\nend 20s\n", "two_holders"),
        (Mutation::NeverYields, &parted, "two_holders"),
        (Mutation::BlindToConflicts, &deaf, "two_holders"),
    ]);
}

/// Each breaks this first with its mutation, and nothing without it.
fn each_is_found(stories: &[(Mutation, &str, &str)]) {
    let engine = Engine::new();
    for (mutation, steps, kind) in stories {
        let story = scenario(&engine, &format!("{FOUNDING}{steps}"));
        let broken = |mutation| rage(&story, &engine, mutation).violations.first().map(|violation| violation.kind);
        assert_eq!((broken(None), broken(Some(*mutation))), (None, Some(*kind)), "{mutation:?}: {steps}");
    }
}

/// Frozen while it was late, or late no more: time must go on.
#[test]
fn whoever_is_late_stops_no_clock() {
    let (say, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let engine = Engine::new();
        let steps = "at 5s slow a 10s\nat 7s freeze a\nat 9s thaw a\nat 11s slow a 0s\nat 30s expect well\n";
        let outcome = sim::play(&scenario(&engine, &format!("{FOUNDING}{steps}")), &engine, None);
        say.send(outcome.disappointed)
    });
    assert_eq!(hear.recv_timeout(MINUTE), Ok(0));
}

const THREE: &str = "node a tests/scenarios/three/node1.toml\nnode b tests/scenarios/three/node2.toml\n\
                     node c tests/scenarios/three/node3.toml\n";

/// What happened to an address in virtual time, as what is promised looks at it.
fn held(outcome: &sim::Outcome) -> Vec<Held> {
    let reigns = outcome.reigns.iter();
    reigns.map(|reign| Held { from: reign.from, to: reign.to, by: reign.holders.clone() }).collect()
}

/// What was done to the machines meanwhile.
fn done(scenario: &Scenario) -> Vec<Done> {
    let acts = scenario.steps.iter().filter_map(|step| match &step.what {
        Happening::Do(act) => Some(Done { from: step.at, to: step.at, act: act.clone() }),
        Happening::Expect(_) => None,
    });
    acts.collect()
}

/// What `ha lab --chaos` does with real packets, and the promises that it holds them to.
#[test]
fn chaos_never_makes_two_holders_for_longer_than_its_bound() {
    let engine = Engine::new();
    for nodes in [FOUNDING, THREE].map(|text| scenario(&engine, text)) {
        let promise = Promise::of(&nodes.nodes);
        assert!(promise.two_at_most().is_some());
        for seed in seeds(12) {
            let chaos = sim::chaos(&nodes.nodes, seed, MINUTE);
            let outcome = sim::play(&chaos, &engine, None);
            let (done, held) = (done(&chaos), held(&outcome));
            let nobody = held.iter().filter(|held| held.by.is_empty()).map(|held| (held.from, held.to));
            let late = Duration::from_millis(30);
            let mut breaches = promise.two_holders(&done, &held, late);
            breaches.extend(promise.nobody(&done, &held, &Vec::from_iter(nobody), late));
            let violations = &outcome.violations;
            assert!(breaches.is_empty() && violations.is_empty(), "{breaches:#?} {violations:#?}\n{chaos}");
        }
    }
}

/// Those promises are not empty: what breaks them in virtual time is found.
#[test]
fn what_chaos_promises_is_broken_by_mutations() {
    let engine = Engine::new();
    let nodes = scenario(&engine, FOUNDING);
    let promise = Promise::of(&nodes.nodes);
    let found = (0..SEEDS).any(|seed| {
        let chaos = sim::chaos(&nodes.nodes, seed, MINUTE);
        let outcome = sim::play(&chaos, &engine, Some(Mutation::LeaseForEver));
        !promise.two_holders(&done(&chaos), &held(&outcome), Duration::ZERO).is_empty()
    });
    assert!(found, "a lease without an end breaks nothing in {SEEDS} minutes of chaos");
}
