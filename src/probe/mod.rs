//! The real probes, each with a deadline.
