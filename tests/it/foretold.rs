//! What `ha check --what-if` says the node would do is what the node does: the command says it, a real node in virtual time
//! does it with the same verdict, and both are compared.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test's own machinery")]

use std::fs;

use ha::{
    config::{LastResort, Preference},
    node::Role,
    policy::{FaultCause, Verdict},
};
use serde_json::Value;

use crate::{cli::Desk, lan::Lan, pair::SECOND};

const POLICY: &str = r#"fn check() {
    require("web", http(`http://${node.addr}/`));
    require("arbiter", ping("192.168.0.22", #{ count: 3 }), #{ external: true });
    prefer("disk", file("/srv"), #{ weight: 30 });
    prefer("spare", file("/srv2"), #{ weight: 1 });
    if !gate("wait", file("/a")) { return hold("wait"); }
    if !gate("leave", file("/b")) { return maintenance("leave"); }
    if !gate("stop", file("/c")) { return fault("stop"); }
}
fn test_x() { tick(); }
"#;

/// What is assumed, and after how many evaluations that is looked at.
const SITUATIONS: [(&str, Option<u32>); 16] = [
    ("web=up", None),
    ("web=down", Some(1)),
    ("web=down", Some(3)),
    ("web=down", None),
    ("web=down,peer=dead", None),
    ("web=blind", Some(2)),
    ("arbiter=down", None),
    ("arbiter=down,peer=dead", None),
    ("arbiter=down,web=down", None),
    ("disk=down", None),
    ("disk=down,peer=dead", None),
    ("spare=down", None),
    ("wait=down", None),
    ("wait=down,peer=dead", None),
    ("leave=down", None),
    ("stop=down,peer=dead", None),
];

/// How the nodes of the pair are configured.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// The judged one leads.
    leads: bool,
    prefer: Preference,
    last_resort: LastResort,
}

impl Pair {
    /// The judged node first.
    fn priorities(self) -> [u8; 2] {
        if self.leads { [100, 90] } else { [90, 100] }
    }

    fn file(self, index: usize) -> String {
        let prefer = match self.prefer {
            Preference::Safety => "safety",
            Preference::Availability => "availability",
        };
        let last_resort = match self.last_resort {
            LastResort::Release => "release",
            LastResort::Keep => "keep",
        };
        format!(
            "node = \"K{index}\"\npolicy_dir = \"policies\"\n[control]\nsocket = \"ha{index}.sock\"\nstate_dir = \"state\"\n\
             [instance.VI_1]\ninterface = \"lo\"\nvirtual_router_id = 51\npriority = {}\nversion = 2\nadvertise = \"1s\"\n\
             auth.password = \"1111\"\naddresses = [\"192.168.0.60/24\"]\npeers = [\"192.168.0.{}\"]\npolicies = [\"check_local\"]\n\
             prefer = \"{prefer}\"\nlast_resort = \"{last_resort}\"\n",
            self.priorities()[index],
            21 - index,
        )
    }

    /// What the command says of the judged node: `would`, and the verdict.
    fn foretold(self, desk: &Desk, assumed: &str, ticks: Option<u32>) -> Value {
        for index in 0..2 {
            fs::write(desk.path().join(format!("node{index}.toml")), self.file(index)).unwrap();
        }
        let ticks = ticks.map(|ticks| ticks.to_string());
        let mut arguments = vec!["check", "node0.toml", "node1.toml", "--json", "--what-if", assumed];
        if let Some(ticks) = &ticks {
            arguments.extend(["--ticks", ticks]);
        }
        let said = desk.ha(&arguments);
        let document: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err));
        document["what_if"][0].clone()
    }

    /// What the node does: its role, whether it holds, what it bids.
    fn done(self, assumed: &str, foretold: &Value) -> (Role, bool, Option<u8>) {
        let mut lan = Lan::with(1, &self.priorities(), |_, instance| {
            instance.policies = vec!["check_local".to_owned()];
            instance.prefer = self.prefer;
            instance.last_resort = self.last_resort;
        });
        lan.run_for(SECOND * 20);
        assert_eq!(lan.role(0) == Role::Master, self.leads, "{}", lan.tale(20));
        let clear = foretold["observed_ok"].as_bool().unwrap();
        lan.stations[0].observed_ok = clear;
        let verdict = verdict(assumed, &foretold["verdicts"]["check_local"]);
        let peer_is_dead = assumed.contains("peer=dead");
        // A master is alone first; a backup whose peer dies first would be one.
        if peer_is_dead && self.leads {
            lan.power_off(1);
            lan.run_for(SECOND * 10);
        }
        lan.set_verdict(0, verdict);
        lan.run_for(SECOND * 2);
        if peer_is_dead && !self.leads {
            lan.power_off(1);
        }
        lan.run_for(SECOND * 30);
        let status = &lan.stations[0].node.status().instances[0];
        (lan.role(0), lan.holds(0), status.effective_priority.map(ha::wire::Priority::get))
    }
}

/// As the command has it. It does not say whether a fault is the script's own word: only `stop` is.
fn verdict(assumed: &str, said: &Value) -> Verdict {
    let why = said["why"].as_str().unwrap().to_owned();
    match said["kind"].as_str().unwrap() {
        "healthy" => Verdict::Healthy { delta: i32::try_from(said["delta"].as_i64().unwrap()).unwrap(), note: why },
        "hold" => Verdict::Hold { why },
        "maintenance" => Verdict::Maintenance { why },
        "fault" if said["external"] == true => Verdict::Fault { why, cause: FaultCause::External },
        "fault" if assumed.contains("stop=down") => Verdict::Fault { why, cause: FaultCause::Script },
        "fault" => Verdict::Fault { why, cause: FaultCause::Rules },
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_foretold_is_what_the_node_does() {
    let desk = Desk::new();
    desk.write("policies/check_local.rhai", POLICY);
    let mut compared = 0;
    for leads in [true, false] {
        for prefer in [Preference::Safety, Preference::Availability] {
            for last_resort in [LastResort::Release, LastResort::Keep] {
                let pair = Pair { leads, prefer, last_resort };
                for (assumed, ticks) in SITUATIONS {
                    let foretold = pair.foretold(&desk, assumed, ticks);
                    let said = &foretold["would"][if leads { "as_master" } else { "as_backup" }];
                    let (role, holds, priority) = pair.done(assumed, &foretold);
                    let context = format!("{assumed} {ticks:?} {pair:?}\n{foretold:#}");
                    assert_eq!(said["role"], role.to_string(), "{context}");
                    assert_eq!(said["holds"], holds, "{context}");
                    if let Some(foretold) = said["priority"].as_u64() {
                        assert_eq!(Some(foretold), priority.map(u64::from), "{context}");
                    }
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 8 * SITUATIONS.len());
}
