//! The words and signs of a script, with its own variables written out.

use std::collections::BTreeMap;

/// A word or a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    And,
    Or,
    Pipe,
    /// `;` or the end of a line.
    End,
}

/// What is read so far.
#[derive(Default)]
struct Lexer {
    tokens: Vec<Token>,
    word: Option<String>,
    variables: BTreeMap<String, String>,
    /// The next word is where output goes.
    redirected: bool,
}

/// The tokens; `None` if the script uses what is not understood.
pub(super) fn lex(text: &str) -> Option<Vec<Token>> {
    let text = text.replace("\\\n", " ");
    let mut lexer = Lexer::default();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '#' if lexer.word.is_none() => while letters.next_if(|letter| *letter != '\n').is_some() {},
            '\n' | ';' => lexer.sign(Token::End),
            '&' if letters.next_if_eq(&'&').is_some() => lexer.sign(Token::And),
            '&' if letters.peek() == Some(&'>') => {}
            '|' if letters.next_if_eq(&'|').is_some() => lexer.sign(Token::Or),
            '|' => lexer.sign(Token::Pipe),
            '>' | '<' => {
                // `2>&1`: the number belongs to the sign.
                lexer.word.take_if(|word| word.len() == 1 && word.chars().all(|digit| digit.is_ascii_digit()));
                lexer.finish();
                let doubled = letters.next_if_eq(&'>').is_some();
                let _ = letters.next_if(|letter| *letter == '&' && !doubled);
                lexer.redirected = true;
            }
            '\'' => {
                let word = lexer.word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        letter => word.push(letter),
                    }
                }
            }
            '"' => {
                let mut inside = String::new();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => inside.push(letters.next()?),
                        '`' => return None,
                        letter => inside.push(letter),
                    }
                }
                let written = lexer.written_out(&inside)?;
                lexer.word.get_or_insert_default().push_str(&written);
            }
            '&' | '`' | '(' | ')' | '*' => return None,
            '\\' => lexer.word.get_or_insert_default().push(letters.next()?),
            '$' => {
                let mut name = String::from("$");
                while let Some(next) =
                    letters.next_if(|next| next.is_ascii_alphanumeric() || matches!(next, '_' | '{' | '}' | '?'))
                {
                    name.push(next);
                }
                let written = lexer.written_out(&name)?;
                lexer.word.get_or_insert_default().push_str(&written);
            }
            letter if letter.is_whitespace() => lexer.finish(),
            letter => lexer.word.get_or_insert_default().push(letter),
        }
    }
    lexer.sign(Token::End);
    Some(lexer.tokens)
}

impl Lexer {
    fn finish(&mut self) {
        let Some(word) = self.word.take() else { return };
        if std::mem::take(&mut self.redirected) {
            return;
        }
        let begins = matches!(self.tokens.last(), None | Some(Token::End | Token::And | Token::Or));
        let plain =
            |name: &str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        match word.split_once('=') {
            Some((name, value)) if begins && plain(name) => {
                self.variables.insert(name.to_owned(), value.to_owned());
            }
            _ => self.tokens.push(Token::Word(word)),
        }
    }

    fn sign(&mut self, token: Token) {
        self.finish();
        self.redirected = false;
        self.tokens.push(token);
    }

    /// With the variables that the script has set; `None` for those that it has not, but `$?`.
    fn written_out(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out += before;
            if let Some(behind) = after.strip_prefix('?') {
                out += "$?";
                rest = behind;
                continue;
            }
            let braced = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let end =
                after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(after.len());
            let (name, behind) = braced.or_else(|| after.split_at_checked(end))?;
            out += self.variables.get(name)?;
            rest = behind;
        }
        Some(out + rest)
    }
}
