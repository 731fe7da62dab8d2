//! What `ha check` found, as JSON: `ha.check/1`.

use serde_json::{Value, json};

use super::{
    DryRun, Findings, changed::Change, configuration::ConfigurationFile, hooks::Due, rehearsal::Rehearsal,
    tracked::Watched, what_if::WhatIf, witness::Asked,
};
use crate::{
    cli::policy_file::PolicyFile,
    control::protocol::{Rule, Verdict, millis},
    policy::{Problem, Severity, forecast},
};

/// The name and version of the document.
const SCHEMA: &str = "ha.check/1";

impl Findings {
    const fn mode(&self) -> &'static str {
        match (&self.what_if, &self.dry_run) {
            (Some(_), _) => "what-if",
            (None, Some(_)) => "dry-run",
            (None, None) => "static",
        }
    }

    /// Everything, with the exit code.
    pub(super) fn document(&self) -> Value {
        let running = self.dry_run.as_ref().and_then(|dry_run| dry_run.running.as_ref());
        let rehearsals = self.dry_run.iter().flat_map(|dry_run| &dry_run.rehearsals);
        let watched = self.dry_run.iter().flat_map(|dry_run| &dry_run.watched);
        json!({
            "schema": SCHEMA,
            "mode": self.mode(),
            "time": jiff::Timestamp::now().to_string(),
            "daemon": running.map(|running| json!({ "node": running.status.node, "pid": running.status.pid })),
            "configurations": self.configurations.iter().map(configuration).collect::<Vec<_>>(),
            "disagreements": self.disagreements.iter().map(configuration_problem).collect::<Vec<_>>(),
            "files": self.policies.iter().map(|file| policy(file, self.dry_run.as_ref())).collect::<Vec<_>>(),
            "policies": rehearsals.map(rehearsal).collect::<Vec<_>>(),
            "tracked": watched.map(Watched::document).collect::<Vec<_>>(),
            "witness": self.dry_run.as_ref().and_then(|dry_run| dry_run.witness.as_ref()).map(Asked::document),
            "problems": self.policies.iter().flat_map(|file| &file.problems).map(problem).collect::<Vec<_>>(),
            "what_if": self.what_if.iter().flatten().map(WhatIf::document).collect::<Vec<_>>(),
            "privileges": self.privileges.document(),
            "exit": self.code().0,
        })
    }
}

fn configuration(file: &ConfigurationFile) -> Value {
    let path = file.path.display().to_string();
    match &file.loaded {
        Ok(loaded) => json!({
            "path": path,
            "valid": true,
            "sha256": loaded.sha256,
            "node": loaded.config.node,
            "instances": loaded.config.instances.iter().map(|instance| json!({
                "name": instance.name,
                "interface": instance.interface.as_str(),
                "vrid": instance.vrid.get(),
                "priority": instance.priority.get(),
                "addresses": instance.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "peers": instance.peers,
                "policies": instance.policies,
                "lease": lease(instance),
            })).collect::<Vec<_>>(),
            "problems": loaded.warnings.iter().map(configuration_problem).collect::<Vec<_>>(),
        }),
        Err(problems) => json!({
            "path": path,
            "valid": false,
            "problems": problems.list().iter().map(configuration_problem).collect::<Vec<_>>(),
        }),
    }
}

/// Against the worst peer; `overlap_ms` is how long two may hold the address if this node dies. `null`: no lease.
fn lease(instance: &crate::config::Instance) -> Value {
    let planned = crate::config::lease_length(instance, None);
    planned.length.map_or(Value::Null, |length| {
        json!({
            "length_ms": millis(length),
            "gone_after_ms": millis(planned.bound_end),
            "peer_takes_over_after_ms": millis(planned.earliest_takeover_by_peer),
            "gate_ms": planned.gate.map(millis),
            "overlap_ms": millis(planned.overlap),
        })
    })
}

fn configuration_problem(problem: &crate::config::Problem) -> Value {
    let severity = match problem.severity() {
        crate::config::Severity::Error => "error",
        crate::config::Severity::Warning => "warning",
    };
    let (line, column) = problem.position().unwrap_or_default();
    json!({
        "severity": severity, "line": line, "column": column, "message": problem.what(), "hint": problem.todo(),
    })
}

fn policy(file: &PolicyFile, dry_run: Option<&DryRun>) -> Value {
    let difference = dry_run.and_then(|dry_run| dry_run.difference(file));
    let tests = file.tests.as_ref();
    json!({
        "policy": file.name,
        "path": file.path.display().to_string(),
        "sha256": file.source.as_ref().ok().map(|source| &source.sha256),
        "error": file.source.as_ref().err(),
        "valid": !file.is_refused(),
        "status": difference.as_ref().map(|difference| if difference.same { "running" } else { "changed" }),
        "running": difference.as_ref().map(|difference| {
            json!({ "generation": difference.generation, "sha256": difference.sha256 })
        }),
        "changes": difference.map(|difference| difference.changes.iter().map(change).collect::<Vec<_>>()),
        "tests": tests.map(|tests| json!({
            "passed": tests.passed,
            "failed": tests.failures.len(),
            "failures": tests.failures.iter().map(|failure| json!({
                "test": failure.name, "line": failure.line, "message": failure.message,
            })).collect::<Vec<_>>(),
        })),
    })
}

fn change(change: &Change) -> Value {
    match change {
        Change::Added(rule) => json!({ "rule": rule, "change": "added" }),
        Change::Removed(rule) => json!({ "rule": rule, "change": "removed" }),
        Change::Option { rule, option, from, to } => {
            json!({ "rule": rule, "change": "option", "option": option, "from": from, "to": to })
        }
    }
}

fn problem(problem: &Problem) -> Value {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({
        "severity": severity, "code": problem.code, "file": problem.file, "line": problem.line,
        "column": problem.column, "message": problem.message, "hint": problem.hint,
    })
}

fn rehearsal(rehearsal: &Rehearsal) -> Value {
    let report = &rehearsal.report;
    let rules = report.rules.iter().map(|rule| {
        let worst = forecast::worst_case(rule, rehearsal.interval, rehearsal.fast);
        json!({
            "rule": Rule::at(report.started_at, rule),
            "worst_ms": { "hang": millis(worst.hang), "error": millis(worst.error) },
        })
    });
    json!({
        "instance": rehearsal.instance,
        "name": rehearsal.policy,
        "interval_ms": millis(rehearsal.interval),
        "elapsed_ms": millis(report.elapsed),
        "error": report.error,
        "rules": rules.collect::<Vec<_>>(),
        "verdict": {
            "now": Verdict::from(&report.verdict),
            "if_repeated": Verdict::from(&rehearsal.forecast.verdict),
            "in_ms": millis(rehearsal.forecast.within),
        },
        "would": rehearsal.would.document(),
        "hooks": rehearsal.hooks.iter().map(Due::document).collect::<Vec<_>>(),
    })
}
