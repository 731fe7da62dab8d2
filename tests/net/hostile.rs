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
    let usual = silent(stage, Duration::from_secs(3));
    node1.write_policy("hostile", HOSTILE).unwrap();
    let complains = || {
        let instance = stage.instance(&node1).unwrap_or_default();
        instance["reports"][0]["error"].as_str().is_some_and(|error| error.contains("hostile.rhai:"))
    };
    wait_until("the hostile policy is evaluated", Duration::from_secs(10), complains);
    let begin = Instant::now();
    let hostile = silent(stage, Duration::from_secs(8));
    wait_until("the hostile policy is still evaluated", Duration::from_secs(10), complains);
    assert_eq!(stage.observer.first(Host::Node1, false, begin), None, "nothing moves");
    // It computes nearly all the time. A busy machine is late by itself now and then, without real-time priority.
    assert!(hostile <= usual + 0.25, "silent for {hostile:.3} of the time, {usual:.3} before");
}

/// The part of the time that is silence of node1 for longer than three intervals; node2 says nothing meanwhile.
fn silent(stage: &Stage, watched: Duration) -> f64 {
    let begin = Instant::now();
    pass(watched);
    let end = Instant::now();
    let [sent, other] = Host::NODES.map(|node| -> Vec<Instant> {
        let frames = stage.capture.from(node, begin, end).into_iter();
        frames.filter(|frame| matches!(frame.what, What::Advertisement { .. })).map(|frame| frame.at).collect()
    });
    assert_eq!(other.len(), 0, "nobody else advertises");
    let times: Vec<Instant> = [begin].into_iter().chain(sent).chain([end]).collect();
    let silences = times.windows(2).map(|two| two[1] - two[0]).filter(|silence| *silence > 3 * INTERVAL);
    silences.sum::<Duration>().as_secs_f64() / watched.as_secs_f64()
}
