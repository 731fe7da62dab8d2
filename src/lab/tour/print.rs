//! The tour on a terminal, and as JSON.

use std::{io::IsTerminal as _, time::Duration};

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::{
    super::{
        trouble::{Result, Trouble},
        world::{Host, SERVICE_ADDRESS},
    },
    pair::Pair,
    step::{Says, Step, Verdict},
};

/// What this is, before the first step.
pub(super) fn opening(keepalived: Option<Host>) {
    let runs = |node| if keepalived == Some(node) { "keepalived" } else { "ha" };
    println!("The founding pair on this machine: throw-away namespaces, real daemons, real packets.\n");
    for node in Host::NODES {
        println!("  {node}    {}   {}", node.address(), runs(node));
    }
    println!("  arbiter  {}", Host::Arbiter.address());
    println!("  client   {}   calls {SERVICE_ADDRESS} 500 times a second\n", Host::Client.address());
}

/// One step, as soon as it is over.
pub(super) fn step(step: &Step) {
    let (sign, color) = match step.verdict {
        Verdict::Held => ("✔", AnsiColor::Green),
        Verdict::Failed => ("✘", AnsiColor::Red),
        Verdict::Seen => ("·", AnsiColor::Yellow),
    };
    println!("{} {:4} {}", painted(sign, color), step.row, step.title);
    println!("       done     {}", step.did);
    let names: Vec<&str> = step.holders.iter().map(|host| host.name()).collect();
    let holders = if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") };
    let took = step.took.map_or_else(String::new, |took| format!(" after {}", time(took)));
    println!("       holder   {holders}{took}");
    for (node, says) in Host::NODES.into_iter().zip(&step.says) {
        println!("       {node}    {}", sentence(says));
        for condition in &says.conditions {
            println!("                {condition}");
        }
    }
    let (minimum, why) = step.minimum;
    println!(
        "       outage   {} ({} packets lost); the shortest possible: {} ({why})",
        time(step.outage.longest),
        step.outage.lost,
        time(minimum),
    );
    if !step.two_holders.is_zero() {
        println!("       two      held the address for {}", time(step.two_holders));
    }
    for why in &step.why {
        println!("       {}   {why}", painted("not so", AnsiColor::Red));
    }
    println!();
}

/// The last line.
pub(super) fn closing(steps: &[Step]) {
    let held = steps.iter().filter(|step| step.verdict == Verdict::Held).count();
    let failed = steps.iter().filter(|step| step.verdict == Verdict::Failed).count();
    let seen = steps.len() - held - failed;
    let seen = if seen == 0 { String::new() } else { format!(", {seen} shown only: they are keepalived's doing") };
    println!("{held} of {} steps held, {failed} did not{seen}.", steps.len());
}

/// How to look around while the pair stays up.
pub(super) fn how_to_enter(pair: &Pair) {
    eprintln!("\nThe pair stays up until this process is interrupted (Ctrl-C). To look around:");
    for host in Host::ALL {
        eprintln!("  {host:8} {} -- sh", pair.world.netns(host).nsenter());
    }
    eprintln!("  {:8} {} -- sh", "switch", pair.world.switch().nsenter());
    for (daemon, keepalived) in pair.running() {
        let directory = daemon.directory().display();
        if !keepalived {
            eprintln!("  {:8} ha status --socket {directory}/ha.sock", daemon.node());
        }
        eprintln!("  {:8} tail -f {directory}/log", daemon.node());
    }
}

/// Everything as one document.
pub(super) fn json(steps: &[Step], held: bool) -> Result<()> {
    let document = json!({
        "schema": "ha.lab/1",
        "held": held,
        "steps": steps.iter().map(step_as_json).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&document)
        .map_err(|error| Trouble::File { name: "the report".to_owned(), why: error.to_string() })?;
    println!("{text}");
    Ok(())
}

fn step_as_json(step: &Step) -> serde_json::Value {
    let [node1, node2] = &step.says;
    json!({
        "row": step.row,
        "title": step.title,
        "done": step.did,
        "verdict": match step.verdict {
            Verdict::Held => "held",
            Verdict::Failed => "failed",
            Verdict::Seen => "seen",
        },
        "why": step.why,
        "holders": step.holders.iter().map(|host| host.name()).collect::<Vec<_>>(),
        "took_ms": step.took.map(millis),
        "outage_ms": millis(step.outage.longest),
        "lost": step.outage.lost,
        "minimum_ms": millis(step.minimum.0),
        "two_holders_ms": millis(step.two_holders),
        "node1": says_as_json(node1),
        "node2": says_as_json(node2),
    })
}

fn says_as_json(says: &Says) -> serde_json::Value {
    json!({
        "program": says.program,
        "state": says.state,
        "reason": says.reason,
        "conditions": says.conditions,
    })
}

fn sentence(says: &Says) -> String {
    match (says.program, says.state.as_str()) {
        ("keepalived", _) => "keepalived; it does not say".to_owned(),
        (_, "") => "no daemon answers".to_owned(),
        (_, state) => format!("{state}: {}", says.reason),
    }
}

fn time(time: Duration) -> String {
    if time >= Duration::from_secs(1) {
        format!("{:.2} s", time.as_secs_f64())
    } else {
        format!("{:.0} ms", millis(time))
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn painted(text: &str, color: AnsiColor) -> String {
    let wanted = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    if !wanted {
        return text.to_owned();
    }
    let style = Style::new().fg_color(Some(color.into())).bold();
    format!("{style}{text}{style:#}")
}
