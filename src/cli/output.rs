//! Writing what a command has to say.

use std::io::{self, Write};

use serde::Serialize;

/// Lines are broken, tables cut, at this many columns.
pub(super) const WIDTH: usize = 100;

/// To standard output. A reader that went away is no error.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// To standard error, as a sentence of this program.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "ha: {text}");
}

/// To standard output, as indented JSON.
pub(super) fn print_json<T: Serialize>(value: &T) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => complain(&format!("this cannot be written as JSON: {error}")),
    }
}

/// The text broken into lines that fit behind an indent of `indent` columns; the first line is not indented.
pub(super) fn wrap(text: &str, indent: usize) -> String {
    let room = WIDTH.saturating_sub(indent).max(20);
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > room {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// The lines of a text, each indented.
pub(super) fn indented(text: &str, indent: usize) -> String {
    let lines = text
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{}{line}\n", " ".repeat(indent)) });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_between_words() {
        let text = "word ".repeat(40);
        let wrapped = wrap(&text, 4);
        assert!(wrapped.lines().enumerate().all(|(number, line)| line.len() <= if number == 0 { 96 } else { 100 }));
        assert_eq!(wrapped.split_whitespace().count(), 40);
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("    word")));
    }
}
