//! `import`: whether it can be resolved, and whether what is called of a module is there.

use std::collections::BTreeSet;

use super::{
    Linter, Outline,
    outline::{Call, Import, Qualified},
};
use crate::policy::{Problem, suggest};

impl Linter<'_> {
    /// Imports that are not plain: what a policy consists of must be known without running it.
    pub(super) fn imports(&self, outline: &Outline) -> Vec<Problem> {
        let mut names = BTreeSet::new();
        outline.imports.iter().filter_map(|import| self.import(import, &mut names)).collect()
    }

    fn import<'o>(&self, import: &'o Import, names: &mut BTreeSet<&'o str>) -> Option<Problem> {
        const FORM: &str = "write import \"lib/web\" as web; at the top of the file";
        let (message, hint) = if import.path.is_none() {
            ("the name of an imported module must be a plain text".to_owned(), FORM)
        } else if !import.is_at_top {
            ("`import` stands inside a function".to_owned(), FORM)
        } else if import.alias.is_empty() {
            ("an imported module needs a name here".to_owned(), FORM)
        } else if !names.insert(&import.alias) {
            (format!("a second module is called `{}`", import.alias), "give one of the two another name")
        } else {
            return None;
        };
        Some(self.error("E108", import.place, message, Some(hint.to_owned())))
    }

    /// An import that leads nowhere. `chain`: the files on the way here, the policy first.
    pub(in crate::policy) fn unresolved(&self, import: &Import, why: &str, chain: &[&str]) -> Problem {
        let path = import.path.as_deref().unwrap_or_default();
        let hint = (chain.len() > 1).then(|| format!("imported by {}", chain.join(" → ")));
        self.error("E115", import.place, format!("cannot import \"{path}\": {why}"), hint)
    }

    /// An import that leads back to a file that is on the way here.
    pub(in crate::policy) fn circle(&self, import: &Import, chain: &[&str]) -> Problem {
        let path = import.path.as_deref().unwrap_or_default();
        let message = format!("modules import each other in a circle: {} → {path}", chain.join(" → "));
        self.error("E115", import.place, message, Some("move what both need into a module of its own".to_owned()))
    }

    /// Calls of functions that the module does not have. `module`: what is known of the module with this name here.
    pub(in crate::policy) fn qualified<'m>(
        &self,
        outline: &Outline,
        module: impl Fn(&str) -> Option<&'m Outline>,
    ) -> Vec<Problem> {
        let calls = outline.qualified.iter().filter_map(|call| match module(&call.module) {
            Some(module) => self.call_of(call, module),
            // That it cannot be imported has been said.
            None if outline.imports.iter().any(|import| import.alias == call.module) => None,
            None => Some(self.no_module(outline, call)),
        });
        let names = outline.foreign.iter().map(|(name, place)| {
            let hint = "a module gives its functions only; let one of them return the value".to_owned();
            self.error("E103", *place, format!("`{name}` cannot be seen from here"), Some(hint))
        });
        calls.chain(names).collect()
    }

    /// A call by a name that another file calls, too, and that means another function there.
    pub(in crate::policy) fn confused(&self, call: &Call, file: &str) -> Problem {
        let message =
            format!("`{}` is called in {file} too, and the functions could be taken for each other", call.name);
        self.error("E116", call.place, message, Some("give one of the two another name".to_owned()))
    }

    fn no_module(&self, outline: &Outline, call: &Qualified) -> Problem {
        let meant = suggest::closest(&call.module, outline.imports.iter().map(|import| import.alias.as_str()));
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}::{}`?", call.name),
            None => {
                format!("import it: import \"lib/{0}\" as {0};", call.module.split("::").last().unwrap_or_default())
            }
        };
        self.error("E101", call.place, format!("there is no module `{}` here", call.module), Some(hint))
    }

    fn call_of(&self, call: &Qualified, module: &Outline) -> Option<Problem> {
        let name = format!("{}::{}", call.module, call.name);
        let public = || module.functions.iter().filter(|function| !function.is_private);
        let taken: BTreeSet<usize> =
            public().filter(|function| function.name == call.name).map(|function| function.parameters).collect();
        if taken.contains(&call.given) {
            return None;
        }
        if taken.is_empty() {
            let meant = suggest::closest(&call.name, public().map(|function| function.name.as_str()));
            let hint = meant.map(|meant| format!("did you mean `{}::{meant}`?", call.module));
            return Some(self.error("E101", call.place, format!("unknown function `{name}`"), hint));
        }
        let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
        let message = format!("`{name}` takes {} arguments, not {}", taken.join(" or "), call.given);
        Some(self.error("E102", call.place, message, None))
    }
}
