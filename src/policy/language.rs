//! The policy language as a list: every function with its forms, options, fields and a sentence each.
//!
//! One list for everybody who must know the language besides the engine itself: the reading of options, lint, messages
//! ("did you mean"), the reference for operators and the definitions for editors. A test holds it against what is
//! registered with the engine, so neither can go its own way.

use super::Hook;

/// A function of the policy language.
#[derive(Debug)]
pub struct Function {
    /// What it is called.
    pub name: &'static str,
    /// What kind of thing it does.
    pub group: Group,
    /// Each way to call it, as `name: kind` pairs: `"url: text, options: map"`.
    pub forms: &'static [&'static str],
    /// What it returns, as a kind: `probe`, `rule`, `truth`, … ; `nothing` if nothing.
    pub returns: &'static str,
    /// One or two sentences.
    pub summary: &'static str,
    /// What may stand in its map of options.
    pub options: &'static [Choice],
    /// What can be read of the value it returns, besides what all of this kind have.
    pub fields: &'static [Fact],
    /// What the process needs for it, in words; empty if nothing.
    pub privilege: &'static str,
    /// How it is used: statements that run as they stand, in `check()` or (for tests' and hooks' functions) in those.
    pub example: &'static str,
}

/// Where functions belong, and under which heading they are explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Start a probe. In `check()`.
    Probe,
    /// Make one condition of several. In `check()`.
    Condition,
    /// Make rules. In `check()`.
    Rule,
    /// Remember something between evaluations. In `check()`.
    Helper,
    /// Verdicts that `check()` returns.
    Verdict,
    /// Change something. In hooks and in what `heal` is given, never in `check()` itself.
    Action,
    /// Times, notes, the log. Everywhere.
    General,
    /// Fakes, virtual time, assertions. In `test_*` only.
    Test,
}

/// An option in a map.
#[derive(Debug)]
pub struct Choice {
    /// Its key.
    pub name: &'static str,
    /// What it takes: `duration`, `text`, `number`, `truth`, `list`, `map`, `text or secret`.
    pub kind: &'static str,
    /// What holds where it is not written, as it would be written; empty: nothing.
    pub default: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What may stand in the map that it takes, if it takes one.
    pub within: &'static [Self],
}

/// A field that can be read.
#[derive(Debug)]
pub struct Fact {
    /// Its name.
    pub name: &'static str,
    /// What it is; `()` where it is not known.
    pub kind: &'static str,
    /// One sentence.
    pub summary: &'static str,
}

/// An option, for the lists of the files that define functions.
pub(super) const fn choice(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    summary: &'static str,
) -> Choice {
    Choice { name, kind, default, summary, within: &[] }
}

/// An option that takes a map of options itself.
pub(super) const fn choices_within(
    name: &'static str,
    default: &'static str,
    summary: &'static str,
    within: &'static [Choice],
) -> Choice {
    Choice { name, kind: "map", default, summary, within }
}

/// A field, for the lists of the files that define functions.
pub(super) const fn fact(name: &'static str, kind: &'static str, summary: &'static str) -> Fact {
    Fact { name, kind, summary }
}

impl Function {
    /// With how many arguments it can be called.
    pub fn arities(&self) -> impl Iterator<Item = usize> {
        self.forms.iter().map(|form| if form.is_empty() { 0 } else { form.split(", ").count() })
    }

    /// The capabilities among what it needs: `CAP_NET_RAW`.
    pub fn capabilities(&self) -> impl Iterator<Item = &'static str> {
        let words = self.privilege.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.filter(|word| word.starts_with("CAP_"))
    }

    /// Every option it takes, those that all of its kind take first.
    pub fn choices(&self) -> impl Iterator<Item = &'static Choice> {
        super::probe::common_options(self.name).iter().chain(self.options)
    }
}

/// A function that a policy may have and that runs when something happened. Its one argument is the event, [`EVENT`].
#[derive(Debug)]
pub struct HookFunction {
    /// When.
    pub hook: Hook,
    /// One or two sentences.
    pub summary: &'static str,
}

/// Every hook.
pub const HOOKS: [HookFunction; 8] = [
    HookFunction { hook: Hook::Master, summary: "The instance became master and holds the address." },
    HookFunction { hook: Hook::Backup, summary: "It became backup; what it held it holds no more." },
    HookFunction {
        hook: Hook::Fault,
        summary: "It became fault, and not for maintenance; what it held it holds no more.",
    },
    HookFunction {
        hook: Hook::Release,
        summary: "It is about to hand over in order (stop, maintenance) and still serves. It waits a second at most; after a \
                  fault, a conflict or a preemption this does not run.",
    },
    HookFunction {
        hook: Hook::Stop,
        summary: "The daemon stops; the address has gone. Takes the place of `on_fault`.",
    },
    HookFunction { hook: Hook::Rule, summary: "A rule of this policy went down or came up." },
    HookFunction { hook: Hook::Maintenance, summary: "Maintenance began or ended." },
    HookFunction {
        hook: Hook::Reload,
        summary: "Another version of this policy runs from now on; this is its first hook.",
    },
];

/// What the event of a hook has.
pub const EVENT: &[Fact] = &[
    fact("from", "text", "The role before: master, backup or fault."),
    fact("to", "text", "The role now."),
    fact("reason", "text", "Why."),
    fact("rules_down", "list", "The names of the rules that are down."),
    fact("at", "number", "When, in seconds on the clock of `now`."),
    fact("seq", "number", "Counts up from event to event of an instance."),
    fact("instance", "text", "The instance."),
    fact("vip", "text", "The first virtual address, without prefix."),
    fact("priority", "number", "The priority the node bids."),
    fact("peer", "text", "The address of the first peer; empty if there is none."),
    fact("rule", "text", "In `on_rule`: which one."),
    fact("up", "truth", "In `on_rule`: it came up."),
    fact("why", "text", "In `on_rule`: why."),
];

/// Every function, by kind, in the order in which they are explained.
pub fn functions() -> impl Iterator<Item = &'static Function> {
    super::probe::KINDS.iter().map(|kind| &kind.function).chain(super::functions::LANGUAGE.iter().copied().flatten())
}

/// `node` in a policy.
pub const NODE: &[Fact] = super::context::NODE;
/// `peer`, and each of `peers`.
pub const PEER: &[Fact] = super::context::PEER;

/// The function of this name.
#[must_use]
pub fn function(name: &str) -> Option<&'static Function> {
    functions().find(|function| function.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::policy::Engine;

    /// What operators and getters are called; they are explained with what they belong to.
    const NOT_CALLED_BY_NAME: [&str; 4] = ["to_string", "to_debug", "print", "debug"];
    /// Functions of the script language that are registered only to be refused.
    const REFUSED: [&str; 2] = ["sleep", "timestamp"];

    #[test]
    fn the_list_is_what_is_registered() {
        let engine = Engine::new();
        let registered: BTreeMap<String, BTreeSet<usize>> = engine
            .known()
            .own
            .iter()
            .filter(|(name, _)| !NOT_CALLED_BY_NAME.contains(&name.as_str()) && !REFUSED.contains(&name.as_str()))
            .map(|(name, arities)| (name.clone(), arities.clone()))
            .collect();
        let listed: BTreeMap<String, BTreeSet<usize>> =
            functions().map(|function| (function.name.to_owned(), function.arities().collect())).collect();
        assert_eq!(listed, registered);
    }

    #[test]
    fn every_hook_is_explained_once() {
        assert_eq!(HOOKS.map(|function| function.hook), Hook::ALL);
        assert!(HOOKS.iter().all(|function| function.summary.ends_with('.')));
        assert!(EVENT.iter().all(|fact| fact.summary.ends_with('.')));
    }

    #[test]
    fn everything_is_named_once_and_explained() {
        let mut names = BTreeSet::new();
        for function in functions() {
            assert!(names.insert(function.name), "{} is listed twice", function.name);
            assert!(function.summary.ends_with('.'), "{}", function.name);
            assert!(!function.example.is_empty(), "{} has no example", function.name);
            let mut options = BTreeSet::new();
            for option in function.choices() {
                assert!(options.insert(option.name), "{}: {} is listed twice", function.name, option.name);
                assert!(option.summary.ends_with('.'), "{}: {}", function.name, option.name);
                assert!(option.within.iter().all(|inner| inner.summary.ends_with('.')), "{}", option.name);
            }
            assert!(function.fields.iter().all(|field| field.summary.ends_with('.')), "{}", function.name);
        }
    }
}
