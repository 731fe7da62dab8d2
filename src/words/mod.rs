//! The words every floor shares: a moment in time, an address family, a MAC address, the name of an interface.

mod net;
mod time;

pub use net::{Family, InterfaceName, MacAddr};
pub use time::{Instant, readable};
