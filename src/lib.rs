//! `ha` keeps a service address alive on a pair of Linux machines.
//!
//! The map, from the ground up, a paragraph for each floor; a floor uses only floors below it, and a test reads this file
//! to keep it so. ARCHITECTURE.md says more.

pub mod words;

pub mod health;
pub mod wire;

pub mod policy;
pub mod vrrp;

pub mod config;

pub mod import;
pub mod node;

pub mod sim;

pub mod control;
#[allow(unsafe_code, reason = "the kernel's interfaces; each use says why it is sound")]
pub mod linux;
pub mod probe;

pub mod daemon;
pub mod lab;

pub mod cli;
