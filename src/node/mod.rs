//! Everything this machine is to VRRP, as one sans-IO machine. Four verbs, one output queue.
//!
//! The driver, one turn: drain [`Node::poll_output`]; wait for input or [`Node::poll_timeout`]; hand in every packet that
//! is already waiting with [`Node::handle_input`], then the clock with [`Node::handle_timeout`].

mod input;
mod output;
mod status;

pub use crate::wire::NeighborKind;
pub use input::{AddressSeen, Command, Datagram, Input, LinkSeen, NeighborFrame};
pub use output::{Ask, Event, Hold, Journal, Lifetime, Output, Pace, Transmit};
pub use status::{Condition, InstanceStatus, NodeStatus, PeerStatus, Role};
