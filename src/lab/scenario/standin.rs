//! Policies that look at what the lab cannot give them: a service, a disk, a server with a certificate. The lab plays them by
//! stand-ins, which say at each moment what the policy said in the simulation.
//!
//! A policy that asks web servers of its own machine and pings a neighbour is no such one: the lab has both.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
    time::Duration,
};

use crate::{
    policy::{Context, Engine, Policy, Simulation},
    sim::{Act, Found, Happening, Node, Outcome, Scenario, What},
};

/// Of a policy that does not come back, and of one that throws, nothing is known: a stand-in throws.
const LOST: &str = "its evaluation does not come back";
const FAILED: &str = "the policy could not be evaluated";

/// What the policies of the nodes need of the lab.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Node and policy: these are played by stand-ins.
    pub stand_ins: BTreeSet<(usize, String)>,
    /// The ports on which the others ask web servers.
    pub ports: BTreeSet<u16>,
    /// Whom they ping.
    pub asked: BTreeSet<IpAddr>,
}

/// A stand-in says something else from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Since the beginning.
    pub at: Duration,
    /// Whose policy.
    pub node: usize,
    /// In which instance.
    pub instance: String,
    /// Which.
    pub policy: String,
    /// `healthy`, `fault: why` and so on.
    pub said: String,
}

/// What one policy asks.
#[derive(Debug, Default)]
struct Asks {
    ports: BTreeSet<u16>,
    pinged: BTreeSet<IpAddr>,
}

impl Needs {
    /// What the policies of a scenario need. Every one that the lab cannot serve, or of which the scenario wants more than web
    /// servers and pings, is to be played by a stand-in.
    #[must_use]
    pub fn of(engine: &Engine, scenario: &Scenario) -> Self {
        let mut needs = Self { ports: BTreeSet::from([80]), ..Self::default() };
        for (node, Node { setup, .. }) in scenario.nodes.iter().enumerate() {
            for (name, policy) in &setup.policies {
                let asks = asks(engine, policy).filter(|_| !is_told(scenario, node, name));
                match asks {
                    Some(Asks { ports, pinged }) => {
                        needs.ports.extend(ports);
                        needs.asked.extend(pinged);
                    }
                    None => drop(needs.stand_ins.insert((node, name.clone()))),
                }
            }
        }
        needs
    }
}

/// What a policy asks, if the lab can answer all of it.
fn asks(engine: &Engine, policy: &Policy) -> Option<Asks> {
    if !policy.has_check() || policy.hooks().next().is_some() {
        return None;
    }
    let context = Context::default();
    let own = context.node.addr.clone();
    let mut simulation = Simulation::new(engine, policy, context);
    simulation.evaluate();
    let mut asks = Asks::default();
    for key in simulation.probed() {
        let (kind, what) = key.split_once(':')?;
        match kind {
            "http" => drop(asks.ports.insert(own_port(what, &own)?)),
            "ping" => drop(asks.pinged.insert(what.parse().ok()?)),
            _ => return None,
        }
    }
    Some(asks)
}

/// The port of a web server of its own machine, without a certificate.
fn own_port(url: &str, own: &str) -> Option<u16> {
    let place = url.strip_prefix("http://")?.split(['/', '?']).next()?;
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (place, 80),
    };
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    (loopback || host == own).then_some(port)
}

/// The scenario says of it what no web server and no neighbour can show.
fn is_told(scenario: &Scenario, node: usize, name: &str) -> bool {
    let mut acts =
        scenario.steps.iter().filter_map(|step| if let Happening::Do(act) = &step.what { Some(act) } else { None });
    acts.any(|act| {
        if let Act::Probe { machine, policy, probe, found } = act {
            let plain = *found != Found::Blind && matches!(probe.as_str(), "http" | "ping");
            (*machine, policy.as_str()) == (node, name) && !plain
        } else if let Act::Rule { machine, policy, .. }
        | Act::Takes { machine, policy, .. }
        | Act::Hangs { machine, policy, .. } = act
        {
            (*machine, policy.as_str()) == (node, name)
        } else {
            false
        }
    })
}

/// What the stand-ins say when, as the simulation has it. What is not known yet is not said.
pub(super) fn said(stand_ins: &BTreeSet<(usize, String)>, outcome: &Outcome) -> Vec<Said> {
    let all = outcome.log.iter().filter_map(|entry| {
        let What::Verdict { policy, said } = &entry.what else { return None };
        let node = entry.machine?;
        let known = stand_ins.contains(&(node, policy.clone())) && said != "starting";
        let (instance, policy, said) = (entry.instance.clone(), policy.clone(), said.clone());
        known.then_some(Said { at: entry.at, node, instance, policy, said })
    });
    let mut all: Vec<Said> = all.collect();
    // Whoever starts says at once what it says first.
    let mut first: BTreeMap<(usize, String, String), ()> = BTreeMap::new();
    for said in &mut all {
        let key = (said.node, said.instance.clone(), said.policy.clone());
        if first.insert(key, ()).is_none() {
            said.at = Duration::ZERO;
        }
    }
    all.sort_by_key(|said| said.at);
    all
}

/// Where a stand-in reads what it is to say.
pub(super) fn file_of(directory: &Path, instance: &str, policy: &str) -> std::path::PathBuf {
    directory.join(format!("{instance}.{policy}.said"))
}

/// The text of a stand-in that reads in this directory. It performs no actions, whatever the policy does.
pub(super) fn text(directory: &Path, policy: &str, has_check: bool) -> String {
    if !has_check {
        return "fn on_rule(ev) { }\n".to_owned();
    }
    let file = file_of(directory, "${node.instance}", policy);
    format!(
        "const INTERVAL = \"200ms\";\n\
         fn said() {{ let it = file(`{}`).content; if it == () {{ \"\" }} else {{ it }} }}\n\
         fn check() {{\n\
         let said = said();\n\
         if said == \"\" {{ return hold(\"nothing was simulated yet\"); }}\n\
         if said.contains(\"{LOST}\") || said.contains(\"{FAILED}\") {{ throw said; }}\n\
         if said.starts_with(\"hold\") {{ return hold(said); }}\n\
         if said.starts_with(\"maintenance\") {{ return maintenance(said); }}\n\
         require(\"as_simulated\", !said.starts_with(\"fault\"), #{{ fall: 1, rise: 1 }});\n\
         let words = said.split(\" \");\n\
         if words.len() > 1 && words[0] == \"healthy:\" {{ return adjust(parse_int(words[1]), \"as simulated\"); }}\n\
         }}\n\
         fn may_take_over() {{ said().starts_with(\"healthy\") }}\n",
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        policy::{
            Clock, Judge, Verdict, WallTime,
            probe::{ErrorKind, Field, Pending, ProbeOutcome, ProbeRequest, Prober},
        },
        words::Instant,
    };

    fn asks_of(check: &str) -> Option<(Vec<u16>, Vec<String>)> {
        let engine = Engine::new();
        let policy = Policy::load(&engine, "p", "p.rhai", &format!("fn check() {{ {check} }}")).unwrap();
        let asks = asks(&engine, &policy)?;
        let pinged = asks.pinged.iter().map(ToString::to_string).collect();
        Some((asks.ports.into_iter().collect(), pinged))
    }

    #[test]
    fn web_servers_and_neighbours_are_real_and_nothing_else_is() {
        let web =
            "require(\"web\", http(`http://${node.addr}/`)); require(\"own\", http(\"http://127.0.0.1:8008/x\"));";
        assert_eq!(asks_of(web), Some((vec![80, 8008], vec![])));
        assert_eq!(asks_of("require(\"gw\", ping(\"192.168.0.1\"));"), Some((vec![], vec!["192.168.0.1".to_owned()])));
        for other in [
            "require(\"tls\", http(\"https://127.0.0.1/\"));",
            "require(\"far\", http(\"http://192.0.2.1/\"));",
            "require(\"ssh\", tcp(\"127.0.0.1:22\"));",
            "require(\"name\", ping(\"gateway.example.org\"));",
        ] {
            assert_eq!(asks_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_stand_in_says_what_its_file_says() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::new();
        let policy = Policy::load(&engine, "p", "p.rhai", &text(directory.path(), "p", true)).unwrap();
        assert!(policy.has_may_take_over());
        // The rule, as every stand-in has it; what its file says is read by the real prober only.
        let rules: Vec<&str> = policy.rules_named().iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(rules, ["as_simulated"]);
        Policy::load(&engine, "p", "p.rhai", &text(directory.path(), "p", false)).unwrap();
    }

    /// Reads whatever file it is asked for as this.
    struct Reads(&'static str);

    impl Prober for Reads {
        fn start(&self, _: &ProbeRequest) -> Pending {
            let (answer, pending) = std::sync::mpsc::channel();
            let fields = [("content", Field::text(self.0))].into_iter().collect();
            let (why, error) = (String::new(), ErrorKind::None);
            answer.send(ProbeOutcome { ok: true, why, error, blind: false, elapsed: Duration::ZERO, fields }).unwrap();
            pending
        }
    }

    /// It stands still.
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Instant {
            Instant::ZERO
        }

        fn wall(&self) -> WallTime {
            WallTime::default()
        }
    }

    #[test]
    fn of_what_does_not_come_back_a_stand_in_knows_no_more_than_the_node() {
        let engine = Engine::new();
        let policy = Policy::load(&engine, "p", "p.rhai", &text(Path::new("/nowhere"), "p", true)).unwrap();
        let says = |said: &'static str| {
            let (prober, clock): (Arc<dyn Prober>, Arc<dyn Clock>) = (Arc::new(Reads(said)), Arc::new(Still));
            let report = Judge::new().evaluate(&engine, &policy, 1, &Context::default(), &prober, &clock);
            (matches!(report.verdict, Verdict::Hold { .. }), report.error.is_some())
        };
        assert_eq!(says("healthy"), (false, false));
        assert_eq!(says("hold: the disk is busy"), (true, false));
        let lost = "hold: policy p: its evaluation does not come back; the role stays as it is";
        assert_eq!(says(lost), (true, true));
        assert_eq!(says("hold: the policy could not be evaluated: it throws"), (true, true));
    }
}
