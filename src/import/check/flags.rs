//! Options of a command line, long and short, short ones together (`-sfo FILE`).

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// Each option with its value, if it takes one: `-m` and `2`, `--fail` and nothing.
    pub(super) options: Vec<(String, Option<String>)>,
    /// Everything that is not an option.
    pub(super) words: Vec<String>,
    /// Where the first of them stands.
    pub(super) first_word: usize,
}

/// Reads arguments; `with_value`: the options that take one.
pub(super) fn read(arguments: &[String], with_value: &[&str]) -> Flags {
    let mut flags = Flags { first_word: arguments.len(), ..Flags::default() };
    let mut rest = arguments.iter().enumerate();
    let mut only_words = false;
    while let Some((at, argument)) = rest.next() {
        if only_words || argument == "-" || !argument.starts_with('-') {
            flags.first_word = flags.first_word.min(at);
            flags.words.push(argument.clone());
        } else if argument == "--" {
            only_words = true;
        } else if argument.starts_with("--")
            || argument.chars().skip(2).any(|letter| letter.is_ascii_digit())
                && with_value.contains(&argument.get(..2).unwrap_or(""))
        {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) if argument.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ if argument.starts_with("--") => (argument.clone(), None),
                _ => (argument.chars().take(2).collect(), Some(argument.chars().skip(2).collect())),
            };
            let value = value.or_else(|| {
                with_value.contains(&name.as_str()).then(|| rest.next().map(|(_, value)| value.clone())).flatten()
            });
            flags.options.push((name, value));
        } else {
            let mut letters = argument.chars().skip(1);
            while let Some(letter) = letters.next() {
                let name = format!("-{letter}");
                if with_value.contains(&name.as_str()) {
                    let attached: String = letters.by_ref().collect();
                    let value =
                        if attached.is_empty() { rest.next().map(|(_, value)| value.clone()) } else { Some(attached) };
                    flags.options.push((name, value));
                } else {
                    flags.options.push((name, None));
                }
            }
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_alone_and_together() {
        let arguments = ["-sfo", "/dev/null", "--max-time", "2", "-m3", "--fail", "http://a", "-k"].map(str::to_owned);
        let flags = read(&arguments, &["-o", "-m", "--max-time"]);
        let shown: Vec<String> =
            flags.options.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or(""))).collect();
        assert_eq!(shown, ["-s=", "-f=", "-o=/dev/null", "--max-time=2", "-m=3", "--fail=", "-k="]);
        assert_eq!((flags.words, flags.first_word), (vec!["http://a".to_owned()], 6));
    }
}
