//! The modules of a policy at run time: `import` gives what was linked when the policy was loaded, and nothing else.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use rhai::{EvalAltResult, Module, ModuleResolver, Position, Shared};

use super::sources::MOST_MODULES;

/// How many imports one call may execute: each file has a few, at its top.
pub(super) const MOST_IMPORTS: usize = 4 * MOST_MODULES;

/// Modules that are ready to be called, by the names in `import`.
#[derive(Clone, Default)]
pub(super) struct Modules(Arc<BTreeMap<String, Shared<Module>>>);

impl Modules {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These and another one.
    pub(super) fn with(&self, name: &str, module: Shared<Module>) -> Self {
        let mut modules = (*self.0).clone();
        modules.insert(name.to_owned(), module);
        Self(Arc::new(modules))
    }
}

thread_local! {
    /// The modules of what runs on this thread, the innermost last: a test runs evaluations inside.
    static REACHES: RefCell<Vec<Modules>> = const { RefCell::new(Vec::new()) };
}

/// What can be imported for as long as it lives.
pub(super) struct Reach(());

impl Reach {
    pub(super) fn begin(modules: &Modules) -> Self {
        REACHES.with_borrow_mut(|reaches| reaches.push(modules.clone()));
        Self(())
    }

    fn module(name: &str) -> Option<Shared<Module>> {
        REACHES.with_borrow(|reaches| reaches.last()?.0.get(name).cloned())
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        REACHES.with_borrow_mut(Vec::pop);
    }
}

/// Resolves an import for the script engine.
pub(super) struct Linked;

impl ModuleResolver for Linked {
    fn resolve(
        &self,
        _: &rhai::Engine,
        _: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        Reach::module(path).ok_or_else(|| EvalAltResult::ErrorModuleNotFound(path.to_owned(), position).into())
    }
}
