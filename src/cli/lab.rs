//! `ha lab`: 0 every step held, 1 one did not, 3 one could not be made here; 69, 71 or 77 where there can be no lab. With
//! `--scenario`: 0 everything was as expected and as simulated, 1 something was not; 65 the scenario is wrong or cannot be played
//! with real packets, 66 it cannot be read.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{Code, deep, output, paint::Paint, sim};
use crate::{
    config::{Config, WebhookUrl},
    lab::{
        Options, run,
        scenario::{Files, LATE, Needs, Play, misfits, play},
    },
    policy::Engine,
    sim::{Act, Happening, Promise, Reload, Scenario},
};

/// How long it may take after chaos until all is well: a node that could not send, or whose address vanished again and again,
/// stays away for a while.
const SETTLES: Duration = Duration::from_secs(90);

/// An address where nobody is.
const NOWHERE: &str = "https://127.0.0.1:9/";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Leave the pair up at the end, and say how to enter it
    #[arg(long)]
    stay: bool,
    /// Run keepalived instead of ha on this node
    #[arg(long, value_name = "NODE", value_parser = clap::value_parser!(u8).range(1..=2))]
    keepalived: Option<u8>,
    /// Play a scenario of ha sim with real daemons instead of the tour, on the network that its configurations name, and hold both
    /// outcomes against each other; a keepalived.conf is run by the real keepalived
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "stay", "keepalived"])]
    scenario: Option<PathBuf>,
    /// Random faults against the nodes of the scenario for so many seconds, instead of its steps
    #[arg(long, value_name = "SECONDS", requires = "scenario", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    chaos: Option<u64>,
    /// Where the chance of --chaos comes from
    #[arg(long, value_name = "NUMBER", requires = "chaos", default_value_t = 1)]
    seed: u64,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let Arguments { json, stay, keepalived, scenario, chaos, seed } = arguments;
    let code = match scenario {
        None => run(Options { json: *json, stay: *stay, keepalived: *keepalived, colour: Paint::of_stdout().is_on() }),
        Some(file) => {
            // The simulation comes first, on a thread that has ended before the lab begins.
            let mut prepared = None;
            let code = deep(|| match prepare(file, chaos.map(|seconds| (Duration::from_secs(seconds), *seed))) {
                Ok(ready) => {
                    prepared = Some(ready);
                    Code::OK
                }
                Err((code, why)) => {
                    output::complain(&why);
                    code
                }
            });
            let Some(prepared) = prepared else { return code };
            play(&prepared)
        }
    };
    Code(u8::try_from(code).unwrap_or(1))
}

/// The scenario with everything that it names, and what it comes to in virtual time.
fn prepare(file: &Path, chaos: Option<(Duration, u64)>) -> Result<Play, (Code, String)> {
    let engine = Engine::new();
    let mut scenario = sim::scenario(&engine, &[file.to_owned()])?;
    if let Some((length, seed)) = chaos {
        scenario = crate::sim::chaos(&scenario.nodes, seed, length);
    }
    let misfits: Vec<String> = misfits(&scenario, chaos.is_some())
        .into_iter()
        .map(|(line, why)| match line {
            0 => format!("{}: {why}", file.display()),
            _ => format!("{}, line {line}: {why}", file.display()),
        })
        .collect();
    if !misfits.is_empty() {
        return Err((Code::DATA, misfits.join("\nha: ")));
    }
    let beside = file.parent().unwrap_or(Path::new(""));
    let read = |name: &str, config: &Config| {
        files(&beside.join(name), config)
            .map_err(|error| (Code::NO_INPUT, format!("the files of {name} cannot be read: {error}")))
    };
    let nodes = scenario.nodes.iter().map(|node| read(&node.file, &node.setup.config));
    let files = nodes.collect::<Result<Vec<Files>, _>>()?;
    let reloads = reloads(&scenario).map(|(name, config)| Ok((name.clone(), read(name, config)?)));
    let reloads = reloads.collect::<Result<Vec<(String, Files)>, _>>()?;
    let simulated = crate::sim::play(&scenario, &engine, None);
    let patience = if chaos.is_some() { SETTLES } else { LATE };
    let promise = chaos.map(|_| Promise::of(&scenario.nodes));
    let needs = Needs::of(&engine, &scenario);
    Ok(Play { scenario, simulated, patience, promise, files, reloads, needs })
}

fn reloads(scenario: &Scenario) -> impl Iterator<Item = (&String, &Config)> {
    scenario.steps.iter().filter_map(|step| match &step.what {
        Happening::Do(Act::Reload(_, Reload::File(name, config, _))) => Some((name, &**config)),
        Happening::Do(_) | Happening::Expect(_) => None,
    })
}

/// A configuration, every policy and module beside it, and its secrets: what is not there yet on this machine is made up, for it is
/// sent to nobody here.
fn files(file: &Path, config: &Config) -> std::io::Result<Files> {
    let mut files = Files { config: fs::read_to_string(file)?, ..Files::default() };
    if let Ok(entries) = fs::read_dir(&config.policy_dir) {
        for entry in entries {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            if let Some(name) = name.filter(|_| path.extension().is_some_and(|extension| extension == "rhai")) {
                files.policies.push((name.to_owned(), fs::read_to_string(&path)?));
            }
        }
    }
    files.policies.sort();
    let secrets = fs::read_dir(&config.permits.secrets_dir).into_iter().flatten().flatten();
    for path in secrets.map(|entry| entry.path()).filter(|path| path.is_file()) {
        // One that this user may not read is made up too.
        let text = fs::read_to_string(&path).unwrap_or_else(|_| NOWHERE.to_owned());
        files.secrets.extend(path.file_name().and_then(|name| name.to_str()).map(|name| (name.to_owned(), text)));
    }
    for webhook in &config.webhooks {
        if let WebhookUrl::Secret(secret) = &webhook.url
            && files.secrets.iter().all(|(name, _)| name != secret.name())
        {
            files.secrets.push((secret.name().to_owned(), NOWHERE.to_owned()));
        }
    }
    Ok(files)
}
