//! The daemon: the protocol thread, the workers that evaluate policies, the watch on files, mail and journal.

mod answer;
pub mod audit;
mod boot;
mod devices;
mod equipment;
mod estate;
pub mod events;
mod gates;
pub mod guarded;
pub mod hooks;
pub mod journal;
pub mod keepalived;
pub mod keeper;
mod keys;
pub mod leftovers;
mod locks;
pub mod mail;
mod origin;
pub mod policies;
mod privileges;
mod processes;
pub mod protocol;
mod refusal;
mod routing_keys;
mod run;
mod sockets;
pub mod store;
mod tracking;
pub mod watch;

pub use devices::device_of;
pub use equipment::guards_of;
pub use gates::gate_of;
pub use keys::{TODO as SECRET_TODO, read_keys, read_keys_beside};
pub use origin::{Keepalived, Origin};
pub use run::run;
pub use tracking::look as look_at_tracked;
