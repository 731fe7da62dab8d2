//! One compiled version of a policy.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use rhai::{AST, Dynamic, EvalAltResult, Position};

use super::{
    Engine, Hook, Problem,
    bounds::{self, Excess},
    duration, engine,
    kind::{self, spoken},
    link,
    lint::{self, Call, Called, Known, Literal, Outline, Part, Place, Surroundings},
    modules::Modules,
    sources::{Sources, Text},
    text,
    thrown::Thrown,
};

/// How often a policy is evaluated unless it says otherwise.
const INTERVAL: Duration = Duration::from_secs(1);
/// No policy is evaluated more often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);
/// How long an evaluation may take, unless a probe may take longer or the policy says otherwise.
const DEADLINE: Duration = Duration::from_secs(5);
/// A probe's timeout unless told.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// One compiled and linted version of a policy file: immutable; a clone is the same version.
#[derive(Clone)]
pub struct Policy(Arc<Parts>);

struct Parts {
    name: String,
    file: String,
    sha256: String,
    ast: AST,
    modules: Modules,
    constants: BTreeMap<String, Dynamic>,
    interval: Duration,
    fast: Option<Duration>,
    deadline: Duration,
    warnings: Vec<Problem>,
    tests: Vec<String>,
    /// Every function, and the line it starts in.
    functions: BTreeMap<String, usize>,
    rules: Vec<NamedRule>,
    /// Some rule's name is computed.
    names_while_running: bool,
    may_take_over_takes: Option<usize>,
    /// Its hooks, and how many arguments each takes.
    hooks: Vec<(Hook, usize)>,
    has_check: bool,
    ordered: bool,
}

/// A rule as the text of a policy names it, without evaluating anything.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRule {
    /// Its literal name.
    pub name: String,
    /// `require`, `prefer`, `watch` or `gate`.
    pub function: &'static str,
    /// The file of the module it stands in; `None`: the policy's own.
    pub file: Option<String>,
    /// Line of the call in that file, from 1.
    pub line: usize,
    /// The options whose values are literals, as written there.
    pub options: Vec<(String, String)>,
}

impl Policy {
    /// Compiles and lints a text that imports nothing but `std/…`. `name` is the policy's, `file` is what problems call
    /// the file.
    ///
    /// # Errors
    ///
    /// Every error found.
    pub fn load(engine: &Engine, name: &str, file: &str, source: &str) -> Result<Self, Vec<Problem>> {
        Self::from_sources(engine, name, &Sources::alone(engine, file, source))
    }

    /// Compiles and lints a policy and its modules.
    ///
    /// # Errors
    ///
    /// Every error found in any of the files.
    pub fn from_sources(engine: &Engine, name: &str, sources: &Sources) -> Result<Self, Vec<Problem>> {
        let program = link::link(engine, sources)?;
        let Text { file, text } = sources.main();
        let linter = lint::Linter::new(engine, file, text);
        let constants =
            engine.constants(&program.ast, &program.modules).map_err(|error| vec![linter.constant(&error)])?;
        let constants: BTreeMap<String, Dynamic> = constants.into_iter().collect();
        let calls = program.calls();
        let schedule =
            Schedule::read(&constants, &calls).map_err(|(constant, why)| vec![linter.schedule(&constant, &why)])?;
        let ordered = ordered(&constants).map_err(|why| vec![linter.schedule("ORDERED", &why)])?;
        let warnings = warnings(engine, sources, &constants, (schedule.interval, schedule.deadline), &[]);
        let (rules, names_while_running) = named_rules(&calls);
        Ok(Self(Arc::new(Parts {
            name: name.to_owned(),
            file: file.clone(),
            sha256: sources.sha256(),
            constants,
            interval: schedule.interval,
            fast: schedule.fast,
            deadline: schedule.deadline,
            warnings,
            tests: tests(&program.outline),
            functions: program
                .outline
                .functions
                .iter()
                .map(|function| (function.name.clone(), function.place.line))
                .collect(),
            rules,
            names_while_running,
            may_take_over_takes: takes(&program.outline, "may_take_over"),
            hooks: Hook::ALL
                .into_iter()
                .filter_map(|hook| Some((hook, takes(&program.outline, hook.name())?)))
                .collect(),
            has_check: takes(&program.outline, "check").is_some(),
            ordered,
            ast: program.ast,
            modules: program.modules,
        })))
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The identity of all its texts: see [`Sources::sha256`].
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.0.sha256
    }

    /// `INTERVAL`: how often it is evaluated; 1 s unless told, 50 ms at least.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.0.interval
    }

    /// `FAST`: how often while a rule is between up and down, from its first failure or success on; `None`: as always.
    /// Never longer than [`interval`](Self::interval).
    #[must_use]
    pub fn fast(&self) -> Option<Duration> {
        self.0.fast
    }

    /// `DEADLINE`: how long one evaluation may take; the longer of 5 s and its longest timeout unless told.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.0.deadline
    }

    /// What lint has to say.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.0.warnings
    }

    /// What lint has to say where it is known which nodes the policy judges. `sources`: the texts it was loaded from; the
    /// policy does not keep them.
    #[must_use]
    pub fn warnings_around(&self, engine: &Engine, sources: &Sources, around: &[Surroundings]) -> Vec<Problem> {
        warnings(engine, sources, &self.0.constants, (self.interval(), self.deadline()), around)
    }

    /// The hosts that its `require` rules ask, as far as its own text tells.
    #[must_use]
    pub fn required_hosts(&self, engine: &Engine, sources: &Sources) -> BTreeSet<String> {
        let constants = &self.0.constants;
        let (interval, deadline) = (self.interval(), self.deadline());
        let hosts = |outline: &Outline| {
            Known { outline, constants, interval, deadline, around: &[], part: Part::Policy }.required_hosts()
        };
        engine.parse(&sources.main().text).map(|ast| hosts(&Outline::of(&ast))).unwrap_or_default()
    }

    /// Which functions of the language it calls, tests apart, in the order of the text.
    #[must_use]
    pub fn calls(engine: &Engine, source: &str) -> Vec<Called> {
        lint::calls(engine, source)
    }

    /// The names of its tests, in the order of the file.
    #[must_use]
    pub fn tests(&self) -> Vec<String> {
        self.0.tests.clone()
    }

    /// The rules with literal names, in the order of the file.
    #[must_use]
    pub fn rules_named(&self) -> &[NamedRule] {
        &self.0.rules
    }

    /// The hooks it has.
    pub fn hooks(&self) -> impl Iterator<Item = Hook> {
        self.0.hooks.iter().map(|(hook, _)| *hook)
    }

    /// `ORDERED`: its hooks run for every transition, in order; else a newer transition takes the place of one whose hook
    /// still waits.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.0.ordered
    }

    /// How many arguments a hook takes, if the policy has it.
    pub(super) fn hook_takes(&self, hook: Hook) -> Option<usize> {
        self.0.hooks.iter().find(|(has, _)| *has == hook).map(|(_, takes)| *takes)
    }

    /// It judges; else it has hooks alone.
    #[must_use]
    pub fn has_check(&self) -> bool {
        self.0.has_check
    }

    pub(super) fn ast(&self) -> &AST {
        &self.0.ast
    }

    pub(super) fn modules(&self) -> &Modules {
        &self.0.modules
    }

    /// What reports call its own file.
    pub(super) fn file(&self) -> &str {
        &self.0.file
    }

    pub(super) fn constant(&self, name: &str) -> Option<&Dynamic> {
        self.0.constants.get(name)
    }

    /// It has a say in whether its node takes over.
    #[must_use]
    pub fn has_may_take_over(&self) -> bool {
        self.0.may_take_over_takes.is_some()
    }

    /// How many arguments `may_take_over` takes, if the policy has it.
    pub(super) fn may_take_over_takes(&self) -> Option<usize> {
        self.0.may_take_over_takes
    }

    pub(super) fn names_rules_while_running(&self) -> bool {
        self.0.names_while_running
    }

    /// The line a function starts in; 0 if there is none.
    pub(super) fn line_of(&self, function: &str) -> usize {
        self.0.functions.get(function).copied().unwrap_or_default()
    }

    /// What went wrong while it was evaluated, with its place.
    pub(super) fn thrown(&self, error: &EvalAltResult) -> Thrown {
        self.thrown_within(error, self.deadline())
    }

    /// The same of something that had another time.
    pub(super) fn thrown_within(&self, error: &EvalAltResult, deadline: Duration) -> Thrown {
        let (message, position) = explain(error, deadline);
        let file = file_of(error).unwrap_or(&self.0.file).to_owned();
        Thrown {
            file: Some(file),
            place: lint::place(position),
            message,
            may_be_the_fakes: Thrown::may_be_the_fakes(error),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({} {:.8})", self.0.name, self.0.sha256)
    }
}

/// What went wrong while a script ran, and where.
#[allow(clippy::wildcard_enum_match_arm, reason = "the script engine's errors are not ours and open-ended")]
pub(super) fn explain(error: &EvalAltResult, deadline: Duration) -> (String, Position) {
    let inner = error.unwrap_inner();
    let position = if inner.position().is_none() { error.position() } else { inner.position() };
    let message = match inner {
        _ if let Some(excess) = excess(error) => exceeded(excess, deadline),
        EvalAltResult::ErrorStackOverflow(_) => {
            format!("functions call each other more than {} deep; does one call itself?", engine::MOST_CALLS)
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => format!("{what}: a text, a list or a map grows too large"),
        EvalAltResult::ErrorRuntime(value, _) => text::show(value),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            format!("there is no function {signature}: look at the kinds of its arguments")
        }
        EvalAltResult::ErrorPropertyNotFound(name, _) => format!("there is no field `{name}`"),
        EvalAltResult::ErrorMismatchDataType(wanted, actual, _) if spoken(actual) == "probe" => {
            format!("a probe stands where a {wanted} belongs: write .ok, all([…]) or any([…])")
        }
        _ => without_position(inner),
    };
    (text::cut(&spoken(&message)), position)
}

/// The bound that a script has exceeded, if that is what went wrong.
#[allow(clippy::wildcard_enum_match_arm, reason = "the script engine's errors are not ours and open-ended")]
pub(super) fn excess(error: &EvalAltResult) -> Option<Excess> {
    match error.unwrap_inner() {
        EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) => {
            value.clone().try_cast::<Excess>()
        }
        _ => None,
    }
}

fn exceeded(excess: Excess, deadline: Duration) -> String {
    match excess {
        Excess::Steps(most) => format!("it computes too long: more than {most} steps; is there an endless loop?"),
        Excess::Time => format!("not finished within its deadline of {}", duration::show(deadline)),
        Excess::Memory => format!("its values grow too large: they take more than {} MiB", bounds::MOST_HELD >> 20),
    }
}

/// The file of the innermost function that failed.
#[allow(clippy::wildcard_enum_match_arm, reason = "the script engine's errors are not ours and open-ended")]
pub(super) fn file_of(error: &EvalAltResult) -> Option<&str> {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, file, inner, _) => {
            file_of(inner).or_else(|| Some(file.as_str()).filter(|file| !file.is_empty()))
        }
        EvalAltResult::ErrorInModule(file, inner, _) => file_of(inner).or(Some(file.as_str())),
        _ => None,
    }
}

/// The script engine appends the place to its messages; ours stands in front.
fn without_position(error: &EvalAltResult) -> String {
    let text = error.to_string();
    match text.rfind(" (line ") {
        Some(at) => text.get(..at).unwrap_or(&text).to_owned(),
        None => text,
    }
}

/// The constants that say when a policy is evaluated.
struct Schedule {
    interval: Duration,
    fast: Option<Duration>,
    deadline: Duration,
}

impl Schedule {
    fn read(constants: &BTreeMap<String, Dynamic>, calls: &[(Option<&str>, &Call)]) -> Result<Self, (String, String)> {
        let read = |name: &str, least: Duration| {
            let Some(value) = constants.get(name) else { return Ok(None) };
            match duration::from_script(value) {
                Ok(time) if time >= least => Ok(Some(time)),
                Ok(time) => {
                    let why = format!("{} is too short; {} is the least", duration::show(time), duration::show(least));
                    Err((name.to_owned(), why))
                }
                Err(why) => Err((name.to_owned(), why)),
            }
        };
        let interval = read("INTERVAL", SHORTEST_INTERVAL)?.unwrap_or(INTERVAL);
        let fast = read("FAST", SHORTEST_INTERVAL)?;
        if let Some(fast) = fast.filter(|fast| *fast > interval) {
            let why = format!("{} is not faster than INTERVAL, {}", duration::show(fast), duration::show(interval));
            return Err(("FAST".to_owned(), why));
        }
        let deadline = read("DEADLINE", SHORTEST_INTERVAL)?.unwrap_or_else(|| longest_timeout(calls).max(DEADLINE));
        Ok(Self { interval, fast, deadline })
    }
}

fn ordered(constants: &BTreeMap<String, Dynamic>) -> Result<bool, String> {
    let Some(value) = constants.get("ORDERED") else { return Ok(false) };
    value.as_bool().map_err(|_| format!("true or false, not {}", kind::of(value)))
}

fn longest_timeout(calls: &[(Option<&str>, &Call)]) -> Duration {
    let timeouts = calls.iter().filter_map(|(_, call)| Outline::option(call, "timeout")?.duration());
    timeouts.max().unwrap_or_default()
}

fn tests(outline: &Outline) -> Vec<String> {
    let tests =
        outline.functions.iter().filter(|function| function.name.starts_with("test_") && function.parameters == 0);
    tests.map(|function| function.name.clone()).collect()
}

fn takes(outline: &Outline, name: &str) -> Option<usize> {
    outline.functions.iter().find(|function| function.name == name).map(|function| function.parameters)
}

/// The rules with literal names; and whether there are others.
fn named_rules(calls: &[(Option<&str>, &Call)]) -> (Vec<NamedRule>, bool) {
    let mut rules = Vec::new();
    let mut others = false;
    for (file, call) in calls {
        let Some(function) = lint::rule_function(&call.name) else { continue };
        let Some(Literal::Text(name, _)) = call.arguments.first() else {
            others = true;
            continue;
        };
        let options = match call.arguments.get(2) {
            Some(Literal::Map(entries, _)) => {
                entries.iter().filter_map(|(key, _, value)| Some((key.clone(), value.show()?))).collect()
            }
            _ => Vec::new(),
        };
        let Place { line, .. } = call.place;
        rules.push(NamedRule { name: name.clone(), function, file: file.map(str::to_owned), line, options });
    }
    rules.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    (rules, others)
}

/// What lint has to say, of the policy and of the modules that are not this program's own.
fn warnings(
    engine: &Engine,
    sources: &Sources,
    constants: &BTreeMap<String, Dynamic>,
    (interval, deadline): (Duration, Duration),
    around: &[Surroundings],
) -> Vec<Problem> {
    let none = BTreeMap::new();
    let of = |Text { file, text }: &Text, part: Part| {
        let Ok(ast) = engine.parse(text) else { return Vec::new() };
        let outline = &Outline::of(&ast);
        let constants = if part == Part::Policy { constants } else { &none };
        let known = Known { outline, constants, interval, deadline, around, part };
        lint::sorted(lint::Linter::new(engine, file, text).warnings(&known))
    };
    let modules = sources.modules().iter().filter(|(name, _)| !name.starts_with("std/"));
    let theirs = modules.filter_map(|(_, text)| text.as_ref().ok()).flat_map(|text| of(text, Part::Module));
    of(sources.main(), Part::Policy).into_iter().chain(theirs).collect()
}
