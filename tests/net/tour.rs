//! `ha lab`, the command: the guided tour holds, step by step, with `ha` on both nodes and with keepalived on either.
//!
//! The command makes namespaces of its own, inside those of the story.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Need, Story, runner, stage::Stage};

pub(crate) const STORIES: [Story; 3] = [
    Story { name: "tour_of_the_pair", needs: &[Need::Nft], seconds: 400, tell: of_the_pair },
    Story {
        name: "tour_with_keepalived_on_node1",
        needs: &[Need::Keepalived, Need::Nft],
        seconds: 400,
        tell: with_keepalived_on_node1,
    },
    Story {
        name: "tour_with_keepalived_on_node2",
        needs: &[Need::Keepalived, Need::Nft],
        seconds: 400,
        tell: with_keepalived_on_node2,
    },
];

fn of_the_pair(_: &Stage) {
    let document = tour(&[]);
    assert_eq!(document["held"], 12, "{document:#}");
    let shown: Vec<&str> = steps(&document).iter().filter_map(|step| step["id"].as_str()).collect();
    for row in ["S1", "S5", "S8", "S9", "S10", "S12", "S13"] {
        assert!(shown.contains(&row), "{row} is not in {shown:?}");
    }
    for step in steps(&document) {
        for measured in step["measured"].as_array().unwrap() {
            let two = measured["two_holders_ms"].as_f64().unwrap();
            assert!(two < 1000.0, "{step:#}");
        }
    }
    assert!(document["mails"].as_u64().unwrap() > 0, "S3: mail on transitions");
}

fn with_keepalived_on_node1(_: &Stage) {
    let document = tour(&["--keepalived", "1"]);
    assert_eq!(document["machines"][0]["daemon"], "keepalived");
    assert!(document["left_out"].as_u64().unwrap() >= 3, "{document:#}");
}

fn with_keepalived_on_node2(_: &Stage) {
    let document = tour(&["--keepalived", "2"]);
    assert_eq!(document["machines"][1]["daemon"], "keepalived");
    assert_eq!(document["left_out"], 1, "{document:#}");
}

/// The document of a tour in which nothing failed.
#[track_caller]
fn tour(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_ha"))
        .args(["lab", "--json"])
        .args(arguments)
        .env("PATH", runner::path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let broken: Vec<&Value> = steps(&document).into_iter().filter(|step| step["outcome"] == "broken").collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(document["schema"], "ha.lab/1");
    document
}

fn steps(document: &Value) -> Vec<&Value> {
    document["steps"].as_array().into_iter().flatten().collect()
}
