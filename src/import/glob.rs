//! The patterns of `include`: `*`, `?`, `[a-z]` and `{a,b}`.

/// Most alternatives that one pattern may have.
const ALTERNATIVES_MAX: usize = 64;

/// The pattern with its braces written out, in order; as it is where they are too many or do not close.
pub(super) fn alternatives(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut waiting = vec![pattern.to_owned()];
    while let Some(next) = waiting.pop() {
        let split = next.split_once('{').and_then(|(before, rest)| {
            let (inside, after) = rest.split_once('}')?;
            Some(inside.split(',').map(|one| format!("{before}{one}{after}")).collect::<Vec<_>>())
        });
        match split {
            Some(several) if waiting.len() + done.len() + several.len() <= ALTERNATIVES_MAX => {
                waiting.extend(several.into_iter().rev());
            }
            Some(_) | None => done.push(next),
        }
    }
    done
}

/// Whether it stands for more than one name.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a name, without slashes, fits a pattern.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // A name that begins with a dot is not found by a pattern that does not.
    if name.first() == Some(&'.') && pattern.first() != Some(&'.') {
        return false;
    }
    // How much of the name can be read after so much of the pattern, one bit for each length.
    let mut reached = vec![false; name.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    let mut rest = pattern.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let mut next = vec![false; reached.len()];
        if *first == '*' {
            let mut open = false;
            for (to, from) in next.iter_mut().zip(&reached) {
                open |= *from;
                *to = open;
            }
            rest = after;
        } else {
            let (wanted, after) = one(*first, after);
            for ((to, from), letter) in next.iter_mut().skip(1).zip(&reached).zip(&name) {
                *to = *from && wanted.accepts(*letter);
            }
            rest = after;
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

/// What one letter may be.
enum Wanted<'p> {
    Any,
    This(char),
    Class(bool, &'p [char]),
}

impl Wanted<'_> {
    fn accepts(&self, letter: char) -> bool {
        match self {
            Self::Any => true,
            Self::This(wanted) => *wanted == letter,
            Self::Class(without, members) => is_member(members, letter) != *without,
        }
    }
}

/// What the next letter must be, and what of the pattern comes after it.
fn one(first: char, after: &[char]) -> (Wanted<'_>, &[char]) {
    match first {
        '?' => (Wanted::Any, after),
        '[' => class(after).unwrap_or((Wanted::This('['), after)),
        other => (Wanted::This(other), after),
    }
}

fn class(after: &[char]) -> Option<(Wanted<'_>, &[char])> {
    let (without, members) = match after.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, after),
    };
    let end = members.iter().skip(1).position(|letter| *letter == ']')? + 1;
    Some((Wanted::Class(without, members.get(..end)?), members.get(end + 1..)?))
}

fn is_member(members: &[char], letter: char) -> bool {
    let mut rest = members;
    loop {
        match rest {
            [] => return false,
            [from, '-', to, after @ ..] => {
                if (*from..=*to).contains(&letter) {
                    return true;
                }
                rest = after;
            }
            [one, after @ ..] => {
                if *one == letter {
                    return true;
                }
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, fitting) in [
            ("*.conf", "web.conf", true),
            ("*.conf", "web.conf.bak", false),
            ("*.conf", ".hidden.conf", false),
            ("v?-[0-9]*", "vi-12", true),
            ("v?-[!0-9]*", "vi-12", false),
            ("[", "[", true),
            ("", "", true),
            ("a*b*c", "aXbYbZc", true),
        ] {
            assert_eq!(fits(pattern, name), fitting, "{pattern} {name}");
        }
        assert_eq!(alternatives("a{b,c}{d,e}.conf"), ["abd.conf", "abe.conf", "acd.conf", "ace.conf"]);
        assert_eq!(alternatives("a{b"), ["a{b"]);
    }
}
