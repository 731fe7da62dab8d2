//! Instances that lead and follow together, as the status has them.

use serde::{Deserialize, Serialize};

use super::State;
use crate::node::GroupStatus;

/// Instances that lead and follow together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its members.
    pub instances: Vec<String>,
    /// The lowest state of its members.
    pub state: State,
}

impl From<&GroupStatus> for Group {
    fn from(group: &GroupStatus) -> Self {
        Self { name: group.name.clone(), instances: group.instances.clone(), state: group.role.into() }
    }
}
