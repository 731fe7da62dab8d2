//! What is on this machine: processes, units, files.

use super::{Expr, Translated, base, duration, flags, probe};
use crate::import::outline::quoted;

fn process(name: &str, options: &[(&str, String)]) -> Expr {
    probe("process", &quoted(base(name)), options)
}

/// `killall -0 NAME…`: every one is there.
pub(super) fn killall(arguments: &[String]) -> Option<Translated> {
    let flags = flags::read(arguments, &["-u", "-s"]);
    let signals =
        |(name, value): &(String, Option<String>)| name == "-0" || name == "-s" && value.as_deref() == Some("0");
    let known = |option: &(String, Option<String>)| signals(option) || matches!(option.0.as_str(), "-q" | "-e" | "-u");
    if flags.words.is_empty() || !flags.options.iter().any(signals) || !flags.options.iter().all(known) {
        return None;
    }
    let user = flags.options.iter().find(|(name, _)| name == "-u").and_then(|(_, user)| user.as_deref());
    let options: Vec<(&str, String)> = user.map(|user| ("user", quoted(user))).into_iter().collect();
    Some(Translated::of(Expr::all(flags.words.iter().map(|name| process(name, &options)).collect())))
}

/// `pidof NAME…`: one of them is there.
pub(super) fn pidof(arguments: &[String]) -> Option<Translated> {
    let flags = flags::read(arguments, &["-o"]);
    let known = flags.options.iter().all(|(name, _)| matches!(name.as_str(), "-s" | "-q" | "-x"));
    (known && !flags.words.is_empty())
        .then(|| Translated::of(Expr::any(flags.words.iter().map(|name| process(name, &[])).collect())))
}

/// `pgrep NAME`: a regular expression, unless `-x`.
pub(super) fn pgrep(arguments: &[String]) -> Option<Translated> {
    let flags = flags::read(arguments, &["-u", "-U"]);
    let known = flags
        .options
        .iter()
        .all(|(name, _)| matches!(name.as_str(), "-x" | "-c" | "-l" | "-q" | "-u" | "-U" | "-o" | "-n"));
    let [name] = flags.words.as_slice() else { return None };
    let plain = name.trim_start_matches('^').trim_end_matches('$');
    let is_plain = plain.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_');
    if !known || !is_plain || plain.is_empty() {
        return None;
    }
    let user =
        flags.options.iter().find(|(name, _)| name.eq_ignore_ascii_case("-u")).and_then(|(_, user)| user.as_deref());
    let options: Vec<(&str, String)> = user.map(|user| ("user", quoted(user))).into_iter().collect();
    let translated = Translated::of(process(plain, &options));
    let exact = flags.options.iter().any(|(name, _)| name == "-x") || name.starts_with('^') && name.ends_with('$');
    Some(if exact {
        translated
    } else {
        translated.noting(format!(
            "pgrep finds every process whose name contains \"{plain}\", ha only those that are called so"
        ))
    })
}

/// `systemctl is-active UNIT…`: one of them is active. `status`: all of them are, as it exits with what it says of the first that
/// is not.
pub(super) fn systemctl(arguments: &[String], timeout: u64) -> Option<Translated> {
    let flags = flags::read(arguments, &[]);
    let known = flags.options.iter().all(|(name, _)| matches!(name.as_str(), "-q" | "--quiet" | "--no-pager"));
    let (verb, units) = flags.words.split_first()?;
    if !known || units.is_empty() || !matches!(verb.as_str(), "is-active" | "status") {
        return None;
    }
    // A pattern is as many units as fit, and a number is a process.
    let number = |name: &String| name.chars().all(|digit| digit.is_ascii_digit());
    if units.iter().any(|name| name.contains(['*', '?', '[']) || number(name)) {
        return None;
    }
    let units = units.iter().map(|name| unit(name, timeout)).collect();
    Some(Translated::of(if verb == "status" { Expr::all(units) } else { Expr::any(units) }))
}

/// `service NAME status`.
pub(super) fn service(arguments: &[String], timeout: u64) -> Option<Translated> {
    match arguments {
        [name, verb] if verb == "status" => Some(Translated::of(unit(name, timeout))),
        _ => None,
    }
}

fn unit(name: &str, timeout: u64) -> Expr {
    let name = name.strip_suffix(".service").unwrap_or(name);
    probe("service", &quoted(name), &[("timeout", duration(timeout))])
}

/// `test -e FILE`, `[ ! -f FILE ]`.
pub(super) fn test(arguments: &[String]) -> Option<Translated> {
    let arguments = match arguments.split_last() {
        Some((last, rest)) if last == "]" => rest,
        _ => arguments,
    };
    match arguments {
        [not, rest @ ..] if not == "!" => {
            let inner = test(rest)?;
            Some(Translated { expr: Expr::Not(Box::new(inner.expr.clone())), ..inner })
        }
        [kind, path] if matches!(kind.as_str(), "-e" | "-f" | "-d" | "-r" | "-S") && path.starts_with('/') => {
            let translated = Translated::of(probe("file", &quoted(path), &[]));
            Some(if kind == "-e" {
                translated
            } else {
                translated.noting(format!("{path} only has to exist, whatever it is"))
            })
        }
        _ => None,
    }
}
