//! Tests without privileges: stories at the lowest floor that can tell them.

mod control;
