//! `ha sim`: a scenario in virtual time, with the operator's own configurations and policies. 0 everything was as expected, 1
//! something was not, 65 the scenario is wrong, 66 it cannot be read.

mod document;
mod files;
mod storms;
mod text;

use std::{path::PathBuf, time::Duration};

use clap::Args;

pub(super) use files::scenario;

use super::{Code, output, paint::Paint};
use crate::{
    policy::Engine,
    sim::{self, Scenario},
};

/// The language, for `--help`; config/scenarios.md says more.
const LANGUAGE: &str = "\
A scenario has one statement a line; # begins a comment:

  seed 7                                where chance comes from
  node a node1.toml                     a node and its configuration, beside the scenario
  node b node2.toml eth0=10.0.0.3/24    with an address of its own, if nothing else says it
  keepalived c keepalived.conf [2.4]    a model of keepalived instead of the real node; of 2.2 unless it is said
  at 5s VERB ...                        what happens; at +2s: two seconds after the step above
  end 60s                               when it is over; else 10 s after the last step
  late 1s, two 30ms                     how late kernels are; nobody shares an address for longer

  pull a [eth0], plug a [eth0]          the cable
  cut a, cut a -> b, filter a -> b      nothing passes, one way, only advertisements do not pass
  partition a b, heal                   these and the others; everything passes again
  loss 30%, duplicate 5%, delay 1ms..20ms
  freeze a, thaw a, kill a [all], stop a, poweroff a, start a
  slow a 300ms, clock a +1h, mute a on|off, delete a, misplace a, forge a priority 0
  probe a POLICY http|ping:HOST|* up|down|blind
  rule a POLICY RULE up|down|blind
  policy a POLICY takes 800ms|hangs|silent|returns
  reload a [FILE|priority N]
  witness down|up|forgets|slow 2s|unreachable from a|unheard by a
  calm                                  everything is well again
  expect a leads|is ROLE|has [no] CONDITION [INSTANCE], expect nobody leads [INSTANCE], expect well";

#[derive(Debug, Args)]
#[command(after_help = LANGUAGE)]
pub(super) struct Arguments {
    /// A scenario; or the configurations of the nodes, which are then called a, b, c
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where chance comes from, instead of what the scenario says
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Random faults against the nodes of the scenario, from so many seeds, instead of its steps; what breaks an invariant is
    /// printed as the shortest scenario that does
    #[arg(long, value_name = "SEEDS", conflicts_with = "packets")]
    storm: Option<u64>,
    /// How long each storm lasts, in simulated seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "storm", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time: u64,
    /// Every advertisement too
    #[arg(long)]
    packets: bool,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let engine = Engine::new();
    let mut scenario = match files::scenario(&engine, &arguments.files) {
        Ok(scenario) => scenario,
        Err((code, why)) => {
            output::complain(&why);
            return code;
        }
    };
    scenario.seed = arguments.seed.unwrap_or(scenario.seed);
    match arguments.storm {
        None => one(&engine, &scenario, arguments),
        Some(count) => {
            let from = arguments.seed.unwrap_or(0);
            let season = storms::Season { count, from, length: Duration::from_secs(arguments.time) };
            storms::perform(&engine, &scenario, season, arguments.json)
        }
    }
}

fn one(engine: &Engine, scenario: &Scenario, arguments: &Arguments) -> Code {
    let outcome = sim::play(scenario, engine, None);
    if arguments.json {
        output::print_json(&document::of(&outcome, arguments.packets));
    } else {
        output::print(&text::of(&outcome, arguments.packets, Paint::of_stdout()));
    }
    if outcome.disappointed == 0 && outcome.violations.is_empty() { Code::OK } else { Code(1) }
}
