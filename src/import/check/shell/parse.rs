//! From tokens to steps.

use super::lex::{Token, Word};

/// How deeply `if` may stand in `if`.
const DEPTH_MAX: usize = 8;

/// What joins a step to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    And,
    Or,
}

/// Steps joined by `&&` and `||`; the first one's join means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain(pub(super) Vec<(Join, Step)>);

/// One command, or what a script is made of besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Run { pipeline: Vec<Vec<Word>>, negated: bool },
    Set { name: String, value: Word },
    If { condition: Chain, then: Vec<Chain>, otherwise: Vec<Chain> },
    Function { name: String, body: Vec<Chain> },
}

/// The whole script.
pub(super) fn parse(tokens: Vec<Token>, bash: bool) -> Option<Vec<Chain>> {
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), depth: 0, bash };
    let chains = parser.list(&[])?;
    parser.tokens.next().is_none().then_some(chains)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
    bash: bool,
}

impl Parser {
    /// Chains up to one of these words, which is left.
    fn list(&mut self, ends: &[&str]) -> Option<Vec<Chain>> {
        let mut chains = Vec::new();
        loop {
            self.lines();
            match self.tokens.peek() {
                None => return Some(chains),
                Some(Token::Word(word)) if word.bare().is_some_and(|word| ends.contains(&word)) => return Some(chains),
                Some(_) => chains.push(self.chain()?),
            }
            if !matches!(self.tokens.peek(), Some(Token::End) | None) {
                return None;
            }
        }
    }

    /// A list that is not empty, and the word that ends it is there.
    fn filled(&mut self, ends: &[&str]) -> Option<Vec<Chain>> {
        self.list(ends).filter(|chains| !chains.is_empty())
    }

    fn chain(&mut self) -> Option<Chain> {
        let mut steps = vec![(Join::And, self.step()?)];
        loop {
            let join = match self.tokens.peek() {
                Some(Token::And) => Join::And,
                Some(Token::Or) => Join::Or,
                _ => return Some(Chain(steps)),
            };
            self.tokens.next();
            self.lines();
            steps.push((join, self.step()?));
        }
    }

    fn step(&mut self) -> Option<Step> {
        let negated = self.word("!");
        if !negated && self.word("if") {
            return self.branch();
        }
        let (words, mut silenced) = self.command()?;
        if self.tokens.next_if_eq(&Token::Open).is_some() {
            return (!negated && !silenced).then(|| self.function(&words))?;
        }
        if let Some((name, value)) = words.first().and_then(Word::assignment) {
            // Before a command it is what that one finds in its environment.
            let alone = words.len() == 1 && !negated && !silenced && self.tokens.peek() != Some(&Token::Pipe);
            return alone.then_some(Step::Set { name, value });
        }
        let mut pipeline = vec![words];
        while self.tokens.next_if_eq(&Token::Pipe).is_some() {
            self.lines();
            // The next one would have nothing to read.
            if silenced {
                return None;
            }
            let (words, silent) = self.command()?;
            silenced = silent;
            pipeline.push(words);
        }
        Some(Step::Run { pipeline, negated })
    }

    /// The words, and whether what it prints goes nowhere.
    fn command(&mut self) -> Option<(Vec<Word>, bool)> {
        let (mut words, mut silenced) = (Vec::new(), false);
        loop {
            match self.tokens.next_if(|token| matches!(token, Token::Word(_) | Token::Silenced)) {
                Some(Token::Word(word)) => words.push(word),
                Some(_) => silenced = true,
                None => break,
            }
        }
        let first = words.first()?;
        let compound =
            ["if", "then", "else", "elif", "fi", "for", "while", "until", "case", "do", "done", "{", "}", "[["];
        first.bare().is_none_or(|first| !compound.contains(&first)).then_some((words, silenced))
    }

    /// After `NAME (`.
    fn function(&mut self, words: &[Word]) -> Option<Step> {
        let name = match words {
            [name] => name.bare()?,
            [word, name] if self.bash && word.bare() == Some("function") => name.bare()?,
            _ => return None,
        };
        self.tokens.next_if_eq(&Token::Close)?;
        self.lines();
        self.word("{").then_some(())?;
        let body = self.filled(&["}"])?;
        self.word("}").then(|| Step::Function { name: name.to_owned(), body })
    }

    /// After `if` or `elif`, up to `fi`.
    fn branch(&mut self) -> Option<Step> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let condition = self.chain()?;
        self.lines();
        let then = self.word("then").then(|| self.filled(&["else", "elif", "fi"]))??;
        let otherwise = if self.word("elif") {
            vec![Chain(vec![(Join::And, self.branch()?)])]
        } else {
            let otherwise = if self.word("else") { self.filled(&["fi"])? } else { Vec::new() };
            self.word("fi").then_some(otherwise)?
        };
        self.depth -= 1;
        Some(Step::If { condition, then, otherwise })
    }

    fn lines(&mut self) {
        while self.tokens.next_if_eq(&Token::End).is_some() {}
    }

    /// Takes this word if it comes next.
    fn word(&mut self, wanted: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(word) if word.bare() == Some(wanted))).is_some()
    }
}
