//! `ha events`: what happened, in order, and with `-f` what happens. 0, 66 the daemon ended while it was followed, 69 no
//! daemon.

use std::{
    io::{self, Write},
    ops::ControlFlow,
};

use clap::Args;

use super::{Code, Daemon, output, paint::Paint, status};
use crate::control::{Happening, What, protocol::State};

/// How many come before what is followed, unless told otherwise.
const BEFORE: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Go on with what happens, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last NUMBER events; else all that the daemon keeps, or with -f the last ten
    #[arg(short, long, value_name = "NUMBER")]
    lines: Option<usize>,
    /// Only of this instance
    #[arg(short, long, value_name = "NAME")]
    instance: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
    /// A line of JSON for each event instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let paint = Paint::of_stdout();
    let last = arguments.lines.or(arguments.follow.then_some(BEFORE));
    let mut out = io::stdout().lock();
    let mut gone = false;
    let shown = arguments.daemon.client().events(last, arguments.follow, |happening| {
        if !wanted(&happening, arguments.instance.as_deref()) {
            return ControlFlow::Continue(());
        }
        let line = if arguments.json { json(&happening) } else { text(&happening, paint) };
        // Whoever reads this has gone.
        gone = writeln!(out, "{line}").and_then(|()| out.flush()).is_err();
        if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match shown {
        Ok(()) if arguments.follow && !gone => {
            output::complain("the daemon has ended; nothing more will happen here, start it and this again");
            Code::NO_INPUT
        }
        Ok(()) => Code::OK,
        Err(unanswered) => status::unanswered(&unanswered),
    }
}

/// A gap may be of any instance.
fn wanted(happening: &Happening, instance: Option<&str>) -> bool {
    matches!(happening.what, What::Gap { .. }) || instance.is_none_or(|name| happening.instance == name)
}

fn json(happening: &Happening) -> String {
    serde_json::to_string(happening).unwrap_or_default()
}

fn text(happening: &Happening, paint: Paint) -> String {
    let Happening { time, network, instance, what, text, .. } = happening;
    let text = match what {
        What::Transition { to: State::Master | State::Backup, .. } => paint.strong(text),
        What::Transition { to: State::Fault, .. } | What::Gap { .. } => paint.bad(text),
        What::Raised { .. } => paint.doubtful(text),
        What::Priority { .. } | What::Cleared { .. } | What::Note => text.clone(),
    };
    let whose = status::whose(instance, network.as_deref());
    format!("{} {whose}{text}", paint.faint(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(instance: &str, what: What, text: &str) -> Happening {
        Happening {
            schema: "ha.event/1".into(),
            number: 7,
            time: "2026-01-01T00:00:00.000Z".into(),
            network: None,
            instance: instance.into(),
            what,
            text: text.into(),
        }
    }

    #[test]
    fn an_event_is_a_line() {
        let bid = happening("VI_1", What::Priority { from: 100, to: 90 }, "priority 90 (was 100)");
        assert_eq!(text(&bid, Paint::plain()), "2026-01-01T00:00:00.000Z VI_1: priority 90 (was 100)");
        let note = happening("", What::Note, "stopping");
        assert_eq!(text(&note, Paint::plain()), "2026-01-01T00:00:00.000Z stopping");
        let there = Happening { network: Some("blue".into()), ..note };
        assert_eq!(text(&there, Paint::plain()), "2026-01-01T00:00:00.000Z network blue: stopping");
    }

    #[test]
    fn of_one_instance_gaps_are_shown_too() {
        assert!(wanted(&happening("VI_1", What::Note, ""), Some("VI_1")));
        assert!(!wanted(&happening("VI_2", What::Note, ""), Some("VI_1")));
        assert!(wanted(&happening("", What::Gap { missed: 3 }, ""), Some("VI_1")));
    }
}
