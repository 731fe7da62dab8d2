//! `~SEQ(…)` and `~LST(…)`: a line that stands for many.

/// Values that a sequence may run through.
const VALUES_MAX: u64 = 70_000;

/// Variables with their values, one row for each time that the line is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repetition {
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// What is repeated: the head of a line, up to and with its closing parenthesis, and the rest. `None`: it is no repetition.
pub(super) fn split(line: &str) -> Option<(&str, &str)> {
    let head = ["~SEQx(", "~SEQ(", "~LST("].iter().find(|head| line.starts_with(**head))?;
    let end = line.get(head.len()..)?.find(')')? + head.len();
    Some((line.get(..=end)?, line.get(end + 1..)?.trim_start()))
}

/// What the head says, after substitution; `None` if it cannot be understood.
pub(super) fn read(head: &str) -> Option<Repetition> {
    let (kind, inside) = head.strip_suffix(')')?.split_once('(')?;
    match kind {
        "~SEQ" => sequence(inside, false),
        "~SEQx" => sequence(inside, true),
        "~LST" => list(inside),
        _ => None,
    }
}

/// `v, end`, `v, start, end` or `v, start, step, end`.
fn sequence(inside: &str, hexadecimal: bool) -> Option<Repetition> {
    let mut parts = inside.split(',').map(str::trim);
    let name = parts.next().filter(|name| is_name(name))?;
    let number = |text: &str| -> Option<i64> {
        if hexadecimal { i64::from_str_radix(text.trim_start_matches("0x"), 16).ok() } else { text.parse().ok() }
    };
    let numbers = parts.map(number).collect::<Option<Vec<i64>>>()?;
    let (start, step, end) = match *numbers.as_slice() {
        [end] => (1, 1, end),
        [start, end] => (start, if end < start { -1 } else { 1 }, end),
        [start, step, end] => (start, step, end),
        _ => return None,
    };
    let count = end.checked_sub(start)?.checked_div(step).filter(|count| *count >= 0)?;
    if u64::try_from(count).ok()? >= VALUES_MAX {
        return None;
    }
    let rows = (0..=count).map(|at| {
        let value = start + at * step;
        vec![if hexadecimal { format!("{value:x}") } else { value.to_string() }]
    });
    Some(Repetition { names: vec![name.to_owned()], rows: rows.collect() })
}

/// `v, a, b, …` or `{v, w}, {a, b}, {c, d}, …`.
fn list(inside: &str) -> Option<Repetition> {
    let mut groups = groups(inside)?.into_iter();
    let names = groups.next().filter(|names| !names.is_empty() && names.iter().all(|name| is_name(name)))?;
    let rows: Vec<Vec<String>> = groups.collect();
    let fitting = !rows.is_empty() && rows.iter().all(|row| row.len() == names.len());
    fitting.then_some(Repetition { names, rows })
}

/// The parts between commas; one in braces has several.
fn groups(inside: &str) -> Option<Vec<Vec<String>>> {
    let several = |text: &str| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
    let mut out = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let after = match rest.strip_prefix('{') {
            Some(within) => {
                let (members, after) = within.split_once('}')?;
                out.push(several(members));
                after
            }
            None => {
                let (one, after) = rest.find(',').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
                out.push(vec![one.trim().to_owned()]);
                after
            }
        };
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(out)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(super::variable::is_part_of_a_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(head: &str) -> Vec<String> {
        read(head).map(|read| read.rows.iter().map(|row| row.join("-")).collect()).unwrap_or_default()
    }

    #[test]
    fn sequences_and_lists_are_written_out() {
        assert_eq!(rows("~SEQ(N, 3)"), ["1", "2", "3"]);
        assert_eq!(rows("~SEQ(N,3,1,5)"), ["3", "4", "5"]);
        assert_eq!(rows("~SEQ(N,3,1)"), ["3", "2", "1"]);
        assert_eq!(rows("~SEQx(N,9,b)"), ["9", "a", "b"]);
        assert_eq!(rows("~LST(N, a, b)"), ["a", "b"]);
        assert_eq!(rows("~LST({N,M}, {a, b}, {c,d})"), ["a-b", "c-d"]);
        for unclear in ["~SEQ(N)", "~SEQ(N,1,0,5)", "~SEQ(N,1,-1,5)", "~SEQ(N,99999999)", "~LST({N,M},{a})", "~LST(N)"]
        {
            assert_eq!(read(unclear), None, "{unclear}");
        }
        assert_eq!(split("~SEQ(N,3) virtual_router_id $N"), Some(("~SEQ(N,3)", "virtual_router_id $N")));
    }
}
