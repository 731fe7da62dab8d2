//! From lines to statements: words, and what stands in braces behind them.

use super::{
    expand::Plain,
    ledger::{Fate, Ledger, Place},
    line::{Token, Unreadable, Word, tokens},
};

/// Braces within braces.
const DEPTH_MAX: usize = 16;

/// `keyword word word { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) place: Place,
    /// At least one.
    pub(super) words: Vec<Word>,
    pub(super) block: Option<Vec<Self>>,
    /// Those before it, with their marks.
    pub(super) comments: Vec<String>,
    /// The one behind it, in its line.
    pub(super) trailing: Option<String>,
}

impl Node {
    /// Its first word.
    pub(super) fn keyword(&self) -> &str {
        self.text(0)
    }

    /// The word at this position; empty if there are fewer.
    pub(super) fn text(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| word.text.as_str())
    }

    /// What stands in its braces.
    pub(super) fn inner(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// The statement and everything within came to this.
    pub(super) fn note_all(&self, fate: Fate, text: &str, ledger: &mut Ledger) {
        ledger.note(self.place, fate, text);
        for inner in self.inner() {
            inner.note_inside(fate, ledger);
        }
    }

    fn note_inside(&self, fate: Fate, ledger: &mut Ledger) {
        ledger.note(self.place, fate, "");
        for inner in self.inner() {
            inner.note_inside(fate, ledger);
        }
    }

    /// Every comment of the statement and of what is within, in order.
    pub(super) fn all_comments(&self) -> Vec<String> {
        let mut all = self.comments.clone();
        all.extend(self.trailing.clone());
        all.extend(self.inner().iter().flat_map(Self::all_comments));
        all
    }
}

/// A block that is not closed yet.
struct Open {
    head: Node,
    inner: Vec<Node>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    done: Vec<Node>,
    comments: Vec<String>,
    words: Vec<Word>,
}

/// The statements, and the comments behind the last of them.
pub(super) fn build(lines: &[Plain], ledger: &mut Ledger) -> (Vec<Node>, Vec<String>) {
    let mut builder = Builder::default();
    for line in lines {
        if line.text.is_empty() {
            builder.comments.extend(line.comment.clone());
            continue;
        }
        let tokens = match tokens(&line.text) {
            Ok(tokens) => tokens,
            Err(unreadable) => {
                ledger.refused(line.place, todo(unreadable));
                continue;
            }
        };
        let mut statements = 0;
        for token in tokens {
            match token {
                Token::Word(word) => builder.words.push(word),
                Token::Open => {
                    statements += usize::from(builder.finish(line.place));
                    builder.open(line.place, ledger);
                }
                Token::Close => {
                    statements += usize::from(builder.finish(line.place));
                    builder.close(line.place, ledger);
                }
            }
        }
        statements += usize::from(builder.finish(line.place));
        builder.comment(line, statements);
    }
    while let Some(left) = builder.open.last() {
        let todo = format!("this {} is never closed: write the }} that is missing", left.head.keyword());
        ledger.refused(left.head.place, todo);
        let place = left.head.place;
        builder.close(place, ledger);
    }
    (builder.done, builder.comments)
}

const fn todo(unreadable: Unreadable) -> &'static str {
    match unreadable {
        Unreadable::Quote => "a quote is opened and not closed: keepalived does not read this line",
        Unreadable::EscapedComment => {
            "versions of keepalived disagree whether a comment begins at \\# or \\!: put the word into quotes"
        }
    }
}

impl Builder {
    fn siblings(&mut self) -> &mut Vec<Node> {
        match self.open.last_mut() {
            Some(open) => &mut open.inner,
            None => &mut self.done,
        }
    }

    /// The words so far are a statement; whether there were any.
    fn finish(&mut self, place: Place) -> bool {
        let words = std::mem::take(&mut self.words);
        let any = !words.is_empty();
        if any {
            let comments = std::mem::take(&mut self.comments);
            self.siblings().push(Node { place, words, block: None, comments, trailing: None });
        }
        any
    }

    /// A brace belongs to the statement before it, in the same line or the one above.
    fn open(&mut self, place: Place, ledger: &mut Ledger) {
        let head = self.siblings().pop_if(|node| node.block.is_none());
        let head = head.unwrap_or_else(|| {
            ledger.refused(
                place,
                "a { without a word before it: keepalived ignores it, and reads on as if it were not there",
            );
            Node { place, words: Vec::new(), block: None, comments: Vec::new(), trailing: None }
        });
        if self.open.len() >= DEPTH_MAX {
            ledger.refused(place, "too many braces within braces");
            return self.siblings().push(head);
        }
        self.open.push(Open { head, inner: Vec::new() });
    }

    fn close(&mut self, place: Place, ledger: &mut Ledger) {
        let Some(Open { mut head, inner }) = self.open.pop() else {
            return ledger.refused(place, "a } that closes nothing: remove it");
        };
        head.block = Some(inner);
        // Comments before the closing brace belong to the block.
        head.comments.append(&mut self.comments);
        if !head.words.is_empty() {
            self.siblings().push(head);
        }
    }

    /// The comment of a line belongs to the one statement in it, or to what comes next.
    fn comment(&mut self, line: &Plain, statements: usize) {
        let Some(comment) = line.comment.clone() else { return };
        let head = self.open.last_mut().map(|open| &mut open.head).filter(|head| head.place == line.place);
        let is_head = head.is_some();
        let target = match head {
            Some(head) => Some(head),
            None => match self.open.last_mut() {
                Some(open) => open.inner.last_mut(),
                None => self.done.last_mut(),
            },
        };
        match target.filter(|node| (is_head || statements == 1) && node.place == line.place && node.trailing.is_none())
        {
            Some(node) => node.trailing = Some(comment),
            None => self.comments.push(comment),
        }
    }
}
