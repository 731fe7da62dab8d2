//! Hooks and actions: what may act, and from where.

use std::collections::BTreeSet;

use super::{
    Linter, Outline,
    outline::{Call, Qualified},
};
use crate::policy::{
    Hook, Problem,
    language::{self, Group},
    suggest,
};

impl Linter<'_> {
    /// Actions that an evaluation would come to, and hooks that nobody would call.
    pub(in crate::policy) fn acting(&self, outline: &Outline) -> Vec<Problem> {
        let mut problems = self.actions_in_check(outline);
        problems.extend(self.hooks(outline));
        problems
    }

    fn actions_in_check(&self, outline: &Outline) -> Vec<Problem> {
        let evaluated = evaluated(outline);
        let calls = outline.calls.iter().filter(|call| !call.in_closure && acts(outline, call));
        let within = calls.filter(|call| call.function.as_ref().is_some_and(|function| evaluated.contains(function)));
        within
            .map(|call| {
                let message = format!("`{}` changes something, and check() only observes", call.name);
                let hint = "move it into a hook like on_fault(ev), or into heal(\"rule\", || …)".to_owned();
                self.error("E106", call.place, message, Some(hint))
            })
            .collect()
    }

    /// A call of a function of a module that comes to an action.
    pub(in crate::policy) fn acts_elsewhere(&self, call: &Qualified, action: &str) -> Problem {
        let name = format!("{}::{}", call.module, call.name);
        let message = format!("`{name}` comes to `{action}`, which changes something, and check() only observes");
        let hint = "move it into a hook like on_fault(ev), or into heal(\"rule\", || …)".to_owned();
        self.error("E106", call.place, message, Some(hint))
    }

    fn hooks(&self, outline: &Outline) -> Vec<Problem> {
        let mut problems = Vec::new();
        for function in outline.functions.iter().filter(|function| function.name.starts_with("on_")) {
            let place = self.find("fn ", &function.name);
            match Hook::named(&function.name) {
                Some(_) if function.parameters <= 1 => {}
                Some(hook) => {
                    let message = format!("`{hook}` takes one argument, the event, or none");
                    problems.push(self.error("E114", place, message, None));
                }
                None if outline.calls.iter().any(|call| call.name == function.name) => {}
                None => {
                    let names = || Hook::ALL.into_iter().map(Hook::name);
                    let hint = match suggest::closest(&function.name, names()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                    };
                    let message = format!("there is no hook `{}`: nobody would call it", function.name);
                    problems.push(self.error("E114", place, message, Some(hint)));
                }
            }
        }
        problems
    }
}

/// The call is one of an action. A closure in a map may be called like one.
pub(in crate::policy) fn acts(outline: &Outline, call: &Call) -> bool {
    let is_action = language::function(&call.name).is_some_and(|function| function.group == Group::Action);
    is_action && !(call.is_method && outline.keys.contains(&call.name))
}

/// The functions that an evaluation can come to.
pub(in crate::policy) fn evaluated(outline: &Outline) -> BTreeSet<String> {
    let mut reached: BTreeSet<String> = ["check", "may_take_over"].map(ToOwned::to_owned).into();
    loop {
        let further: Vec<String> = outline
            .calls
            .iter()
            .filter(|call| {
                !call.in_closure && call.function.as_ref().is_some_and(|function| reached.contains(function))
            })
            .filter(|call| outline.functions.iter().any(|function| function.name == call.name))
            .map(|call| call.name.clone())
            .filter(|name| !reached.contains(name))
            .collect();
        if further.is_empty() {
            return reached;
        }
        reached.extend(further);
    }
}
