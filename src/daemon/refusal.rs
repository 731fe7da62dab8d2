//! Why the daemon does not run.

use std::{io, process::ExitCode};

use crate::config::Problems;

/// See the module.
pub(super) enum Refusal {
    /// The configuration cannot be used, nor is there a last good one.
    Configuration(Problems),
    /// Another daemon runs one of the virtual routers, or has the state directory.
    Busy(String),
    /// The machine does not give what is needed.
    Machine(String),
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
