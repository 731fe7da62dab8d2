//! The commands, one file each.
//!
//! A command prints and says how it ended; [`main`] turns that into the exit code. Codes are those of sysexits where it
//! has one, and those of `ha check`, `ha test` and `ha status --check`, which their files list.

mod address;
mod api;
mod check;
mod clear;
mod completions;
mod events;
mod import;
mod judged;
mod lab;
mod machine;
mod man;
mod output;
mod paint;
mod particulars;
mod path;
mod policy;
mod policy_file;
mod privileges;
mod probe;
mod release;
mod reload;
mod restart;
mod run;
mod schema;
mod sim;
mod status;
mod table;
mod test;
mod version;

use std::{ffi::OsString, panic, path::PathBuf, process::ExitCode, thread};

use clap::{Args, Parser, Subcommand};

use crate::daemon::keeper;

/// The configuration, unless another is named.
const CONFIG: &str = "/etc/ha/ha.toml";
/// As whom the unit runs the daemon, which must be able to read what is private.
const DAEMON: &str = "ha";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Code(u8);

impl Code {
    const OK: Self = Self(0);
    /// Command line usage error.
    const USAGE: Self = Self(64);
    /// The input cannot be used.
    const DATA: Self = Self(65);
    /// The input cannot be read.
    const NO_INPUT: Self = Self(66);
    /// The daemon does not answer.
    const UNAVAILABLE: Self = Self(69);
    /// A system call failed that should not.
    const SYSTEM: Self = Self(71);
    /// The output cannot be written.
    const CANNOT_CREATE: Self = Self(73);
    /// Not now; try again later.
    const TRY_AGAIN: Self = Self(75);
    /// This user may not.
    const PERMISSION: Self = Self(77);
    /// The configuration is wrong.
    const CONFIG: Self = Self(78);
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.0)
    }
}

/// Keeps a service address alive on a pair of Linux machines.
#[derive(Debug, Parser)]
#[command(name = "ha", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon, in the foreground
    Run(run::Arguments),
    /// Say whether a configuration or a policy is right; with --dry-run, what it would do now
    Check(check::Arguments),
    /// Run the tests of policies: fake probes, virtual time
    Test(test::Arguments),
    /// Show what the daemon does and why
    Status(status::Arguments),
    /// Show what happened, and with -f what happens, in order
    Events(events::Arguments),
    /// Have the daemon read its configuration and policies again
    Reload(reload::Arguments),
    /// Let a rule come back up that is latched, or held down for falling again and again
    Clear(clear::Arguments),
    /// Show the generations of the policies, and choose which one runs
    Policy(policy::Arguments),
    /// Have the daemon end and leave its addresses to the process that the service manager starts after it
    Restart(restart::Arguments),
    /// Remove addresses that a dead daemon left behind
    Release(release::Arguments),
    /// Show a pair at work on this machine: throw-away namespaces, real packets
    Lab(lab::Arguments),
    /// Play a scenario in virtual time with your own configurations: who leads when, and why
    Sim(sim::Arguments),
    /// Make one probe and explain it, step by step
    Probe(probe::Arguments),
    /// Make a configuration of one of keepalived's
    Import(import::Arguments),
    /// Print the policy language: definitions for editors, or the reference
    Api(api::Arguments),
    /// Print the JSON Schema of what a command prints with --json, or of the configuration
    Schema(schema::Arguments),
    /// Print the completions of a shell
    Completions(completions::Arguments),
    /// Write the manual pages, one for each command
    Man(man::Arguments),
    /// Print the version
    Version,
}

/// Which daemon a command speaks to.
#[derive(Debug, Args)]
struct Daemon {
    /// The daemon's configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// The daemon's socket; else the one its configuration names
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Runs the command that the arguments name; the first is the program's own name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Not a command of the table: it touches as little of the program as it can, because it stays for as long as the daemon.
    if arguments.get(1..).is_some_and(|rest| rest == [keeper::COMMAND]) {
        keeper::keep();
        return ExitCode::SUCCESS;
    }
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command.perform(),
        Err(error) => explain(&error).into(),
    }
}

/// Help and the version are answers; everything else is a usage error.
fn explain(error: &clap::Error) -> Code {
    // Nobody is there to be told that nobody is there.
    let _ = error.print();
    let help = error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if error.use_stderr() || help { Code::USAGE } else { Code::OK }
}

impl Command {
    fn perform(self) -> ExitCode {
        match self {
            Self::Run(arguments) => run::perform(&arguments),
            Self::Check(arguments) => deep(|| check::perform(&arguments)).into(),
            Self::Test(arguments) => deep(|| test::perform(&arguments)).into(),
            Self::Status(arguments) => status::perform(&arguments).into(),
            Self::Events(arguments) => events::perform(&arguments).into(),
            Self::Reload(arguments) => reload::perform(&arguments).into(),
            Self::Clear(arguments) => clear::perform(&arguments).into(),
            Self::Policy(arguments) => policy::perform(&arguments).into(),
            Self::Restart(arguments) => restart::perform(&arguments).into(),
            Self::Release(arguments) => release::perform(&arguments).into(),
            Self::Lab(arguments) => lab::perform(&arguments).into(),
            Self::Sim(arguments) => deep(|| sim::perform(&arguments)).into(),
            Self::Probe(arguments) => deep(|| probe::perform(&arguments)).into(),
            Self::Import(arguments) => import::perform(&arguments).into(),
            Self::Api(arguments) => api::perform(&arguments).into(),
            Self::Schema(arguments) => schema::perform(&arguments).into(),
            Self::Completions(arguments) => completions::perform(&arguments).into(),
            Self::Man(arguments) => man::perform(&arguments).into(),
            Self::Version => version::perform().into(),
        }
    }
}

/// On a thread with the stack that policies need.
fn deep(work: impl FnOnce() -> Code + Send) -> Code {
    let ended = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(crate::policy::STACK).spawn_scoped(scope, work);
        thread.map(thread::ScopedJoinHandle::join)
    });
    match ended {
        Ok(Ok(code)) => code,
        Ok(Err(panic)) => panic::resume_unwind(panic),
        Err(error) => {
            output::complain(&format!("a thread cannot be started: {error}"));
            Code::SYSTEM
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
