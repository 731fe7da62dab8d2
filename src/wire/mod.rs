//! Bytes and what they mean: VRRP advertisements, ARP, neighbour discovery and DNS messages.
//!
//! Nothing here performs I/O or knows a configuration. Nothing here fails on what it is told to send, or panics on what
//! it receives.

mod advertisement;
pub mod arp;
mod auth;
mod checksum;
mod decode;
pub mod dns;
mod encode;
mod frame;
mod ip;
pub mod ndisc;
mod neighbor;
mod rejection;
mod trailer;

pub use advertisement::{AdverInterval, Advertisement, Priority, Version, Vrid};
pub use auth::{AuthField, auth_data};
pub use decode::{ChecksumForm, Decoded, decode, vrid_of};
pub use encode::{encode_v2, encode_v3};
pub use frame::multicast_frame;
pub use ip::{HOP_LIMIT, PROTOCOL, group};
pub use neighbor::NeighborKind;
pub use rejection::Rejection;
pub use trailer::{Key, Stamp, Trailer, sign};
