//! Policies: small Rhai scripts that judge this node. Probes are values, rules are gates over them, the rules decide.
//!
//! This floor compiles and evaluates, bounded; it performs no probe itself (they come through [`probe::Prober`]).

pub mod probe;
mod report;

pub use report::{Report, RuleEffect, RuleReport, RuleState, Verdict};
