//! Text that is not TOML: the parser's words, and what follows from them for everything else that was found.

use toml::de::Error;

use super::error::{Findings, Span};

/// Adds what the parser found. It goes on after an error, so that the rest of the file is judged too; whatever may only
/// be a consequence of what it could not read is dropped.
pub(super) fn report(text: &str, errors: &[Error], out: &mut Findings) {
    if errors.is_empty() {
        return;
    }
    let mut errors: Vec<(Span, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let swallowed = errors.iter().position(|(span, message)| !message.contains("key") && begins_a_setting(text, span));
    let lines: Vec<Span> = errors.iter().map(|(span, _)| line_of(text, span)).collect();
    let header = lines.iter().any(|line| slice(text, line).trim_start().starts_with('['));
    let everything = 0..text.len();
    let nothing_is_sure = header || swallowed.is_some();
    out.drop_consequences(if nothing_is_sure { std::slice::from_ref(&everything) } else { &lines });
    let readable_until = swallowed.and_then(|first| lines.get(first)).map_or(text.len() + 1, |line| line.start);
    for (span, message) in errors.iter().filter(|(span, _)| span.start < readable_until) {
        out.error(span.clone(), format!("this is not TOML: {message}"), todo(message));
    }
    if let Some((span, _)) = swallowed.and_then(|first| errors.get(first)) {
        let what = "this is not TOML: a list that begins above is still open here";
        out.error(span.clone(), what, "close the list with ] before this line");
    }
}

/// An open list swallows the lines after it: their keys are then taken for values. (Of keys the parser says "key".)
fn begins_a_setting(text: &str, span: &Span) -> bool {
    let line = line_of(text, span);
    let before = slice(text, &(line.start..span.start));
    let after = slice(text, &(span.end..line.end));
    !span.is_empty() && before.trim().is_empty() && after.trim_start().starts_with('=')
}

fn line_of(text: &str, span: &Span) -> Span {
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let end = text.get(span.end..).and_then(|after| after.find('\n')).map_or(text.len(), |at| span.end + at);
    start..end
}

fn slice<'t>(text: &'t str, span: &Span) -> &'t str {
    text.get(span.clone()).unwrap_or_default()
}

fn todo(message: &str) -> &'static str {
    if message.contains("must be quoted") {
        "write it in double quotes"
    } else if message.contains("duplicate key") {
        "it is set twice: keep one of them"
    } else if message.contains("unclosed") || message.contains("invalid basic string") {
        "close it on this line"
    } else {
        "a line is key = value; texts and times stand in double quotes, tables in [brackets]"
    }
}
