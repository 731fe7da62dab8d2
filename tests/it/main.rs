//! Tests without privileges: stories at the lowest floor that can tell them.

/// As the program has it: without it nobody counts what a policy holds.
#[global_allocator]
static ALLOCATOR: ha::linux::CountingAllocator = ha::linux::CountingAllocator;

mod apart;
mod beside;
mod cli;
mod config;
mod control;
mod damage;
mod documents;
mod examples;
mod floors;
mod foretold;
mod fuzz;
mod groups;
mod import;
mod import_said;
mod import_shell;
mod import_words;
mod language;
mod mail;
mod mutations;
mod pair;
mod policy;
mod policy_codes;
mod policy_gates;
mod policy_hooks;
mod policy_hostile;
mod policy_imports;
mod policy_lint;
mod policy_machine;
mod policy_neighbours;
mod policy_network;
mod policy_rehearsal;
mod policy_secret;
mod probes;
mod reload;
mod rfc;
mod router_rules;
mod rules;
mod scenarios;

mod schema;
mod sources;
mod state_table;
mod storms;
mod subject;
mod tidy;
mod told;
mod tracked;

/// A LAN of nodes in virtual time.
use ha::sim::lan;
