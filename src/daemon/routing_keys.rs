//! What finds routes and rules again, as it is written down: in the record of what is held, and for the keeper.

use serde::{Deserialize, Serialize};

use crate::{
    config::{RouteKey, RoutingKeys, RuleKey},
    words::Family,
};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenKeys {
    /// Destination, table, metric.
    routes: Vec<(String, u32, u32)>,
    /// Whether it is about IPv6, and the priority.
    rules: Vec<(bool, u32)>,
}

impl WrittenKeys {
    /// Nothing to find.
    pub(super) const fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.rules.is_empty()
    }
}

impl From<&RoutingKeys> for WrittenKeys {
    fn from(keys: &RoutingKeys) -> Self {
        let route = |key: &RouteKey| (key.destination.to_string(), key.table, key.metric);
        Self {
            routes: keys.routes.iter().map(route).collect(),
            rules: keys.rules.iter().map(|key| (key.family == Family::V6, key.priority)).collect(),
        }
    }
}

impl From<&WrittenKeys> for RoutingKeys {
    /// What makes no sense finds nothing.
    fn from(written: &WrittenKeys) -> Self {
        let route = |(to, table, metric): &(String, u32, u32)| {
            Some(RouteKey { destination: to.parse().ok()?, table: *table, metric: *metric })
        };
        let rule = |(six, priority): &(bool, u32)| RuleKey {
            family: if *six { Family::V6 } else { Family::V4 },
            priority: *priority,
        };
        Self {
            routes: written.routes.iter().filter_map(route).collect(),
            rules: written.rules.iter().map(rule).collect(),
        }
    }
}
