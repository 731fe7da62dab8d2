//! `ha status`: what the daemon does and why. 0, or 69 without a daemon.
//!
//! With `--check` it is a plugin of a monitoring system: 0 every instance has a role and nothing is wrong, 1 something
//! should be looked at, 2 an instance is in fault or its addresses are not where it says, 3 unknown (no daemon).

mod header;
mod instance;

use clap::Args;
use header::header;
use instance::instance_text;

use super::{
    Code, Daemon, judged,
    output::{self, wrap},
    paint::Paint,
    table::Table,
};
use crate::control::{
    Unanswered,
    protocol::{Condition, Evaluation, Group, Policy, State, Status},
};

/// Lines of the history shown.
const HISTORY: usize = 8;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    /// One line and an exit code for monitoring: 0 ok, 1 warning, 2 critical, 3 unknown
    #[arg(long, conflicts_with = "json")]
    check: bool,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    match arguments.daemon.client().status() {
        Ok(status) if arguments.check => {
            let health = Health::of(&status);
            output::print(&health.line());
            health.code()
        }
        Ok(status) => {
            if arguments.json {
                output::print_json(&status);
            } else {
                output::print(&text(&status, Paint::of_stdout()));
            }
            Code::OK
        }
        Err(why) if arguments.check => {
            output::print(&format!("HA UNKNOWN - {why}\n"));
            Code(3)
        }
        Err(why) => unanswered(&why),
    }
}

/// Says why there is no answer.
pub(super) fn unanswered(why: &Unanswered) -> Code {
    output::complain(&why.to_string());
    match why {
        Unanswered::Denied(_) => Code::PERMISSION,
        Unanswered::NotRunning(_) | Unanswered::Broken(_) | Unanswered::Refused(..) | Unanswered::Unreadable(_) => {
            Code::UNAVAILABLE
        }
    }
}

/// What a monitoring system wants to know.
#[derive(Debug, Default)]
struct Health {
    critical: Vec<String>,
    warnings: Vec<String>,
    roles: Vec<String>,
}

impl Health {
    fn of(status: &Status) -> Self {
        let mut health = Self::default();
        for network in &status.networks {
            let why = network
                .trouble
                .iter()
                .map(|why| format!("network namespace {}: nobody serves there: {why}", network.name));
            health.critical.extend(why);
        }
        for instance in &status.instances {
            let name = &instance.name;
            health.roles.push(format!("{name} {}", instance.state.as_str()));
            match instance.state {
                State::Fault => health.critical.push(format!("{name} fault: {}", instance.reason)),
                State::Master if !instance.serves() => {
                    health.critical.push(format!("{name} is master without its addresses"));
                }
                State::Master | State::Backup => {}
            }
            let misplaced = instance.conditions.iter().filter(|condition| condition.name == "address_misplaced");
            health.critical.extend(misplaced.map(|condition| format!("{name}: {}", condition.text)));
            let alarms = instance.conditions.iter().filter(|condition| !passes(condition));
            health.warnings.extend(alarms.map(|condition| format!("{name}: {}", condition.text)));
        }
        for policy in status.policies.iter().filter(|policy| policy.stale.is_some()) {
            health.warnings.push(format!("policy {}: the file on disk is not what runs", policy.name));
        }
        health.warnings.extend(status.policies.iter().filter_map(|policy| policy.regression.clone()));
        if status.configuration.last_good {
            health.warnings.push("the configuration file is broken, the last good one runs".to_owned());
        }
        health
    }

    fn line(&self) -> String {
        let (word, said) = match (self.critical.is_empty(), self.warnings.is_empty()) {
            (false, _) => ("CRITICAL", &self.critical),
            (true, false) => ("WARNING", &self.warnings),
            (true, true) => ("OK", &self.roles),
        };
        // A bar would begin the performance data.
        format!("HA {word} - {}\n", said.join("; ").replace(['|', '\n'], " "))
    }

    fn code(&self) -> Code {
        match (self.critical.is_empty(), self.warnings.is_empty()) {
            (false, _) => Code(2),
            (true, false) => Code(1),
            (true, true) => Code(0),
        }
    }
}

/// Part of the normal course of things.
fn passes(condition: &Condition) -> bool {
    matches!(condition.name.as_str(), "starting" | "elected" | "group_waits" | "resigning" | "maintenance")
}

/// The whole status, for people.
fn text(status: &Status, paint: Paint) -> String {
    let mut text = header(status, paint);
    for instance in &status.instances {
        text += "\n";
        text += &instance_text(instance, paint);
    }
    let groups: String = status.groups.iter().map(|group| group_text(group, paint)).collect();
    let policies: String = status.policies.iter().map(|policy| policy_text(policy, paint)).collect();
    for part in [groups, policies].iter().filter(|part| !part.is_empty()) {
        text += &format!("\n{part}");
    }
    text + history(status, paint).as_str()
}

fn evaluation_text(report: &Evaluation, instance: &str, paint: Paint) -> String {
    let verdict = &report.verdict;
    let word = match verdict.kind.as_str() {
        "healthy" => paint.good("healthy"),
        "starting" | "maintenance" => paint.doubtful(&verdict.kind),
        _ => paint.bad(&verdict.kind),
    };
    let mut text = format!(
        "  {} {word} · generation {} · {} ago, took {}\n",
        paint.strong(&report.policy),
        report.generation,
        judged::ago(report.age_ms),
        judged::took(report.elapsed_ms),
    );
    if let Some(error) = &report.error {
        text += &alarm(error, 4, paint);
    } else if !verdict.why.is_empty() {
        text += &format!("    {}\n", wrap(&verdict.why, 4));
    }
    text + rules(report, instance, paint).as_str()
}

fn rules(report: &Evaluation, instance: &str, paint: Paint) -> String {
    if report.rules.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["RULE", "STATE", "FAILS", "OKS", "RESULT", "TIME", "SINCE", "WHEN DOWN"], &[4, 0]);
    for rule in &report.rules {
        table.row([
            rule.name.clone(),
            if rule.unproven { format!("{}, unproven", rule.state) } else { rule.state.clone() },
            format!("{}/{}", rule.fails.min(rule.fall), rule.fall),
            format!("{}/{}", rule.oks.min(rule.rise), rule.rise),
            rule.why.clone(),
            rule.elapsed_ms.map(judged::took).unwrap_or_default(),
            judged::ago(rule.since_ms),
            judged::when_down(rule),
        ]);
    }
    let marks = report.rules.iter().map(|rule| match rule.state.as_str() {
        "up" => paint.good(judged::mark(rule)),
        "down" => paint.bad(judged::mark(rule)),
        _ => paint.doubtful(judged::mark(rule)),
    });
    let marks = std::iter::once(" ".to_owned()).chain(marks);
    let rows = table.lines(6).into_iter().zip(marks).map(|(line, mark)| format!("    {mark} {line}\n"));
    let remarks = report.rules.iter().flat_map(|rule| judged::remarks(rule, instance));
    rows.chain(remarks.map(|remark| format!("      {}\n", wrap(&remark, 8)))).collect()
}

fn group_text(group: &Group, paint: Paint) -> String {
    let paint_state = match group.state {
        State::Master => Paint::good,
        State::Backup => Paint::strong,
        State::Fault => Paint::bad,
    };
    let state = paint_state(paint, &group.state.as_str().to_uppercase());
    format!("group {}  {state}  {} together\n", paint.strong(&group.name), group.instances.join(", "))
}

fn policy_text(policy: &Policy, paint: Paint) -> String {
    let place = policy.network.as_ref().map(|network| format!(" in {network}")).unwrap_or_default();
    let mut text = format!("policy {}{place}  ", paint.strong(&policy.name));
    text += &match (policy.generation, &policy.sha256) {
        (Some(generation), Some(sha256)) => {
            let short = sha256.get(..8).unwrap_or(sha256);
            let which = if policy.last_good { ", the last good text" } else { "" };
            let age = judged::ago(policy.age_ms.unwrap_or(0));
            format!("generation {generation} ({short}{which}) for {age}  {}\n", policy.path)
        }
        _ => format!("{}  {}\n", paint.bad("never loaded"), policy.path),
    };
    if let Some(ms) = policy.probation_ms {
        text +=
            &format!("  on probation for another {}: the version before it is evaluated beside it\n", judged::ago(ms));
    }
    if let Some(regression) = &policy.regression {
        text += &alarm(regression, 2, paint);
    }
    if let Some(pinned) = &policy.pinned {
        let pinned = format!(
            "pinned at generation {} since {}: the file does not matter until `ha policy unpin {}`",
            pinned.generation, pinned.time, policy.name
        );
        text += &alarm(&pinned, 2, paint);
    }
    if let Some(stale) = &policy.stale {
        text += &alarm(&format!("the file on disk is not what runs, for {}:", judged::ago(stale.since_ms)), 2, paint);
        text += &output::indented(&stale.error, 4);
    }
    text
}

fn history(status: &Status, paint: Paint) -> String {
    let skipped = status.history.len().saturating_sub(HISTORY);
    let lines = status.history.iter().skip(skipped).map(|happened| {
        let whose = whose(&happened.instance, happened.network.as_deref());
        let age = format!("{:>9} ago", judged::ago(happened.age_ms));
        format!("{}  {}\n", paint.faint(&age), wrap(&format!("{whose}{}", happened.text), 15))
    });
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// What stands before what happened.
pub(super) fn whose(instance: &str, network: Option<&str>) -> String {
    match (instance, network) {
        ("", Some(network)) => format!("network {network}: "),
        ("", None) => String::new(),
        (instance, _) => format!("{instance}: "),
    }
}

fn alarm(text: &str, indent: usize, paint: Paint) -> String {
    format!("{}{} {}\n", " ".repeat(indent), paint.doubtful("!"), wrap(text, indent + 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{
        By, Configuration, Happened, Instance, Network, Peer, Pinned, Rule, Stale, Verdict,
    };

    fn rule(name: &str, state: &str, fails: u32, why: &str) -> Rule {
        Rule {
            name: name.into(),
            effect: "require".into(),
            weight: None,
            file: None,
            line: 7,
            ok: Some(fails == 0),
            state: state.into(),
            fails,
            oks: if fails == 0 { 12 } else { 0 },
            fall: 3,
            rise: 2,
            external: name == "arbiter",
            why: why.into(),
            probes: vec![],
            elapsed_ms: Some(1.9),
            timeout_ms: 2000,
            since_ms: 7_380_000,
            ..Rule::default()
        }
    }

    fn instance() -> Instance {
        Instance {
            name: "VI_1".into(),
            network: None,
            interface: "eth0".into(),
            device: None,
            vrid: 51,
            version: 2,
            state: State::Master,
            since_ms: 7_380_000,
            reason: "no advertisement from 192.168.0.21 within 3.6 s, and nobody answers for the address".into(),
            conditions: vec![],
            priority: 100,
            effective_priority: Some(100),
            source: Some("192.168.0.20".parse().unwrap()),
            addresses: vec!["192.168.0.60/24".into()],
            held: vec!["192.168.0.60/24".into()],
            devices: std::collections::BTreeMap::new(),
            routing: vec![],
            lease_ms: Some(2000),
            paths: vec![],
            witness: None,
            peers: vec![Peer {
                address: "192.168.0.21".parse().unwrap(),
                configured: true,
                alive: true,
                last_heard_ms: Some(7_380_000),
                priority: Some(99),
                reachable: true,
                rejected: None,
            }],
            transitions: 1,
            sent: 7380,
            received: 3,
            discarded: std::collections::BTreeMap::new(),
            reports: vec![Evaluation {
                policy: "check_local".into(),
                generation: 7,
                age_ms: 300,
                elapsed_ms: 2.1,
                verdict: Verdict { kind: "healthy".into(), why: String::new(), delta: 0, external: false },
                rules: vec![rule("web", "up", 0, "200"), rule("arbiter", "failing", 1, "0/3 replies")],
                observed_ok: false,
                error: None,
            }],
            notify: Some(crate::control::protocol::Notified { ran: 3, failed: 1, replaced: 2 }),
        }
    }

    fn status() -> Status {
        Status {
            schema: "ha.status/1".into(),
            version: "0.1.0".into(),
            netns: None,
            networks: vec![],
            node: "K1".into(),
            pid: 812,
            uptime_ms: 7_400_000,
            configuration: Configuration { path: "/etc/ha/ha.toml".into(), ..Configuration::default() },
            instances: vec![instance()],
            groups: vec![],
            policies: vec![Policy {
                network: None,
                name: "check_local".into(),
                path: "/etc/ha/policies/check_local.rhai".into(),
                generation: Some(7),
                sha256: Some("b41e55d2aa".into()),
                age_ms: Some(10_000_000),
                last_good: false,
                stale: None,
                pinned: None,
                probation_ms: None,
                regression: None,
            }],
            history: vec![Happened {
                time: String::new(),
                age_ms: 7_380_000,
                network: None,
                instance: "VI_1".into(),
                text: "master (was backup): no advertisement".into(),
            }],
        }
    }

    #[test]
    fn a_healthy_master() {
        insta::assert_snapshot!(text(&status(), Paint::plain()));
    }

    #[test]
    fn everything_that_can_be_wrong() {
        let mut status = status();
        status.configuration.differs = true;
        status.configuration.unread = Some("could not be read within 500ms".into());
        status.netns = Some("blue".into());
        let instance = &mut status.instances[0];
        instance.state = State::Fault;
        instance.reason = "web: status 500".into();
        instance.addresses.push("10.1.0.60/24".into());
        instance.routing.push("route default via 192.168.0.1 table 100".into());
        instance.devices.insert("10.1.0.60/24".into(), "eth1".into());
        instance.peers[0].rejected = Some("auth type".into());
        instance.discarded.insert("auth type".into(), 4);
        instance.conditions.push(Condition {
            name: "peer_rejected".into(),
            text: "peer 192.168.0.21 seen, rejected: auth type; it will not hear this node either. Compare the \
                   authentication of both configurations with `ha check node1.toml node2.toml`"
                .into(),
        });
        instance.reports[0].verdict =
            Verdict { kind: "fault".into(), why: "web: status 500".into(), delta: 0, external: false };
        instance.reports[0].rules[0] = rule("web", "down", 5, &"a very long reason ".repeat(10));
        instance.reports[0].rules[1].unproven = true;
        status.policies[0].pinned =
            Some(Pinned { generation: 7, by: By::Command { uid: 0 }, time: "2026-08-22T10:14:03Z".into() });
        status.policies[0].probation_ms = Some(42_000);
        status.policies[0].regression =
            Some("policy check_local: the change to generation 7 caused this in VI_1".into());
        status.policies[0].stale =
            Some(Stale { since_ms: 180_000, error: "check_local.rhai:6:5 E101\n  |\n  ^ here".into() });
        let text = text(&status, Paint::plain());
        assert!(text.lines().all(|line| line.chars().count() <= output::WIDTH), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_networks_of_instances_are_shown_and_one_without_its_process_is_critical() {
        let mut status = status();
        status.instances[0].network = Some("blue".into());
        status.policies[0].network = Some("blue".into());
        status.history[0] =
            Happened { network: Some("blue".into()), instance: String::new(), ..status.history[0].clone() };
        let network = |name: &str, trouble: Option<&str>| Network {
            name: name.into(),
            socket: format!("/run/ha/ha-{name}.sock"),
            pid: trouble.is_none().then_some(813),
            trouble: trouble.map(str::to_owned),
        };
        status.networks = vec![network("blue", None)];
        assert_eq!(Health::of(&status).code().0, 0);
        status
            .networks
            .push(network("red", Some("its process 814 was ended by SIGKILL; it is started again in 0.2 s")));
        assert_eq!(Health::of(&status).code().0, 2);
        assert!(Health::of(&status).line().contains("network namespace red: nobody serves there: its process 814"));
        insta::assert_snapshot!(text(&status, Paint::plain()));
    }

    #[test]
    fn monitoring_gets_one_line_and_a_code() {
        let said = |status: &Status| {
            let health = Health::of(status);
            (health.code().0, health.line())
        };
        let mut status = status();
        assert_eq!(said(&status), (0, "HA OK - VI_1 master\n".into()));
        let starting = Condition { name: "starting".into(), text: "waits for the first verdict".into() };
        status.instances[0].conditions.push(starting);
        assert_eq!(said(&status).0, 0);
        status.instances[0].conditions.push(Condition { name: "hold".into(), text: "the policy | throws".into() });
        assert_eq!(said(&status), (1, "HA WARNING - VI_1: the policy   throws\n".into()));
        status.instances[0].conditions.push(Condition { name: "address_misplaced".into(), text: "there".into() });
        assert_eq!(said(&status), (2, "HA CRITICAL - VI_1: there\n".into()));
        status.instances[0].conditions.pop();
        status.instances[0].held.clear();
        assert_eq!(said(&status), (2, "HA CRITICAL - VI_1 is master without its addresses\n".into()));
        status.instances[0].state = State::Fault;
        assert_eq!(said(&status).0, 2);
    }
}
