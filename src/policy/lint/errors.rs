//! Errors: with one of them a policy is not loaded.
#![allow(clippy::wildcard_enum_match_arm, reason = "the script engine's errors are not ours and open-ended")]

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, EvalAltResult, LexError, ParseError, ParseErrorType};

use super::{Linter, Literal, Outline, Part, Place, place, rule_function};
use crate::policy::{Hook, Problem, context, functions, language, options, script, suggest};

/// No policy is longer.
const LONGEST: usize = 256 * 1024;
/// Calls and constants a policy may have.
const MOST_CALLS: usize = 2000;
const MOST_CONSTANTS: usize = 200;
/// How many unknown variables are named at once; each costs another compilation.
const MOST_UNDEFINED: usize = 10;

/// What options that take a secret are called.
const CONFIDED: [&str; 6] = ["password", "bearer", "basic", "token", "api_key", "secret"];

/// What the script language itself does with a call by name.
const BUILT_IN: [&str; 10] =
    ["Fn", "call", "curry", "debug", "is_def_fn", "is_def_var", "is_shared", "print", "type_of", "eval"];

impl Linter<'_> {
    /// What is wrong before anything is parsed.
    pub(in crate::policy) fn text(&self) -> Option<Problem> {
        if self.source.len() > LONGEST {
            let message = format!("the file is longer than {} KiB", LONGEST / 1024);
            return Some(self.error("E100", Place::default(), message, None));
        }
        if self.source.starts_with('\u{feff}') {
            let hint = "save it as UTF-8 without one".to_owned();
            let message = "the file begins with a byte order mark".to_owned();
            return Some(self.error("E100", Place { line: 1, column: 1 }, message, Some(hint)));
        }
        self.control_character()
    }

    /// No editor shows it, and no message could.
    fn control_character(&self) -> Option<Problem> {
        let is_it = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n');
        let (number, line) = self.source.split('\n').enumerate().find(|(_, line)| line.contains(is_it))?;
        let (column, character) = line.chars().enumerate().find(|(_, c)| is_it(*c))?;
        let message = format!("the control character U+{:04X} does not belong into a policy", u32::from(character));
        Some(self.error("E100", Place { line: number + 1, column: column + 1 }, message, None))
    }

    /// More than anybody writes: whoever looks at each of them beside all others would take minutes.
    pub(in crate::policy) fn too_many(&self, outline: &Outline) -> Option<Problem> {
        let counted =
            [(outline.calls.len(), MOST_CALLS, "calls"), (outline.constants.len(), MOST_CONSTANTS, "constants")];
        let (_, most, what) = counted.into_iter().find(|(count, most, _)| count > most)?;
        let hint = "a policy of this size hides what it judges: make several of it".to_owned();
        Some(self.error("E100", Place::default(), format!("more than {most} {what}"), Some(hint)))
    }

    /// It does not parse.
    pub(in crate::policy) fn syntax(&self, error: &ParseError) -> Problem {
        let place = place(error.1);
        let (message, hint) = match &*error.0 {
            ParseErrorType::BadInput(LexError::ImproperSymbol(symbol, _)) if functions::forbidden(symbol).is_some() => {
                let why = functions::forbidden(symbol).unwrap_or_default();
                return self.error("E101", place, format!("`{symbol}` is not for policies"), Some(why.to_owned()));
            }
            ParseErrorType::Reserved(symbol) if functions::forbidden(symbol).is_some() => {
                let why = functions::forbidden(symbol).unwrap_or_default();
                return self.error("E101", place, format!("`{symbol}` is not for policies"), Some(why.to_owned()));
            }
            ParseErrorType::ExprTooDeep => ("too many expressions inside each other".to_owned(), None),
            ParseErrorType::UnexpectedEOF => {
                ("the file ends in the middle of something".to_owned(), Some("is a bracket missing?".to_owned()))
            }
            other => (sentence(&other.to_string()), None),
        };
        self.error("E100", place, message, hint)
    }

    /// What is wrong with the names, the options and the shape.
    pub(in crate::policy) fn errors(&self, outline: &Outline, part: Part) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(self.shape(outline));
        if part == Part::Policy {
            problems.extend(self.entry_points(outline));
        }
        for call in &outline.calls {
            let problem = self.call(outline, &call.name, call.arguments.len(), call.is_method, call.place);
            problems.extend(problem);
            problems.extend(self.options(call));
            problems.extend(self.secrets(outline, call));
        }
        problems.extend(self.names_used_twice(outline));
        problems.extend(self.acting(outline));
        problems
    }

    /// Compiles, naming every variable that is not defined.
    pub(in crate::policy) fn compile(&self, outline: &Outline, problems: &mut Vec<Problem>) -> Option<AST> {
        let mut names: Vec<String> = context::NAMES.map(ToOwned::to_owned).to_vec();
        names.extend(outline.constants.iter().cloned());
        let mut undefined = 0;
        loop {
            match self.engine.compile(&names, self.source) {
                Ok(ast) => return Some(ast),
                Err(error) => match &*error.0 {
                    ParseErrorType::VariableUndefined(name) if undefined < MOST_UNDEFINED => {
                        undefined += 1;
                        problems.push(self.undefined(outline, name, place(error.1)));
                        names.push(name.clone());
                    }
                    // Said by `qualified`, for all of them.
                    ParseErrorType::ModuleUndefined(_) => return None,
                    _ => {
                        problems.push(self.syntax(&error));
                        return None;
                    }
                },
            }
        }
    }

    /// A constant cannot be computed.
    pub(in crate::policy) fn constant(&self, error: &EvalAltResult) -> Problem {
        let (message, position) = script::explain(error, std::time::Duration::ZERO);
        let hint = match error.unwrap_inner() {
            EvalAltResult::ErrorVariableNotFound(name, _) if context::NAMES.contains(&name.as_str()) => {
                return self.error(
                    "E103",
                    place(position),
                    format!("`{name}` is known inside functions only"),
                    Some("constants are computed once, when the policy is loaded".to_owned()),
                );
            }
            _ => "constants are computed once, when the policy is loaded".to_owned(),
        };
        self.error("E105", place(position), message, Some(hint))
    }

    /// `INTERVAL`, `FAST` or `DEADLINE` makes no sense.
    pub(in crate::policy) fn schedule(&self, constant: &str, why: &str) -> Problem {
        self.error("E113", self.find("const ", constant), format!("{constant}: {why}"), None)
    }

    fn undefined(&self, outline: &Outline, name: &str, place: Place) -> Problem {
        let constants = outline.constants.iter().map(String::as_str);
        let candidates =
            context::NAMES.into_iter().chain(constants).chain(outline.variables.iter().map(String::as_str));
        let hint = suggest::closest(name, candidates).map(|meant| format!("did you mean `{meant}`?"));
        self.error("E103", place, format!("undefined variable `{name}`"), hint)
    }

    fn shape(&self, outline: &Outline) -> Vec<Problem> {
        let mut problems = Vec::new();
        for place in &outline.strays {
            let hint = "only `const`, `import` and `fn` stand at top level; move it into `fn check()`".to_owned();
            problems.push(self.error("E105", *place, "a statement at top level".to_owned(), Some(hint)));
        }
        problems.extend(self.imports(outline));
        for function in &outline.functions {
            if self.engine.known().own.contains_key(&function.name) {
                let message =
                    format!("`{}` is a function of the policy language and cannot be redefined", function.name);
                let place = self.find("fn ", &function.name);
                problems.push(self.error("E107", place, message, Some("give yours another name".to_owned())));
            }
        }
        problems
    }

    fn entry_points(&self, outline: &Outline) -> Vec<Problem> {
        let mut problems = Vec::new();
        let parameters = |name: &str| -> Vec<usize> {
            outline
                .functions
                .iter()
                .filter(|function| function.name == name)
                .map(|function| function.parameters)
                .collect()
        };
        match parameters("check").as_slice() {
            [0] => {}
            // A file of hooks alone judges nothing.
            [] if outline.functions.iter().any(|function| Hook::named(&function.name).is_some()) => {}
            [] => {
                let names = outline.functions.iter().map(|function| function.name.as_str());
                let hint = match suggest::closest("check", names) {
                    Some(close) => format!("`{close}` is called nearly so: did you mean `check`?"),
                    None if outline.functions.is_empty() => {
                        "it is what judges the node: fn check() { require(\"web\", http(`http://${node.addr}/`)); }"
                            .to_owned()
                    }
                    None => "this looks like a module: check the policy that imports it, and the module is checked too"
                        .to_owned(),
                };
                let message = "there is no `fn check()`".to_owned();
                problems.push(self.error("E114", Place::default(), message, Some(hint)));
            }
            [..] => {
                let place = self.find("fn ", "check");
                problems.push(self.error("E114", place, "`check` takes no arguments".to_owned(), None));
            }
        }
        if !matches!(parameters("may_take_over").as_slice(), [] | [0 | 1]) {
            let place = self.find("fn ", "may_take_over");
            problems.push(self.error("E114", place, "`may_take_over` takes one argument, or none".to_owned(), None));
        }
        for function in outline.functions.iter().filter(|function| function.name.starts_with("test_")) {
            if function.parameters > 0 {
                let message = format!("a test takes no arguments: `{}`", function.name);
                problems.push(self.error("E114", self.find("fn ", &function.name), message, None));
            }
        }
        problems
    }

    /// Functions that do not exist, or not with so many arguments.
    fn call(&self, outline: &Outline, name: &str, given: usize, is_method: bool, place: Place) -> Option<Problem> {
        if let Some(instead) = functions::forbidden(name) {
            return Some(self.error("E101", place, format!("`{name}` is not for policies"), Some(instead.to_owned())));
        }
        if BUILT_IN.contains(&name) || is_method && outline.keys.contains(name) {
            return None;
        }
        let arities = self.arities(outline, name);
        // `x.f(y)` is `f(x, y)` to a native function; to one of the script, `this` is x.
        let fits = arities.contains(&given) && !is_method
            || is_method && (arities.contains(&(given + 1)) || self.is_of_script(outline, name, given));
        if fits {
            return None;
        }
        if arities.is_empty() {
            let known = self.engine.known();
            let own = known.own.keys().map(String::as_str);
            let candidates = own.chain(outline.functions.iter().map(|function| function.name.as_str()));
            let standard = known.standard.keys().map(String::as_str);
            let meant = suggest::closest(name, candidates).or_else(|| suggest::closest(name, standard));
            let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
            return Some(self.error("E101", place, format!("unknown function `{name}`"), hint));
        }
        let taken: Vec<String> = arities
            .iter()
            .filter_map(|count| count.checked_sub(usize::from(is_method)))
            .map(|n| n.to_string())
            .collect();
        let message = format!("`{name}` takes {} arguments, not {given}", taken.join(" or "));
        Some(self.error("E102", place, message, None))
    }

    fn arities(&self, outline: &Outline, name: &str) -> BTreeSet<usize> {
        let known = self.engine.known();
        let mut arities: BTreeSet<usize> = BTreeSet::new();
        for functions in [&known.own, &known.standard] {
            arities.extend(functions.get(name).into_iter().flatten());
        }
        let script = outline.functions.iter().filter(|function| function.name == name);
        arities.extend(script.map(|function| function.parameters));
        arities
    }

    fn is_of_script(&self, outline: &Outline, name: &str, given: usize) -> bool {
        outline.functions.iter().any(|function| function.name == name && function.parameters == given)
    }

    /// Options that do not exist, in literal maps.
    fn options(&self, call: &super::outline::Call) -> Vec<Problem> {
        if options::of(&call.name).next().is_none() {
            return Vec::new();
        }
        let Some(Literal::Map(entries, _)) = call.arguments.last() else { return Vec::new() };
        let mut problems = Vec::new();
        for (key, place, value) in entries {
            if !options::of(&call.name).any(|known| known == key) {
                let (message, hint) = options::unknown(&call.name, key);
                problems.push(self.error("E104", *place, message, Some(hint)));
            }
            let within = options::within(&call.name, key);
            if let (Literal::Map(inner, _), false) = (value, within.is_empty()) {
                let strangers = inner.iter().filter(|(key, ..)| !within.iter().any(|known| known.name == key));
                problems.extend(strangers.map(|(stranger, place, _)| {
                    let (message, hint) = options::unknown_within(key, stranger, within);
                    self.error("E104", *place, message, Some(hint))
                }));
            }
        }
        problems
    }

    /// Passwords and tokens in the text: whoever reads the policy, a copy or its history has them.
    fn secrets(&self, outline: &Outline, call: &super::outline::Call) -> Vec<Problem> {
        let Some(Literal::Map(entries, _)) = call.arguments.last() else { return Vec::new() };
        if language::function(&call.name).is_none() {
            return Vec::new();
        }
        let told = entries.iter().flat_map(|(key, _, value)| told(outline, key, value));
        told.map(|(key, place)| {
            let message = format!("`{key}` stands in the text of the policy, where it is no secret");
            let hint = format!("keep it in a file of its own, and name it: {key}: secret(\"NAME\")");
            self.error("E112", place, message, Some(hint))
        })
        .collect()
    }

    /// Two rules of one name in one function: one evaluation would meet both, unless it takes only one of two ways.
    fn names_used_twice(&self, outline: &Outline) -> Vec<Problem> {
        let mut first: BTreeMap<(&str, Option<&str>), Place> = BTreeMap::new();
        let mut problems = Vec::new();
        for call in outline.calls.iter().filter(|call| rule_function(&call.name).is_some() && !call.is_conditional) {
            let Some(Literal::Text(name, place)) = call.arguments.first() else { continue };
            match first.get(&(name.as_str(), call.function.as_deref())) {
                Some(earlier) => {
                    let message = format!("a second rule \"{name}\"; the first is in line {}", earlier.line);
                    let hint = "every rule has its own name".to_owned();
                    problems.push(self.error("E109", *place, message, Some(hint)));
                }
                None => {
                    first.insert((name, call.function.as_deref()), *place);
                }
            }
        }
        problems
    }
}

/// The options among these that tell a secret, and where.
fn told<'a>(outline: &Outline, key: &'a str, value: &'a Literal) -> Vec<(&'a str, Place)> {
    match value {
        Literal::Map(entries, _) => entries.iter().flat_map(|(key, _, value)| told(outline, key, value)).collect(),
        Literal::Text(text, place) if CONFIDED.contains(&key) && !text.is_empty() => vec![(key, *place)],
        Literal::Name(name, place) if CONFIDED.contains(&key) && outline.texts.contains(name) => vec![(key, *place)],
        Literal::Text(..)
        | Literal::Number(..)
        | Literal::Truth(..)
        | Literal::Time(..)
        | Literal::List(..)
        | Literal::Name(..)
        | Literal::Computed(_) => Vec::new(),
    }
}

/// The parser's words, as the beginning of a line of ours.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
