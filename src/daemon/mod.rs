//! The daemon: the protocol thread, the workers that evaluate policies, the watch on files, mail and journal.

pub mod journal;
pub mod keeper;
pub mod policies;
pub mod protocol;
mod sockets;
pub mod store;
pub mod watch;
