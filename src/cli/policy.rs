//! `ha policy`: the generations of the policies, and which of them runs. 0, 69 no daemon, 1 nothing was changed and why.

use clap::{Args, Subcommand};
use similar::TextDiff;

use super::{Code, Daemon, output, paint::Paint, status, table::Table};
use crate::control::{
    Client, Unanswered, Wanted,
    protocol::{By, Generations, Texts},
};

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
    daemon: Daemon,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Which policy; else all of them
    policy: Option<String>,
}

#[derive(Debug, Args)]
struct Diff {
    #[command(flatten)]
    daemon: Daemon,
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
    daemon: Daemon,
    /// Which policy, which may be omitted where there is one only; and which generation
    #[arg(value_name = "POLICY|GENERATION", num_args = 0..=2)]
    what: Vec<String>,
}

#[derive(Debug, Args)]
struct One {
    #[command(flatten)]
    daemon: Daemon,
    /// Which policy; may be omitted where there is one only
    policy: Option<String>,
}

#[derive(Debug, Args)]
struct Use {
    #[command(flatten)]
    daemon: Daemon,
    /// The file beneath the policy directory, without its ending
    file: String,
    /// Which policy; may be omitted where there is one only
    policy: Option<String>,
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
        Command::Unpin(one) => choose(&one.daemon.client(), one.policy.as_deref(), &Wanted::Unpin),
        Command::Use(using) => {
            choose(&using.daemon.client(), using.policy.as_deref(), &Wanted::Use(using.file.clone()))
        }
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

fn perform_list(list: &List) -> Result<(), Trouble> {
    let client = list.daemon.client();
    let names = match &list.policy {
        Some(name) => vec![name.clone()],
        None => names(&client)?,
    };
    let lists = names.iter().map(|name| client.generations(name)).collect::<Result<Vec<_>, _>>()?;
    if list.json {
        output::print_json(&lists);
    } else {
        let paint = Paint::of_stdout();
        output::print(&lists.iter().map(|list| text(list, paint)).collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

fn perform_diff(diff: &Diff) -> Result<(), Trouble> {
    let client = diff.daemon.client();
    let policy = the_policy(&client, diff.policy.as_deref())?;
    output::print(&difference(&client.texts(&policy, diff.old)?, &client.texts(&policy, diff.new)?));
    Ok(())
}

fn perform_choice(choice: &Choice, wanted: impl Fn(Option<u64>) -> Wanted) -> Result<(), Trouble> {
    let (numbers, names): (Vec<&String>, Vec<&String>) =
        choice.what.iter().partition(|word| word.chars().all(|c| c.is_ascii_digit()));
    if numbers.len() > 1 || names.len() > 1 {
        return Err(Trouble::Unclear("name one policy, and one generation".to_owned()));
    }
    let number = numbers.first().and_then(|number| number.parse().ok());
    choose(&choice.daemon.client(), names.first().map(|name| name.as_str()), &wanted(number))
}

fn choose(client: &Client, policy: Option<&str>, wanted: &Wanted) -> Result<(), Trouble> {
    let policy = the_policy(client, policy)?;
    let done = client.choose(&policy, wanted)?;
    output::print(&format!("{}\n", done.message));
    Ok(())
}

fn names(client: &Client) -> Result<Vec<String>, Trouble> {
    Ok(client.status()?.policies.into_iter().map(|policy| policy.name).collect())
}

/// The one that is named, or the only one there is.
fn the_policy(client: &Client, named: Option<&str>) -> Result<String, Trouble> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    match names(client)?.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Trouble::Unclear("this node has no policy".to_owned())),
        several => Err(Trouble::Unclear(format!("name the policy: {}", several.join(", ")))),
    }
}

fn text(list: &Generations, paint: Paint) -> String {
    let mut text = format!("policy {}\n", paint.strong(&list.policy));
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
            policy: "check_local".into(),
            running: Some(7),
            pinned: Some(Pinned { generation: 7, by: By::Command { uid: 1000 }, time: "2026-08-22T11:00:00Z".into() }),
            generations: vec![
                kept(6, By::Start),
                kept(7, By::File { uid: 0, written: "2026-08-22T10:14:06Z".into() }),
                kept(8, By::Command { uid: 0 }),
            ],
        };
        insta::assert_snapshot!(text(&list, Paint::plain()));
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
