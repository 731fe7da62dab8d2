//! Substitution: `$NAME`, `${NAME}` and what keepalived defines itself.

use std::collections::BTreeMap;

/// How often a value may name another one.
const DEPTH_MAX: usize = 32;
/// No line is longer after substitution, in bytes.
const LENGTH_MAX: usize = 64 << 10;

/// The definitions so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    values: BTreeMap<String, String>,
    /// `instance NAME` of the file, or empty.
    pub(super) instance: String,
}

/// Why a line cannot be written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    /// Its value is another one on every machine or in every start.
    Volatile(String),
    /// It never ends, or becomes too long.
    Endless,
    /// It is defined, and keepalived does not see it for the letter that follows: `$NAME/24`.
    Unseen(String),
}

impl Variables {
    pub(super) fn define(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn get(&self, name: &str) -> Option<&String> {
        self.values.get(name)
    }

    pub(super) fn put_back(&mut self, name: &str, before: Option<String>) {
        match before {
            Some(value) => self.values.insert(name.to_owned(), value),
            None => self.values.remove(name),
        };
    }

    /// The line with everything that is defined in the place of its name; `directory` is where its file lies. What is not
    /// defined stays as it is.
    pub(super) fn substitute(&self, line: &str, directory: &str) -> Result<String, Unclear> {
        let mut text = line.to_owned();
        for _ in 0..DEPTH_MAX {
            let (next, changed) = self.once(&text, directory)?;
            if next.len() > LENGTH_MAX {
                return Err(Unclear::Endless);
            }
            if !changed {
                return Ok(next);
            }
            text = next;
        }
        Err(Unclear::Endless)
    }

    fn once(&self, text: &str, directory: &str) -> Result<(String, bool), Unclear> {
        let mut out = String::new();
        let mut changed = false;
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (written, name, behind) = name_of(after);
            match self.value(name, directory)? {
                Some(_) if written == name && !ends_a_name(behind) => return Err(Unclear::Unseen(name.to_owned())),
                Some(value) => {
                    out.push_str(value);
                    changed = true;
                }
                None => {
                    out.push('$');
                    out.push_str(written);
                }
            }
            rest = behind;
        }
        out.push_str(rest);
        Ok((out, changed))
    }

    fn value<'v>(&'v self, name: &str, directory: &'v str) -> Result<Option<&'v str>, Unclear> {
        let word = name.split_whitespace().next().unwrap_or_default();
        match word {
            "_PWD" => Ok(Some(directory)),
            "_INSTANCE" => Ok(Some(&self.instance)),
            "_HASH" => Ok(Some("#")),
            "_BANG" => Ok(Some("!")),
            "_RANDOM" | "_ENV" => Err(Unclear::Volatile(name.to_owned())),
            _ => Ok(self.values.get(name).map(String::as_str)),
        }
    }
}

/// What follows a `$`: how the name is written, the name, and what is behind it.
fn name_of(after: &str) -> (&str, &str, &str) {
    let split = |at: usize| after.split_at_checked(at).unwrap_or((after, ""));
    if let Some(end) = after.strip_prefix('{').and_then(|inside| inside.find('}')) {
        let (written, behind) = split(end + 2);
        return (written, written.trim_matches(['{', '}']), behind);
    }
    let end = after.find(|letter: char| !is_part_of_a_name(letter)).unwrap_or(after.len());
    let (written, behind) = split(end);
    (written, written, behind)
}

/// Whether keepalived sees that a name without braces ended before this (measured on 2.2.7).
fn ends_a_name(behind: &str) -> bool {
    behind.chars().next().is_none_or(|letter| letter.is_whitespace() || matches!(letter, ',' | ')'))
}

/// Letters of names.
pub(super) const fn is_part_of_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// `$NAME=value`: the name and what stands behind the sign.
pub(super) fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('$')?.split_once('=')?;
    let plain = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    (!plain.is_empty() && plain.chars().all(is_part_of_a_name)).then_some((plain, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_where_they_are_defined() {
        let mut variables = Variables::default();
        variables.define("IF", "eth${N}");
        variables.define("N", "1");
        assert_eq!(
            variables.substitute("interface ${IF}.$N $NO/4 ${NO} $", "/etc").unwrap(),
            "interface eth1.1 $NO/4 ${NO} $"
        );
        assert_eq!(variables.substitute("a${_HASH}b ${_PWD}", "/etc").unwrap(), "a#b /etc");
        assert_eq!(variables.substitute("${_RANDOM 1 5}", ""), Err(Unclear::Volatile("_RANDOM 1 5".to_owned())));
        variables.define("A", "${B}${B}");
        variables.define("B", "${A}");
        assert_eq!(variables.substitute("$A", ""), Err(Unclear::Endless));
        for unseen in ["$N/24", "$N.5", "$N-a", "$N:", "$N$N", "\"$N\""] {
            assert_eq!(variables.substitute(unseen, ""), Err(Unclear::Unseen("N".to_owned())), "{unseen}");
        }
        assert_eq!(variables.substitute("$N,$N) $N ${N}/24", "").unwrap(), "1,1) 1 1/24");
        assert_eq!(definition("$A_1=b c"), Some(("A_1", "b c")));
        assert_eq!(definition("$A-1=b"), None);
    }
}
