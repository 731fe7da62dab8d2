//! The guided tour: the founding scenario, step by step, with real daemons and a client that measures.
//!
//! What a step shows comes from the kernels (who holds the address), from the client (what it missed) and from the cables
//! (when a master was last heard); what the daemons say of themselves is printed beside it, as the explanation.

pub(super) mod leave;
mod progress;
mod stage;
mod step;
mod steps;
mod tell;

use std::io;

use self::{
    leave::Ending,
    stage::{Cast, Stage},
    step::{Outcome, Shown, Then},
    tell::Teller,
};
use super::{
    netns,
    process::on_path,
    trouble::Trouble,
    world::{Host, World},
};

/// How the tour is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// One JSON document instead of text.
    pub json: bool,
    /// Leave the pair up at the end, until a signal or the end of standard input.
    pub stay: bool,
    /// Run keepalived instead of `ha` on node 1 or node 2.
    pub keepalived: Option<u8>,
    /// Colour the text.
    pub colour: bool,
}

/// A step did not hold.
const BROKEN: i32 = 1;
/// A step could not be made here.
const NOT_MADE: i32 = 3;
/// sysexits: something that is needed is not there.
const UNAVAILABLE: i32 = 69;
/// sysexits: a system call failed that should not.
const SYSTEM: i32 = 71;
/// sysexits: this user may not.
const PERMISSION: i32 = 77;

/// Gives the tour in throw-away namespaces and returns the exit code: 0 only if every step held, 1 if one did not, 3 if
/// one could not be made here; 69 and 77 where there can be no lab.
///
/// To be called before the process starts any thread: a threaded process cannot enter a user namespace.
#[must_use]
pub fn run(options: Options) -> i32 {
    match give(options) {
        Ok(code) => code,
        Err(trouble) => {
            eprintln!("ha lab: {trouble}");
            code_of(&trouble)
        }
    }
}

fn give(options: Options) -> Result<i32, Trouble> {
    let cast = Cast::new(keepalived(options.keepalived)?);
    netns::enter()?;
    let world = World::build()?;
    let ending = Ending::watch(world.root().to_owned())?;
    let mut stage = Stage::build(cast, world)?;
    let mut teller = Teller::new(&options);
    teller.begin(&stage);
    let shown = tour(&mut stage, &mut teller, options.stay);
    let code = code(&shown);
    teller.end(&shown, &stage, options.stay);
    if options.stay {
        ending.is_expected(code);
        // Nothing is expected there; a signal ends the process meanwhile.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    }
    Ok(code)
}

/// Every step, with node1 serving again between two of them.
fn tour(stage: &mut Stage, teller: &mut Teller, stay: bool) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut stuck: Option<String> = None;
    let last = steps::STEPS.len();
    for (number, step) in (1..).zip(&steps::STEPS) {
        stage.progress.step(number, step.title);
        let one = match &stuck {
            Some(why) => step.left_out(number, stage, Outcome::Broken(vec![why.clone()])),
            None => step.perform(number, stage),
        };
        teller.step(&one, stage);
        let go_on = match one.outcome {
            Outcome::Held => step.then == Then::GoOn,
            Outcome::Broken(_) => false,
            Outcome::LeftOut(_) | Outcome::NotMade(_) => true,
        };
        shown.push(one);
        if !go_on && stuck.is_none() && (stay || number < last) {
            stuck = stage
                .restore()
                .err()
                .map(|trouble| format!("the pair did not come back after step {number}: {trouble}"));
        }
    }
    shown
}

fn code(shown: &[Shown]) -> i32 {
    let any = |is: fn(&Outcome) -> bool| shown.iter().any(|shown| is(&shown.outcome));
    if any(|outcome| matches!(outcome, Outcome::Broken(_))) {
        BROKEN
    } else if any(|outcome| matches!(outcome, Outcome::NotMade(_))) {
        NOT_MADE
    } else {
        0
    }
}

/// Which node runs keepalived, and where it is.
fn keepalived(node: Option<u8>) -> Result<Option<(Host, std::path::PathBuf)>, Trouble> {
    let Some(node) = node else { return Ok(None) };
    let host = if node == 1 { Host::Node1 } else { Host::Node2 };
    let missing = || {
        let why = "it is not on PATH; install it (Debian: apt install keepalived), or leave out --keepalived";
        Trouble::Program { name: "keepalived".to_owned(), error: io::Error::new(io::ErrorKind::NotFound, why) }
    };
    on_path("keepalived").map(|program| Some((host, program))).ok_or_else(missing)
}

pub(super) fn code_of(trouble: &Trouble) -> i32 {
    match trouble {
        Trouble::NoNamespaces(_) => PERMISSION,
        Trouble::Program { .. } => UNAVAILABLE,
        Trouble::Kernel { .. } | Trouble::File { .. } | Trouble::Late { .. } | Trouble::Gone(_) => SYSTEM,
    }
}
