//! `ha check --explain CODE`: what a code means.

use crate::{
    cli::{Code as Exit, output},
    policy::{CODES, Code},
};

/// Where the text of a paragraph begins.
const INDENT: usize = 12;

pub(super) fn perform(name: &str) -> Exit {
    match Code::find(name) {
        Some(code) => {
            output::print(&text(code));
            Exit::OK
        }
        None => {
            let known: Vec<&str> = CODES.iter().map(|code| code.code).collect();
            output::complain(&format!("there is no code {name}; there are {}", known.join(", ")));
            Exit::USAGE
        }
    }
}

fn text(code: &Code) -> String {
    let severity = if code.is_error() { "an error: the policy is not loaded" } else { "a warning: the policy works" };
    format!(
        "{} ({severity})\n    {}\nwhy         {}\nwhat to do  {}\n",
        code.code,
        code.title,
        output::wrap(code.why, INDENT),
        output::wrap(code.todo, INDENT),
    )
}
