//! The pair on one machine, with real packets in throw-away namespaces.

pub mod tour;

pub use tour::{Options, run};

/// To be called first thing in `main`, before any thread: if this process was started by the lab to become another
/// program inside one of its namespaces, it becomes that program and does not come back.
pub fn become_program() {}
