//! `ha policy`: the generations of the policies, and which of them runs. 0, 69 no daemon, 1 nothing was changed and why.

use std::path::Path;

use clap::{Args, Subcommand};
use similar::TextDiff;

use super::{Code, Daemon, output, paint::Paint, status, table::Table};
use crate::control::{
    Client, Unanswered, Wanted,
    protocol::{By, Generations, Policy, Texts},
};

/// The daemon's own network, on the command line: no namespace can have this name.
const OWN: &str = ".";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the generations that are kept
    List(List),
    /// Show how one generation differs from another
    Diff(Diff),
    /// Run an earlier generation, whatever the file says, until it is unpinned
    Rollback(Choice),
    /// Stay at a generation, whatever the file says, until it is unpinned
    Pin(Choice),
    /// Follow the file again
    Unpin(One),
    /// Run another file of the policy directory instead, until it is unpinned
    Use(Use),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    place: Place,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Which policy; else all of them
    policy: Option<String>,
}

#[derive(Debug, Args)]
struct Diff {
    #[command(flatten)]
    place: Place,
    /// The earlier generation
    old: u64,
    /// The later generation
    new: u64,
    /// Which policy; may be omitted where there is one only
    policy: Option<String>,
}

#[derive(Debug, Args)]
struct Choice {
    #[command(flatten)]
    place: Place,
    /// Which policy, which may be omitted where there is one only; and which generation
    #[arg(value_name = "POLICY|GENERATION", num_args = 0..=2)]
    what: Vec<String>,
}

#[derive(Debug, Args)]
struct One {
    #[command(flatten)]
    place: Place,
    /// Which policy; may be omitted where there is one only
    policy: Option<String>,
}

#[derive(Debug, Args)]
struct Use {
    #[command(flatten)]
    place: Place,
    /// The file beneath the policy directory, without its ending
    file: String,
    /// Which policy; may be omitted where there is one only
    policy: Option<String>,
}

/// Where a policy runs: each network of instances has its own generations.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    daemon: Daemon,
    /// The network namespace whose instances are meant, or "." for the daemon's own; needed only where a policy runs in several
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
}

/// A policy where it runs.
struct Running {
    /// None: in the daemon's own network.
    network: Option<String>,
    name: String,
    client: Client,
}

impl Place {
    /// The policies that are meant, by network: this one, or all of them.
    fn policies(&self, named: Option<&str>) -> Result<Vec<Running>, Trouble> {
        named.map_or(Ok(()), name)?;
        let status = self.daemon.client().status()?;
        if let Some(network) = self.network.as_deref().filter(|name| *name != OWN)
            && !status.networks.iter().any(|known| known.name == network)
        {
            let known: Vec<&str> = status.networks.iter().map(|network| network.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Trouble::Unclear(format!("no instance is in a network namespace {network}; there is {known}")));
        }
        let is_meant = |policy: &Policy| {
            let here = match (self.network.as_deref(), policy.network.as_deref()) {
                (None, _) | (Some(OWN), None) => true,
                (wanted, there) => wanted == there,
            };
            here && named.is_none_or(|name| name == policy.name)
        };
        let socket = |network: &Option<String>| {
            let known = status.networks.iter().find(|known| Some(&known.name) == network.as_ref());
            known.map(|known| Client::new(Path::new(&known.socket)))
        };
        let meant = status.policies.iter().filter(|policy| is_meant(policy));
        Ok(meant
            .map(|Policy { network, name, .. }| Running {
                client: socket(network).unwrap_or_else(|| self.daemon.client()),
                network: network.clone(),
                name: name.clone(),
            })
            .collect())
    }

    /// The one that is meant.
    fn policy(&self, named: Option<&str>) -> Result<Running, Trouble> {
        let mut policies = self.policies(named)?;
        let mut names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
        names.dedup();
        let unclear = match (names.as_slice(), policies.len(), named) {
            (_, 1, _) => None,
            // Whoever is asked for it says that there is none.
            ([], _, Some(name)) => {
                let (network, name) = (None, name.to_owned());
                return Ok(Running { network, name, client: self.daemon.client() });
            }
            ([], _, None) => Some("this node has no policy".to_owned()),
            ([name], ..) => {
                let networks: Vec<&str> =
                    policies.iter().map(|policy| policy.network.as_deref().unwrap_or(OWN)).collect();
                let networks = networks.join(", ");
                Some(format!(
                    "policy {name} runs in several networks, each with its own generations; name one of {networks} with --network"
                ))
            }
            (several, ..) => {
                let mut several = several.to_vec();
                several.sort_unstable();
                several.dedup();
                Some(format!("name the policy: {}", several.join(", ")))
            }
        };
        match (unclear, policies.pop()) {
            (None, Some(policy)) => Ok(policy),
            (unclear, _) => Err(Trouble::Unclear(unclear.unwrap_or_default())),
        }
    }
}

impl Command {
    /// There is nothing that it could change.
    const fn only_asks(&self) -> bool {
        match self {
            Self::List(_) | Self::Diff(_) => true,
            Self::Rollback(_) | Self::Pin(_) | Self::Unpin(_) | Self::Use(_) => false,
        }
    }
}

/// Why there is nothing to show.
enum Trouble {
    Unanswered(Unanswered),
    /// Which policy is meant is not clear.
    Unclear(String),
}

impl From<Unanswered> for Trouble {
    fn from(why: Unanswered) -> Self {
        Self::Unanswered(why)
    }
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let done = match &arguments.command {
        Command::List(list) => perform_list(list),
        Command::Diff(diff) => perform_diff(diff),
        Command::Rollback(choice) => perform_choice(choice, Wanted::Rollback),
        Command::Pin(choice) => perform_choice(choice, Wanted::Pin),
        Command::Unpin(one) => choose(&one.place, one.policy.as_deref(), &Wanted::Unpin),
        Command::Use(using) => name(&using.file)
            .and_then(|()| choose(&using.place, using.policy.as_deref(), &Wanted::Use(using.file.clone()))),
    };
    match done {
        Ok(()) => Code::OK,
        Err(Trouble::Unclear(why)) => {
            output::complain(&why);
            Code::USAGE
        }
        Err(Trouble::Unanswered(Unanswered::Refused(409, why))) => {
            let changed = if arguments.command.only_asks() { "" } else { "; nothing was changed" };
            output::complain(&format!("{why}{changed}"));
            Code(1)
        }
        Err(Trouble::Unanswered(why)) => status::unanswered(&why),
    }
}

/// Whether it can be one, of a policy or of a file: no daemon is asked for anything else.
fn name(text: &str) -> Result<(), Trouble> {
    let never = |letter: char| letter == '/' || letter.is_whitespace() || letter.is_control();
    if !text.is_empty() && !text.contains(never) {
        return Ok(());
    }
    Err(Trouble::Unclear(format!(
        "{text:?} is no name of a policy: that is a file's of the policy directory, without the directory and without .rhai"
    )))
}

fn perform_list(list: &List) -> Result<(), Trouble> {
    let policies = match list.place.policies(list.policy.as_deref())? {
        none if none.is_empty() && list.policy.is_some() => vec![list.place.policy(list.policy.as_deref())?],
        policies => policies,
    };
    let lists = policies.iter().map(|policy| policy.client.generations(&policy.name)).collect::<Result<Vec<_>, _>>()?;
    if list.json {
        let lists = policies.iter().zip(lists);
        let lists: Vec<Generations> =
            lists.map(|(policy, list)| Generations { network: policy.network.clone(), ..list }).collect();
        output::print_json(&lists);
    } else {
        let paint = Paint::of_stdout();
        let texts = policies.iter().zip(&lists).map(|(policy, list)| text(list, policy.network.as_deref(), paint));
        output::print(&texts.collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

fn perform_diff(diff: &Diff) -> Result<(), Trouble> {
    let Running { client, name, .. } = diff.place.policy(diff.policy.as_deref())?;
    output::print(&difference(&client.texts(&name, diff.old)?, &client.texts(&name, diff.new)?));
    Ok(())
}

fn perform_choice(choice: &Choice, wanted: impl Fn(Option<u64>) -> Wanted) -> Result<(), Trouble> {
    let (numbers, names): (Vec<&String>, Vec<&String>) =
        choice.what.iter().partition(|word| word.chars().all(|c| c.is_ascii_digit()));
    if numbers.len() > 1 || names.len() > 1 {
        return Err(Trouble::Unclear("name one policy, and one generation".to_owned()));
    }
    let number = numbers.first().and_then(|number| number.parse().ok());
    choose(&choice.place, names.first().map(|name| name.as_str()), &wanted(number))
}

fn choose(place: &Place, policy: Option<&str>, wanted: &Wanted) -> Result<(), Trouble> {
    let policy = place.policy(policy)?;
    let done = policy.client.choose(&policy.name, wanted)?;
    output::print(&format!("{}\n", done.message));
    Ok(())
}

fn text(list: &Generations, network: Option<&str>, paint: Paint) -> String {
    let place = network.map(|network| format!(" in the network namespace {network}")).unwrap_or_default();
    let mut text = format!("policy {}{place}\n", paint.strong(&list.policy));
    if let Some(pinned) = &list.pinned {
        let by = said(&pinned.by);
        text += &format!(
            "  {} pinned at generation {} since {}, {by}: the file does not matter until `ha policy unpin {}`\n",
            paint.doubtful("!"),
            pinned.generation,
            pinned.time,
            list.policy
        );
    }
    let mut table = Table::new(&["GENERATION", "SHA256", "LOADED", "BROUGHT"], &[]);
    for kept in &list.generations {
        let short = kept.sha256.get(..8).unwrap_or(&kept.sha256).to_owned();
        table.row([kept.number.to_string(), short, kept.time.clone(), said(&kept.by)]);
    }
    let runs = list.generations.iter().map(|kept| Some(kept.number) == list.running);
    let marks =
        std::iter::once(" ".to_owned()).chain(runs.map(|runs| if runs { paint.good("✔") } else { " ".to_owned() }));
    text + table
        .lines(4)
        .iter()
        .zip(marks)
        .map(|(line, mark)| format!("  {mark} {line}\n"))
        .collect::<String>()
        .as_str()
}

fn said(by: &By) -> String {
    match by {
        By::Start => "found at a start".to_owned(),
        By::File { uid, written } => format!("file of uid {uid}, written {written}"),
        By::Command { uid } => format!("command of uid {uid}"),
        By::Probation => "probation".to_owned(),
    }
}

/// Every file that is in either, as patch(1) takes it.
fn difference(old: &Texts, new: &Texts) -> String {
    let mut files: Vec<&String> = old.files.keys().chain(new.files.keys()).collect();
    files.sort();
    files.dedup();
    let mut text = String::new();
    for file in files {
        let of = |texts: &'_ Texts| texts.files.get(file).cloned().unwrap_or_default();
        let (before, after) = (of(old), of(new));
        if before != after {
            let names = [old.number, new.number].map(|number| format!("{file} (generation {number})"));
            let diff = TextDiff::from_lines(&before, &after);
            text += &diff.unified_diff().context_radius(3).header(&names[0], &names[1]).to_string();
        }
    }
    if text.is_empty() {
        return format!("generations {} and {} are the same\n", old.number, new.number);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_name_of_a_policy() {
        for text in ["../../etc/passwd", "", "web policy", "web\r\n"] {
            assert!(
                matches!(name(text), Err(Trouble::Unclear(why)) if why.contains("is no name of a policy")),
                "{text}"
            );
        }
        assert!(["check_local", "web.2", "größe"].iter().all(|text| name(text).is_ok()));
    }
    use crate::control::protocol::{Kept, Pinned};

    #[test]
    fn generations_are_listed_with_what_runs() {
        let kept = |number, by| Kept {
            number,
            sha256: format!("{number}b41e55d2aa"),
            time: format!("2026-08-22T10:14:0{number}Z"),
            by,
        };
        let list = Generations {
            schema: String::new(),
            network: None,
            policy: "check_local".into(),
            running: Some(7),
            pinned: Some(Pinned { generation: 7, by: By::Command { uid: 1000 }, time: "2026-08-22T11:00:00Z".into() }),
            generations: vec![
                kept(6, By::Start),
                kept(7, By::File { uid: 0, written: "2026-08-22T10:14:06Z".into() }),
                kept(8, By::Command { uid: 0 }),
            ],
        };
        insta::assert_snapshot!(text(&list, None, Paint::plain()));
        assert!(
            text(&list, Some("blue"), Paint::plain()).starts_with("policy check_local in the network namespace blue\n")
        );
    }

    #[test]
    fn a_difference_is_shown_as_a_patch() {
        let texts = |number, text: &str, module: &str| Texts {
            policy: "p".into(),
            number,
            files: [("p.rhai".to_owned(), text.to_owned()), ("lib/m.rhai".to_owned(), module.to_owned())].into(),
        };
        let (old, new) = (texts(7, "a\nb\nc\n", "same\n"), texts(8, "a\nB\nc\n", "same\n"));
        insta::assert_snapshot!(difference(&old, &new));
        assert_eq!(difference(&old, &old), "generations 7 and 7 are the same\n");
    }
}
