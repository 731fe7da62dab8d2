//! Runs a policy in each role, every probe being well, and tells what it throws: an option out of its range, a fact of the
//! node that is misspelt. Otherwise that is noticed where the line is reached, which may be in production.

use super::{
    Engine, Policy, Problem, Severity, Sources,
    auto::{self, ROLES},
    lint::Linter,
    thrown::Thrown,
};

/// What the policy throws although all is well, one problem for each mistake. `sources`: the texts it was loaded from.
#[must_use]
pub fn try_out(engine: &Engine, policy: &Policy, sources: &Sources) -> Vec<Problem> {
    let mut found: Vec<(Thrown, Vec<&str>)> = Vec::new();
    for role in ROLES {
        let thrown = auto::thrown(engine, policy, role).filter(|thrown| !thrown.may_be_the_fakes);
        let Some(thrown) = thrown else { continue };
        match found.iter_mut().find(|(known, _)| *known == thrown) {
            Some((_, roles)) => roles.push(role),
            None => found.push((thrown, vec![role])),
        }
    }
    found.into_iter().map(|(thrown, roles)| problem(engine, policy, sources, thrown, &roles)).collect()
}

fn problem(engine: &Engine, policy: &Policy, sources: &Sources, thrown: Thrown, roles: &[&str]) -> Problem {
    let file = thrown.file.unwrap_or_else(|| policy.file().to_owned());
    let who = match roles {
        [one] => format!(" as {one}"),
        _ => String::new(),
    };
    Problem {
        severity: Severity::Warning,
        code: "W211",
        line: thrown.place.line,
        column: thrown.place.column,
        length: Linter::new(engine, &file, sources.text_of(&file)).length(thrown.place),
        message: format!("check() cannot be evaluated{who}: {}", thrown.message),
        hint: None,
        file,
    }
}
