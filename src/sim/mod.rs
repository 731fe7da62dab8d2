//! Machines on a network in virtual time: one seed reproduces everything. The nodes are the real ones; what is played is the
//! rest of the world, that is the network, the kernels, and what probes find.

mod chaos;
mod daemon;
mod keepalived;
pub mod lan;
mod log;
mod mutation;
#[allow(clippy::indexing_slicing, reason = "machines are numbered by the world that has them")]
pub mod oracle;
mod promise;
#[allow(clippy::indexing_slicing, reason = "machines are numbered by the scenario that has them")]
mod scenario;
mod shrink;
#[allow(clippy::indexing_slicing, reason = "dice have as many faces as there are choices")]
mod storm;
pub mod witness;
#[allow(clippy::indexing_slicing, reason = "machines and ports are numbered by the world that has them")]
mod world;

pub use chaos::{FOUND, chaos};
pub use log::{Entry, What};
pub use mutation::Mutation;
pub use promise::{Breach, Done, Held, Promise};
pub use scenario::{Claim, Expectation, File, Happening, Node, Outcome, Problem, Reign, Scenario, Step, play, read};
pub use shrink::shrink;
pub(crate) use storm::Dice;
pub use storm::{rage, storm};
pub use world::{
    Act, Air, Forgery, Found, Hangs, Kind, Machine, Mishap, Place, Release, Reload, Setup, Violation, World, network,
};
