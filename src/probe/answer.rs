//! What a probe comes to, and the one place where the system's errors get their names.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind as Io},
    time::Duration,
};

use nix::errno::Errno;

use crate::policy::probe::{ErrorKind, Field, ProbeOutcome};

/// Fields of an outcome, by name.
pub(super) type Fields = BTreeMap<&'static str, Field>;

/// What a probe found out.
#[derive(Debug)]
pub(super) struct Answer {
    /// Why it is ok, or why not.
    pub(super) verdict: Result<String, Failure>,
    /// All fields of this kind of probe, always; [`Field::Unit`] where nothing is known.
    pub(super) fields: Fields,
}

/// Why a probe is not ok.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) error: ErrorKind,
    pub(super) why: String,
}

impl Answer {
    pub(super) fn into_outcome(self, elapsed: Duration) -> ProbeOutcome {
        let fields = self.fields;
        match self.verdict {
            Ok(why) => ProbeOutcome { ok: true, why, error: ErrorKind::None, blind: false, elapsed, fields },
            Err(Failure { error, why }) => {
                let blind = matches!(error, ErrorKind::Denied | ErrorKind::Internal);
                ProbeOutcome { ok: false, why, error, blind, elapsed, fields }
            }
        }
    }
}

impl Failure {
    pub(super) fn new(error: ErrorKind, why: impl Into<String>) -> Self {
        Self { error, why: why.into() }
    }

    pub(super) fn internal(why: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, why)
    }

    /// Names an error of a socket. A missing route, interface or source address is *unreachable* and not blind: a node
    /// that has lost its network has learnt something. What is not known to come from outside is ours, hence blind.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the system's errors are open-ended")]
    pub(super) fn of_socket(error: &io::Error) -> Self {
        let kind = match error.kind() {
            Io::TimedOut | Io::WouldBlock => ErrorKind::Timeout,
            Io::ConnectionRefused => ErrorKind::Refused,
            Io::HostUnreachable | Io::NetworkUnreachable | Io::NetworkDown | Io::AddrNotAvailable => {
                ErrorKind::Unreachable
            }
            Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof | Io::NotConnected => {
                ErrorKind::Reset
            }
            Io::PermissionDenied => ErrorKind::Denied,
            _ if no_such_interface(error) => ErrorKind::Unreachable,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, describe(kind, error))
    }

    /// Says what was being done: `"eth9: no such device"`.
    pub(super) fn during(self, what: impl std::fmt::Display) -> Self {
        Self { why: format!("{what}: {}", self.why), ..self }
    }
}

fn no_such_interface(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENODEV | Errno::ENXIO | Errno::EHOSTDOWN | Errno::ENONET))
}

/// The system's words for it, in lower case and without the number.
fn describe(kind: ErrorKind, error: &io::Error) -> String {
    if kind == ErrorKind::Reset {
        return "connection closed by the other side".to_owned();
    }
    match error.raw_os_error() {
        Some(code) => Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(errno: Errno) -> (ErrorKind, bool) {
        let failure = Failure::of_socket(&errno.into());
        let outcome = Answer { verdict: Err(failure), fields: Fields::new() }.into_outcome(Duration::ZERO);
        assert!(!outcome.ok && !outcome.why.is_empty());
        (outcome.error, outcome.blind)
    }

    #[test]
    fn what_the_other_side_or_the_network_did_is_an_answer() {
        assert_eq!(named(Errno::ECONNREFUSED), (ErrorKind::Refused, false));
        assert_eq!(named(Errno::ECONNRESET), (ErrorKind::Reset, false));
        assert_eq!(named(Errno::EPIPE), (ErrorKind::Reset, false));
        assert_eq!(named(Errno::ETIMEDOUT), (ErrorKind::Timeout, false));
        for errno in [Errno::EHOSTUNREACH, Errno::ENETUNREACH, Errno::ENETDOWN, Errno::EADDRNOTAVAIL, Errno::ENODEV] {
            assert_eq!(named(errno), (ErrorKind::Unreachable, false), "{errno}");
        }
    }

    #[test]
    fn what_this_machine_lacks_is_no_information() {
        assert_eq!(named(Errno::EPERM), (ErrorKind::Denied, true));
        assert_eq!(named(Errno::EACCES), (ErrorKind::Denied, true));
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM] {
            assert_eq!(named(errno), (ErrorKind::Internal, true), "{errno}");
        }
    }
}
