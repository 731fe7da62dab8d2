//! Why the daemon does not run.

use std::{io, process::ExitCode};

use crate::config::Problems;

/// See the module.
pub(super) enum Refusal {
    /// The configuration cannot be used, nor is there a last good one.
    Configuration(Problems),
    /// What the configuration names does not come; the next time it may.
    Late(Problems),
    /// Another daemon runs one of the virtual routers, or has the state directory.
    Busy(String),
    /// The machine does not give what is needed.
    Machine(String),
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) problems: Problems,
    /// Nothing is known to be wrong with it: something that it names does not come.
    pub(super) is_late: bool,
}

impl From<Problems> for Unusable {
    fn from(problems: Problems) -> Self {
        Self { problems, is_late: false }
    }
}

impl From<Unusable> for Refusal {
    fn from(Unusable { problems, is_late }: Unusable) -> Self {
        if is_late { Self::Late(problems) } else { Self::Configuration(problems) }
    }
}

impl Refusal {
    pub(super) fn machine(what: &str, error: &io::Error) -> Self {
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        let todo = if denied { "; run it as root or with CAP_NET_ADMIN and CAP_NET_RAW" } else { "" };
        Self::Machine(format!("{what}: {error}; not started{todo}"))
    }

    /// Says it, and which exit code it is.
    pub(super) fn told(self) -> ExitCode {
        match self {
            Self::Configuration(problems) => {
                eprintln!("{}", problems.with_outcome("not started"));
                ExitCode::from(78)
            }
            Self::Late(problems) => {
                eprintln!("{}", problems.with_outcome("not started; the next try may find it"));
                ExitCode::from(75)
            }
            Self::Busy(why) => {
                tracing::error!("{why}");
                ExitCode::from(75)
            }
            Self::Machine(why) => {
                tracing::error!("{why}");
                ExitCode::from(71)
            }
        }
    }
}
