//! What the policies need that the unit does not give, or that this process has not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    cli::{output::wrap, paint::Paint, policy_file::PolicyFile, privileges},
    policy::{Engine, Policy, language::Function},
};

/// Capabilities, each with the functions that need it.
type Lacking = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// What is lacking.
#[derive(Debug)]
pub(super) struct Privileges {
    /// In the unit.
    unit: Lacking,
    /// In this process; only where it is to make the probes.
    here: Option<Lacking>,
}

impl Privileges {
    pub(super) fn of(engine: &Engine, policies: &[PolicyFile], probes: bool) -> Self {
        let sources = policies.iter().filter_map(|file| file.source.as_ref().ok());
        let functions: Vec<&'static Function> = sources
            .flat_map(|source| source.sources.texts())
            .flat_map(|text| Policy::calls(engine, &text.text))
            .map(|call| call.function)
            .collect();
        let lacking = |has: fn(&str) -> bool| privileges::lacking(functions.iter().copied(), has);
        Self { unit: lacking(privileges::is_given_by_the_unit), here: probes.then(|| lacking(privileges::is_held)) }
    }

    /// Nothing, where nothing is lacking.
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        if !self.unit.is_empty() {
            let what = format!(
                "the policies need {}, which the unit of ha does not give: without it these probes have no information. \
                 Write with `systemctl edit ha`:",
                privileges::named(&self.unit)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drop_in_is_printed_where_the_unit_gives_too_little() {
        let lacking = |capability| Lacking::from([(capability, BTreeSet::from(["process"]))]);
        let found = Privileges { unit: lacking("CAP_SYS_PTRACE"), here: Some(lacking("CAP_NET_RAW")) };
        insta::assert_snapshot!(found.text(Paint::plain()));
        let nothing = Privileges { unit: Lacking::new(), here: None };
        assert_eq!(nothing.text(Paint::plain()), "");
    }
}
