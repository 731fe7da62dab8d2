//! Simple shell scripts: commands one after the other, `&&`, `||`, `!`, `if`, `exit`. What a script comes to is one condition;
//! a script that does anything else is left to `exec`.

mod lex;
mod parse;

use std::collections::BTreeMap;

use self::parse::{Chain, Join, Step};
use super::{Asked, Expr, Translated, base, probe};
use crate::import::outline::quoted;

/// How often a step may be looked at; a script with many branches has more ways than anybody reads.
const LOOKS_MAX: usize = 300;

/// What a script exits with, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    Zero,
    Other,
    If(Expr),
}

/// The reading of one script.
struct Reading<'a> {
    asked: Asked<'a>,
    /// Functions that print and exit, with what they exit with.
    exits: BTreeMap<String, bool>,
    looks: usize,
    notes: Vec<String>,
    secrets: Vec<(String, String)>,
}

/// What the script comes to; `None` if it is not simple.
pub(super) fn script(text: &str, asked: Asked<'_>) -> Option<Translated> {
    let (text, exits) = functions(text);
    let steps = parse::parse(lex::lex(&text)?)?;
    let mut reading = Reading { asked, exits, looks: 0, notes: Vec::new(), secrets: Vec::new() };
    match reading.result(&steps.iter().collect::<Vec<_>>(), Status::Zero)? {
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

/// Takes functions that only print and exit out of a script.
fn functions(text: &str) -> (String, BTreeMap<String, bool>) {
    let mut rest = String::new();
    let mut exits = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let head = line.trim().trim_start_matches("function ");
        let name = head.strip_suffix('{').map(str::trim).and_then(|head| head.strip_suffix("()")).map(str::trim);
        let Some(name) = name else {
            rest += line;
            rest.push('\n');
            continue;
        };
        let body: Vec<&str> = lines.by_ref().map(str::trim).take_while(|line| *line != "}").collect();
        let prints = |line: &&str| {
            ["echo ", "logger ", "printf ", "#"].iter().any(|start| line.starts_with(start)) || line.is_empty()
        };
        match body.split_last() {
            Some((last, before)) if before.iter().all(prints) && last.starts_with("exit ") => {
                exits.insert(name.to_owned(), last.trim_start_matches("exit ").trim() == "0");
            }
            // Whatever calls it is not understood.
            Some(_) | None => {}
        }
    }
    (rest, exits)
}

impl Reading<'_> {
    /// What the script exits with from here on; `last`: what the command before exited with.
    fn result(&mut self, steps: &[&Chain], last: Status) -> Option<Status> {
        self.looks += 1;
        let Some((first, rest)) = steps.split_first() else { return Some(last) };
        if self.looks > LOOKS_MAX {
            return None;
        }
        match first.0.as_slice() {
            [(_, Step::If { condition, then, otherwise })] => {
                let asked = self.chain(condition, &last)?;
                let yes: Vec<&Chain> = then.iter().chain(rest.iter().copied()).collect();
                let no: Vec<&Chain> = otherwise.iter().chain(rest.iter().copied()).collect();
                let yes = self.result(&yes, Status::Zero)?;
                let no = self.result(&no, Status::Zero)?;
                Some(either(asked, yes, no))
            }
            [(_, only)] if let Some(status) = self.exit(only, &last) => Some(status),
            [before @ .., (join, end)] if !before.is_empty() && self.exit(end, &last).is_some() => {
                let ends = self.exit(end, &last)?;
                let asked = self.chain(&Chain(before.to_vec()), &last)?;
                match join {
                    Join::Or => {
                        let on = self.result(rest, Status::Zero)?;
                        Some(either(asked, on, ends))
                    }
                    Join::And => {
                        let on = self.result(rest, Status::Other)?;
                        Some(either(asked, ends, on))
                    }
                }
            }
            _ => {
                let status = self.chain(first, &last)?;
                self.result(rest, status)
            }
        }
    }

    fn exit(&self, step: &Step, last: &Status) -> Option<Status> {
        let Step::Run { pipeline, negated: false } = step else { return None };
        let [words] = pipeline.as_slice() else { return None };
        let (name, arguments) = words.split_first()?;
        if let Some(zero) = self.exits.get(name) {
            return Some(if *zero { Status::Zero } else { Status::Other });
        }
        if name != "exit" {
            return None;
        }
        match arguments.first().map(String::as_str) {
            Some("0") => Some(Status::Zero),
            None | Some("$?") => Some(last.clone()),
            Some(number) => number.parse::<u8>().ok().map(|_| Status::Other),
        }
    }

    fn chain(&mut self, chain: &Chain, last: &Status) -> Option<Status> {
        let mut so_far: Option<Status> = None;
        for (join, step) in &chain.0 {
            let next = self.step(step, last)?;
            so_far = Some(match (so_far, join) {
                (None, _) => next,
                (Some(before), Join::And) => either(before, next, Status::Other),
                (Some(before), Join::Or) => either(before, Status::Zero, next),
            });
        }
        so_far
    }

    fn step(&mut self, step: &Step, last: &Status) -> Option<Status> {
        let Step::Run { pipeline, negated } = step else { return None };
        let status = match pipeline.as_slice() {
            [words] => self.command(words, last)?,
            [asks, greps] => Status::If(piped(asks, greps)?),
            _ => return None,
        };
        Some(if *negated { either(status, Status::Other, Status::Zero) } else { status })
    }

    fn command(&mut self, words: &[String], last: &Status) -> Option<Status> {
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "]").collect();
        match words.as_slice() {
            ["[" | "test", "$?", "-eq" | "=" | "==", "0"] => return Some(last.clone()),
            ["[" | "test", "$?", "-ne" | "!=", "0"] => return Some(either(last.clone(), Status::Other, Status::Zero)),
            ["true" | ":" | "echo" | "logger" | "printf" | "set" | "export", ..] => return Some(Status::Zero),
            ["false"] => return Some(Status::Other),
            _ => {}
        }
        if words.iter().any(|word| word.contains('$')) {
            return None;
        }
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let mut asked = self.asked;
        let words = super::unwrapped(words, &mut asked, &mut self.notes).ok()?;
        let translated = super::known(&words, asked)?;
        if !translated.programs.is_empty() {
            return None;
        }
        self.notes.extend(translated.notes);
        self.secrets.extend(translated.secrets);
        Some(Status::If(translated.expr))
    }
}

/// `if asked then yes else no`.
fn either(asked: Status, yes: Status, no: Status) -> Status {
    use Status::{If, Other, Zero};
    let not = |expr: Expr| match expr {
        Expr::Not(inner) => *inner,
        Expr::Probe(_) | Expr::All(_) | Expr::Any(_) => Expr::Not(Box::new(expr)),
    };
    let asked = match asked {
        Zero => return yes,
        Other => return no,
        If(asked) => asked,
    };
    match (yes, no) {
        (Zero, Zero) => Zero,
        (Other, Other) => Other,
        (Zero, Other) => If(asked),
        (Other, Zero) => If(not(asked)),
        (Zero, If(no)) => If(Expr::Any(vec![asked, no])),
        (If(yes), Other) => If(Expr::All(vec![asked, yes])),
        (Other, If(no)) => If(Expr::All(vec![not(asked), no])),
        (If(yes), Zero) => If(Expr::Any(vec![not(asked), yes])),
        (If(yes), If(no)) => {
            let with = Expr::All(vec![asked.clone(), yes]);
            If(Expr::Any(vec![with, Expr::All(vec![not(asked), no])]))
        }
    }
}

/// `ss … | grep :PORT`, `ip addr | grep ADDRESS`.
fn piped(asks: &[String], greps: &[String]) -> Option<Expr> {
    let (program, arguments) = greps.split_first()?;
    if !matches!(base(program), "grep" | "egrep") {
        return None;
    }
    let mut patterns = arguments.iter().filter(|argument| !argument.starts_with('-'));
    let pattern = patterns.next()?;
    if patterns.next().is_some() || arguments.iter().any(|argument| argument.contains('v') && argument.starts_with('-'))
    {
        return None;
    }
    let flags = asks.get(1..).unwrap_or_default().concat();
    match asks.first().map(|program| base(program))? {
        "ss" | "netstat" => {
            let digits = pattern.rsplit_once(':')?.1.trim_end_matches(|letter: char| !letter.is_ascii_digit());
            let port = digits.parse::<u16>().ok().filter(|port| *port > 0)?;
            let udp = flags.contains('u') && !flags.contains('t');
            let options: Vec<(&str, String)> = udp.then(|| ("proto", quoted("udp"))).into_iter().collect();
            flags.contains('l').then(|| probe("listening", &port.to_string(), &options))
        }
        "ip" => {
            let address = pattern.split('/').next()?.replace('\\', "").parse::<std::net::IpAddr>().ok()?;
            Some(probe("addr", &quoted(&address.to_string()), &[]))
        }
        _ => None,
    }
}
