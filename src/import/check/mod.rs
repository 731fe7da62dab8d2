//! From the command of a check to a condition of a policy: what a probe of `ha` can ask itself is asked by it, without a
//! process; everything else is run with `exec`.

mod argv;
mod flags;
mod local;
mod network;
mod shell;
mod web;

use std::collections::BTreeSet;

pub(super) use argv::split;

use super::{Files, outline::quoted};

/// What a check asks, as a condition of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    /// A call of a probe.
    Probe(String),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) expr: Expr,
    /// What is different, each a sentence.
    pub(super) notes: Vec<String>,
    /// The program that must be listed, if one is run.
    pub(super) programs: BTreeSet<String>,
    /// Name and content of what a policy must not contain.
    pub(super) secrets: Vec<(String, String)>,
}

/// What is known while a command is read.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Of the check; what its secrets are named after.
    pub(super) name: &'a str,
    /// In microseconds.
    pub(super) timeout: u64,
    pub(super) user: Option<&'a str>,
    pub(super) files: &'a dyn Files,
}

impl Translated {
    fn of(expr: Expr) -> Self {
        Self { expr, notes: Vec::new(), programs: BTreeSet::new(), secrets: Vec::new() }
    }

    fn noting(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl Expr {
    /// As Rhai.
    pub(super) fn text(&self) -> String {
        let list = |parts: &[Self]| parts.iter().map(Self::text).collect::<Vec<_>>().join(", ");
        match self {
            Self::Probe(call) => call.clone(),
            Self::Not(inner) => match &**inner {
                // `!` alone would take what cannot be seen for what is not so.
                Self::Probe(call) => format!("is_not({call})"),
                Self::Not(twice) => twice.text(),
                Self::All(parts) => Self::Any(negated(parts)).text(),
                Self::Any(parts) => Self::All(negated(parts)).text(),
            },
            Self::All(parts) => format!("all([{}])", list(parts)),
            Self::Any(parts) => format!("any([{}])", list(parts)),
        }
    }

    /// Of several one, of one itself.
    fn any(mut parts: Vec<Self>) -> Self {
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            Some(last) => {
                parts.push(last);
                Self::Any(parts)
            }
            None => Self::Any(parts),
        }
    }

    fn all(parts: Vec<Self>) -> Self {
        if parts.len() == 1 { Self::any(parts) } else { Self::All(parts) }
    }
}

fn negated(parts: &[Expr]) -> Vec<Expr> {
    parts.iter().map(|part| Expr::Not(Box::new(part.clone()))).collect()
}

/// A call of a probe: its argument, and its options in the order that they are given in. Of one that is given twice the last
/// counts, as programs have it.
fn probe(name: &str, argument: &str, options: &[(&str, String)]) -> Expr {
    let last = |at: usize, key: &str| options.iter().skip(at + 1).all(|(later, _)| *later != key);
    let given = options.iter().enumerate().filter(|(at, (key, _))| last(*at, key));
    let options: Vec<String> = given.map(|(_, (key, value))| format!("{key}: {value}")).collect();
    let options = if options.is_empty() { String::new() } else { format!(", #{{ {} }}", options.join(", ")) };
    Expr::Probe(format!("{name}({argument}{options})"))
}

/// Microseconds as policies write them.
pub(super) fn duration(micros: u64) -> String {
    if micros.is_multiple_of(1_000_000) {
        format!("\"{}s\"", micros / 1_000_000)
    } else {
        format!("\"{}ms\"", (micros / 1000).max(1))
    }
}

/// What the command of a check comes to; an error is what to do about it.
pub(super) fn translate(command: &str, asked: Asked<'_>) -> Result<Translated, String> {
    let trimmed = command.trim();
    if let Some(rest) = trimmed.strip_prefix(['<', '>']) {
        return device(rest.trim());
    }
    let words = argv::split(trimmed).ok_or("the quotes in this command do not match: keepalived does not run it")?;
    if words.is_empty() {
        return Err("there is no command, and keepalived removes the check: write one, or remove it".to_owned());
    }
    if let Some(shell) = words.iter().find(|word| matches!(word.as_str(), "|" | "||" | "&&" | ";" | "&")) {
        return Err(format!(
            "keepalived starts no shell: \"{shell}\" is given to {} as an argument. Put the command into a script file, or \
             write a policy",
            words.first().map_or("", String::as_str)
        ));
    }
    let start = unwrapped(words, asked)?;
    let asked = Asked { timeout: start.timeout, ..asked };
    let words = &start.words;
    let mut translated = match known(words, asked).or_else(|| scripted(words, asked)) {
        Some(mut translated) => {
            let mut notes = start.notes;
            notes.append(&mut translated.notes);
            Translated { notes, ..translated }
        }
        None => {
            let mut translated = run(words, Asked { user: start.user.as_deref().or(asked.user), ..asked });
            if let Some(user) = &start.user {
                let user = if user == "root" { String::new() } else { format!(", as {user}") };
                translated.notes.insert(0, format!("sudo is left out: ha runs it itself{user}"));
            }
            translated
        }
    };
    if let Some(sign) = words.iter().skip(1).find(|word| redirects(word)) {
        let program = words.first().map_or("", String::as_str);
        translated.notes.push(format!(
            "keepalived starts no shell: \"{sign}\" is given to {program} as an argument, and so it is here. Leave it out: \
             what a check prints goes nowhere"
        ));
    }
    Ok(translated)
}

/// Whether a shell would take it for where something is read from or goes to.
fn redirects(word: &str) -> bool {
    let word = word.strip_prefix(|first: char| first.is_ascii_digit() || first == '&').unwrap_or(word);
    word.starts_with(['<', '>']) && {
        let target = word.trim_start_matches(['<', '>']);
        target.is_empty() || target.starts_with(['/', '&'])
    }
}

/// A command without what only starts it.
struct Start {
    words: Vec<String>,
    /// In microseconds.
    timeout: u64,
    /// Whom `sudo` makes of it: `user`, or `user:group`.
    user: Option<String>,
    notes: Vec<String>,
}

/// Takes away what only starts the command: `timeout 2`, `nice`, `sudo`.
fn unwrapped(words: Vec<String>, asked: Asked<'_>) -> Result<Start, String> {
    let mut start = Start { words, timeout: asked.timeout, user: None, notes: Vec::new() };
    loop {
        let name = start.words.first().map_or("", |word| base(word)).to_owned();
        let rest = start.words.get(1..).unwrap_or_default().to_vec();
        let skip = match name.as_str() {
            "timeout" => {
                let options = flags::read(&rest, &["-s", "-k", "--signal", "--kill-after"]);
                let Some(limit) =
                    options.words.first().and_then(|text| super::reading::micros(text.trim_end_matches('s')))
                else {
                    return Ok(start);
                };
                // 0 is no limit.
                if limit > 0 {
                    start.timeout = start.timeout.min(limit.max(1000));
                }
                options.first_word + 1
            }
            "nice" | "ionice" | "setsid" => flags::read(&rest, &["-n", "-c", "--adjustment"]).first_word,
            "sudo" => {
                let takes = ["-u", "-g", "--user", "--group"];
                let at = flags::read(&rest, &takes).first_word;
                let options = flags::read(rest.get(..at).unwrap_or_default(), &takes);
                let mut known = rest.get(at).is_some_and(|first| !first.contains('='));
                let (mut user, mut group) = (None, None);
                for (name, value) in &options.options {
                    let value = value.as_ref().map(|value| value.trim_start_matches('#').to_owned());
                    match name.as_str() {
                        "-u" | "--user" => user = value,
                        "-g" | "--group" => group = value,
                        "-n" | "-E" | "-H" | "-k" | "-S" => {}
                        _ => known = false,
                    }
                }
                // With a group alone it is whoever calls it.
                if !known || user.is_none() && group.is_some() {
                    return Ok(start);
                }
                start.notes.push("sudo is left out: ha asks by itself".to_owned());
                let user = user.unwrap_or_else(|| "root".to_owned());
                start.user = Some(group.map_or(user.clone(), |group| format!("{user}:{group}")));
                at
            }
            _ => return Ok(start),
        };
        let inner = rest.get(skip..).unwrap_or_default();
        if inner.is_empty() {
            return Ok(start);
        }
        start.words = inner.to_vec();
    }
}

/// What `ha` can ask itself.
fn known(words: &[String], asked: Asked<'_>) -> Option<Translated> {
    let (program, arguments) = words.split_first()?;
    match base(program) {
        "killall" => local::killall(arguments),
        "pidof" => local::pidof(arguments),
        "pgrep" => local::pgrep(arguments),
        "systemctl" => local::systemctl(arguments, asked.timeout),
        "service" => local::service(arguments, asked.timeout),
        "test" | "[" => local::test(arguments),
        "curl" => web::curl(arguments, asked),
        "wget" => web::wget(arguments, asked.timeout),
        "nc" | "ncat" | "netcat" => network::nc(arguments, asked.timeout),
        "ping" | "ping6" => network::ping(arguments, base(program) == "ping6", asked.timeout),
        _ => None,
    }
}

/// A shell script, in the command or in a file, that asks only what `ha` can ask itself.
fn scripted(words: &[String], asked: Asked<'_>) -> Option<Translated> {
    let is_shell = |program: &str| matches!(base(program), "sh" | "bash" | "dash");
    let is_bash = |program: &str| base(program) == "bash";
    let (text, path) = match words {
        [program, flag, text] if is_shell(program) && flag == "-c" => {
            return shell::script(text, is_bash(program), asked);
        }
        [program, path] if is_shell(program) && path.starts_with('/') => (asked.files.read(path).ok()?, path),
        [path] if path.starts_with('/') => (asked.files.read(path).ok()?, path),
        _ => return None,
    };
    let shell = match words {
        [program, _] => program.as_str(),
        _ => text.lines().next()?.strip_prefix("#!")?.split_whitespace().next_back()?,
    };
    let translated = is_shell(shell).then(|| shell::script(&text, is_bash(shell), asked))??;
    Some(translated.noting(format!("it asks what {path} asks now; where that file changes, this does not")))
}

/// Everything else.
fn run(words: &[String], asked: Asked<'_>) -> Translated {
    let program = words.first().cloned().unwrap_or_default();
    let argv = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
    let mut options = vec![("timeout", duration(asked.timeout))];
    let mut notes = Vec::new();
    match asked.user {
        Some(user) if user != "root" => options.push(("user", quoted(user))),
        Some(_) | None => {
            notes.push(
                "keepalived runs it as root unless told; ha runs it as its own user: see that this is enough"
                    .to_owned(),
            );
        }
    }
    notes.push(format!("ha has no probe for it and runs {program}, which allow_exec lists; if it cannot be run this counts as no information, never as success"));
    if !asked.files.exists(&program) {
        notes.push(format!(
            "{program} is not here: keepalived disables a check whose program is missing, and serves unchecked"
        ));
    }
    let expr = probe("exec", &format!("[{argv}]"), &options);
    Translated { expr, notes, programs: BTreeSet::from([program]), secrets: Vec::new() }
}

/// `</dev/tcp/HOST/PORT`, which bash reads as a connection.
fn device(rest: &str) -> Result<Translated, String> {
    let mut parts = rest.split('/').skip(1);
    let fitting = (parts.next() == Some("dev") && parts.next() == Some("tcp")).then_some(());
    let (host, port) = (parts.next(), parts.next().filter(|port| port.parse::<u16>().is_ok()));
    match (fitting, host, port) {
        (Some(()), Some(host), Some(port)) if parts.next().is_none() => Ok(Translated::of(probe(
            "tcp",
            &quoted(&format!("{host}:{port}")),
            &[],
        ))
        .noting(
            "keepalived gives it to /bin/sh, and only bash connects anywhere by it: where sh is another shell, as on \
                     Debian and Ubuntu, this check always fails in keepalived. ha connects, so here it can be well",
        )),
        _ => Err("ha does not redirect: put the command into a script file, or write a policy".to_owned()),
    }
}

/// A program without its directory.
fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}
