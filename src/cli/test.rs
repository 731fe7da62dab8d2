//! `ha test`: policies' own tests, with fake probes and virtual time. 0 all passed, 1 some failed or a file is no policy.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{CONFIG, Code, output, paint::Paint, policy_file::PolicyFile};
use crate::{
    config,
    policy::{Engine, Severity, TestFailure, TestReport},
};

/// The name and version of the JSON document.
const SCHEMA: &str = "ha.test/1";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Policy files; else those that /etc/ha/ha.toml names
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let files = if arguments.files.is_empty() { of_the_configuration() } else { Ok(arguments.files.clone()) };
    let files = match files {
        Ok(files) => files,
        Err(problems) => {
            output::complain(&problems.to_string());
            return Code(1);
        }
    };
    let engine = Engine::new();
    let files: Vec<PolicyFile> = files.iter().map(|path| PolicyFile::examine(&engine, path)).collect();
    if arguments.json {
        output::print_json(&Document { schema: SCHEMA, files: files.iter().map(FileJson::from).collect() });
    } else {
        let paint = Paint::of_stdout();
        let texts: Vec<String> = files.iter().map(|file| text(file, paint)).collect();
        output::print(&texts.join("\n"));
    }
    if files.iter().all(passed) { Code::OK } else { Code(1) }
}

fn of_the_configuration() -> Result<Vec<PathBuf>, config::Problems> {
    let config = config::load(CONFIG.as_ref())?.config;
    let mut names: Vec<&String> = config.instances.iter().flat_map(|instance| &instance.policies).collect();
    names.sort();
    names.dedup();
    Ok(names.iter().map(|name| config.policy_dir.join(format!("{name}.rhai"))).collect())
}

/// Who may write the file is not a test's business.
fn passed(file: &PolicyFile) -> bool {
    file.tests.as_ref().is_some_and(|tests| tests.failures.is_empty())
}

fn text(file: &PolicyFile, paint: Paint) -> String {
    let title = format!("{}  {}\n", paint.strong(&file.name), file.path.display());
    match (&file.source, &file.policy, &file.tests) {
        (Err(why), ..) => format!("{title}  {} {why}\n", paint.bad("✘")),
        (Ok(_), Some(policy), Some(tests)) => title + tests_text(&policy.tests(), tests, paint).as_str(),
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

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    files: Vec<FileJson<'a>>,
}

#[derive(Serialize)]
struct FileJson<'a> {
    policy: &'a str,
    path: String,
    error: Option<String>,
    passed: usize,
    failures: Vec<FailureJson<'a>>,
    rules_never_down: &'a [String],
    probes_never_faked: &'a [String],
}

#[derive(Serialize)]
struct FailureJson<'a> {
    test: &'a str,
    line: usize,
    message: &'a str,
}

impl<'a> From<&'a PolicyFile> for FileJson<'a> {
    fn from(file: &'a PolicyFile) -> Self {
        let tests = file.tests.as_ref();
        let failures = tests.map_or(&[][..], |tests| &tests.failures);
        Self {
            policy: &file.name,
            path: file.path.display().to_string(),
            error: file
                .source
                .as_ref()
                .err()
                .cloned()
                .or_else(|| file.policy.is_none().then(|| file.rendered(Severity::Error).trim().to_owned())),
            passed: tests.map_or(0, |tests| tests.passed),
            failures: failures
                .iter()
                .map(|failure| FailureJson { test: &failure.name, line: failure.line, message: &failure.message })
                .collect(),
            rules_never_down: tests.map_or(&[], |tests| &tests.rules_never_down),
            probes_never_faked: tests.map_or(&[], |tests| &tests.probes_never_faked),
        }
    }
}
