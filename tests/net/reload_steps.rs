//! What an operator changes while the pair serves, one thing after the other: while the role is kept no advertisement is missed
//! and no packet lost; where it is not, it comes back and nobody holds twice.

use std::time::{Duration, Instant};

use ha::lab::{Daemon, Host, Setup, capture::What, client::Stream};

use crate::{
    Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 3] = [
    Story { name: "reload_of_what_is_wrong_under_traffic", needs: &[], seconds: 60, tell: wrong },
    Story { name: "reload_step_by_step", needs: &[], seconds: 90, tell: step_by_step },
    Story { name: "reload_of_the_password", needs: &[], seconds: 60, tell: password },
];

const INTERVAL: Duration = Duration::from_millis(100);
const POLICY: &str = "const INTERVAL = \"200ms\";\nfn check() { require(\"always\", expect(true, \"fine\")); }\n";
const GROUP: &str = "\n[group.G1]\ninstances = [\"VI_1\"]\n";

/// The pair under traffic, and its files as they are.
struct Scene<'s> {
    stage: &'s Stage,
    nodes: [Daemon; 2],
    files: [String; 2],
    client: Stream,
    begin: Instant,
}

impl<'s> Scene<'s> {
    fn start(stage: &'s Stage, setup: fn(Host) -> Setup) -> Self {
        let files = Host::NODES.map(|node| setup(node).toml(node) + "policies = [\"judge\"]\n");
        let nodes = [0, 1].map(|at| stage.ha_with(Host::NODES[at], &files[at], &[("judge", POLICY)]));
        stage.held_by(&[Host::Node1], 20);
        pass(setup(Host::Node1).advertise * 3);
        let client = stage.client();
        pass(INTERVAL * 3);
        Self { stage, nodes, files, client, begin: Instant::now() }
    }

    /// Changes the file of these nodes and has it read, one right after the other.
    fn change(&mut self, nodes: &[usize], from: &str, to: &str) {
        for &at in nodes {
            assert!(self.files[at].contains(from), "{from}: {}", self.files[at]);
            self.files[at] = self.files[at].replacen(from, to, 1);
            self.nodes[at].write_config(&self.files[at]).unwrap();
        }
        for &at in nodes {
            let output = self.nodes[at].command(&self.stage.world, &["reload"]).unwrap();
            assert!(output.status.success(), "{to}: {output:?}");
        }
    }

    /// Since the last step node1 has sent every advertisement that was due, node2 none, and the address stayed where it is.
    fn kept(&mut self, what: &str, interval: Duration) {
        pass(interval * 4);
        let end = Instant::now();
        let [sent, other] = Host::NODES.map(|node| {
            let frames = self.stage.capture.from(node, self.begin, end).into_iter();
            let sent = frames.filter(|frame| matches!(frame.what, What::Advertisement { .. }));
            sent.map(|frame| frame.at).collect::<Vec<Instant>>()
        });
        assert_eq!(other, [], "{what}: node2 advertises");
        let longest = sent.windows(2).map(|two| two[1].duration_since(two[0])).max().unwrap();
        assert!(longest < interval * 2, "{what}: {longest:?} between two advertisements");
        assert_eq!(self.stage.observer.first(Host::Node1, false, self.begin), None, "{what}: the address went");
        assert_eq!(self.stage.holders(), [Host::Node1], "{what}");
        self.begin = end;
    }

    fn held(&self) -> Vec<String> {
        let instance = self.stage.instance(&self.nodes[0]).unwrap_or_default();
        instance["held"].as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// Calls that were never answered since a moment; slow ones are the machine's.
    fn lost(self, since: Instant) -> usize {
        self.client.stop().outage(since, Instant::now()).never_answered
    }
}

fn step_by_step(stage: &Stage) {
    let mut scene = Scene::start(stage, |node| Setup::founding(node).version3(INTERVAL));
    let begin = scene.begin;
    scene.change(&[0, 1], "[\"192.168.0.60/24\"]", "[\"192.168.0.60/24\", \"192.168.0.61/24\"]");
    wait_until("the new address", Duration::from_secs(2), || scene.held().len() == 2);
    scene.kept("an address more", INTERVAL);
    scene.change(&[0, 1], "[\"192.168.0.60/24\", \"192.168.0.61/24\"]", "[\"192.168.0.60/24\"]");
    wait_until("the address has gone", Duration::from_secs(2), || scene.held() == ["192.168.0.60/24"]);
    scene.kept("an address less", INTERVAL);
    scene.change(&[0], "priority = 100", "priority = 120");
    wait_until("the new priority", Duration::from_secs(2), || {
        stage.capture.priorities(Host::Node1, begin, Instant::now()).contains(&120)
    });
    scene.kept("another priority", INTERVAL);
    scene.change(&[0, 1], "100ms", "200ms");
    scene.kept("another interval", INTERVAL * 2);
    scene.change(&[0, 1], "200ms", "100ms");
    // The first one may still be from before.
    scene.kept("the interval before", INTERVAL * 2);
    scene.change(&[0, 1], "policies = [\"judge\"]", "policies = []");
    scene.kept("no policy", INTERVAL);
    scene.change(&[0, 1], "policies = []", "policies = [\"judge\"]");
    scene.kept("a policy", INTERVAL);
    let end = "policies = [\"judge\"]\n";
    scene.change(&[0, 1], end, &format!("{end}{GROUP}"));
    scene.kept("a group", INTERVAL);
    scene.change(&[0, 1], GROUP, "");
    scene.kept("no group", INTERVAL);
    // A virtual router is what it is on the wire, however it is called.
    scene.change(&[0], "[instance.VI_1]", "[instance.WEB]");
    let called = |scene: &Scene<'_>, name: &str| {
        wait_until(name, Duration::from_secs(5), || {
            let instance = stage.instance(&scene.nodes[0]).unwrap_or_default();
            instance["name"] == name
                && instance["state"] == "master"
                && instance["reports"][0]["verdict"]["kind"] == "healthy"
        });
    };
    called(&scene, "WEB");
    scene.kept("another name", INTERVAL);
    scene.files[0] = scene.files[0].replacen("priority = 120", "priority = 130", 1);
    scene.change(&[0], "[instance.WEB]", "[instance.VI_1]");
    called(&scene, "VI_1");
    scene.kept("the name before, and another priority", INTERVAL);
    assert_eq!(scene.lost(begin), 0);
}

/// Version 2 alone has one. What the backup rejects meanwhile it has heard all the same.
fn password(stage: &Stage) {
    let mut scene = Scene::start(stage, Setup::founding);
    let begin = scene.begin;
    scene.change(&[0, 1], "auth.password = \"1111\"", "auth.password = \"2222\"");
    scene.kept("another password", Duration::from_secs(1));
    let discarded = stage.instance(&scene.nodes[1]).unwrap()["received"].as_u64().unwrap();
    pass(Duration::from_secs(1));
    assert!(stage.instance(&scene.nodes[1]).unwrap()["received"].as_u64().unwrap() > discarded, "it is understood");
    assert_eq!(scene.lost(begin), 0);
}

/// A text that is no TOML, an option with a value of another kind, a policy that is wrong by its types, an interface that is not
/// there: no packet is lost and no advertisement missed, and what can be said of it is said.
fn wrong(stage: &Stage) {
    let mut scene = Scene::start(stage, |node| Setup::founding(node).version3(INTERVAL));
    let begin = scene.begin;
    let good = scene.files[0].clone();
    for (what, text) in [
        ("no TOML", format!("{good}[instance")),
        ("another kind", good.replace("priority = 100", "priority = \"high\"")),
        ("an unknown key", format!("{good}prioritee = 1\n")),
    ] {
        std::fs::write(scene.nodes[0].directory().join("ha.toml"), text).unwrap();
        let output = scene.nodes[0].command(&stage.world, &["reload"]).unwrap();
        assert_eq!(output.status.code(), Some(78), "{what}: {output:?}");
        scene.kept(what, INTERVAL);
    }
    scene.nodes[0].write_config(&good).unwrap();
    scene.nodes[0].write_policy("judge", "fn check() { require(\"web\", http(80)); }\n").unwrap();
    wait_until("the mistake is shown", Duration::from_secs(10), || {
        let status = scene.nodes[0].status(&stage.world).unwrap_or_default();
        status["policies"][0]["stale"]["error"].is_string()
    });
    scene.kept("a policy with a number where a text belongs", INTERVAL);
    scene.nodes[0].write_policy("judge", POLICY).unwrap();
    let (other, end) = ("[instance.OTHER]\ninterface = \"eth9\"\nvirtual_router_id = 77\n", "policies = [\"judge\"]\n");
    let rest = "priority = 50\naddresses = [\"10.7.0.60/24\"]\n";
    scene.change(&[0], end, &format!("{end}\n{other}{rest}"));
    wait_until("the new one waits for its interface", Duration::from_secs(5), || {
        let status = scene.nodes[0].status(&stage.world).unwrap_or_default();
        let mut all = status["instances"].as_array().into_iter().flatten();
        all.any(|it| it["name"] == "OTHER" && it["state"] == "fault")
    });
    scene.kept("an instance without its interface", INTERVAL);
    assert_eq!(scene.lost(begin), 0);
}
