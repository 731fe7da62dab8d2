//! Hysteresis: gates over outcomes, with time as an argument.
//!
//! [`Gate`] is the machine, [`Hysteresis`] what it takes to move it, [`Backoff`] how long one that falls again and again
//! stays down. What a policy remembers besides (windows, averages, rates) are machines of the same kind.

mod average;
mod backoff;
mod changes;
mod gate;
mod hysteresis;
mod known;
mod rate;
mod recent;
mod window;

pub use average::Average;
pub use backoff::{Backoff, Flaps};
pub use gate::{Detention, Gate, GateState};
pub use hysteresis::{Hysteresis, Observation};
pub use known::{Falls, Known};
pub use rate::Rate;
pub use window::Window;
