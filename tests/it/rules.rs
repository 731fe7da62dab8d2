//! The rules of taking, holding and handing over, one by one, as stories of nodes in virtual time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own machinery")]

mod auth_hmac;
mod bystanders;
mod claim;
mod devices;
mod equipment;
mod families;
mod farewell;
mod hearing;
mod last_resort;
mod lease;
mod machine;
mod paths;
mod reload;
mod resigning;
mod rivals;
mod routes;
mod standing;
mod strays;
mod tracks;
mod virtual_mac;
mod witness;
