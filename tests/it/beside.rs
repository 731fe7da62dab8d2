//! Commands beside a daemon: what they make of its answers. The daemon is a socket that answers from what it was given.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use ha::control::{Cleared, Reload, Request, Server, Status};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::mpsc};

use crate::cli::{Desk, POLICY};

/// A daemon of the desk's configuration that has always the same to say.
pub(crate) struct Daemon(Option<Runtime>);

impl Daemon {
    pub(crate) fn start(desk: &Desk, status: Status, reload: Reload) -> Self {
        let runtime = Runtime::new().unwrap();
        let (requests, mut asked_for) = mpsc::channel(4);
        let server = {
            let _inside = runtime.enter();
            Server::bind(&desk.path().join("ha.sock")).unwrap()
        };
        runtime.spawn(server.serve(requests, ha::control::Feed::default()));
        runtime.spawn(async move {
            while let Some(request) = asked_for.recv().await {
                match request {
                    Request::Status(reply) => drop(reply.send(status.clone())),
                    Request::Reload(_, _, reply) => drop(reply.send(reload.clone())),
                    Request::WouldReload(_, reply) => drop(reply.send(reload.clone())),
                    Request::Clear(_, reply) => drop(reply.send(Cleared::new(Err("no".into())))),
                    Request::Policy { reply, .. } => drop(reply.send(Err("no".into()))),
                    Request::Restart(reply) => drop(reply.send(Err("no".into()))),
                    Request::Stop(reply) => drop(reply.send(())),
                }
            }
        });
        Self(Some(runtime))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Node K1 as master, with one policy and these rules.
pub(crate) fn status(rules: &Value) -> Status {
    let document = json!({
        "schema": "ha.status/1", "version": "0.1.0", "node": "K1", "pid": 4711, "uptime_ms": 60_000,
        "configuration": { "path": "ha.toml", "age_ms": 60_000, "last_good": false, "differs": false },
        "instances": [{
            "name": "VI_1", "interface": "lo", "vrid": 51, "version": 2, "state": "master", "since_ms": 50_000,
            "reason": "no advertisement", "conditions": [{ "name": "hook_failed", "text": "a hook failed" }],
            "priority": 100, "effective_priority": 100, "source": "127.0.0.1", "addresses": ["192.0.2.60/24"],
            "held": ["192.0.2.60/24"], "lease_ms": 3000,
            "peers": [{
                "address": "192.0.2.21", "configured": true, "alive": true, "last_heard_ms": 300, "priority": 99,
                "reachable": true, "rejected": null
            }],
            "transitions": 3, "sent": 60, "received": 2, "discarded": { "auth type": 1 },
            "reports": [{
                "policy": "web", "generation": 7, "age_ms": 400, "elapsed_ms": 1.5,
                "verdict": { "kind": "healthy", "why": "", "delta": 0, "external": false },
                "rules": rules, "observed_ok": true, "error": null
            }],
            "notify": { "ran": 4, "failed": 1, "replaced": 0 }
        }],
        "policies": [{
            "name": "web", "path": "policies/web.rhai", "generation": 7, "sha256": "b41e55d2aa", "age_ms": 60_000,
            "last_good": false, "stale": null
        }],
        "history": [{ "time": "2026-08-22T10:14:00Z", "age_ms": 50_000, "instance": "VI_1", "text": "backup → master" }]
    });
    serde_json::from_value(document).unwrap()
}

pub(crate) fn rule(name: &str, more: &Value) -> Value {
    let mut rule = json!({
        "name": name, "effect": "require", "weight": null, "line": 4, "ok": true, "state": "up", "fails": 0, "oks": 9,
        "fall": 3, "rise": 2, "external": false, "why": "exists", "probes": ["file /srv"], "elapsed_ms": 0.5,
        "timeout_ms": 2000, "since_ms": 50_000,
        "options": {
            "fall_for_ms": 0, "rise_for_ms": 0, "min_up_ms": 0, "min_down_ms": 0, "backoff": null, "latch": false,
            "linger_ms": 60_000, "blind_for_ms": 10_000
        }
    });
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

/// What a file changes is said option by option, as it counts: defaults are values too.
#[test]
fn a_dry_run_shows_every_option_that_changes() {
    let desk = Desk::new();
    let rules = json!([
        rule("disk", &json!({ "fall": 5, "tags": ["old"] })),
        rule("gone", &json!({})),
        rule("same", &json!({ "probes": [], "timeout_ms": 0 })),
    ]);
    let _daemon = Daemon::start(&desk, status(&rules), Reload::new(vec![], vec![]));
    desk.write(
        "policies/web.rhai",
        "fn check() {\n    prefer(\"disk\", file(\"/\", #{ timeout: \"1s\" }), #{ weight: 5, backoff: #{ base: \"9s\" }, linger: \"2m\" });\n    \
         require(\"same\", true);\n    watch(\"new\", true);\n}\nfn test_x() {}\n",
    );
    let said = desk.ha(&["check", "ha.toml", "--dry-run"]);
    let shown: Vec<&str> = said
        .out
        .lines()
        .skip_while(|line| !line.contains("changed: running is"))
        .skip(1)
        .take_while(|line| !line.contains("passed"))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
    let document: Value = serde_json::from_str(&desk.ha(&["check", "ha.toml", "--dry-run", "--json"]).out).unwrap();
    let changes = document["files"][0]["changes"].as_array().unwrap();
    let fall = json!({ "rule": "disk", "change": "option", "option": "fall", "from": 5, "to": 3 });
    assert!(changes.contains(&fall), "{changes:#?}");
    desk.write("policies/web.rhai", "fn check() {");
    let broken = desk.ha(&["check", "ha.toml", "--dry-run"]);
    assert!(!broken.out.contains("- rule"), "of a file that is broken nothing is known: {}", broken.out);
}

/// The hooks of the policy are run on fakes.
#[test]
fn a_dry_run_tells_which_hook_would_run_and_what_it_would_do() {
    let desk = Desk::new();
    let hooks = "fn on_fault(ev) {\n    if node.is_master { return; }\n    alert(`${ev.from} to ${ev.to}: ${ev.rules_down}`);\n    \
                 service_stop(\"nginx\");\n}\nfn on_backup(ev) { service_start(\"nginx\"); }\n";
    desk.write("policies/web.rhai", &(POLICY.replace("192.0.2.20", "127.0.0.1:1") + hooks));
    let hooks = |said: &str| -> Value {
        let document: Value = serde_json::from_str(said).unwrap();
        document["policies"][0]["hooks"].clone()
    };
    let dry_run = ["check", "ha.toml", "--dry-run"];
    let alone = desk.ha(&dry_run);
    let line = "as master: would run on_fault: alert master to fault: [\"web\"], service_stop nginx";
    assert!(alone.out.contains(line), "{}", alone.out);
    assert!(alone.out.contains("as backup: would run on_fault: "), "{}", alone.out);
    let _daemon = Daemon::start(&desk, status(&json!([])), Reload::new(vec![], vec![]));
    let said = desk.ha(&dry_run);
    assert!(said.out.contains("→ would run on_fault: alert master to fault"), "{}", said.out);
    let document = hooks(&desk.ha(&[&dry_run[..], &["--json"]].concat()).out);
    assert_eq!(document[0]["hook"], "on_fault");
    assert_eq!(document[0]["actions"].as_array().map(Vec::len), Some(2), "{document:#}");
    // A node that stays what it is runs none.
    desk.write("policies/web.rhai", "fn check() { watch(\"a\", true); }\nfn on_fault(ev) { alert(\"x\"); }\n");
    assert_eq!(hooks(&desk.ha(&[&dry_run[..], &["--json"]].concat()).out), json!([]));
}
