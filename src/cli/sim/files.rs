//! The files of a simulation: a scenario, and the configurations and policies that it names.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    cli::Code,
    config::{self, Config, Facts, Netns},
    daemon::{keepalived, policies::closure, read_keys, read_keys_beside},
    import::Output,
    policy::{Engine, Policy, Sources, Text},
    probe::Trust,
    sim::{File, Scenario, read},
};

/// How long a simulation goes on of which only the nodes are given.
const USUALLY: Duration = Duration::from_secs(60);
/// No scenario is longer, in bytes, as no configuration is.
const LENGTH_MAX: u64 = 1 << 20;

/// What the arguments name: one scenario, or the configurations of nodes.
pub(in crate::cli) fn scenario(engine: &Engine, files: &[PathBuf]) -> Result<Scenario, (Code, String)> {
    match files {
        [file] if !is_configuration(file) => {
            let text =
                text(file).map_err(|error| (Code::NO_INPUT, format!("{} cannot be read: {error}", file.display())))?;
            let beside = file.parent().unwrap_or(Path::new(""));
            of(engine, &text, beside, &file.display().to_string())
        }
        _ => {
            let names = ('a'..='p').zip(files);
            let mut text: String = names.map(|(name, file)| format!("node {name} {}\n", file.display())).collect();
            text.push_str(&format!("end {}s\n", USUALLY.as_secs()));
            of(engine, &text, Path::new(""), "the configurations")
        }
    }
}

/// Bounded: it may be a device that never ends.
fn text(file: &Path) -> io::Result<String> {
    let text = io::read_to_string(fs::File::open(file)?.take(LENGTH_MAX + 1))?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= LENGTH_MAX) {
        Ok(text)
    } else {
        Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {LENGTH_MAX} bytes")))
    }
}

fn is_configuration(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "toml" || extension == "conf")
}

/// A scenario that lies in this directory.
fn of(engine: &Engine, text: &str, directory: &Path, name: &str) -> Result<Scenario, (Code, String)> {
    let mut load = |file: &str| load(engine, &directory.join(file));
    read(text, engine, &mut load).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("{name}, {problem}")).collect();
        (Code::DATA, lines.join("\nha: "))
    })
}

/// A configuration and its policies.
fn load(engine: &Engine, file: &Path) -> Result<File, String> {
    if file.extension().is_some_and(|extension| extension == "conf") {
        return imported(engine, file);
    }
    // Addresses of this machine are nobody's here.
    let mut loaded = config::load_with(file, &Facts::default()).map_err(|problems| problems.to_string())?;
    if let Some(networks) = several_networks(&loaded.config) {
        return Err(format!(
            "{}: its instances are in several networks: {networks}. Nothing passes between them, and a scenario plays one: write a \
             copy of this file for each, with nothing but its instances and their groups, and name that copy here",
            file.display()
        ));
    }
    read_keys(&mut loaded.config).map_err(|errors| errors.join("; "))?;
    let policies = policies(&loaded.config, |name| {
        let directory = &loaded.config.policy_dir;
        let read = closure::read(engine, directory, directory, name, &Trust::of_this_process());
        let closure = read.map_err(|why| format!("policy {name}: {why}"))?;
        compiled(engine, name, &closure.sources)
    })?;
    Ok(File { config: loaded.config, policies })
}

/// Which instances are in which network, if there is more than one.
fn several_networks(config: &Config) -> Option<String> {
    let mut networks: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for instance in &config.instances {
        networks.entry(&instance.netns).or_default().push(&instance.name);
    }
    let place = |netns: &Option<Netns>| match netns {
        None => "the daemon's own".to_owned(),
        Some(netns) => format!("the network namespace {netns}"),
    };
    let texts: Vec<String> =
        networks.iter().map(|(netns, names)| format!("{} in {}", names.join(", "), place(netns))).collect();
    (texts.len() > 1).then(|| texts.join("; "))
}

/// What a configuration of keepalived is imported to.
fn imported(engine: &Engine, file: &Path) -> Result<File, String> {
    let imported = keepalived::import(file, None).map_err(|why| format!("{} {why}", file.display()))?;
    if imported.is_refused() {
        return Err(format!("{} cannot be imported as it is:\n{}", file.display(), imported.refusals()));
    }
    let text_of =
        |path: &str| imported.outputs.iter().find(|output: &&Output| output.path == path).map(|it| it.text.clone());
    let text = text_of("ha.toml").unwrap_or_default();
    let directory = std::path::absolute(file).map_err(|error| error.to_string())?;
    let loaded = config::parse(&text, &directory.with_file_name("ha.toml"), &Facts::default());
    let mut config = loaded.map_err(|problems| problems.to_string())?.config;
    let secret = |name: &str| text_of(&format!("secrets/{name}"));
    read_keys_beside(&mut config, secret).map_err(|errors| errors.join("; "))?;
    let policies = policies(&config, |name| {
        let path = format!("policies/{name}.rhai");
        let text = text_of(&path).ok_or_else(|| format!("policy {name} was not imported"))?;
        let sources = Sources::gather(engine, Text { file: path, text }, |module| Err(format!("there is no {module}")));
        compiled(engine, name, &sources)
    })?;
    Ok(File { config, policies })
}

fn policies(
    config: &Config,
    policy: impl Fn(&str) -> Result<Policy, String>,
) -> Result<BTreeMap<String, Policy>, String> {
    let names = config.instances.iter().flat_map(|instance| &instance.policies);
    names.map(|name| Ok((name.clone(), policy(name)?))).collect()
}

fn compiled(engine: &Engine, name: &str, sources: &Sources) -> Result<Policy, String> {
    Policy::from_sources(engine, name, sources).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(|problem| problem.render(sources.text_of(&problem.file))).collect();
        format!("policy {name} cannot be used:\n{}", all.concat())
    })
}
