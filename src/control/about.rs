//! Questions and commands about one policy, as they travel: `/v1/policies/NAME/…`.
//!
//! | request | answer |
//! |---|---|
//! | `GET …/generations` | the [`Generations`] |
//! | `GET …/generations/7` | the [`Texts`] |
//! | `POST …/rollback`, `…/rollback/7` | the generation before this one, or this, runs and stays |
//! | `POST …/pin`, `…/pin/7` | this generation stays |
//! | `POST …/unpin` | the file is followed again |
//! | `POST …/use/FILE` | another file of the policy directory runs and stays |
//!
//! Each command is answered with what it did, or 409 and why it did nothing.

use super::protocol::{Done, Generations, Texts};

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What is kept?
    Generations,
    /// The texts of a generation.
    Texts(u64),
    /// Run this one, or the one before.
    Rollback(Option<u64>),
    /// Stay at this one, or at the running one.
    Pin(Option<u64>),
    /// Follow the file.
    Unpin,
    /// Run another file.
    Use(String),
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// What is kept.
    Generations(Generations),
    /// The texts.
    Texts(Texts),
    /// What was done.
    Done(Done),
}

impl Wanted {
    /// Whether it changes something.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        match self {
            Self::Generations | Self::Texts(_) => false,
            Self::Rollback(_) | Self::Pin(_) | Self::Unpin | Self::Use(_) => true,
        }
    }

    /// The path of a request.
    #[must_use]
    pub fn path(&self, policy: &str) -> String {
        let number = |number: Option<u64>| number.map(|number| format!("/{number}")).unwrap_or_default();
        let what = match self {
            Self::Generations => "generations".to_owned(),
            Self::Texts(number) => format!("generations/{number}"),
            Self::Rollback(generation) => format!("rollback{}", number(*generation)),
            Self::Pin(generation) => format!("pin{}", number(*generation)),
            Self::Unpin => "unpin".to_owned(),
            Self::Use(file) => format!("use/{file}"),
        };
        format!("/v1/policies/{policy}/{what}")
    }

    /// The policy and what is wanted; `None` if it is no such path.
    #[must_use]
    pub fn parse(path: &str) -> Option<(String, Self)> {
        let mut parts = path.strip_prefix("/v1/policies/")?.split('/');
        let (policy, what, which) = (parts.next()?, parts.next()?, parts.next());
        let number = || which.map(|number| number.parse().ok());
        let wanted = match (what, which) {
            ("generations", None) => Self::Generations,
            ("generations", Some(_)) => Self::Texts(number()??),
            ("rollback", None) => Self::Rollback(None),
            ("rollback", Some(_)) => Self::Rollback(Some(number()??)),
            ("pin", None) => Self::Pin(None),
            ("pin", Some(_)) => Self::Pin(Some(number()??)),
            ("unpin", None) => Self::Unpin,
            ("use", Some(file)) if !file.is_empty() => Self::Use(file.to_owned()),
            _ => return None,
        };
        (parts.next().is_none() && !policy.is_empty()).then(|| (policy.to_owned(), wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written() {
        let all = [
            Wanted::Generations,
            Wanted::Texts(7),
            Wanted::Rollback(None),
            Wanted::Rollback(Some(7)),
            Wanted::Pin(None),
            Wanted::Pin(Some(8)),
            Wanted::Unpin,
            Wanted::Use("emergency".into()),
        ];
        for wanted in all {
            assert_eq!(Wanted::parse(&wanted.path("p")), Some(("p".to_owned(), wanted)));
        }
        for path in [
            "/v1/policies/p",
            "/v1/policies/p/pin/x",
            "/v1/policies//pin",
            "/v1/policies/p/pin/7/8",
            "/v1/policies/p/use",
        ] {
            assert_eq!(Wanted::parse(path), None, "{path}");
        }
    }
}
