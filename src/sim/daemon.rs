//! What runs on a machine: the real node, or a model of keepalived. The same verbs for both.

use super::{Kind, Release, keepalived::Keepalived};
use crate::{
    config::Config,
    node::{Ears, Input, Node, NodeStatus, Output, Will},
    words::Instant,
};

/// See the module.
#[derive(Debug)]
pub(super) enum Daemon {
    Ha(Box<Node>),
    Keepalived(Box<Keepalived>),
}

impl Daemon {
    pub(super) fn new(kind: Kind, release: Release, now: Instant, config: &Config) -> Self {
        match kind {
            Kind::Ha => Self::Ha(Box::new(Node::new(now, config))),
            Kind::Keepalived => Self::Keepalived(Box::new(Keepalived::new(release, now, config))),
        }
    }

    pub(super) fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match self {
            Self::Ha(node) => node.handle_input(now, input),
            Self::Keepalived(model) => model.handle_input(now, input),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, ears: Ears) {
        match self {
            Self::Ha(node) => node.handle_timeout(now, ears),
            Self::Keepalived(model) => model.handle_timeout(now),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Ha(node) => node.poll_output(),
            Self::Keepalived(model) => model.poll_output(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Ha(node) => node.poll_timeout().map(|(at, _)| at),
            Self::Keepalived(model) => model.poll_timeout(),
        }
    }

    pub(super) fn status(&self) -> NodeStatus {
        match self {
            Self::Ha(node) => node.status(),
            Self::Keepalived(model) => model.status(),
        }
    }

    /// What is done for an instance after the process was killed.
    pub(super) fn last_will(&self, instance: &str) -> Option<Will> {
        match self {
            Self::Ha(node) => node.last_will(instance),
            Self::Keepalived(_) => None,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        match self {
            Self::Ha(node) => node.is_stopped(),
            Self::Keepalived(model) => model.is_stopped(),
        }
    }

    pub(super) fn check_invariants(&self) -> Result<(), String> {
        match self {
            Self::Ha(node) => node.check_invariants(),
            Self::Keepalived(_) => Ok(()),
        }
    }
}
