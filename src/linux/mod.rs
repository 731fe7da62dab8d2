//! Everything that touches the kernel: packet sockets, netlink, addresses, the clock. The only unsafe code and the only privilege.
