//! What `ha check` found, for people.

use std::time::Duration;

use super::{
    DryRun, Findings,
    changed::{self, Change},
    configuration::ConfigurationFile,
    outlook,
    rehearsal::Rehearsal,
    running::Difference,
};
use crate::{
    cli::{judged, output::wrap, paint::Paint, policy_file::PolicyFile, table::Table},
    policy::{FaultCause, Severity, Verdict, forecast},
};

impl Findings {
    /// Everything, ending with the exit code and what it means.
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        for file in &self.configurations {
            text += &configuration_text(file, self.counterpart(file), paint);
        }
        for disagreement in &self.disagreements {
            text += &format!("{}\n", disagreement.render(paint.is_on()));
        }
        for file in &self.policies {
            text += &policy_text(file, self.dry_run.as_ref(), paint);
        }
        text += &self.privileges.text(paint);
        if let Some(dry_run) = &self.dry_run {
            text += &dry_run_text(dry_run, paint);
        }
        text += &self.what_if.iter().flatten().map(|what_if| what_if.text(paint)).collect::<String>();
        let code = self.code().0;
        text + format!("exit {code} ({})\n", self.meaning()).as_str()
    }

    fn meaning(&self) -> &'static str {
        match (self.code().0, &self.dry_run) {
            (0, None) if self.what_if.is_some() => "valid, and this node would stay healthy",
            (0, None) => "valid",
            (0, Some(_)) => "valid, and this node is healthy",
            (1, _) if !self.has_errors() => "warnings count as errors here",
            (1, _) => "invalid; a running daemon keeps what it runs",
            (2, None) => "valid, but this node would not stay healthy",
            (2, _) => "valid, but this node is not healthy now, or will not be if this goes on",
            (3, _) => "valid, but a probe could not be made or a policy not be evaluated",
            _ => "",
        }
    }
}

fn configuration_text(file: &ConfigurationFile, counterpart: Option<&ConfigurationFile>, paint: Paint) -> String {
    match &file.loaded {
        Err(problems) => format!("{} {}\n{}\n", paint.bad("✘"), file.path.display(), problems.render(paint.is_on())),
        Ok(loaded) => {
            let mut text = format!("{} {}\n{}\n", paint.good("✔"), file.path.display(), file.description(counterpart));
            for warning in &loaded.warnings {
                text += &format!("{}\n\n", warning.render(paint.is_on()));
            }
            text
        }
    }
}

fn policy_text(file: &PolicyFile, dry_run: Option<&DryRun>, paint: Paint) -> String {
    let mark = if file.is_refused() { paint.bad("✘") } else { paint.good("✔") };
    let mut text = format!("{mark} {}", file.path.display());
    match &file.source {
        Err(why) => return format!("{text}\n    {}\n", wrap(why, 4)),
        Ok(source) => {
            let (uid, mode) = source.main.owner;
            let owner = if uid == 0 { "root".to_owned() } else { format!("uid {uid}") };
            text += &format!("  {}  {owner} {mode:04o}", source.sha256.get(..8).unwrap_or_default());
        }
    }
    let difference = dry_run.and_then(|dry_run| dry_run.difference(file));
    text += &difference.as_ref().map(|difference| difference_text(difference, paint)).unwrap_or_default();
    text += "\n";
    text += &file.rendered(Severity::Error);
    if let (Some(policy), Some(tests)) = (&file.policy, &file.tests) {
        let rules = counted(policy.rules_named().len(), "rule");
        text += &format!("    {rules}, {} passed\n", counted(tests.passed, "test"));
    }
    text + file.rendered(Severity::Warning).as_str()
}

fn counted(number: usize, what: &str) -> String {
    judged::count(u64::try_from(number).unwrap_or(u64::MAX), what)
}

fn difference_text(difference: &Difference, paint: Paint) -> String {
    let short = difference.sha256.get(..8).unwrap_or_default();
    if difference.same {
        return format!("  runs as generation {}", difference.generation);
    }
    let mut text = format!("  changed: running is generation {} ({short})", difference.generation);
    for change in &difference.changes {
        text += &match change {
            Change::Added(rule) => format!("\n    {} rule {rule} (new: starts up, unproven)", paint.good("+")),
            Change::Removed(rule) => format!("\n    {} rule {rule}", paint.bad("-")),
            Change::Option { rule, option, from, to } => {
                let (from, to) = (changed::shown(from), changed::shown(to));
                format!("\n    {} {}", paint.doubtful("~"), wrap(&format!("rule {rule}: {option} {from} → {to}"), 8))
            }
        };
    }
    text
}

fn dry_run_text(dry_run: &DryRun, paint: Paint) -> String {
    let beside = match &dry_run.running {
        Some(running) => format!("counters continue those of the running daemon (process {})", running.status.pid),
        None => "no daemon of this node answers: counters start from zero".to_owned(),
    };
    let mut text = format!("\nreal probes, once; nothing is changed; {beside}\n");
    for rehearsal in &dry_run.rehearsals {
        text += &rehearsal_text(rehearsal, paint);
    }
    text += &dry_run.watched.iter().map(|watched| watched.text(paint)).collect::<String>();
    text += &dry_run.witness.iter().map(|asked| asked.text(paint)).collect::<String>();
    if dry_run.rehearsals.is_empty() && dry_run.watched.is_empty() {
        text += "no policy was evaluated: the configuration names none that is valid and checked here\n";
    }
    text + "\n"
}

fn rehearsal_text(rehearsal: &Rehearsal, paint: Paint) -> String {
    let every = humantime::format_duration(rehearsal.interval);
    let mut text = format!("\n{} in {}, every {every}\n", paint.strong(&rehearsal.policy), rehearsal.instance);
    text += &match (rehearsal.judges, rehearsal.report.rules.is_empty()) {
        (false, _) => "  it has hooks alone and judges nothing\n".to_owned(),
        (true, true) => "  no rule was evaluated\n".to_owned(),
        (true, false) => rules(rehearsal, paint),
    };
    text += "\n";
    if let Some(error) = &rehearsal.report.error {
        text += &format!("{} {}\n", paint.bad("error           "), wrap(error, 17));
    }
    if let Some(remark) = &rehearsal.remark {
        text += &format!("{} {}\n", paint.doubtful("mind            "), wrap(remark, 17));
    }
    text += &format!("verdict now      {}\n", wrap(&now(rehearsal, paint), 17));
    text += &format!("if this goes on  {}\n", wrap(&later(rehearsal, paint), 17));
    for sentence in &rehearsal.would.sentences() {
        text += &format!("                 → {}\n", wrap(sentence, 19));
    }
    for hook in &rehearsal.hooks {
        text += &format!("                 → {}\n", wrap(&hook.sentence(), 19));
    }
    for rise in &rehearsal.forecast.rises {
        text += &format!("                 {} comes back up in {}\n", rise.rule, judged::seconds(rise.after));
    }
    if rehearsal.report.rules.is_empty() {
        return text;
    }
    text + format!("worst case       {}\n", wrap(&worst_case(rehearsal), 17)).as_str()
}

fn rules(rehearsal: &Rehearsal, paint: Paint) -> String {
    let mut table = Table::new(&["RULE", "PROBE", "RESULT", "TIME", "DOWN AFTER", "UP AFTER", "WHEN DOWN"], &[1, 2, 0]);
    let rules = rehearsal.rules();
    for rule in &rules {
        table.row([
            rule.name.clone(),
            rule.probes.join(", "),
            rule.why.clone(),
            rule.elapsed_ms.map(judged::took).unwrap_or_default(),
            judged::down_after(rule),
            judged::up_after(rule),
            judged::when_down(rule),
        ]);
    }
    let marks = rules.iter().map(|rule| match rule.ok {
        Some(true) => paint.good("✔"),
        Some(false) => paint.bad("✘"),
        None => paint.doubtful("?"),
    });
    let marks = std::iter::once(" ".to_owned()).chain(marks);
    table.lines(2).iter().zip(marks).map(|(line, mark)| format!("{mark} {line}\n")).collect()
}

fn now(rehearsal: &Rehearsal, paint: Paint) -> String {
    let counting = |rule: &crate::policy::RuleReport| {
        let fall = rule.hysteresis.fall;
        (rule.ok == Some(false)).then(|| format!("{} failed {}/{fall}", rule.name, rule.gate.fails().min(fall)))
    };
    let counting: Vec<String> = rehearsal.report.rules.iter().filter_map(counting).collect();
    let (word, why) = verdict(&rehearsal.report.verdict, paint);
    let parts: Vec<String> = [word, why, counting.join(", ")].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("  ")
}

fn later(rehearsal: &Rehearsal, paint: Paint) -> String {
    let forecast = &rehearsal.forecast;
    let (word, why) = verdict(&forecast.verdict, paint);
    let within = if forecast.within == Duration::ZERO {
        String::new()
    } else {
        format!(" in {}", judged::seconds(forecast.within))
    };
    if why.is_empty() { format!("{word}{within}") } else { format!("{word}{within}: {why}") }
}

pub(super) fn verdict(verdict: &Verdict, paint: Paint) -> (String, String) {
    match verdict {
        Verdict::Starting => (paint.doubtful("starting"), "not every rule is known yet".to_owned()),
        Verdict::Healthy { note, .. } if outlook::is_healthy(verdict) => (paint.good("healthy"), note.clone()),
        Verdict::Healthy { delta, note } => (paint.doubtful(&format!("healthy, priority {delta:+}")), note.clone()),
        Verdict::Fault { why, cause: FaultCause::Rules | FaultCause::Script } => (paint.bad("FAULT"), why.clone()),
        Verdict::Fault { why, cause: FaultCause::External } => (paint.bad("FAULT (external)"), why.clone()),
        Verdict::Hold { why } => (paint.bad("HOLD"), why.clone()),
        Verdict::Maintenance { why } => (paint.doubtful("maintenance"), why.clone()),
    }
}

fn worst_case(rehearsal: &Rehearsal) -> String {
    let of = |rule: &crate::policy::RuleReport| {
        let worst = forecast::worst_case(rule, rehearsal.interval, rehearsal.fast);
        format!("{}: hang {}, error {}", rule.name, judged::seconds(worst.hang), judged::seconds(worst.error))
    };
    rehearsal.report.rules.iter().map(of).collect::<Vec<_>>().join(" · ")
}
