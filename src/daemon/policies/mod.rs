//! The policies of this daemon.

pub mod source;
pub mod trust;
