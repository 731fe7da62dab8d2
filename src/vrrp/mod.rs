//! VRRP as RFC 9568 (and, for version 2, RFC 3768) describes it: no sockets, no clock, no groups, no policies.
