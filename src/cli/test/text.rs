//! What `ha test` found, for people.

use super::Tested;
use crate::{
    cli::{judged, output, paint::Paint},
    policy::{ForcedRule, Severity, TestFailure, TestReport},
};

pub(super) fn of(tested: &[Tested], paint: Paint) -> String {
    let texts: Vec<String> = tested.iter().map(|tested| text(tested, paint)).collect();
    texts.join("\n")
}

fn text(tested: &Tested, paint: Paint) -> String {
    let file = &tested.file;
    let title = format!("{}  {}\n", paint.strong(&file.name), file.path.display());
    match (&file.source, &file.policy, &file.tests) {
        (Err(why), ..) => format!("{title}  {} {why}\n", paint.bad("✘")),
        (Ok(_), Some(policy), Some(tests)) => {
            title + tests_text(&policy.tests(), tests, paint).as_str() + forced_text(tested, paint).as_str()
        }
        _ => title + file.rendered(Severity::Error).as_str(),
    }
}

fn tests_text(names: &[String], report: &TestReport, paint: Paint) -> String {
    let mut text = String::new();
    for name in names {
        let readable = name.trim_start_matches("test_").replace('_', " ");
        match report.failures.iter().find(|failure| failure.name == *name) {
            None => text += &format!("  {} {readable}\n", paint.good("✔")),
            Some(TestFailure { line, message, .. }) => {
                text += &format!("  {} {readable}\n", paint.bad("✘"));
                text += &format!("      line {line}: {}\n", output::wrap(message, 6));
            }
        }
    }
    if names.is_empty() {
        text += "  it has no tests: write `fn test_…()`, with fake() and tick()\n";
    } else {
        text += &format!("  {} passed, {} failed\n", report.passed, report.failures.len());
    }
    text + untouched("no test has seen down", &report.rules_never_down, paint).as_str()
        + untouched("no test has faked", &report.probes_never_faked, paint).as_str()
}

fn untouched(what: &str, names: &[String], paint: Paint) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!("  {} {what}: {}\n", paint.doubtful("!"), output::wrap(&names.join(", "), 4))
}

fn forced_text(tested: &Tested, paint: Paint) -> String {
    let Some(forced) = &tested.forced else { return String::new() };
    let mut text = "  every rule forced down, one at a time, all else being well:\n".to_owned();
    if forced.is_empty() {
        text += "    it has no rules\n";
    }
    text + forced.iter().map(|rule| rule_text(rule, paint)).collect::<String>().as_str()
}

fn rule_text(rule: &ForcedRule, paint: Paint) -> String {
    let mark = if rule.objection.is_none() { paint.good("✔") } else { paint.bad("✘") };
    let mut parts = Vec::new();
    if let Some(after) = rule.fell_after {
        parts.push(format!("down after {}", judged::seconds(after)));
        parts.push(rule.effect.clone());
    }
    match rule.rose_after {
        Some(after) => parts.push(format!("back after {}", judged::seconds(after))),
        None if rule.is_latched => parts.push(format!("stays down until `ha clear {}`", rule.rule)),
        None => {}
    }
    let mut text = format!("  {mark} {}: {}\n", rule.rule, output::wrap(&parts.join(", "), 6));
    if let [only] = rule.roles.as_slice() {
        let other = if *only == "master" { "backup" } else { "master" };
        let what = format!(
            "only a {only} evaluates it: to a {other} it is what it was for as long as it lingers, then unknown"
        );
        text += &format!("      {} {}\n", paint.doubtful("!"), output::wrap(&what, 8));
    }
    if let Some(objection) = &rule.objection {
        text += &format!("      {}\n", output::wrap(objection, 6));
    }
    text
}
