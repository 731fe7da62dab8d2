//! The steps, in order. Each begins with node1 serving and both nodes well, but for the first, which begins with nothing,
//! and S10, which goes on where S8 ends.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    stage::{POLICY, POLICY_NAME, Stage, condition_of, entries},
    step::{BUSY, HANDOVER, Need, Scene, Span, Step, Then},
};
use crate::lab::{fault::Silence, service::Mood, trouble::Result, world::Host};

const NODE1: Host = Host::Node1;
const NODE2: Host = Host::Node2;
/// Long enough for any takeover.
const TAKEOVER: u64 = 12;
/// Long enough for node1 to be judged well and to take the address back.
const RETURN: u64 = 25;

pub(super) const STEPS: [Step; 12] = [
    Step {
        id: "S1",
        title: "both nodes start",
        needs: &[],
        expected: |_| "node1 serves by default, node2 stands by",
        play: start,
        then: Then::Restore,
    },
    Step {
        id: "S9",
        title: "node1's web server answers 500, once",
        needs: &[Need::Policy(NODE1)],
        expected: |_| "one hiccup is not a fault: it is counted, and nothing moves",
        play: hiccup,
        then: Then::Restore,
    },
    Step {
        id: "S8",
        title: "node1's web server answers 500 from now on",
        needs: &[Need::Policy(NODE1)],
        expected: |cast| {
            if cast.is_ha(NODE2) {
                "the third failure in a row moves the address, in milliseconds from the decision"
            } else {
                "the third failure in a row moves the address; keepalived waits its skew of 0.61 s all the same"
            }
        },
        play: broken_service,
        then: Then::GoOn,
    },
    Step {
        id: "S10",
        title: "node1's web server is well again",
        needs: &[Need::Policy(NODE1)],
        expected: |_| "node1 comes back by itself, without a gap",
        play: recovery,
        then: Then::Restore,
    },
    Step {
        id: "S5",
        title: "node1's cable is pulled, and plugged in again",
        needs: &[],
        expected: |_| "node2 takes the address when node1 has been silent for 3 intervals + skew; plugged in, node1 has it back",
        play: cable,
        then: Then::Restore,
    },
    Step {
        id: "S12",
        title: "node2 is cut off from the arbiter, then node1 loses its power",
        needs: &[Need::Policy(NODE2)],
        expected: |_| "node2 does not take the address before it reaches the arbiter again",
        play: arbiter,
        then: Then::Restore,
    },
    Step {
        id: "S13",
        title: "advertisements are dropped between the nodes, 10 s",
        needs: &[Need::Nft],
        expected: |cast| {
            if cast.is_ha(NODE2) {
                "node2 sees that the address is still answered: it reports a conflict and does not take it"
            } else {
                "keepalived on node2 takes the address unasked and keeps it; node1 yields within 6 s"
            }
        },
        play: split,
        then: Then::Restore,
    },
    Step {
        id: "crash",
        title: "SIGKILL to everything of node1's daemon",
        needs: &[],
        expected: |cast| {
            if cast.is_ha(NODE1) {
                "the address is a lease: it goes with its daemon, and node2 takes it; never two holders"
            } else {
                "keepalived leaves its address behind for ever; node2 reports a conflict and does not take it"
            }
        },
        play: crash,
        then: Then::Restore,
    },
    Step {
        id: "crash",
        title: "SIGKILL to node1's daemon alone",
        needs: &[Need::Keeper(NODE1)],
        expected: |cast| {
            if cast.is_ha(NODE2) {
                "its keeper lets go of the address and says so: node2 has it in milliseconds"
            } else {
                "its keeper lets go of the address and says so: keepalived waits its skew of 0.61 s"
            }
        },
        play: crash_alone,
        then: Then::Restore,
    },
    Step {
        id: "freeze",
        title: "SIGSTOP to node1's daemon for 6 s, then SIGCONT",
        needs: &[],
        expected: |cast| {
            if cast.is_ha(NODE1) {
                "the lease ends, node2 takes the address; awake again, node1 does not believe it still has it"
            } else {
                "keepalived's address stays; node2 reports a conflict and does not take it"
            }
        },
        play: freeze,
        then: Then::Restore,
    },
    Step {
        id: "reload",
        title: "node1's policy is edited: badly, wrongly, well",
        needs: &[Need::Policy(NODE1)],
        expected: |_| "what does not compile or fails its own tests is visible and changes nothing; a good edit is live",
        play: reload,
        then: Then::Restore,
    },
    Step {
        id: "stop",
        title: "node1's daemon is stopped in order (SIGTERM)",
        needs: &[],
        expected: |cast| {
            if cast.is_ha(NODE1) {
                "node1 holds the address until node2 has it: no packet is lost"
            } else {
                "keepalived lets go first; node2, the only heir, does not wait"
            }
        },
        play: stop,
        then: Then::Restore,
    },
];

fn start(scene: &mut Scene<'_>) -> Result<()> {
    for node in Host::NODES {
        scene.stage.start(node)?;
        scene.note(format!("started {} on {node}", scene.stage.cast.daemon(node)));
    }
    let held = scene.stage.held_by(&[NODE1], RETURN)?;
    scene.note(format!(
        "node1 has the address after {:.1} s",
        held.saturating_duration_since(scene.began).as_secs_f64()
    ));
    scene.stage.pass_a_second();
    let served = Instant::now();
    scene.stage.pass_a_second();
    let only = scene.stage.observer.holders().into_iter().eq([NODE1]);
    scene.require(only, "the address did not stay on node1");
    scene.span(Span::since("one second of service", served).outage_at_most(HANDOVER).never_two());
    Ok(())
}

fn hiccup(scene: &mut Scene<'_>) -> Result<()> {
    let from = Instant::now();
    scene.stage.web(NODE1).set(Mood::Broken);
    let counted = scene.stage.until("node1's policy sees it", 10, |stage| web_rule(stage).filter(|rule| rule.0 > 0));
    scene.stage.web(NODE1).set(Mood::Well);
    let (fails, fall) = counted?;
    scene.note(format!("answered 500 until the policy counted {fails} failure of {fall}"));
    scene.stage.until("the rule is up again", 10, |stage| web_rule(stage).filter(|rule| rule.0 == 0))?;
    scene.note("the next answer was 200: the count begins anew");
    scene.stage.pass_a_second();
    scene.require(fails < fall, format!("the policy saw {fails} failures"));
    scene.require(is_unmoved(scene.stage, from), "the address moved");
    scene.span(Span::since("a hiccup", from).outage_at_most(HANDOVER).never_two());
    Ok(())
}

fn broken_service(scene: &mut Scene<'_>) -> Result<()> {
    let from = Instant::now();
    scene.stage.web(NODE1).set(Mood::Broken);
    scene.stage.held_by(&[NODE2], TAKEOVER)?;
    let decided = scene.stage.observer.first(NODE1, false, from).unwrap_or(from);
    scene.note(format!("node1 gave the address up {} s after the first 500", seconds(decided.duration_since(from))));
    scene.stage.pass_a_second();
    let why = scene.stage.instance(NODE1).map(|instance| text_of(&instance, "reason")).unwrap_or_default();
    scene.require(why.contains("web"), format!("node1 does not say that its web server is why, but: {why}"));
    let span = told("from node1's decision", scene.stage, decided);
    scene.span(span.two_at_most(HANDOVER));
    Ok(())
}

fn recovery(scene: &mut Scene<'_>) -> Result<()> {
    let well = Instant::now();
    scene.stage.web(NODE1).set(Mood::Well);
    let back = scene.stage.held_by(&[NODE1], RETURN)?;
    scene.note(format!("node1 has it back {} s after the first 200", seconds(back.duration_since(well))));
    scene.stage.pass_a_second();
    scene.span(Span::since("from the first 200", well).outage_at_most(HANDOVER).two_at_most(HANDOVER));
    Ok(())
}

fn cable(scene: &mut Scene<'_>) -> Result<()> {
    let pulled = scene.stage.world.plug(NODE1, false)?;
    scene.stage.held_by(&[NODE2], TAKEOVER)?;
    scene.note("pulled: node2 has the address");
    scene.stage.pass_a_second();
    scene.span(after_silence("pulled", scene.stage, pulled));
    let plugged = scene.stage.world.plug(NODE1, true)?;
    let back = scene.stage.held_by(&[NODE1], RETURN)?;
    scene.note(format!("plugged in: node1 has it back after {} s", seconds(back.duration_since(plugged))));
    scene.stage.pass_a_second();
    scene.span(Span::since("plugged in", plugged).outage_at_most(HANDOVER).two_at_most(HANDOVER));
    Ok(())
}

fn arbiter(scene: &mut Scene<'_>) -> Result<()> {
    scene.stage.world.cut_off(NODE2, Host::Arbiter, true)?;
    scene.stage.pass_a_second();
    let off = scene.stage.power_off(NODE1)?;
    scene.stage.pass_until("node2 must not take the address", off + Duration::from_secs(6));
    scene.require(scene.stage.observer.first(NODE2, true, off).is_none(), "node2 took the address");
    let stays = scene.stage.instance(NODE2).map(|instance| {
        let why = condition_of(&instance, "elected").unwrap_or_else(|| text_of(&instance, "reason"));
        format!("node2 is in state {} after 6 s: {}", text_of(&instance, "state"), first_words(&why))
    });
    scene.note(stays.unwrap_or_else(|| "node2 does not answer".to_owned()));
    scene.span(Span::since("node1 without power", off).never_two());
    let reached = scene.stage.world.cut_off(NODE2, Host::Arbiter, false)?;
    let took = scene.stage.held_by(&[NODE2], RETURN)?;
    scene.note(format!(
        "the arbiter is back: node2 takes the address after {} s",
        seconds(took.duration_since(reached))
    ));
    scene.stage.power_on(NODE1)?;
    let on = Instant::now();
    scene.stage.held_by(&[NODE1], RETURN)?;
    scene.note("node1 has power again, and the address");
    scene.stage.pass_a_second();
    scene.span(Span::since("node1 with power again", on).outage_at_most(HANDOVER).two_at_most(HANDOVER));
    Ok(())
}

fn split(scene: &mut Scene<'_>) -> Result<()> {
    let silences = [Silence { from: NODE1, to: NODE2 }, Silence { from: NODE2, to: NODE1 }];
    let cut = scene.stage.silence(&silences)?;
    let until = cut + Duration::from_secs(10);
    let conflict = if scene.stage.cast.is_ha(NODE2) {
        let seen = scene.stage.until("node2 sees the conflict", 9, |stage| stage.condition(NODE2, "conflict"))?;
        scene.note(format!("node2 after {} s: {}", seconds(cut.elapsed()), first_words(&seen)));
        true
    } else {
        false
    };
    scene.stage.pass_until("there must not be two holders", until);
    let span = Span::since("advertisements dropped", cut);
    scene.span(if conflict {
        span.outage_at_most(HANDOVER).never_two()
    } else {
        span.two_at_most(Duration::from_secs(6))
    });
    let healed = scene.stage.silence(&[])?;
    if conflict {
        let over = |stage: &Stage| stage.condition(NODE2, "conflict").is_none().then_some(());
        scene.stage.until("the conflict is over", 10, over)?;
        scene.note(format!("healed: the conflict is over after {} s", seconds(healed.elapsed())));
        scene.require(is_unmoved(scene.stage, cut), "the address moved");
    }
    scene.stage.held_by(&[NODE1], RETURN).map(drop)
}

fn crash(scene: &mut Scene<'_>) -> Result<()> {
    let killed = scene.stage.daemon(NODE1)?.kill();
    if !scene.stage.cast.is_ha(NODE1) {
        return left_behind(scene, "killed", killed);
    }
    scene.stage.held_by(&[NODE2], TAKEOVER)?;
    let gone = scene.stage.observer.first(NODE1, false, killed).unwrap_or(killed);
    scene.note(format!("the lease ended {} s after the crash", seconds(gone.duration_since(killed))));
    scene.stage.pass_a_second();
    scene.span(after_silence("killed", scene.stage, killed));
    Ok(())
}

fn crash_alone(scene: &mut Scene<'_>) -> Result<()> {
    let killed = scene.stage.daemon(NODE1)?.kill_alone();
    scene.stage.held_by(&[NODE2], TAKEOVER)?;
    scene.note("its keeper, a process of its own, let go of the address and sent priority 0");
    scene.stage.pass_a_second();
    scene.span(told("killed", scene.stage, killed).never_two());
    Ok(())
}

fn freeze(scene: &mut Scene<'_>) -> Result<()> {
    let frozen = scene.stage.daemon(NODE1)?.freeze();
    let until = frozen + Duration::from_secs(6);
    if !scene.stage.cast.is_ha(NODE1) {
        left_behind(scene, "frozen", frozen)?;
        scene.stage.pass_until("frozen", until);
        scene.stage.daemon(NODE1)?.thaw();
        return Ok(());
    }
    let taken = scene.stage.held_by(&[NODE2], 6);
    scene.stage.pass_until("frozen", until);
    scene.span(after_silence("frozen", scene.stage, frozen));
    let thawed = scene.stage.daemon(NODE1)?.thaw();
    taken?;
    scene.note("frozen: node2 has the address");
    let back = scene.stage.held_by(&[NODE1], RETURN)?;
    scene.note(format!(
        "awake again: node1 takes it back after {} s, as a backup does",
        seconds(back.duration_since(thawed))
    ));
    scene.stage.pass_a_second();
    scene.span(Span::since("awake again", thawed).outage_at_most(HANDOVER).two_at_most(HANDOVER));
    Ok(())
}

/// keepalived's address stays on a machine whose daemon is silent: `ha` must not take it as well.
fn left_behind(scene: &mut Scene<'_>, what: &'static str, silent: Instant) -> Result<()> {
    let seen = scene.stage.until("node2 sees the conflict", TAKEOVER, |stage| stage.condition(NODE2, "conflict"))?;
    scene.note(format!("node2 after {} s: {}", seconds(silent.elapsed()), first_words(&seen)));
    scene.stage.pass_a_second();
    scene.require(is_unmoved(scene.stage, silent), "node2 took an address that node1 still holds");
    scene.span(Span::since(what, silent).never_two());
    Ok(())
}

fn reload(scene: &mut Scene<'_>) -> Result<()> {
    let from = Instant::now();
    let generation = |stage: &Stage| stage.status(NODE1)?.pointer("/policies/0/generation")?.as_u64();
    let complaint = |stage: &Stage| {
        Some(text_of(stage.status(NODE1)?.pointer("/policies/0/stale").filter(|stale| stale.is_object())?, "error"))
    };
    let before = generation(scene.stage);
    let policies = format!("{}/", scene.stage.daemon(NODE1)?.directory().join("policies").display());
    let edits = [
        ("it does not compile", POLICY.replacen("fn check() {", "fn check( {", 1)),
        ("its own tests fail", POLICY.replacen("fall: 3", "fall: 4", 1)),
    ];
    for (what, text) in edits {
        let known = complaint(scene.stage);
        let written = scene.stage.daemon(NODE1)?.write_policy(POLICY_NAME, &text)?;
        let look = |stage: &Stage| complaint(stage).filter(|error| known.as_ref() != Some(error));
        let error = scene.stage.until("the bad edit is visible", 10, look)?;
        let error = error.replace(&policies, "");
        let after = written.elapsed().as_millis();
        scene.note(format!("{what}: visible after {after} ms: {}", first_words(&error)));
        scene.require(generation(scene.stage) == before, "a bad edit replaced the policy");
    }
    let good = POLICY.replacen(
        "fn check() {\n",
        "fn check() {\n    watch(\"peer\", ping(\"192.168.0.21\"), #{ fall: 2 });\n",
        1,
    );
    let written = scene.stage.daemon(NODE1)?.write_policy(POLICY_NAME, &good)?;
    let now = |stage: &Stage| generation(stage).filter(|now| before.is_some_and(|before| *now > before));
    let now = scene.stage.until("the good edit is live", 10, now)?;
    scene.note(format!(
        "a rule more, well written: live after {} ms as generation {now}",
        written.elapsed().as_millis()
    ));
    let rule = |stage: &Stage| rule_of(&stage.instance(NODE1)?, "peer").filter(|rule| rule["ok"] == true);
    scene.stage.until("the new rule is evaluated", 10, rule)?;
    scene.require(complaint(scene.stage).is_none(), "the file is still called bad");
    scene.require(is_unmoved(scene.stage, from), "the address moved");
    scene.span(Span::since("three edits", from).outage_at_most(HANDOVER).never_two());
    Ok(())
}

fn stop(scene: &mut Scene<'_>) -> Result<()> {
    let asked = scene.stage.daemon(NODE1)?.terminate()?;
    scene.stage.held_by(&[NODE2], TAKEOVER)?;
    let ended = scene.stage.daemon(NODE1)?.process().wait(Duration::from_secs(10))?;
    scene.note(format!("node1's daemon ended after {} s: {ended}", seconds(asked.elapsed())));
    scene.require(ended.success(), format!("node1's daemon: {ended}"));
    scene.stage.pass_a_second();
    let span = Span::since("stopped", asked).takeover(asked, NODE2, Some(Duration::ZERO));
    let span = span.two_at_most(HANDOVER);
    scene.span(if scene.stage.cast.is_ha(NODE1) { span.nothing_lost() } else { span.outage_at_most(HANDOVER) });
    Ok(())
}

/// node1 fell silent, node2 took over.
fn after_silence(what: &'static str, stage: &Stage, silent: Instant) -> Span {
    let least = stage.down_interval_after(silent);
    let span = Span::since(what, silent).takeover(silent, NODE2, least).never_two();
    span.outage_at_most(least.unwrap_or(Duration::from_secs(4)) + BUSY)
}

/// node1 let go and said so: `ha` does not wait, the only heir; keepalived waits its skew.
fn told(what: &'static str, stage: &Stage, let_go: Instant) -> Span {
    let least = if stage.cast.is_ha(NODE2) { Duration::ZERO } else { Stage::skew() };
    Span::since(what, let_go).takeover(let_go, NODE2, Some(least)).outage_at_most(least + HANDOVER)
}

/// Failures in a row of the web rule on node1, and how many take it down.
fn web_rule(stage: &Stage) -> Option<(u64, u64)> {
    let rule = rule_of(&stage.instance(NODE1)?, "web")?;
    Some((rule.get("fails")?.as_u64()?, rule.get("fall")?.as_u64()?))
}

/// A rule of an instance's policies.
fn rule_of(instance: &Value, name: &str) -> Option<Value> {
    let mut rules = entries(instance, "reports").flat_map(|report| entries(report, "rules"));
    rules.find(|rule| rule["name"] == name).cloned()
}

fn text_of(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// node1 has had the address all the time.
fn is_unmoved(stage: &Stage, from: Instant) -> bool {
    stage.observer.reigns(from, Instant::now()).iter().all(|reign| reign.holders.iter().eq([&NODE1]))
}

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// The first line, up to the first end of a sentence.
fn first_words(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(". ").next().unwrap_or(line).to_owned()
}
