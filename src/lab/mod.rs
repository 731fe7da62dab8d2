//! The pair on one machine, with real packets in throw-away namespaces.
//!
//! [`netns::enter`] first, then [`World::build`]: a switch, two nodes, the arbiter and a client. On the nodes run real
//! daemons ([`Process`]); what happens to them is done with [`World`]'s faults and seen by an [`observer`], a
//! [`client`] and a [`capture`], never taken from what a daemon says.

mod asking;
pub mod capture;
pub mod client;
pub mod daemon;
pub mod etcd;
pub mod fault;
pub mod memory;
pub mod netns;
pub mod observer;
mod packets;
pub mod plan;
pub mod process;
pub mod relay;
pub mod rtnl;
pub mod scenario;
pub mod service;
pub mod tour;
pub mod trouble;
pub mod wires;
pub mod world;

pub use daemon::{Daemon, Setup};
pub use process::{Process, become_program};
pub use tour::{Options, run};
pub use trouble::{Result, Trouble};
pub use world::{Host, World};
