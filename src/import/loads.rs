//! The last look: what is going to be written is read as the daemon will read it.
//!
//! Every rule of a configuration is also one for what is imported, whether or not the reading of keepalived's words knows
//! it: a network's address as a service address, an interface's name that no kernel takes.

use std::path::Path;

use super::ledger::{Ledger, Place};
use crate::config::{self, Facts, Problem, Severity};

/// Whatever the daemon would refuse is refused at the line of keepalived it comes from.
pub(super) fn refuse_what_does_not_load(text: &str, ledger: &mut Ledger) {
    if ledger.refusals().next().is_some() {
        return;
    }
    let Err(problems) = config::parse(text, Path::new("/etc/ha/ha.toml"), &Facts::default()) else { return };
    for problem in problems.list().iter().filter(|problem| problem.severity() == Severity::Error) {
        let todo = format!("ha does not take what comes of it: {}; {}", problem.what(), problem.todo());
        let place = origin(problem, ledger).unwrap_or(Place { file: 0, line: 1 });
        ledger.refused(place, todo.trim_end_matches("; ").to_owned());
    }
}

/// The first line that has the text which the problem is about.
fn origin(problem: &Problem, ledger: &Ledger) -> Option<Place> {
    let text = problem.text()?;
    let word = text.trim_matches(['"', '[', ']', ' ']);
    let whole = |part: &str| part.trim_matches('"') == word;
    let mut lines = ledger.files().iter().enumerate().flat_map(|(file, read)| {
        read.lines.iter().enumerate().map(move |(number, line)| (Place { file, line: number + 1 }, line))
    });
    lines
        .find(|(place, line)| {
            ledger.fate(*place).is_some()
                && line.split([' ', '\t', '{', '}', ',']).any(|part| !part.is_empty() && whole(part))
        })
        .map(|(place, _)| place)
}
