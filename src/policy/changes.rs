//! How one version of a policy differs from another, as far as the texts say it: for people who read what a reload did.

use super::{NamedRule, Policy};

/// One line each: `+ rule web`, `- rule gateway`, `~ rule arbiter: fall 5 → 3`.
#[must_use]
pub fn changes(before: &Policy, after: &Policy) -> Vec<String> {
    let find = |rules: &'_ [NamedRule], name: &str| rules.iter().position(|rule| rule.name == name);
    let (old, new) = (before.rules_named(), after.rules_named());
    let mut lines = Vec::new();
    for rule in new {
        match find(old, &rule.name).and_then(|at| old.get(at)) {
            None => lines.push(format!("+ rule {}", rule.name)),
            Some(earlier) => lines.extend(options(earlier, rule)),
        }
    }
    let gone = old.iter().filter(|rule| find(new, &rule.name).is_none());
    lines.extend(gone.map(|rule| format!("- rule {}", rule.name)));
    for (name, before, after) in
        [("interval", before.interval(), after.interval()), ("deadline", before.deadline(), after.deadline())]
    {
        if before != after {
            lines.push(format!("~ {name} {before:?} → {after:?}"));
        }
    }
    lines
}

fn options(before: &NamedRule, after: &NamedRule) -> Vec<String> {
    let value = |rule: &NamedRule, name: &str| {
        let option = rule.options.iter().find(|(option, _)| option == name);
        option.map_or_else(|| "unset".to_owned(), |(_, value)| value.clone())
    };
    let mut lines = Vec::new();
    if before.function != after.function {
        lines.push(format!("~ rule {}: {} → {}", after.name, before.function, after.function));
    }
    let mut names: Vec<&str> = before.options.iter().chain(&after.options).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (from, to) = (value(before, name), value(after, name));
        if from != to {
            lines.push(format!("~ rule {}: {name} {from} → {to}", after.name));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Engine;

    fn policy(text: &str) -> Policy {
        Policy::load(&Engine::new(), "p", "p.rhai", text).unwrap()
    }

    #[test]
    fn rules_and_their_options_are_compared() {
        let before = policy(
            "fn check() { require(\"web\", true, #{ fall: 5 }); watch(\"load\", true); prefer(\"disk\", true, #{ weight: 9 }); }",
        );
        let after = policy(
            "const INTERVAL = \"2s\"; fn check() { require(\"web\", true, #{ fall: 3, rise: 1 }); require(\"load\", true); \
             require(\"new\", true); }",
        );
        assert_eq!(
            changes(&before, &after),
            [
                "~ rule web: fall 5 → 3",
                "~ rule web: rise unset → 1",
                "~ rule load: watch → require",
                "+ rule new",
                "- rule disk",
                "~ interval 1s → 2s",
            ]
        );
        assert_eq!(changes(&after, &after), Vec::<String>::new());
    }
}
