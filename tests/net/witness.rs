//! A pair with a third vote: a real etcd on the arbiter, slow, without a leader, started again, forgetful, out of reach; in one
//! story over TLS only, with passwords.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use ha::lab::{
    Daemon, Host, Setup,
    etcd::{Launch, Member as Etcd},
    process,
};
use nix::sys::signal::Signal;

use crate::{
    Need, Story,
    stage::{HA, Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 4] = [
    Story { name: "witness_arbiter_decides_who_is_cut_off", needs: &[Need::Etcd], seconds: 120, tell: arbiter },
    Story { name: "witness_strict_serves_with_a_leader_only", needs: &[Need::Etcd], seconds: 150, tell: strict },
    Story { name: "witness_strict_hands_over_and_goes_on", needs: &[Need::Etcd], seconds: 120, tell: hands_over },
    Story { name: "witness_that_forgets_is_asked_again", needs: &[Need::Etcd], seconds: 90, tell: forgets },
];

/// Much longer than all that is waited for on an idle machine.
const SECONDS: u64 = 30;

/// A member of a cluster on the arbiter.
struct Member {
    etcd: Etcd,
    url: String,
}

/// What stands beside this file: an authority, and a certificate of it for the arbiter's address. Both are valid until 2120.
fn authority(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/net/authority").join(file).display().to_string()
}

impl Member {
    fn start(stage: &Stage, number: u16, size: u16) -> Self {
        Self::start_with(stage, number, size, "http", Vec::new())
    }

    /// Alone, and it speaks TLS only.
    fn start_secure(stage: &Stage) -> Self {
        let files = [("cert-file", "server.pem"), ("key-file", "server-key.pem")];
        let files = files.map(|(name, file)| format!("--{name}={}", authority(file)));
        // Its tokens end with every change of a user or a role. Any file will do as the key.
        let tokens = format!("--auth-token=jwt,sign-method=HS256,priv-key={}", authority("server-key.pem"));
        // To look at a password costs a busy machine more than the daemon's patience otherwise.
        let more = files.into_iter().chain([tokens, "--bcrypt-cost=4".to_owned()]);
        Self::start_with(stage, 0, 1, "https", more.collect())
    }

    fn start_with(stage: &Stage, number: u16, size: u16, scheme: &str, more: Vec<String>) -> Self {
        let url = format!("{scheme}://{}:{}", Host::Arbiter.address(), 2379 + number);
        let launch = Launch { host: Host::Arbiter, number, size, clients: vec![url.clone()], more };
        Self { etcd: Etcd::start(&stage.world, launch).unwrap(), url }
    }

    fn start_again(&mut self, stage: &Stage) {
        self.etcd.start_again(&stage.world).unwrap();
    }

    /// What it says to a request; empty if it does not answer.
    fn ask(&self, stage: &Stage, path: &str, header: &str, body: &str) -> String {
        let (url, ca) = (format!("{}/v3/{path}", self.url), authority("ca.pem"));
        let (header, body) = (header.to_owned(), body.to_owned());
        let output = stage.world.netns(Host::Client).run(move || {
            let request = ["-X", "POST", &url, "-H", &header, "-d", &body];
            Command::new("curl").args(["-s", "-m", "10", "--cacert", &ca]).args(request).output()
        });
        String::from_utf8(output.unwrap().unwrap().stdout).unwrap()
    }

    fn wait_for_leader(&self, stage: &Stage) {
        wait_until("the cluster has a leader", Duration::from_secs(SECONDS), || {
            self.ask(stage, "kv/range", "", "{\"key\":\"YQ==\"}").contains("revision")
        });
    }

    fn kill(&mut self) {
        self.etcd.kill();
    }
}

fn config(node: Host, mode: &str, members: &[&Member]) -> String {
    let urls: Vec<String> = members.iter().map(|member| format!("\"{}\"", member.url)).collect();
    format!(
        "{}\n[witness]\nendpoints = [{}]\nmode = \"{mode}\"\nkey = \"ha/lab\"\n",
        Setup::founding(node).toml(node),
        urls.join(", ")
    )
}

/// Node1 serves and has the witness.
fn pair(stage: &Stage, mode: &str, members: &[&Member]) -> [Daemon; 2] {
    let start = |node| stage.ha_with(node, &config(node, mode, members), &[]);
    let first = start(Host::Node1);
    stage.held_by(&[Host::Node1], SECONDS);
    wait_until("node1 has the witness", Duration::from_secs(SECONDS), || has_witness(stage, &first));
    let second = start(Host::Node2);
    wait_until("node2 stands by", Duration::from_secs(SECONDS), || {
        stage.state(&second).as_deref() == Some("backup") && witness(stage, &second)["held_by"] == "node1"
    });
    [first, second]
}

fn witness(stage: &Stage, daemon: &Daemon) -> serde_json::Value {
    stage.instance(daemon).unwrap_or_default()["witness"].clone()
}

fn has_witness(stage: &Stage, daemon: &Daemon) -> bool {
    witness(stage, daemon)["held_for_ms"].as_u64().is_some_and(|left| left > 0)
}

/// What is sent from a node to etcd is not, or is again.
fn etcd_is_away_from(stage: &Stage, node: Host, away: bool) {
    let verb = if away { "add" } else { "del" };
    let route = format!("{}/32", Host::Arbiter.address());
    let done =
        stage.world.netns(node).run(move || Command::new("ip").args(["route", verb, "blackhole", &route]).status());
    assert!(done.unwrap().unwrap().success());
}

/// Since a moment there was never a second holder.
#[track_caller]
fn never_two(stage: &Stage, since: Instant) {
    let mut holders = Vec::new();
    for change in stage.observer.changes() {
        holders.retain(|node| *node != change.node);
        if change.holds {
            holders.push(change.node);
        }
        assert!(change.at < since || holders.len() < 2, "two hold the address: {holders:?}");
    }
}

/// Nobody else comes to hold it within a time that is enough for every timer.
#[track_caller]
fn stays_with(stage: &Stage, holders: &[Host], seconds: u64) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        assert_eq!(stage.holders(), holders);
        pass(Duration::from_millis(50));
    }
}

fn arbiter(stage: &Stage) {
    let etcd = Member::start(stage, 0, 1);
    etcd.wait_for_leader(stage);
    let [node1, node2] = pair(stage, "arbiter", &[&etcd]);
    let begin = Instant::now();

    // The nodes are parted, both reach etcd.
    stage.world.cut_off(Host::Node1, Host::Node2, true).unwrap();
    stage.says(&node2, "witness_held_by_other", SECONDS);
    stays_with(stage, &[Host::Node1], 7);
    stage.world.cut_off(Host::Node1, Host::Node2, false).unwrap();
    wait_until("node2 hears node1", Duration::from_secs(SECONDS), || !stage.has(&node2, "witness_held_by_other"));

    // Etcd is away from the master: its peer is visible, nothing changes.
    etcd_is_away_from(stage, Host::Node1, true);
    stage.says(&node1, "witness_unreachable", SECONDS);
    stays_with(stage, &[Host::Node1], 7);
    // And then parted: it lets go, the other takes it.
    stage.world.cut_off(Host::Node1, Host::Node2, true).unwrap();
    stage.held_by(&[Host::Node2], SECONDS);
    wait_until("node2 has the witness", Duration::from_secs(SECONDS), || has_witness(stage, &node2));
    stays_with(stage, &[Host::Node2], 3);
    never_two(stage, begin);
    assert!(node1.log().contains("the peer is silent, and the witness does not answer"), "{}", node1.log());

    // All is mended: it comes back to the higher one, and the witness with it.
    stage.world.cut_off(Host::Node1, Host::Node2, false).unwrap();
    etcd_is_away_from(stage, Host::Node1, false);
    stage.held_by(&[Host::Node1], SECONDS);
    wait_until("node1 has the witness again", Duration::from_secs(SECONDS), || has_witness(stage, &node1));
}

fn strict(stage: &Stage) {
    let mut members = [0, 1].map(|number| Member::start(stage, number, 2));
    members[0].wait_for_leader(stage);
    let [first, second] = &members;
    let [node1, _node2] = pair(stage, "strict", &[first, second]);
    let begin = Instant::now();

    // Half of a cluster has no leader, and answers nothing that counts.
    members[1].kill();
    stage.held_by(&[], SECONDS);
    stage.says(&node1, "witness_unreachable", SECONDS);
    wait_until("it has said why", Duration::from_secs(SECONDS), || {
        node1.log().contains("another node may take the address")
    });
    stays_with(stage, &[], 5);
    members[1].start_again(stage);
    stage.held_by(&[Host::Node1], SECONDS);

    // A cluster that does not answer for a while, and does then.
    for member in &mut members {
        member.etcd.signal(Signal::SIGSTOP);
    }
    stage.held_by(&[], SECONDS);
    for member in &mut members {
        member.etcd.signal(Signal::SIGCONT);
    }
    stage.held_by(&[Host::Node1], SECONDS);

    // A restart of all of it, with what it remembers.
    members.iter_mut().for_each(Member::kill);
    stage.held_by(&[], SECONDS);
    for member in &mut members {
        member.start_again(stage);
    }
    stage.held_by(&[Host::Node1], SECONDS);
    never_two(stage, begin);
}

fn hands_over(stage: &Stage) {
    let etcd = Member::start(stage, 0, 1);
    etcd.wait_for_leader(stage);
    let [mut node1, node2] = pair(stage, "strict", &[&etcd]);
    let begin = Instant::now();

    // Another process on the same machine has the same witness, and goes on if it is there in time.
    let killed = node1.kill();
    let before = node1.log().len();
    let node1 = stage.ha_with(Host::Node1, &config(Host::Node1, "strict", &[&etcd]), &[]);
    let said = || node1.log().get(before..).unwrap_or_default().to_owned();
    let decided = wait_until("it has decided", Duration::from_secs(SECONDS), || {
        ["going on as master", "is let go", "interface eth0"].iter().any(|word| said().contains(word))
    });
    if decided < killed + Duration::from_secs(1) {
        assert!(said().contains("going on as master"), "{}", said());
    }
    wait_until("it serves again", Duration::from_secs(SECONDS), || {
        stage.state(&node1).as_deref() == Some("master") && has_witness(stage, &node1)
    });
    stage.held_by(&[Host::Node1], SECONDS);

    // Etcd away from the standby alone changes nothing, and the standby knows that it could not take.
    etcd_is_away_from(stage, Host::Node2, true);
    stage.says(&node2, "witness_unreachable", SECONDS);
    stays_with(stage, &[Host::Node1], 3);
    etcd_is_away_from(stage, Host::Node2, false);
    wait_until("it answers again", Duration::from_secs(SECONDS), || !stage.has(&node2, "witness_unreachable"));

    // A stop gives it back, a start takes it again.
    node1.terminate().unwrap();
    stage.held_by(&[Host::Node2], SECONDS);
    wait_until("node2 has the witness", Duration::from_secs(SECONDS), || has_witness(stage, &node2));
    drop(node1);
    let node1 = stage.ha_with(Host::Node1, &config(Host::Node1, "strict", &[&etcd]), &[]);
    stage.held_by(&[Host::Node1], SECONDS);
    wait_until("node1 has the witness", Duration::from_secs(SECONDS), || has_witness(stage, &node1));
    never_two(stage, begin);
}

fn forgets(stage: &Stage) {
    let etcd = Member::start_secure(stage);
    etcd.wait_for_leader(stage);
    // Whoever asks must say who it is.
    for (path, body) in [
        ("auth/user/add", "{\"name\":\"root\",\"password\":\"hunter2\"}"),
        ("auth/role/add", "{\"name\":\"root\"}"),
        ("auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}"),
        ("auth/enable", "{}"),
    ] {
        let said = etcd.ask(stage, path, "", body);
        assert!(said.contains("header"), "{path}: {said}");
    }
    let secrets: PathBuf = stage.world.root().join("secrets");
    fs::create_dir_all(&secrets).unwrap();
    write(&secrets.join("etcd"), "hunter2\n");
    let toml = |node: Host, ca: &str| {
        format!(
            "secrets_dir = \"{}\"\n{}user = \"root\"\npassword = \"secret:etcd\"\n{ca}\n",
            secrets.display(),
            config(node, "arbiter", &[&etcd])
        )
    };
    // Nor is any certificate believed: without its authority the witness is out of reach, and whoever starts then serves nothing.
    let ca = format!("ca = \"{}\"", authority("ca.pem"));
    let [node1, node2] = Host::NODES.map(|node| stage.ha_with(node, &toml(node, ""), &[]));
    for node in [&node1, &node2] {
        stage.says(node, "witness_unreachable", SECONDS);
        stage.says(node, "elected", SECONDS);
    }
    assert!(stage.holders().is_empty() && node1.log().contains("invalid peer certificate"));
    for (node, daemon) in Host::NODES.into_iter().zip([&node1, &node2]) {
        fs::write(daemon.directory().join("ha.toml"), toml(node, &ca)).unwrap();
        assert!(daemon.command(&stage.world, &["reload"]).unwrap().status.success());
    }
    stage.held_by(&[Host::Node1], SECONDS);
    wait_until("node1 has the witness", Duration::from_secs(SECONDS), || has_witness(stage, &node1));
    wait_until("node2 knows", Duration::from_secs(SECONDS), || witness(stage, &node2)["held_by"] == "node1");
    assert!(!node1.log().contains("hunter2"));
    let file = node1.directory().join("ha.toml").display().to_string();
    let arguments = ["check".to_owned(), file, "--dry-run".to_owned()];
    let checked = process::output(stage.world.netns(Host::Node1), Path::new(HA), &arguments).unwrap();
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains(&format!("{}: answers; held: ipv4-51 by node1", etcd.url)), "{checked}");

    // Somebody adds a role, and with it every token ends. Then every lease is revoked: it is lost at once, taken again, and as
    // the peer is visible nothing moves.
    let client = stage.client();
    pass(Duration::from_millis(500));
    let begin = Instant::now();
    let with_token = |path: &str, body: String| {
        let said = etcd.ask(stage, "auth/authenticate", "", "{\"name\":\"root\",\"password\":\"hunter2\"}");
        let token = serde_json::from_str::<serde_json::Value>(&said).unwrap()["token"].as_str().unwrap().to_owned();
        etcd.ask(stage, path, &format!("Authorization: {token}"), &body)
    };
    assert!(with_token("auth/role/add", "{\"name\":\"other\"}".to_owned()).contains("header"));
    let leases: serde_json::Value = serde_json::from_str(&with_token("lease/leases", "{}".to_owned())).unwrap();
    for lease in leases["leases"].as_array().unwrap() {
        with_token("lease/revoke", serde_json::json!({ "ID": lease["ID"] }).to_string());
    }
    wait_until("the loss is noticed", Duration::from_secs(SECONDS), || {
        node1.log().contains("the witness has lost this node's key")
    });
    wait_until("node1 has the witness again", Duration::from_secs(SECONDS), || has_witness(stage, &node1));
    stays_with(stage, &[Host::Node1], 2);
    let outage = client.stop().outage(begin, Instant::now());
    assert!(outage.never_answered == 0, "{outage:?}");
    assert!(!node1.log().contains("revision of auth store"), "{}", node1.log());

    // The end of both leaves nothing behind.
    node2.terminate().unwrap();
    node1.terminate().unwrap();
    wait_until("everything is given back", Duration::from_secs(SECONDS), || {
        with_token("kv/range", "{\"key\":\"AA==\",\"range_end\":\"AA==\"}".to_owned()).contains("header")
            && !with_token("kv/range", "{\"key\":\"AA==\",\"range_end\":\"AA==\"}".to_owned()).contains("kvs")
    });
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
