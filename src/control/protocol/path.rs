//! The ways that advertisements take, as the status has them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{node::PathStatus, words::Instant};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// Its name; `primary` is the instance's own interface.
    pub name: String,
    /// Where it leads.
    pub interface: String,
    /// The node's own address on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Age of the last valid advertisement on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard_ms: Option<u64>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Path {
    pub(super) fn at(now: Instant, path: &PathStatus) -> Self {
        Self {
            name: path.name.clone(),
            interface: path.interface.clone(),
            source: path.source,
            last_heard_ms: path.last_heard.map(|at| super::age(now, at)),
            trouble: path.trouble.clone(),
        }
    }
}
