//! What is looked for in what another program prints: `ss … | grep :PORT`, `ip addr | grep ADDRESS`.

use std::net::IpAddr;

use super::super::{Expr, Translated, base, flags, probe};
use crate::import::outline::quoted;

/// What the second command looks for.
struct Grep<'a> {
    pattern: &'a str,
    /// Only whole words.
    whole: bool,
    /// The pattern is no expression.
    fixed: bool,
}

/// What this comes to; `None` if it is not surely one of those that are known.
pub(super) fn piped(asks: &[String], greps: &[String]) -> Option<Translated> {
    let grep = grep(greps)?;
    let (program, arguments) = asks.split_first()?;
    match base(program) {
        "ss" | "netstat" => port(arguments, &grep),
        "ip" => address(arguments, &grep),
        _ => None,
    }
}

fn grep(words: &[String]) -> Option<Grep<'_>> {
    let (program, arguments) = words.split_first()?;
    let (options, patterns): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| argument.starts_with('-'));
    let [pattern] = patterns.as_slice() else { return None };
    let mut letters = String::new();
    for option in options {
        match option.as_str() {
            "--quiet" | "--silent" => {}
            long if long.starts_with("--") => return None,
            short => letters += short.trim_start_matches('-'),
        }
    }
    // Others look for something else, or for its absence.
    let known = letters.chars().all(|letter| matches!(letter, 'q' | 's' | 'c' | 'o' | 'w' | 'F' | 'E' | 'i' | 'n'));
    let fixed = letters.contains('F') || base(program) == "fgrep";
    let fitting = known && matches!(base(program), "grep" | "egrep" | "fgrep");
    fitting.then_some(Grep { pattern, whole: letters.contains('w'), fixed })
}

/// `:PORT` in a list of sockets that wait, with numbers. A list of both protocols has the port if one of them has it.
fn port(arguments: &[String], grep: &Grep<'_>) -> Option<Translated> {
    let mut letters = String::new();
    for argument in arguments {
        letters += argument.strip_prefix('-').filter(|rest| !rest.starts_with('-') && !rest.is_empty())?;
    }
    let known = letters.chars().all(|letter| matches!(letter, 'l' | 'n' | 't' | 'u' | 'p' | 'H'));
    let (tcp, udp) = (letters.contains('t'), letters.contains('u'));
    // With -w the letter before the colon would have to be a sign, and mostly it is a digit.
    if !known || !letters.contains('l') || !letters.contains('n') || !tcp && !udp || grep.whole {
        return None;
    }
    // An address before the port is another question: whoever listens on every address answers it differently.
    let rest = grep.pattern.strip_prefix(':')?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, behind) = rest.split_at_checked(end)?;
    let port = digits.parse::<u16>().ok().filter(|port| *port > 0 && !digits.starts_with('0'))?;
    let bounded = match behind {
        "" => false,
        " " => true,
        "\\b" | "\\>" | "\\s" | "[[:space:]]" | "[^0-9]" | "[^[:digit:]]" if !grep.fixed => true,
        _ => return None,
    };
    let waits = |udp: bool| {
        let options: Vec<(&str, String)> = udp.then(|| ("proto", quoted("udp"))).into_iter().collect();
        probe("listening", &port.to_string(), &options)
    };
    let translated = Translated::of(match (tcp, udp) {
        (true, true) => Expr::any(vec![waits(false), waits(true)]),
        (_, udp) => waits(udp),
    });
    // No port is longer than five digits.
    Some(if bounded || u32::from(port) * 10 > u32::from(u16::MAX) {
        translated
    } else {
        translated.noting(format!("grep finds \":{port}\" in every port that begins so, ha only port {port}"))
    })
}

/// `ADDRESS` or `ADDRESS/` in a list of addresses.
fn address(arguments: &[String], grep: &Grep<'_>) -> Option<Translated> {
    let read = flags::read(arguments, &[]);
    // What begins with one sign is a whole name here.
    let families = |family: &str| arguments.iter().any(|argument| argument == family);
    let known = |argument: &&String| matches!(argument.as_str(), "-4" | "-6" | "-o" | "-br" | "-brief" | "-oneline");
    if !arguments.iter().filter(|argument| argument.starts_with('-')).all(|argument| known(&argument)) {
        return None;
    }
    let words: Vec<&str> = read.words.iter().map(String::as_str).collect();
    let (object, rest) = words.split_first()?;
    if !matches!(*object, "a" | "addr" | "address") {
        return None;
    }
    let dev = match rest {
        [] | ["show" | "s" | "list" | "ls"] => None,
        ["show" | "s" | "list" | "ls", "dev", dev] | ["show" | "s" | "list" | "ls", dev] => Some(*dev),
        _ => return None,
    };
    let ended = grep.pattern.strip_suffix('/');
    let text = ended.unwrap_or(grep.pattern);
    let text = if grep.fixed { text.to_owned() } else { text.replace("\\.", ".") };
    let address: IpAddr = text.parse().ok()?;
    // Another way to write it is never printed; nor is one of the other family.
    if address.to_string() != text || families("-4") && address.is_ipv6() || families("-6") && address.is_ipv4() {
        return None;
    }
    // With -w no digit may follow the slash, and one does.
    if grep.whole && ended.is_some() {
        return None;
    }
    // `10.0.0.1` is in 10.0.0.10 and in 110.0.0.1.
    let longer = match address {
        // It may be where a network broadcasts, which is printed too.
        IpAddr::V4(address) if address.octets().last() == Some(&255) => return None,
        IpAddr::V4(address) => {
            let [first, .., last] = address.octets();
            !grep.whole && (first < 100 || last < 26 && ended.is_none())
        }
        IpAddr::V6(_) => true,
    };
    let options: Vec<(&str, String)> = dev.map(|dev| ("dev", quoted(dev))).into_iter().collect();
    let translated = Translated::of(probe("addr", &quoted(&text), &options));
    Some(if longer {
        translated.noting(format!("grep finds \"{text}\" in longer addresses too, ha only this one"))
    } else {
        translated
    })
}
