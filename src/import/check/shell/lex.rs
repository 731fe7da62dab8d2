//! The words and signs of a script. Whatever a shell would do something with that is not known here ends the reading.

use std::{iter::Peekable, str::Chars};

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text {
        text: String,
        quoted: bool,
    },
    /// `$NAME`, `$1`, `$?`: the name without the sign.
    Variable {
        name: String,
        quoted: bool,
    },
}

/// A word, piece by piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word(pub(super) Vec<Part>);

/// A word or a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    And,
    Or,
    Pipe,
    Open,
    Close,
    /// `;` or the end of a line.
    End,
    /// What the command prints goes nowhere.
    Silenced,
}

impl Word {
    /// As it is written, if nothing of it is quoted or a variable: only such a word is a keyword.
    pub(super) fn bare(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text { text, quoted: false }] => Some(text),
            _ => None,
        }
    }

    /// `NAME=value`: the name and the value.
    pub(super) fn assignment(&self) -> Option<(String, Self)> {
        let (Part::Text { text, quoted: false }, rest) = self.0.split_first()? else { return None };
        let (name, value) = text.split_once('=')?;
        if !is_name(name) {
            return None;
        }
        let value = Some(value).filter(|value| !value.is_empty());
        let mut parts: Vec<Part> =
            value.map(|text| Part::Text { text: text.to_owned(), quoted: false }).into_iter().collect();
        parts.extend_from_slice(rest);
        Some((name.to_owned(), Self(parts)))
    }

    fn push(&mut self, letter: char, quoted: bool) {
        match self.0.last_mut() {
            Some(Part::Text { text, quoted: before }) if *before == quoted => text.push(letter),
            _ => self.0.push(Part::Text { text: letter.to_string(), quoted }),
        }
    }

    /// `{a,b}` is several words for bash.
    fn has_braces(&self) -> bool {
        self.0.iter().any(|part| {
            matches!(part, Part::Text { text, quoted: false } if text.contains('{') && (text.contains(',') || text.contains("..")))
        })
    }
}

/// What a variable may be called.
pub(super) fn is_name(name: &str) -> bool {
    !name.starts_with(|letter: char| letter.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// What is read so far.
struct Lexer<'a> {
    letters: Peekable<Chars<'a>>,
    tokens: Vec<Token>,
    word: Option<Word>,
    bash: bool,
}

/// The tokens; `None` if the script uses what is not understood. `bash`: it is no other shell that reads it.
pub(super) fn lex(text: &str, bash: bool) -> Option<Vec<Token>> {
    let mut lexer = Lexer { letters: text.chars().peekable(), tokens: Vec::new(), word: None, bash };
    while let Some(letter) = lexer.letters.next() {
        lexer.letter(letter)?;
    }
    lexer.sign(Token::End)?;
    Some(lexer.tokens)
}

impl Lexer<'_> {
    fn letter(&mut self, letter: char) -> Option<()> {
        match letter {
            '#' if self.word.is_none() => while self.letters.next_if(|letter| *letter != '\n').is_some() {},
            '\n' => self.sign(Token::End)?,
            ';' => {
                self.finish()?;
                // `;;`, and one after a sign, are mistakes.
                matches!(self.tokens.last(), Some(Token::Word(_) | Token::Silenced)).then_some(())?;
                self.tokens.push(Token::End);
            }
            '&' if self.letters.next_if_eq(&'&').is_some() => self.sign(Token::And)?,
            // For other shells than bash this is a command in the background.
            '&' if self.bash && self.letters.next_if_eq(&'>').is_some() => {
                self.finish()?;
                self.redirection(true)?;
            }
            '|' if self.letters.next_if_eq(&'|').is_some() => self.sign(Token::Or)?,
            '|' => self.sign(Token::Pipe)?,
            '(' => self.sign(Token::Open)?,
            ')' => self.sign(Token::Close)?,
            '>' => {
                // `2>&1`: the number belongs to the sign.
                let digits =
                    |word: &mut Word| word.bare().is_some_and(|word| word.chars().all(|digit| digit.is_ascii_digit()));
                let number = self.word.take_if(digits);
                let errors = match number.as_ref().and_then(Word::bare) {
                    None | Some("1") => false,
                    Some("2") => true,
                    Some(_) => return None,
                };
                self.finish()?;
                self.redirection(!errors)?;
            }
            '\'' => {
                self.quoted();
                loop {
                    match self.letters.next()? {
                        '\'' => break,
                        letter => self.push(letter, true),
                    }
                }
            }
            '"' => self.double()?,
            '\\' => match self.letters.next()? {
                '\n' => {}
                letter => self.push(letter, true),
            },
            '$' => self.variable(false)?,
            '[' if self.word.is_some() || !self.letters.peek().is_some_and(|next| matches!(next, ' ' | '\t')) => {
                return None;
            }
            // An address has it, and names no file.
            '?' if matches!(self.word.as_ref().and_then(|word| word.0.first()), Some(Part::Text { text, .. }) if text.starts_with("http")) =>
            {
                self.push(letter, false);
            }
            '&' | '`' | '*' | '<' | '~' | '?' => return None,
            ' ' | '\t' => self.finish()?,
            letter if letter.is_control() => return None,
            letter => self.push(letter, false),
        }
        Some(())
    }

    fn push(&mut self, letter: char, quoted: bool) {
        self.word.get_or_insert_default().push(letter, quoted);
    }

    /// `""` is a word, and no keyword.
    fn quoted(&mut self) {
        self.word.get_or_insert_default().0.push(Part::Text { text: String::new(), quoted: true });
    }

    fn double(&mut self) -> Option<()> {
        self.quoted();
        loop {
            match self.letters.next()? {
                '"' => return Some(()),
                '\\' => match self.letters.next()? {
                    '\n' => {}
                    letter @ ('$' | '`' | '"' | '\\') => self.push(letter, true),
                    letter => {
                        self.push('\\', true);
                        self.push(letter, true);
                    }
                },
                '`' => return None,
                '$' => self.variable(true)?,
                letter => self.push(letter, true),
            }
        }
    }

    /// What follows a `$`.
    fn variable(&mut self, quoted: bool) -> Option<()> {
        let mut name = String::new();
        let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
        match self.letters.next()? {
            '{' => {
                name.extend(std::iter::from_fn(|| self.letters.next_if(|letter| *letter != '}')));
                self.letters.next()?;
                let digit = name.len() == 1 && name.chars().all(|letter| letter.is_ascii_digit());
                (is_name(&name) || digit || name == "?").then_some(())?;
            }
            special @ ('?' | '*' | '@' | '#' | '$' | '!' | '0'..='9') => name.push(special),
            first if plain(&first) => {
                name.push(first);
                name.extend(std::iter::from_fn(|| self.letters.next_if(plain)));
            }
            _ => return None,
        }
        self.word.get_or_insert_default().0.push(Part::Variable { name, quoted });
        Some(())
    }

    /// What follows a `>`: only nothing at all, or the other stream. A file may be what somebody else asks, and a connection
    /// is a check.
    fn redirection(&mut self, output: bool) -> Option<()> {
        let _ = self.letters.next_if_eq(&'>');
        if self.letters.next_if_eq(&'&').is_some() {
            self.letters.next_if(|letter| matches!(letter, '1' | '2'))?;
        } else {
            while self.letters.next_if(|letter| matches!(letter, ' ' | '\t')).is_some() {}
            let ends =
                |letter: &char| letter.is_whitespace() || matches!(letter, ';' | '&' | '|' | '>' | '<' | '(' | ')');
            let target: String = std::iter::from_fn(|| self.letters.next_if(|letter| !ends(letter))).collect();
            (target == "/dev/null").then_some(())?;
        }
        let ends =
            self.letters.peek().is_none_or(|next| next.is_whitespace() || matches!(next, ';' | '&' | '|' | '>' | ')'));
        if output {
            self.tokens.push(Token::Silenced);
        }
        ends.then_some(())
    }

    fn finish(&mut self) -> Option<()> {
        let Some(word) = self.word.take() else { return Some(()) };
        if word.has_braces() {
            return None;
        }
        self.tokens.push(Token::Word(word));
        Some(())
    }

    fn sign(&mut self, token: Token) -> Option<()> {
        self.finish()?;
        self.tokens.push(token);
        Some(())
    }
}
