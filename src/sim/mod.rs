//! Machines on a network in virtual time: one seed reproduces everything. The nodes are the real ones; what is played is the
//! rest of the world, that is the network, the kernels, and what probes find.

pub mod lan;
