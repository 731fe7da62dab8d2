//! The bounded script engine, one per process.
//!
//! A policy may compute, and nothing else: every limit is set (the defaults differ between debug and release builds), time
//! is watched, nothing sleeps, nothing is compiled at run time, and the only modules are those that were linked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use rhai::{
    AST, CallFnOptions, Dynamic, EvalAltResult, EvalContext, Module, OptimizationLevel, Position, Scope, Shared,
    packages::{Package, StandardPackage},
};

use super::{
    Clock, Policy,
    bounds::{self, Watch},
    context,
    evaluation::Frame,
    functions,
    modules::{Linked, MOST_IMPORTS, Modules, Reach},
    text,
};
use crate::words::Instant;

/// How deep functions may call each other.
pub(super) const MOST_CALLS: usize = 32;
/// How long lists and maps may grow. Each addition measures the whole container again.
const MOST_ITEMS: usize = 1000;

/// The script engine with every function a policy may call. One per process; a clone is the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Parts>);

struct Parts {
    strict: rhai::Engine,
    lenient: rhai::Engine,
    known: Known,
}

/// The functions a policy may call, and with how many arguments.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The policy language's own.
    pub(super) own: BTreeMap<String, BTreeSet<usize>>,
    /// The script language's.
    pub(super) standard: BTreeMap<String, BTreeSet<usize>>,
}

impl Engine {
    /// Builds the engine: some milliseconds, once.
    #[must_use]
    pub fn new() -> Self {
        let package = StandardPackage::new();
        let mut strict = bounded();
        functions::register(&mut strict);
        let own = signatures(&strict);
        package.register_into_engine(&mut strict);
        let standard = signatures(&strict);
        functions::guard(&mut strict);
        strict.set_strict_variables(true);
        resolve_variables(&mut strict);
        strict.set_module_resolver(Linked);
        Self(Arc::new(Parts { strict, lenient: bounded(), known: Known { own, standard } }))
    }

    /// Parses without looking at the names of variables.
    pub(super) fn parse(&self, source: &str) -> Result<AST, rhai::ParseError> {
        self.0.lenient.compile(source)
    }

    /// Compiles; a variable that is neither the script's nor one of these is an error.
    pub(super) fn compile(&self, names: &[String], source: &str) -> Result<AST, rhai::ParseError> {
        let mut scope = Scope::new();
        for name in names {
            // Not as a constant: the parser would take its value for the variable's.
            scope.push(name.clone(), ());
        }
        self.0.strict.compile_with_scope(&scope, source)
    }

    /// The values of the top-level constants, in the order of the text.
    pub(super) fn constants(&self, ast: &AST, modules: &Modules) -> Result<Vec<(String, Dynamic)>, Box<EvalAltResult>> {
        let _watched = Watch::begin(None, bounds::MOST_STEPS_OF_CONSTANTS);
        let _linked = Reach::begin(modules);
        let mut scope = Scope::new();
        self.0.strict.run_ast_with_scope(&mut scope, &ast.clone_statements_only())?;
        Ok(scope.into_iter().map(|(name, value, _)| (name.to_string(), value)).collect())
    }

    /// Makes a compiled file a module that others may call. `modules`: those that it may import.
    pub(super) fn module(&self, ast: &AST, modules: &Modules) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let _watched = Watch::begin(None, bounds::MOST_STEPS_OF_CONSTANTS);
        let _linked = Reach::begin(modules);
        Module::eval_ast_as_new(Scope::new(), ast, &self.0.strict).map(Into::into)
    }

    pub(super) fn known(&self) -> &Known {
        &self.0.known
    }

    /// Calls a function of a policy, until `deadline_at` at most (a function that waits must see to that itself).
    pub(super) fn call(
        &self,
        policy: &Policy,
        frame: Frame,
        clock: &Arc<dyn Clock>,
        deadline_at: Instant,
        function: &str,
        arguments: Vec<Dynamic>,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let _watched = Watch::begin(Some((Arc::clone(clock), deadline_at)), bounds::MOST_STEPS);
        let modules = policy.modules();
        let _linked = Reach::begin(modules);
        // The constants are known already; running the top level again costs time, and is what imports.
        let options = CallFnOptions::new().eval_ast(!modules.is_empty()).with_tag(Dynamic::from(frame));
        let result = self.0.strict.call_fn_with_options(options, &mut Scope::new(), policy.ast(), function, arguments);
        result.map_err(|mut error| {
            // The script engine forgets where a limit was met: the function is better than nothing.
            if error.unwrap_inner().position().is_none() && error.position().is_none() {
                error.set_position(position(policy.line_of(function)));
            }
            error
        })
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

/// No function, no package; every limit.
fn bounded() -> rhai::Engine {
    let mut engine = rhai::Engine::new_raw();
    engine
        .set_optimization_level(OptimizationLevel::None) // the default folds `probe && true` into `probe`
        .set_fail_on_invalid_map_property(true)
        .set_max_call_levels(MOST_CALLS)
        .set_max_expr_depths(64, 64)
        .set_max_operations(2 * bounds::MOST_STEPS) // ours come first
        .set_max_string_size(text::LONGEST)
        .set_max_array_size(MOST_ITEMS)
        .set_max_map_size(MOST_ITEMS)
        .set_max_variables(256)
        .set_max_functions(256)
        .set_max_modules(MOST_IMPORTS)
        .on_progress(|_| Watch::step().map(Dynamic::from));
    engine
}

#[allow(deprecated, reason = "not deprecated: marked so because it may change")]
fn resolve_variables(engine: &mut rhai::Engine) {
    engine.on_var(|name, _, context: EvalContext<'_, '_, '_, '_, '_, '_>| {
        if let Some(excess) = Watch::exceeded() {
            return Err(EvalAltResult::ErrorRuntime(Dynamic::from(excess), Position::NONE).into());
        }
        if context.scope().contains(name) {
            return Ok(None);
        }
        let own = || constant_of_file(&context, name);
        Ok(own().or_else(|| Frame::of(Some(context.tag()))?.variable(name)))
    });
}

/// A constant of the file whose function runs: a module does not see the policy's. What every function sees comes first.
fn constant_of_file(context: &EvalContext<'_, '_, '_, '_, '_, '_>, name: &str) -> Option<Dynamic> {
    if context::NAMES.contains(&name) {
        return None;
    }
    let constants = context.global_runtime_state().constants.as_ref()?;
    constants.read().ok()?.get(name).cloned()
}

fn signatures(engine: &rhai::Engine) -> BTreeMap<String, BTreeSet<usize>> {
    let mut functions: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let signatures = engine.collect_fn_metadata(
        None,
        |function| Some((function.metadata.name.to_string(), function.metadata.num_params)),
        true,
    );
    for (name, arguments) in signatures {
        if name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !name.contains('$') {
            functions.entry(name).or_default().insert(arguments);
        }
    }
    functions
}

fn position(line: usize) -> Position {
    u16::try_from(line).ok().filter(|line| *line > 0).map_or(Position::NONE, |line| Position::new(line, 0))
}
