//! Actions that an evaluation would come to through the functions of modules: check() only observes, whoever it asks.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Engine, Problem,
    link::Library,
    lint::{self, Linter, Outline, Qualified},
    sources::Text,
};

/// A function of a module.
type Function<'s> = (&'s str, String);

/// Every call of the policy that check() comes to and that ends in an action.
pub(super) fn through_modules(
    engine: &Engine,
    main: &Text,
    outline: &Outline,
    libraries: &BTreeMap<&str, Library<'_>>,
) -> Vec<Problem> {
    let linter = Linter::new(engine, &main.file, &main.text);
    let evaluated = lint::evaluated(outline);
    let calls = outline.qualified.iter().filter(|call| !call.in_closure);
    let within = calls.filter(|call| call.function.as_ref().is_some_and(|function| evaluated.contains(function)));
    let acting = within.filter_map(|call| {
        let action = first_action(resolved(outline, call, libraries)?, libraries)?;
        Some(linter.acts_elsewhere(call, action))
    });
    acting.collect()
}

/// The first action found that a function of a module comes to.
fn first_action<'a>(from: Function<'a>, libraries: &'a BTreeMap<&str, Library<'_>>) -> Option<&'a str> {
    let mut seen: BTreeSet<Function<'_>> = BTreeSet::new();
    let mut ahead = vec![from];
    while let Some((module, function)) = ahead.pop() {
        let Some(Library { outline, .. }) = libraries.get(module) else { continue };
        if !seen.insert((module, function.clone())) {
            continue;
        }
        let is_here = |of: &Option<String>, in_closure: bool| !in_closure && of.as_ref() == Some(&function);
        for call in outline.calls.iter().filter(|call| is_here(&call.function, call.in_closure)) {
            if lint::acts(outline, call) {
                return Some(&call.name);
            }
            if outline.functions.iter().any(|function| function.name == call.name) {
                ahead.push((module, call.name.clone()));
            }
        }
        let foreign = outline.qualified.iter().filter(|call| is_here(&call.function, call.in_closure));
        ahead.extend(foreign.filter_map(|call| resolved(outline, call, libraries)));
    }
    None
}

fn resolved<'a>(
    outline: &'a Outline,
    call: &Qualified,
    libraries: &'a BTreeMap<&str, Library<'_>>,
) -> Option<Function<'a>> {
    let import = outline.imports.iter().find(|import| import.alias == call.module)?;
    let (name, _) = libraries.get_key_value(import.path.as_deref()?)?;
    Some((name, call.name.clone()))
}
