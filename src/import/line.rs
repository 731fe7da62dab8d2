//! One line: where its comment begins, and its words.

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Without the quotes around it. Backslashes stand as they are, but for one before a quote.
    pub(super) text: String,
    /// It stood in quotes.
    pub(super) quoted: bool,
}

/// A word, or a brace that is not part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    Open,
    Close,
}

/// Why a line has no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A quote is opened and not closed.
    Quote,
    /// A backslash before `#` or `!` outside quotes: versions disagree whether a comment begins there.
    EscapedComment,
}

/// What stands before the comment, and the comment with its mark, if there is one.
///
/// A comment begins at the first `#` or `!` outside quotes, in the middle of a word too.
pub(super) fn split_comment(line: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, letter) in line.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '#' | '!' if !quoted => return (line.get(..at).unwrap_or_default(), line.get(at..)),
            _ => {}
        }
    }
    (line, None)
}

/// Its password or key ends where the comment of the line begins: what follows is part of what was meant, and as secret.
pub(super) fn cuts_secret(line: &str) -> bool {
    let (code, comment) = split_comment(line);
    let names_one =
        code.split_whitespace().any(|word| matches!(word, "auth_pass" | "key")) || code.trim().starts_with('$');
    comment.is_some() && names_one && !code.ends_with(char::is_whitespace)
}

/// The words and braces of a line without its comment.
pub(super) fn tokens(line: &str) -> Result<Vec<Token>, Unreadable> {
    let mut tokens = Vec::new();
    let mut letters = line.chars().peekable();
    while let Some(first) = letters.next() {
        match first {
            '{' => tokens.push(Token::Open),
            '}' => tokens.push(Token::Close),
            '"' => {
                let mut text = String::new();
                loop {
                    match letters.next() {
                        None => return Err(Unreadable::Quote),
                        Some('"') => break,
                        Some('\\') => match letters.next() {
                            Some('"') => text.push('"'),
                            Some(other) => text.extend(['\\', other]),
                            None => return Err(Unreadable::Quote),
                        },
                        Some(letter) => text.push(letter),
                    }
                }
                tokens.push(Token::Word(Word { text, quoted: true }));
            }
            letter if letter.is_whitespace() => {}
            letter => {
                let mut text = String::from(letter);
                while let Some(next) = letters.next_if(|next| !next.is_whitespace() && !matches!(next, '{' | '}' | '"'))
                {
                    text.push(next);
                }
                if text.contains("\\#") || text.contains("\\!") {
                    return Err(Unreadable::EscapedComment);
                }
                tokens.push(Token::Word(Word { text, quoted: false }));
            }
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let text = |token| match token {
            Token::Word(word) if word.quoted => format!("<{}>", word.text),
            Token::Word(word) => word.text,
            Token::Open => "{".to_owned(),
            Token::Close => "}".to_owned(),
        };
        tokens(line).unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn comments_begin_outside_quotes_and_within_words() {
        assert_eq!(split_comment("auth_pass se!cret"), ("auth_pass se", Some("!cret")));
        assert_eq!(split_comment("script \"a # b\" # c"), ("script \"a # b\" ", Some("# c")));
        assert_eq!(split_comment("script \"a \\\" # b\""), ("script \"a \\\" # b\"", None));
    }

    #[test]
    fn words_quotes_and_braces() {
        assert_eq!(words("track_script { chk }"), ["track_script", "{", "chk", "}"]);
        assert_eq!(words("script \"a 'b c' \\\"d\\\" {}\""), ["script", "<a 'b c' \"d\" {}>"]);
        assert_eq!(words("a{b}c"), ["a", "{", "b", "}", "c"]);
        assert_eq!(tokens("script \"a"), Err(Unreadable::Quote));
        assert_eq!(tokens("auth_pass a\\#b"), Err(Unreadable::EscapedComment));
    }
}
