//! Policies: small Rhai scripts that judge this node. Probes are values, rules are gates over them, the rules decide.
//!
//! This floor compiles and evaluates, bounded; it performs no probe itself (they come through [`probe::Prober`]) and
//! reads no clock (it is told through [`Clock`]).
//!
//! [`Engine`] → [`Policy::load`] → [`Judge::evaluate`] → [`Report`]; [`forecast`](forecast::forecast) says what a report
//! leads to, [`run_tests`] runs a policy's own tests in virtual time.

mod acting;
pub mod action;
mod auto;
mod bounds;
mod changes;
mod condition;
mod context;
mod duration;
mod engine;
mod evaluation;
mod fake;
pub mod forecast;
mod functions;
mod heal;
mod hook;
mod job;
mod judge;
mod kept;
mod kind;
pub mod language;
mod library;
mod link;
mod lint;
mod memory;
mod modules;
mod note;
mod options;
mod pace;
mod preview;
pub mod probe;
mod problem;
mod rehearsal;
mod report;
mod rule;
mod script;
mod secret;
mod simulation;
pub mod sources;
mod suggest;
mod text;
mod thrown;
mod tryout;
mod verdict;

pub use auto::{ForcedRule, force_every_rule};
pub use bounds::{STACK, grown, shrunk};
pub use changes::changes;
pub use context::{Clock, Context, Forced, NodeFacts, PeerFacts, WallTime};
pub use engine::Engine;
pub use evaluation::{LogLevel, LogLine};
pub use heal::Healing;
pub use hook::{Hook, HookEvent, Ran, RuleEvent, Work, run_hook};
pub use judge::Judge;
pub use kept::{Kept, KeptAverage, KeptRate, KeptRule};
pub use library::{StandardFunction, StandardModule, standard_library};
pub use lint::{CODES, Called, Code, Surroundings};
pub use note::Note;
pub use preview::preview_hook;
pub use problem::{Problem, Severity};
pub use rehearsal::{Cap, TestFailure, TestReport, run_tests};
pub use report::{FaultCause, Report, RuleEffect, RuleReport, RuleState, Verdict};
pub use script::{NamedRule, Policy};
pub use secret::{Secret, SecretOrText};
pub use simulation::Simulation;
pub use sources::{Sources, Text};
pub use tryout::try_out;
