//! What befalls the witness.

use std::time::Duration;

use super::{World, faults::time};

/// See the module. Machines are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It answers nobody.
    Down,
    /// It is well again, for everybody.
    Up,
    /// So long an answer takes.
    Slow(Duration),
    /// This machine does not reach it.
    Unreachable(usize),
    /// It does what this machine asks, and its answers are lost.
    Unheard(usize),
    /// It has lost its data: every lease is gone, and what was held with it.
    Forgets,
}

impl Mishap {
    /// As a scenario has it.
    pub(super) fn text<'n>(&self, name: impl Fn(&usize) -> &'n str) -> String {
        match self {
            Self::Down => "witness down".to_owned(),
            Self::Up => "witness up".to_owned(),
            Self::Slow(takes) => format!("witness slow {}", time(*takes)),
            Self::Unreachable(index) => format!("witness unreachable from {}", name(index)),
            Self::Unheard(index) => format!("witness unheard by {}", name(index)),
            Self::Forgets => "witness forgets".to_owned(),
        }
    }
}

impl World {
    pub(super) fn befall(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::Down => self.etcd.down = true,
            Mishap::Up => self.etcd.mend(),
            Mishap::Slow(takes) => self.etcd.takes = takes,
            Mishap::Unreachable(index) => drop(self.etcd.away_from.insert(index)),
            Mishap::Unheard(index) => drop(self.etcd.unheard_by.insert(index)),
            Mishap::Forgets => self.etcd.forget(),
        }
    }
}
