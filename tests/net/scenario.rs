//! `ha lab --scenario`: a scenario of `ha sim` with real daemons comes to what the simulation comes to.

use std::process::{Command, Stdio};

use crate::{
    Need, Story,
    stage::{HA, Stage},
};

pub(crate) const STORIES: [Story; 2] = [
    Story { name: "a_scenario_comes_to_the_same_with_real_packets", needs: &[Need::Nft], seconds: 60, tell: the_same },
    Story { name: "a_little_chaos_breaks_nothing", needs: &[Need::Nft], seconds: 150, tell: a_little_chaos },
];

fn the_same(_: &Stage) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/lost_word.txt");
    let output = Command::new(HA).args(["lab", "--scenario", file]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Everything was as expected, and as simulated."), "{said}");
    assert_eq!(said.matches("as expected: ").count(), 5, "{said}");
}

/// A longer one by command: `ha lab --scenario FILE --chaos 1800 --seed N`.
fn a_little_chaos(_: &Stage) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/lost_word.txt");
    let arguments = ["lab", "--scenario", file, "--chaos", "6", "--seed", "7"];
    let output = Command::new(HA).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("as expected: well") && said.ends_with("No invariant was broken.\n"), "{said}");
}
