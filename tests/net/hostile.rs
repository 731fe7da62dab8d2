//! A policy that means harm, on the master of a pair that advertises each 10 ms: no advertisement is late for it.

use std::time::{Duration, Instant};

use ha::lab::{Host, Setup, capture::What};

use crate::{
    Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 1] = [Story {
    name: "a_hostile_policy_delays_no_advertisement",
    needs: &[],
    seconds: 60,
    tell: no_advertisement_is_late,
}];

const INTERVAL: Duration = Duration::from_millis(10);

/// Another bomb each time.
const HOSTILE: &str = r#"const INTERVAL = "50ms";
fn again() { again() }
fn check() {
    let turn = get("turn", 0);
    put("turn", (turn + 1) % 8);
    let text = "";
    text.pad(60000, "x");
    switch turn {
        0 => { loop {} }
        1 => again(),
        2 => { let list = []; list.pad(1000, 0); loop { list.sort(|x, y| 1) } }
        3 => { let map = #{}; for i in 0..1000 { map[`k${i}`] = text + i; } }
        4 => { let chain = || 1; loop { let inner = chain; chain = || inner.call(); } }
        5 => { let f = Fn("again"); loop { f = f.curry(f); } }
        6 => text.replace("x", text),
        _ => { for i in 0..64 { tcp(`192.0.2.${i}:1`, #{ timeout: "100ms" }); } }
    }
}
"#;

fn no_advertisement_is_late(stage: &Stage) {
    let setup = |node| Setup::founding(node).version3(INTERVAL);
    // On probation it would be taken back at once, for it throws.
    let config = setup(Host::Node1).toml(Host::Node1)
        + "peer_down_adverts = 20\npolicies = [\"hostile\"]\n[policy]\nprobation = \"0s\"\n";
    let node1 = stage.ha_with(Host::Node1, &config, &[("hostile", "fn check() { healthy() }\n")]);
    // A machine that is busy otherwise makes nobody take over.
    let patient = setup(Host::Node2).toml(Host::Node2) + "down_adverts = 20\n";
    let _node2 = stage.ha_with(Host::Node2, &patient, &[]);
    stage.held_by(&[Host::Node1], 20);
    pass(Duration::from_secs(1));
    let usual = longest_silence(stage, Duration::from_secs(3));
    node1.write_policy("hostile", HOSTILE).unwrap();
    let complains = || {
        let instance = stage.instance(&node1).unwrap_or_default();
        instance["reports"][0]["error"].as_str().is_some_and(|error| error.contains("hostile.rhai:"))
    };
    wait_until("the hostile policy is evaluated", Duration::from_secs(10), complains);
    let begin = Instant::now();
    let longest = longest_silence(stage, Duration::from_secs(8));
    wait_until("the hostile policy is still evaluated", Duration::from_secs(10), complains);
    println!("longest time between two advertisements: {longest:?}, {usual:?} without the hostile policy");
    assert_eq!(stage.observer.first(Host::Node1, false, begin), None, "nothing moves");
    // Without real-time priority a busy machine is late by itself.
    assert!(longest <= 3 * INTERVAL.max(usual), "{longest:?} between two advertisements, {usual:?} before");
}

/// The longest time between two advertisements of node1; node2 says nothing meanwhile.
fn longest_silence(stage: &Stage, watched: Duration) -> Duration {
    let begin = Instant::now();
    pass(watched);
    let end = Instant::now();
    let [sent, other] = Host::NODES.map(|node| -> Vec<Instant> {
        let frames = stage.capture.from(node, begin, end).into_iter();
        frames.filter(|frame| matches!(frame.what, What::Advertisement { .. })).map(|frame| frame.at).collect()
    });
    assert_eq!(other.len(), 0, "nobody else advertises");
    sent.windows(2).map(|two| two[1] - two[0]).max().unwrap()
}
