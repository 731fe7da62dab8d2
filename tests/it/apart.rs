//! The cut between two nodes that both reach the arbiter and not each other: nobody can tell them which of them is meant. Both serve,
//! whatever is preferred, and one does once they see each other again. Who does not reach the arbiter either is the isolated one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own machinery")]

use ha::{
    config::Preference,
    policy::Engine,
    sim::{self, Outcome},
};

use crate::mutations::{FOUNDING, scenario};

const BOTH: [Preference; 2] = [Preference::Safety, Preference::Availability];
const APART: &str = "at 12s expect a leads\nat 12s cut a -> b\nat 12s cut b -> a\n";

fn play(prefer: Preference, steps: &str) -> Outcome {
    let engine = Engine::new();
    let mut story = scenario(&engine, &format!("{FOUNDING}{APART}{steps}"));
    for instance in story.nodes.iter_mut().flat_map(|node| &mut node.setup.config.instances) {
        instance.prefer = prefer;
    }
    sim::play(&story, &engine, None)
}

#[track_caller]
fn is_so(prefer: Preference, steps: &str) {
    let outcome = play(prefer, steps);
    assert!(outcome.disappointed == 0 && outcome.violations.is_empty(), "{prefer:?} {:#?}", outcome.log);
}

#[test]
fn apart_with_the_arbiter_both_serve_and_the_higher_one_does_afterwards() {
    let steps = "at 20s expect a is master\nat 20s expect b is master\nat 80s expect a is master\nat 80s expect b is master\n\
                 at 80s heal\nat 82s expect a leads\nat 82s expect b is backup\n";
    BOTH.into_iter().for_each(|prefer| is_so(prefer, steps));
}

/// Whoever is heard and hears nothing, neither its peer nor the witness, takes no key without knowing it and keeps none: the other one
/// serves, or the one that serves already does.
#[test]
fn whoever_hears_nothing_leaves_it_to_the_other() {
    let engine = Engine::new();
    for pair in ["arbiter", "strict", "short", "group", "beside"] {
        let nodes = ["a", "b"].iter().zip(["1", "2"]);
        let nodes: String =
            nodes.map(|(node, nth)| format!("node {node} tests/scenarios/witness/{pair}{nth}.toml\n")).collect();
        for cut in ["cut a -> b", "cut b -> a", "filter a -> b", "filter b -> a"] {
            for deaf in ["a", "b"] {
                let steps = format!("at 20s {cut}\nat 20s witness unheard by {deaf}\nend 60s\n");
                let outcome = sim::play(&scenario(&engine, &format!("{nodes}{steps}")), &engine, None);
                let serves = outcome.reigns.iter().filter(|reign| reign.to == outcome.reigns.last().unwrap().to);
                let serves = serves.map(|reign| reign.holders.len()).collect::<Vec<_>>();
                assert!(serves.iter().all(|holders| *holders == 1), "{pair}: {steps}{serves:?} {:#?}", outcome.reigns);
                assert!(outcome.violations.is_empty(), "{pair}: {steps}{:#?}", outcome.violations);
            }
        }
    }
}

/// An interval after they see each other again there is one, and the handover is no gap.
#[test]
fn apart_ends_within_an_interval_and_without_a_gap() {
    for prefer in BOTH {
        for heal in (0..10).map(|step| 30_000 + step * 97) {
            let outcome = play(prefer, &format!("at {heal}ms heal\nat 40s expect a leads\n"));
            assert_eq!(outcome.disappointed, 0, "{prefer:?} {heal}");
            let heal = std::time::Duration::from_millis(heal);
            let two = outcome.reigns.iter().filter(|reign| reign.holders.len() > 1 && reign.to > heal);
            let longest = two.map(|reign| reign.to.saturating_sub(heal)).max().unwrap_or_default();
            assert!(longest <= std::time::Duration::from_millis(1030), "{prefer:?} {heal:?}: {longest:?}");
            let served = outcome.reigns.iter().filter(|reign| reign.from > heal);
            assert!(served.into_iter().all(|reign| !reign.holders.is_empty()), "{prefer:?} {:#?}", outcome.reigns);
        }
    }
}

/// The master alone loses the arbiter too: then it is the isolated one, and lets go; or it keeps what it has, if that is preferred.
#[test]
fn apart_and_without_the_arbiter_the_master_is_isolated() {
    let lost = "at 12s probe a check_local ping down\n";
    is_so(Preference::Safety, &format!("{lost}at 30s expect b leads\n"));
    let kept = "at 30s expect a is master\nat 30s expect b is master\nat 30s expect a has isolated\n";
    is_so(Preference::Availability, &format!("{lost}{kept}"));
}

/// The standby alone loses it: it never takes what it does not hear.
#[test]
fn apart_and_without_the_arbiter_the_standby_takes_nothing() {
    let steps = "at 12s probe b check_local ping down\nat 40s expect a leads\nat 40s expect b is fault\n";
    BOTH.into_iter().for_each(|prefer| is_so(prefer, steps));
}

/// Both lose it: nobody has it, or whoever had it.
#[test]
fn apart_and_both_without_the_arbiter_nobody_takes() {
    let lost = "at 12s probe a check_local ping down\nat 12s probe b check_local ping down\n";
    is_so(Preference::Safety, &format!("{lost}at 40s expect nobody leads\n"));
    is_so(Preference::Availability, &format!("{lost}at 40s expect a leads\n"));
}
