//! The guided tour: the founding scenario, step by step, with real daemons and a client that measures.

/// How the tour is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// One JSON document instead of text.
    pub json: bool,
    /// Leave the pair up at the end, until a signal or the end of standard input.
    pub stay: bool,
    /// Run keepalived instead of `ha` on node 1 or node 2.
    pub keepalived: Option<u8>,
}

/// Gives the tour in throw-away namespaces and returns the exit code: 0 only if every step held.
///
/// To be called before the process starts any thread: a threaded process cannot enter a user namespace.
#[must_use]
pub fn run(options: Options) -> i32 {
    let _ = options;
    eprintln!("ha lab: this build has no tour.");
    69
}
