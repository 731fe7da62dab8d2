//! Everything that touches the kernel: packet sockets, netlink, addresses, the clock. The only unsafe code and the only privilege.
//!
//! The protocol thread polls the descriptors of this floor and calls it synchronously: nothing here waits longer than a
//! bounded answer of the kernel. Only [`Monitor`] has a thread of its own.

mod address_request;
mod addresses;
mod allocator;
mod carrier;
mod changes;
mod clock;
mod confine;
mod discipline;
mod enter;
mod frames;
mod gate;
mod guard;
mod lock;
mod macvlan;
mod monitor;
#[cfg(test)]
mod namespace;
mod neighbor_socket;
mod nftables;
mod process_events;
mod realtime;
mod route_request;
mod routes;
mod rtnl;
mod understood;
mod user;
mod vrrp_socket;

pub use address_request::{MARK, kernel_keeps_marks};
pub use addresses::{Holder, Which};
pub use allocator::{CountingAllocator, return_large_buffers};
pub use carrier::{Drivers, compute_checksums};
pub use changes::{announce_address, change_address, change_route, signal_processes};
pub use clock::{Alarm, BootClock, Waker, wall_clock};
pub use confine::{Allowed, Confined, confine};
pub use discipline::time_status;
pub use enter::{Network, enter_network};
pub use gate::{Behind, Gates};
pub use guard::{GuardTable, Guards};
pub use lock::{LockError, VirtualRouterLock};
pub use macvlan::{ArpHabits, Macvlan, Macvlans};
pub use monitor::{Monitor, MonitorEvent, snapshot};
pub use neighbor_socket::NeighborSocket;
pub use process_events::{ProcessEvent, ProcessEvents};
pub use realtime::{lock_memory, realtime, spare_from_oom_killer};
pub use routes::{Outcome, Routes};
pub use understood::{Family, understood};
pub use user::{become_user, forgo_capabilities, has_capability, keep_capabilities, make_directory_for, user_number};
pub use vrrp_socket::{DATAGRAM_MAX, Received, VrrpSocket};
