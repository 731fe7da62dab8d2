//! One compiled version of a policy.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use rhai::{AST, Dynamic, EvalAltResult, Position};
use sha2::{Digest, Sha256};

use super::{
    Engine, Hook, Problem,
    bounds::{self, Excess},
    duration, engine,
    kind::{self, spoken},
    lint::{self, Called, Known, Literal, Outline, Place, Surroundings},
    text,
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
    /// Line of the call, from 1.
    pub line: usize,
    /// The options whose values are literals, as written there.
    pub options: Vec<(String, String)>,
}

impl Policy {
    /// Compiles and lints. `name` is the policy's, `file` is what problems call the file.
    ///
    /// # Errors
    ///
    /// Every error found, and every warning with them.
    pub fn load(engine: &Engine, name: &str, file: &str, source: &str) -> Result<Self, Vec<Problem>> {
        let linter = lint::Linter::new(engine, file, source);
        let refused = |problem: Option<Problem>| problem.map_or(Ok(()), |problem| Err(vec![problem]));
        refused(linter.text())?;
        let parsed = engine.parse(source).map_err(|error| vec![linter.syntax(&error)])?;
        let outline = Outline::of(&parsed);
        refused(linter.too_many(&outline))?;
        let mut problems = linter.errors(&outline);
        let ast = linter.compile(&outline, &mut problems);
        let (Some(ast), true) = (ast, problems.is_empty()) else { return Err(lint::sorted(problems)) };

        let constants = engine.constants(&ast).map_err(|error| vec![linter.constant(&error)])?;
        let constants: BTreeMap<String, Dynamic> = constants.into_iter().collect();
        let schedule =
            Schedule::read(&constants, &outline).map_err(|(constant, why)| vec![linter.schedule(&constant, &why)])?;
        let Schedule { interval, deadline, .. } = schedule;
        let known = Known { outline: &outline, constants: &constants, interval, deadline, around: &[] };
        let ordered = ordered(&constants).map_err(|why| vec![linter.schedule("ORDERED", &why)])?;
        let warnings = linter.warnings(&known);
        let (rules, names_while_running) = named_rules(&outline);
        Ok(Self(Arc::new(Parts {
            name: name.to_owned(),
            file: file.to_owned(),
            sha256: hexadecimal(&Sha256::digest(source.as_bytes())),
            ast,
            constants,
            interval: schedule.interval,
            fast: schedule.fast,
            deadline: schedule.deadline,
            warnings: lint::sorted(warnings),
            tests: tests(&outline),
            functions: outline.functions.iter().map(|function| (function.name.clone(), function.place.line)).collect(),
            rules,
            names_while_running,
            may_take_over_takes: takes(&outline, "may_take_over"),
            hooks: Hook::ALL.into_iter().filter_map(|hook| Some((hook, takes(&outline, hook.name())?))).collect(),
            has_check: takes(&outline, "check").is_some(),
            ordered,
        })))
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The identity of the text: SHA-256 in lower-case hexadecimal.
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

    /// What lint has to say where it is known which nodes the policy judges. `source` is the text it was loaded from; the
    /// policy does not keep it.
    #[must_use]
    pub fn warnings_around(&self, engine: &Engine, source: &str, around: &[Surroundings]) -> Vec<Problem> {
        let linter = lint::Linter::new(engine, &self.0.file, source);
        let warnings = engine.parse(source).map(|ast| linter.warnings(&self.known(&Outline::of(&ast), around)));
        lint::sorted(warnings.unwrap_or_default())
    }

    /// The hosts that its `require` rules ask, as far as the text tells.
    #[must_use]
    pub fn required_hosts(&self, engine: &Engine, source: &str) -> BTreeSet<String> {
        engine.parse(source).map(|ast| self.known(&Outline::of(&ast), &[]).required_hosts()).unwrap_or_default()
    }

    /// Which functions of the language it calls, tests apart, in the order of the text.
    #[must_use]
    pub fn calls(engine: &Engine, source: &str) -> Vec<Called> {
        lint::calls(engine, source)
    }

    fn known<'a>(&'a self, outline: &'a Outline, around: &'a [Surroundings]) -> Known<'a> {
        Known { outline, constants: &self.0.constants, interval: self.interval(), deadline: self.deadline(), around }
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
    pub(super) fn has_check(&self) -> bool {
        self.0.has_check
    }

    pub(super) fn ast(&self) -> &AST {
        &self.0.ast
    }

    pub(super) fn constant(&self, name: &str) -> Option<&Dynamic> {
        self.0.constants.get(name)
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

    /// What went wrong while it ran, with its place: `check_local.rhai:6:5: …`.
    pub(super) fn explain(&self, error: &EvalAltResult) -> String {
        self.explain_within(error, self.deadline())
    }

    /// The same of something that had another time.
    pub(super) fn explain_within(&self, error: &EvalAltResult, deadline: Duration) -> String {
        let (message, position) = explain(error, deadline);
        let place = lint::place(position);
        match (place.line, place.column) {
            (0, _) => format!("{}: {message}", self.0.file),
            (line, 0) => format!("{}:{line}: {message}", self.0.file),
            (line, column) => format!("{}:{line}:{column}: {message}", self.0.file),
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
    fn read(constants: &BTreeMap<String, Dynamic>, outline: &Outline) -> Result<Self, (String, String)> {
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
        let deadline = read("DEADLINE", SHORTEST_INTERVAL)?.unwrap_or_else(|| longest_timeout(outline).max(DEADLINE));
        Ok(Self { interval, fast, deadline })
    }
}

fn ordered(constants: &BTreeMap<String, Dynamic>) -> Result<bool, String> {
    let Some(value) = constants.get("ORDERED") else { return Ok(false) };
    value.as_bool().map_err(|_| format!("true or false, not {}", kind::of(value)))
}

fn longest_timeout(outline: &Outline) -> Duration {
    let timeouts = outline.calls.iter().filter_map(|call| Outline::option(call, "timeout")?.duration());
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
fn named_rules(outline: &Outline) -> (Vec<NamedRule>, bool) {
    let mut rules = Vec::new();
    let mut others = false;
    for call in &outline.calls {
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
        rules.push(NamedRule { name: name.clone(), function, line, options });
    }
    rules.sort_by_key(|rule| rule.line);
    (rules, others)
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
