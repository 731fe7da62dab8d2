//! One line that says what is being waited for, on a terminal; nowhere else.

use std::{
    cell::RefCell,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// Columns of the line: it must not wrap.
const WIDTH: usize = 79;

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    step: String,
    shown: RefCell<String>,
}

impl Progress {
    /// On standard error, if that is a terminal.
    pub(super) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), step: "the pair starts".to_owned(), shown: RefCell::default() }
    }

    /// Which step it is.
    pub(super) fn step(&mut self, number: usize, title: &str) {
        self.step = format!("{number}/{}  {title}", super::steps::STEPS.len());
    }

    /// Waiting for `what` since then.
    pub(super) fn waiting(&self, what: &str, since: Instant) {
        let seconds = since.elapsed().as_secs();
        let line: String = format!("… {}: {what}, {seconds} s", self.step).chars().take(WIDTH).collect();
        if self.terminal && *self.shown.borrow() != line {
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
            self.shown.replace(line);
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.terminal && !self.shown.take().is_empty() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// How often a wait looks, and says that it waits.
pub(super) const GLANCE: Duration = Duration::from_millis(50);
