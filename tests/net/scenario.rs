//! `ha lab --scenario`: a scenario of `ha sim` with real daemons comes to what the simulation comes to.

use std::process::{Command, Stdio};

use crate::{
    Need, Story, runner,
    stage::{HA, Stage},
};

pub(crate) const STORIES: [Story; 12] = [
    Story { name: "a_scenario_comes_to_the_same_with_real_packets", needs: &[Need::Nft], seconds: 60, tell: the_same },
    Story { name: "a_little_chaos_breaks_nothing", needs: &[Need::Nft], seconds: 300, tell: a_little_chaos },
    Story {
        name: "a_little_chaos_among_three_breaks_nothing",
        needs: &[Need::Nft],
        seconds: 300,
        tell: a_little_chaos_among_three,
    },
    Story {
        name: "apart_from_each_other_both_serve_and_together_one_does",
        needs: &[Need::Nft],
        seconds: 100,
        tell: apart,
    },
    Story {
        name: "a_pair_that_is_migrated_comes_to_the_same_with_the_real_keepalived",
        needs: &[Need::Keepalived],
        seconds: 100,
        tell: |_| as_simulated("../../examples/migration/node1-stops.txt", 3),
    },
    Story {
        name: "keepalived_pulled_and_killed_comes_to_the_same_as_its_model",
        needs: &[Need::Keepalived],
        seconds: 100,
        tell: |_| as_simulated("mixed.txt", 9),
    },
    Story {
        name: "what_befalls_the_witness_comes_to_the_same_with_a_real_etcd",
        needs: &[Need::Etcd, Need::Nft],
        seconds: 180,
        tell: |_| as_simulated("witness_befallen.txt", 9),
    },
    Story {
        name: "a_node_that_hears_nobody_leaves_the_address_to_the_other_with_a_real_etcd",
        needs: &[Need::Etcd, Need::Nft],
        seconds: 160,
        tell: |_| as_simulated("hears_nobody.txt", 4),
    },
    Story {
        name: "a_master_that_is_restarted_asks_the_real_etcd",
        needs: &[Need::Etcd],
        seconds: 100,
        tell: |_| as_simulated("restarted_with_witness.txt", 3),
    },
    Story {
        name: "a_scenario_has_packets_that_are_late_or_come_twice_and_whoever_is_late_himself",
        needs: &[],
        seconds: 100,
        tell: |_| as_simulated("late_and_twice.txt", 9),
    },
    Story { name: "a_scenario_has_both_families", needs: &[], seconds: 100, tell: |_| as_simulated("families.txt", 5) },
    Story {
        name: "a_scenario_has_two_networks_and_a_group_of_keepalived",
        needs: &[Need::Keepalived],
        seconds: 100,
        tell: |_| as_simulated("mixed_routers.txt", 8),
    },
];

/// A file of `tests/scenarios/` with real packets: what is said of it.
fn play(file: &str, more: &[&str]) -> String {
    let file = format!("{}/tests/scenarios/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(HA);
    command.args(["lab", "--scenario", &file]).args(more).env("PATH", runner::path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn the_same(_: &Stage) {
    as_simulated("lost_word.txt", 5);
}

/// The cut in which both reach the arbiter, and not each other.
fn apart(_: &Stage) {
    as_simulated("apart.txt", 5);
}

/// So much is expected and is so, and whoever has the addresses has them in the simulation too.
fn as_simulated(file: &str, expected: usize) {
    let said = play(file, &[]);
    assert!(said.contains("Everything was as expected, and as simulated."), "{said}");
    assert_eq!(said.matches("as expected: ").count(), expected, "{said}");
}

/// A longer one by command: `ha lab --scenario FILE --chaos 1800 --seed N`.
fn a_little_chaos(_: &Stage) {
    chaos("lost_word.txt", "12", "7", 2);
}

fn a_little_chaos_among_three(_: &Stage) {
    chaos("three.txt", "10", "3", 3);
}

fn chaos(file: &str, seconds: &str, seed: &str, nodes: usize) {
    let said = play(file, &["--chaos", seconds, "--seed", seed]);
    assert!(said.contains("as expected: well") && said.ends_with("No invariant was broken.\n"), "{said}");
    assert_eq!(said.matches("KiB of its own").count(), nodes, "{said}");
}
