//! From tokens to steps.

use super::lex::Token;

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

/// One command, or an `if`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Run { pipeline: Vec<Vec<String>>, negated: bool },
    If { condition: Chain, then: Vec<Chain>, otherwise: Vec<Chain> },
}

/// The whole script.
pub(super) fn parse(tokens: Vec<Token>) -> Option<Vec<Chain>> {
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), depth: 0 };
    let chains = parser.list(&[])?;
    parser.tokens.next().is_none().then_some(chains)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

impl Parser {
    /// Chains up to one of these words, which is left.
    fn list(&mut self, ends: &[&str]) -> Option<Vec<Chain>> {
        let mut chains = Vec::new();
        loop {
            while self.tokens.next_if_eq(&Token::End).is_some() {}
            match self.tokens.peek() {
                None => return Some(chains),
                Some(Token::Word(word)) if ends.contains(&word.as_str()) => return Some(chains),
                Some(_) => chains.push(self.chain()?),
            }
        }
    }

    fn chain(&mut self) -> Option<Chain> {
        let mut steps = vec![(Join::And, self.step()?)];
        loop {
            let join = match self.tokens.peek() {
                Some(Token::And) => Join::And,
                Some(Token::Or) => Join::Or,
                Some(Token::End | Token::Word(_) | Token::Pipe) | None => return Some(Chain(steps)),
            };
            self.tokens.next();
            while self.tokens.next_if_eq(&Token::End).is_some() {}
            steps.push((join, self.step()?));
        }
    }

    fn step(&mut self) -> Option<Step> {
        let negated = self.word("!");
        if !negated && self.word("if") {
            return self.branch();
        }
        let mut pipeline = vec![self.command()?];
        while self.tokens.next_if_eq(&Token::Pipe).is_some() {
            pipeline.push(self.command()?);
        }
        Some(Step::Run { pipeline, negated })
    }

    fn command(&mut self) -> Option<Vec<String>> {
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.tokens.next_if(|token| matches!(token, Token::Word(_))) {
            words.push(word);
        }
        let first = words.first()?;
        let compound =
            ["if", "then", "else", "elif", "fi", "for", "while", "until", "case", "do", "done", "{", "}", "[["];
        (!compound.contains(&first.as_str())).then_some(words)
    }

    fn branch(&mut self) -> Option<Step> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let condition = self.chain()?;
        while self.tokens.next_if_eq(&Token::End).is_some() {}
        let then = self.word("then").then(|| self.list(&["else", "fi"]))??;
        let otherwise = if self.word("else") { self.list(&["fi"])? } else { Vec::new() };
        self.depth -= 1;
        self.word("fi").then_some(Step::If { condition, then, otherwise })
    }

    /// Takes this word if it comes next.
    fn word(&mut self, wanted: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(word) if word == wanted)).is_some()
    }
}
