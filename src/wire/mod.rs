//! Bytes and what they mean: VRRP advertisements, ARP and neighbour discovery messages.
//!
//! Nothing here performs I/O or knows a configuration.

mod advertisement;

pub use advertisement::{AdverInterval, Advertisement, Priority, Version, Vrid};
