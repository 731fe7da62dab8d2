//! Why the lab could not do what it was asked.

use std::{fmt, io, time::Duration};

/// What went wrong, one variant per cause.
#[derive(Debug)]
pub enum Trouble {
    /// This machine gives no namespaces to this user.
    NoNamespaces(io::Error),
    /// The kernel refused something that it should allow inside one's own namespaces.
    Kernel {
        /// What was tried.
        what: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// A program did not start.
    Program {
        /// Its name.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// A file of the pair is not what the lab needs.
    File {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Something did not happen in time.
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
    },
    /// A helper of the lab is gone.
    Gone(&'static str),
}

impl Trouble {
    /// For `map_err`: the kernel refused `what`.
    pub(crate) fn kernel<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self::Kernel { what, error: error.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNamespaces(error) => write!(
                f,
                "this machine does not let this user make namespaces ({error}); run it as root, or allow user \
                 namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)"
            ),
            Self::Kernel { what, error } => write!(f, "the kernel refused to {what}: {error}"),
            Self::Program { name, error } => write!(f, "{name} did not start: {error}"),
            Self::File { name, why } => write!(f, "{name}: {why}"),
            Self::Late { what, waited } => write!(f, "{what}: not within {:.1} s", waited.as_secs_f64()),
            Self::Gone(what) => write!(f, "{what} of the lab is gone"),
        }
    }
}

impl std::error::Error for Trouble {}

/// What most of the lab returns.
pub type Result<T> = std::result::Result<T, Trouble>;
