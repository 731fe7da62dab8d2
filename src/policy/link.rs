//! From the texts of a policy to what can be called: each file parsed and linted, each module built after those that it
//! imports.

use std::collections::{BTreeMap, BTreeSet};

use rhai::AST;

use super::{
    Engine, Problem, acting,
    lint::{self, Call, Linter, Outline, Part},
    modules::Modules,
    sources::{Sources, Text},
};

/// A policy's own text, compiled, with its modules.
pub(super) struct Program<'s> {
    pub(super) ast: AST,
    pub(super) modules: Modules,
    pub(super) outline: Outline,
    pub(super) libraries: BTreeMap<&'s str, Library<'s>>,
}

/// A module as text.
pub(super) struct Library<'s> {
    pub(super) text: &'s Text,
    pub(super) outline: Outline,
}

/// Parses, lints and compiles all of them.
///
/// # Errors
///
/// Everything that is wrong with any of them.
pub(super) fn link<'s>(engine: &Engine, sources: &'s Sources) -> Result<Program<'s>, Vec<Problem>> {
    let mut linking =
        Linking { engine, sources, modules: BTreeMap::new(), built: Modules::default(), problems: Vec::new() };
    let own = linking.file(sources.main(), Part::Policy, &mut vec![(None, sources.main().file.as_str())]);
    let Linking { modules, built, mut problems, .. } = linking;
    let libraries: BTreeMap<&str, Library<'_>> =
        modules.into_iter().filter_map(|(name, library)| Some((name, library?))).collect();
    if let Some((_, outline)) = &own {
        problems.extend(acting::through_modules(engine, sources.main(), outline, &libraries));
        let files = libraries.values().map(|library| (library.text, &library.outline));
        problems
            .extend(confusions(engine, &std::iter::once((sources.main(), outline)).chain(files).collect::<Vec<_>>()));
    }
    match own {
        Some((ast, outline)) if problems.is_empty() => Ok(Program { ast, modules: built, outline, libraries }),
        _ => Err(problems),
    }
}

/// Calls that the script engine could give to another file's function: it remembers what a name and a number of arguments
/// was resolved to, whichever file asked first. Each pair of files is told once, at the call of the first one.
fn confusions(engine: &Engine, files: &[(&Text, &Outline)]) -> Vec<Problem> {
    let called: Vec<BTreeSet<&str>> =
        files.iter().map(|(_, outline)| outline.calls.iter().filter_map(Call::callee).collect()).collect();
    let mut problems = Vec::new();
    for (at, ((text, outline), names)) in files.iter().zip(&called).enumerate() {
        let linter = Linter::new(engine, &text.file, &text.text);
        for ((other, others), their_names) in files.iter().zip(&called).skip(at + 1) {
            let functions = outline.functions.iter().chain(&others.functions);
            let is_shared = |name: &str| names.contains(name) && their_names.contains(name);
            for function in functions.filter(|function| is_shared(&function.name)) {
                let call = outline.calls.iter().find(|call| call.may_call(function));
                let is_called_there = others.calls.iter().any(|call| call.may_call(function));
                problems.extend(call.filter(|_| is_called_there).map(|call| linter.confused(call, &other.file)));
            }
        }
    }
    lint::sorted(problems)
}

/// Where linking has come to.
struct Linking<'a, 's> {
    engine: &'a Engine,
    sources: &'s Sources,
    /// Every module that was looked at; without its outline if it does not parse or is not there.
    modules: BTreeMap<&'s str, Option<Library<'s>>>,
    built: Modules,
    problems: Vec<Problem>,
}

/// The files on the way to one: the names of the modules, and what reports call the files.
type Chain<'s> = Vec<(Option<&'s str>, &'s str)>;

impl<'s> Linking<'_, 's> {
    /// One file, after those that it imports.
    fn file(&mut self, text: &'s Text, part: Part, chain: &mut Chain<'s>) -> Option<(AST, Outline)> {
        let linter = Linter::new(self.engine, &text.file, &text.text);
        if let Some(problem) = linter.text() {
            self.problems.push(problem);
            return None;
        }
        let parsed = match self.engine.parse(&text.text) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.problems.push(linter.syntax(&error));
                return None;
            }
        };
        let outline = Outline::of(&parsed);
        if let Some(problem) = linter.too_many(&outline) {
            self.problems.push(problem);
            return None;
        }
        let mut problems = Vec::new();
        for import in &outline.imports {
            problems.extend(self.import(&linter, import, chain));
        }
        problems.extend(linter.errors(&outline, part));
        problems.extend(linter.qualified(&outline, |alias| self.outline(&outline, alias)));
        let ast = linter.compile(&outline, &mut problems);
        let fine = problems.is_empty();
        self.problems.extend(lint::sorted(problems));
        let mut ast = ast.filter(|_| fine)?;
        ast.set_source(text.file.as_str());
        Some((ast, outline))
    }

    /// Looks at a module that nobody has imported before; what is wrong with the import itself is returned.
    fn import(&mut self, linter: &Linter<'_>, import: &lint::Import, chain: &mut Chain<'s>) -> Option<Problem> {
        let (name, text) = self.sources.modules().get_key_value(import.path.as_deref()?)?;
        let files = |chain: &Chain<'s>| chain.iter().map(|(_, file)| *file).collect::<Vec<_>>();
        if chain.iter().any(|(above, _)| *above == Some(name.as_str())) {
            return Some(linter.circle(import, &files(chain)));
        }
        let text = match text {
            Ok(text) => text,
            Err(why) => return Some(linter.unresolved(import, why, &files(chain))),
        };
        if self.modules.contains_key(name.as_str()) {
            return None;
        }
        chain.push((Some(name), &text.file));
        let compiled = self.file(text, Part::Module, chain);
        chain.pop();
        let library = compiled.map(|(ast, outline)| {
            self.build(name, text, &ast);
            Library { text, outline }
        });
        self.modules.insert(name, library);
        None
    }

    /// Makes it a module that those above it can call, unless something below it is missing.
    fn build(&mut self, name: &str, text: &Text, ast: &AST) {
        if !self.problems.is_empty() {
            return;
        }
        match self.engine.module(ast, &self.built) {
            Ok(module) => self.built = self.built.with(name, module),
            Err(error) => self.problems.push(Linter::new(self.engine, &text.file, &text.text).constant(&error)),
        }
    }

    /// What is known of a module by the name it has in a file.
    fn outline(&self, importer: &Outline, alias: &str) -> Option<&Outline> {
        let import = importer.imports.iter().find(|import| import.alias == alias)?;
        self.modules.get(import.path.as_deref()?)?.as_ref().map(|library| &library.outline)
    }
}

impl<'s> Program<'s> {
    /// Every call that the policy may come to: those of its own text, and those of the functions of modules that it
    /// calls, by whatever way. With the module's file.
    pub(super) fn calls(&self) -> Vec<(Option<&'s str>, &Call)> {
        let mut reached: BTreeSet<(&str, String)> = BTreeSet::new();
        let mut ahead = self.called(&self.outline, |_| true);
        while let Some((module, function)) = ahead.pop() {
            let Some((name, library)) = self.libraries.get_key_value(module) else { continue };
            if !reached.insert((*name, function.clone())) {
                continue;
            }
            let is_in = |of: Option<&str>| of == Some(function.as_str());
            ahead.extend(self.called(&library.outline, is_in));
            let own = library.outline.calls.iter().filter(|call| is_in(call.function.as_deref()));
            ahead.extend(own.map(|call| (*name, call.name.clone())));
        }
        let own = self.outline.calls.iter().map(|call| (None, call));
        let foreign = self.libraries.iter().flat_map(|(name, library)| {
            let is_reached = |call: &&Call| {
                call.function.as_ref().is_some_and(|function| reached.contains(&(*name, function.clone())))
            };
            library.outline.calls.iter().filter(is_reached).map(|call| (Some(library.text.file.as_str()), call))
        });
        own.chain(foreign).collect()
    }

    /// The functions of modules that some functions of a file call.
    fn called(&self, outline: &Outline, of: impl Fn(Option<&str>) -> bool) -> Vec<(&'s str, String)> {
        let calls = outline.qualified.iter().filter(|call| of(call.function.as_deref()));
        calls
            .filter_map(|call| {
                let import = outline.imports.iter().find(|import| import.alias == call.module)?;
                let (name, _) = self.libraries.get_key_value(import.path.as_deref()?)?;
                Some((*name, call.name.clone()))
            })
            .collect()
    }
}
