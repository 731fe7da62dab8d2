//! Simple shell scripts: commands one after the other, variables, `&&`, `||`, `!`, `if`, `exit`. What a script comes to is one
//! condition; a script that does anything else is left to `exec`: only what is surely the same is translated.
//!
//! It is read as a shell runs it, once for each way through it: what a variable holds and what `$?` is depend on the way.

mod lex;
mod parse;
mod piped;
mod status;

use std::collections::BTreeMap;

use self::{
    lex::{Part, Word},
    parse::{Chain, Join, Step},
    status::{Status, compared, either},
};
use super::{Asked, Translated};

/// How often a step may be looked at; a script with many branches has more ways than anybody reads.
const LOOKS_MAX: usize = 300;

/// What every shell has from outside, and what bears on no check that is known here.
const FOREIGN: [&str; 3] = ["PATH", "LANG", "LC_ALL"];

/// What a variable holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    /// What a command exited with.
    Status(Status),
}

/// What is known at a point of the script.
#[derive(Clone, Debug)]
struct State {
    /// `$?`.
    last: Status,
    values: BTreeMap<String, Value>,
    /// Functions that print and exit: whether with 0.
    exits: BTreeMap<String, bool>,
}

impl State {
    fn after(&self, last: Status) -> Self {
        Self { last, ..self.clone() }
    }
}

/// The reading of one script.
struct Reading<'a> {
    asked: Asked<'a>,
    bash: bool,
    looks: usize,
    notes: Vec<String>,
    secrets: Vec<(String, String)>,
    /// `set -u`: what is not set ends the script.
    strict: bool,
    /// Something is printed that may not be set.
    prints_unset: bool,
}

/// What the script comes to; `None` if it is not simple. `bash`: it is no other shell that reads it.
pub(super) fn script(text: &str, bash: bool, asked: Asked<'_>) -> Option<Translated> {
    let steps = parse::parse(lex::lex(text, bash)?, bash)?;
    let mut reading =
        Reading { asked, bash, looks: 0, notes: Vec::new(), secrets: Vec::new(), strict: false, prints_unset: false };
    let state = State { last: Status::Zero, values: BTreeMap::new(), exits: BTreeMap::new() };
    let status = reading.result(&steps.iter().collect::<Vec<_>>(), &state)?;
    match status {
        Status::If(_) if reading.strict && reading.prints_unset => None,
        Status::If(expr) => {
            let mut translated = Translated::of(expr);
            translated.notes = reading.notes;
            translated.secrets = reading.secrets;
            Some(translated)
        }
        // A script that always says the same asks nothing that ha could ask.
        Status::Zero | Status::Other => None,
    }
}

impl Reading<'_> {
    /// What the script exits with from here on.
    fn result(&mut self, steps: &[&Chain], state: &State) -> Option<Status> {
        self.looks += 1;
        if self.looks > LOOKS_MAX {
            return None;
        }
        let Some((first, rest)) = steps.split_first() else { return Some(state.last.clone()) };
        match first.0.as_slice() {
            [(_, Step::If { condition, then, otherwise })] => {
                let asked = self.plain(condition, state)?;
                let yes = |reading: &mut Self| {
                    let steps: Vec<&Chain> = then.iter().chain(rest.iter().copied()).collect();
                    reading.result(&steps, &state.after(Status::Zero))
                };
                let no = |reading: &mut Self| {
                    let steps: Vec<&Chain> = otherwise.iter().chain(rest.iter().copied()).collect();
                    let last = if otherwise.is_empty() { Status::Zero } else { Status::Other };
                    reading.result(&steps, &state.after(last))
                };
                match asked {
                    Status::Zero => yes(self),
                    Status::Other => no(self),
                    Status::If(_) => either(asked, yes(self)?, no(self)?),
                }
            }
            [(_, Step::Function { name, body })] => {
                let zero = self.exits_with(body)?;
                let mut state = state.after(Status::Zero);
                state.exits.insert(name.clone(), zero);
                self.result(rest, &state)
            }
            chain if chain.iter().all(|(_, step)| !self.turns(step, state)) => {
                let status = self.plain(first, state)?;
                self.result(rest, &state.after(status))
            }
            chain => self.along(chain, rest, state),
        }
    }

    /// Whether what comes after it depends on more than its status.
    fn turns(&self, step: &Step, state: &State) -> bool {
        matches!(step, Step::Set { .. }) || self.exit(step, state).is_some()
    }

    /// Along a chain in which the script may end or a variable be set, then `rest`.
    fn along(&mut self, chain: &[(Join, Step)], rest: &[&Chain], state: &State) -> Option<Status> {
        self.looks += 1;
        if self.looks > LOOKS_MAX {
            return None;
        }
        let Some(((_, step), after)) = chain.split_first() else { return self.result(rest, state) };
        if let Some(status) = self.exit(step, state) {
            return Some(status);
        }
        let mut state = state.clone();
        let status = match step {
            Step::Set { name, value } => {
                self.set(name, value, &mut state)?;
                Status::Zero
            }
            Step::Run { .. } | Step::If { .. } | Step::Function { .. } => self.step(step, &state)?,
        };
        if after.is_empty() {
            return self.result(rest, &state.after(status));
        }
        let mut on = |status: Status, join: Join| {
            let next = after.iter().position(|(other, _)| *other == join).unwrap_or(after.len());
            self.along(after.get(next..)?, rest, &state.after(status))
        };
        match status {
            Status::Zero => on(Status::Zero, Join::And),
            Status::Other => on(Status::Other, Join::Or),
            Status::If(_) => {
                let (yes, no) = (on(Status::Zero, Join::And)?, on(Status::Other, Join::Or)?);
                either(status, yes, no)
            }
        }
    }

    fn set(&self, name: &str, value: &Word, state: &mut State) -> Option<()> {
        if FOREIGN.contains(&name) {
            state.values.remove(name);
            return Some(());
        }
        // These change how the script is read, or what programs do.
        let lower = name.to_ascii_lowercase();
        let bears = ["ifs", "home", "env"].contains(&lower.as_str())
            || ["proxy", "_options", "_opts"].iter().any(|end| lower.ends_with(end))
            || ["ld_", "lc_", "curl_", "ssl_", "systemd", "dbus", "bash", "posix", "shell"]
                .iter()
                .any(|start| lower.starts_with(start));
        if bears {
            return None;
        }
        let value = match sole(value) {
            Some(name) => held(name, state)?,
            None => Value::Text(value.0.iter().map(|part| text_of(part, state, false)).collect::<Option<String>>()?),
        };
        state.values.insert(name.to_owned(), value);
        Some(())
    }

    /// What it ends the script with, if it does.
    fn exit(&self, step: &Step, state: &State) -> Option<Status> {
        let Step::Run { pipeline, negated: false } = step else { return None };
        let [words] = pipeline.as_slice() else { return None };
        let (name, arguments) = words.split_first()?;
        let name = text(name, state)?;
        if let Some(zero) = state.exits.get(&name) {
            return Some(if *zero { Status::Zero } else { Status::Other });
        }
        if name != "exit" {
            return None;
        }
        match arguments {
            [] => Some(state.last.clone()),
            [argument] => match value(argument, state)? {
                Value::Status(status) => Some(status),
                Value::Text(number) => {
                    let number = number.parse::<u8>().ok()?;
                    Some(if number == 0 { Status::Zero } else { Status::Other })
                }
            },
            _ => None,
        }
    }

    /// Whether a function that only prints and exits does so with 0.
    fn exits_with(&mut self, body: &[Chain]) -> Option<bool> {
        let (last, before) = body.split_last()?;
        let nothing = State { last: Status::Zero, values: BTreeMap::new(), exits: BTreeMap::new() };
        for chain in before {
            let [(_, Step::Run { pipeline, negated: false })] = chain.0.as_slice() else { return None };
            let [words] = pipeline.as_slice() else { return None };
            matches!(words.first()?.bare(), Some("echo" | "printf" | "logger")).then_some(())?;
            self.prints(words, &nothing);
        }
        let [(_, Step::Run { pipeline, .. })] = last.0.as_slice() else { return None };
        pipeline.first()?.get(1)?.bare()?;
        let [(_, last)] = last.0.as_slice() else { return None };
        self.exit(last, &nothing).map(|status| status == Status::Zero)
    }

    /// A chain that neither ends the script nor sets anything.
    fn plain(&mut self, chain: &Chain, state: &State) -> Option<Status> {
        let mut so_far: Option<Status> = None;
        for (join, step) in &chain.0 {
            so_far = Some(match (so_far, join) {
                (None, _) => self.step(step, state)?,
                (Some(before), Join::And) => {
                    either(before, self.step(step, &state.after(Status::Zero))?, Status::Other)?
                }
                (Some(before), Join::Or) => {
                    either(before, Status::Zero, self.step(step, &state.after(Status::Other))?)?
                }
            });
        }
        so_far
    }

    fn step(&mut self, step: &Step, state: &State) -> Option<Status> {
        let Step::Run { pipeline, negated } = step else { return None };
        let status = match pipeline.as_slice() {
            [words] => self.command(words, state)?,
            [asks, greps] => {
                let (asks, greps) = (texts(asks, state)?, texts(greps, state)?);
                let ours = |words: &[String]| words.first().is_some_and(|name| state.exits.contains_key(name));
                if ours(&asks) || ours(&greps) {
                    return None;
                }
                self.take(piped::piped(&asks, &greps)?)?
            }
            _ => return None,
        };
        if *negated { either(status, Status::Other, Status::Zero) } else { Some(status) }
    }

    fn command(&mut self, words: &[Word], state: &State) -> Option<Status> {
        let (name, arguments) = words.split_first()?;
        let name = text(name, state)?;
        if state.exits.contains_key(&name) {
            return None;
        }
        match name.as_str() {
            "true" | ":" | "echo" | "printf" | "logger" => {
                self.prints(words, state);
                if name == "logger" {
                    self.note("what it tells the log itself is left out");
                }
                return Some(Status::Zero);
            }
            "false" => return Some(Status::Other),
            "set" => return self.option(arguments),
            "export" => {
                let foreign = |word: &Word| {
                    matches!(word.0.first(), Some(Part::Text { text, quoted: false })
                        if FOREIGN.contains(&text.split('=').next().unwrap_or_default()))
                };
                return arguments.iter().all(foreign).then_some(Status::Zero);
            }
            "[" | "test" => {
                let mut values = arguments.iter().map(|word| value(word, state)).collect::<Option<Vec<Value>>>()?;
                let end = values.last() == Some(&Value::Text("]".to_owned()));
                if end != (name == "[") {
                    return None;
                }
                values.truncate(values.len() - usize::from(end));
                if let [left, Value::Text(sign), right] = values.as_slice()
                    && (sign.contains('=') || ["-eq", "-ne", "-gt", "-ge", "-lt", "-le"].contains(&sign.as_str()))
                {
                    return compared(left, sign, right, self.bash);
                }
            }
            _ => {}
        }
        let words = texts(words, state)?;
        let asked = self.asked;
        let unwrapped = super::unwrapped(words, asked).ok()?;
        let translated = super::known(&unwrapped.words, Asked { timeout: unwrapped.timeout, ..asked })?;
        if !translated.programs.is_empty() {
            return None;
        }
        for note in unwrapped.notes {
            self.note(note);
        }
        self.take(translated)
    }

    /// `set -x` and `set -u`; others change what a failure does.
    fn option(&mut self, arguments: &[Word]) -> Option<Status> {
        for argument in arguments {
            let letters = argument.bare()?.strip_prefix('-')?;
            if letters.is_empty() || !letters.chars().all(|letter| matches!(letter, 'x' | 'u')) {
                return None;
            }
            self.strict |= letters.contains('u');
        }
        (!arguments.is_empty()).then_some(Status::Zero)
    }

    fn prints(&mut self, words: &[Word], state: &State) {
        let unset = |part: &Part| match part {
            Part::Text { .. } => false,
            Part::Variable { name, .. } => {
                name.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '!')
                    && !state.values.contains_key(name)
            }
        };
        self.prints_unset |= words.iter().flat_map(|word| &word.0).any(unset);
    }

    /// Its notes and secrets; one name stands for one secret.
    fn take(&mut self, translated: Translated) -> Option<Status> {
        for (name, content) in translated.secrets {
            match self.secrets.iter().find(|(known, _)| *known == name) {
                Some((_, known)) if *known != content => return None,
                Some(_) => {}
                None => self.secrets.push((name, content)),
            }
        }
        for note in translated.notes {
            self.note(note);
        }
        Some(Status::If(translated.expr))
    }

    fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

fn held(name: &str, state: &State) -> Option<Value> {
    if name == "?" { Some(Value::Status(state.last.clone())) } else { state.values.get(name).cloned() }
}

/// The variable that is the whole word, quoted or not.
fn sole(word: &Word) -> Option<&str> {
    let mut parts = word.0.iter().filter(|part| !matches!(part, Part::Text { text, .. } if text.is_empty()));
    match (parts.next(), parts.next()) {
        (Some(Part::Variable { name, .. }), None) => Some(name),
        _ => None,
    }
}

/// `split`: a shell makes several words of it, or none, or names of files.
fn text_of(part: &Part, state: &State, split: bool) -> Option<String> {
    match part {
        Part::Text { text, .. } => Some(text.clone()),
        Part::Variable { name, quoted } => match held(name, state)? {
            Value::Text(text) => {
                let signs = |letter: char| letter.is_whitespace() || matches!(letter, '*' | '?' | '[' | '\\');
                (!split || *quoted || !text.is_empty() && !text.contains(signs)).then_some(text)
            }
            Value::Status(_) => None,
        },
    }
}

/// A word of a command, written out.
fn value(word: &Word, state: &State) -> Option<Value> {
    if let Some(Value::Status(status)) = sole(word).and_then(|name| held(name, state)) {
        return Some(Value::Status(status));
    }
    word.0.iter().map(|part| text_of(part, state, true)).collect::<Option<String>>().map(Value::Text)
}

fn text(word: &Word, state: &State) -> Option<String> {
    match value(word, state)? {
        Value::Text(text) => Some(text),
        Value::Status(_) => None,
    }
}

fn texts(words: &[Word], state: &State) -> Option<Vec<String>> {
    words.iter().map(|word| text(word, state)).collect()
}
