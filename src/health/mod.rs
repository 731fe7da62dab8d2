//! Hysteresis: gates over outcomes, with time as an argument.

mod gate;

pub use gate::{Gate, GateState, Hysteresis, Observation};
