//! VRRP as RFC 9568 (and, for version 2, RFC 3768) describes it: no sockets, no clock, no groups, no policies.
//!
//! What is not in the RFC and yet here, because it is part of the same state: [`State::Elected`], in which a takeover
//! waits for leave, and [`State::Resigning`], in which a master that goes still holds.

mod announcer;
#[cfg(test)]
mod invariants;
mod resigning;
mod router;
mod serving;
mod standing;

pub use announcer::{Announcer, Announcing, Burst};
pub use resigning::Then;
pub use router::{Action, Config, Event, Reason, State, VirtualRouter};
pub use standing::{Standing, standing};
