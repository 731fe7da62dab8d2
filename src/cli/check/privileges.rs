//! What the policies need that the unit does not give, or that this process has not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    cli::{output::wrap, paint::Paint, policy_file::PolicyFile, privileges},
    policy::{Called, Engine, Policy, language::Function},
};

/// Capabilities, each with the functions that need it.
type Lacking = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// What is lacking.
#[derive(Debug)]
pub(super) struct Privileges {
    /// In the unit.
    unit: Lacking,
    /// Programs of `notify` run as another user.
    configured: bool,
    /// In this process; only where it is to make the probes.
    here: Option<Lacking>,
}

impl Privileges {
    /// `becomes_others`: programs of `notify` run as another user.
    pub(super) fn of(engine: &Engine, policies: &[PolicyFile], becomes_others: bool, probes: bool) -> Self {
        let sources = policies.iter().filter_map(|file| file.source.as_ref().ok());
        let functions: Vec<&'static Function> = sources
            .flat_map(|source| source.sources.texts())
            .flat_map(|text| Policy::calls(engine, &text.text))
            .filter(needs_its_privilege)
            .map(|call| call.function)
            .collect();
        let lacking = |has: fn(&str) -> bool| privileges::lacking(functions.iter().copied(), has);
        let mut unit = lacking(privileges::is_given_by_the_unit);
        for capability in privileges::OF_OTHER_USERS.into_iter().filter(|_| becomes_others) {
            unit.entry(capability).or_default().insert("notify.user");
        }
        Self { unit, configured: becomes_others, here: probes.then(|| lacking(privileges::is_held)) }
    }

    /// Nothing, where nothing is lacking.
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        if !self.unit.is_empty() {
            let what = format!(
                "{} {}, which the unit of ha does not give: without it these probes have no information{}. \
                 Write with `systemctl edit ha`:",
                if self.configured { "the configuration or its policies need" } else { "the policies need" },
                privileges::named(&self.unit),
                if self.configured { ", and no program of notify is started" } else { "" },
            );
            text += &format!("{} {}\n", paint.doubtful("!"), wrap(&what, 2));
            text += &privileges::drop_in(&self.unit).lines().map(|line| format!("    {line}\n")).collect::<String>();
        }
        if let Some(here) = self.here.as_ref().filter(|here| !here.is_empty()) {
            let what = format!("this process has not {}: these probes may see nothing here", privileges::named(here));
            text += &format!("{} {}\n", paint.doubtful("!"), wrap(&what, 2));
        }
        text
    }

    pub(super) fn document(&self) -> Value {
        json!({
            "unit_lacks": self.unit,
            "drop_in": (!self.unit.is_empty()).then(|| privileges::drop_in(&self.unit)),
            "process_lacks": self.here,
        })
    }
}

/// `exec` becomes another user only where it is told to.
fn needs_its_privilege(call: &Called) -> bool {
    call.function.name != "exec" || call.is_computed || call.options.iter().any(|(name, _)| name == "user")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drop_in_is_printed_where_the_unit_gives_too_little() {
        let lacking = |capability| Lacking::from([(capability, BTreeSet::from(["process"]))]);
        let found =
            Privileges { unit: lacking("CAP_SYS_PTRACE"), configured: false, here: Some(lacking("CAP_NET_RAW")) };
        insta::assert_snapshot!(found.text(Paint::plain()));
        let nothing = Privileges { unit: Lacking::new(), configured: false, here: None };
        assert_eq!(nothing.text(Paint::plain()), "");
    }

    #[test]
    fn a_program_that_runs_as_another_user_needs_what_the_unit_does_not_give() {
        let needed = |text: &str| {
            let calls = Policy::calls(&Engine::new(), text);
            calls.iter().filter(|call| call.function.name == "exec" && needs_its_privilege(call)).count()
        };
        assert_eq!(needed(r#"fn check() { require("x", exec(["/bin/true"], #{ timeout: "1s" })); }"#), 0);
        assert_eq!(needed(r#"fn check() { require("x", exec(["/bin/true"], #{ user: "nobody" })); }"#), 1);
        let found = Privileges::of(&Engine::new(), &[], true, false);
        let text = found.text(Paint::plain());
        assert!(text.contains("CAP_SETUID (notify.user)") && text.contains("SystemCallFilter=@setuid"), "{text}");
        assert_eq!(Privileges::of(&Engine::new(), &[], false, false).text(Paint::plain()), "");
    }
}
