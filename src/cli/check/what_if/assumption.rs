//! What is to be assumed: `web=down,arbiter=blind,peer=dead`.

use std::{collections::BTreeMap, str::FromStr};

use crate::policy::Forced;

/// Assumptions, as they are written on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli::check) struct Assumption {
    /// What rules see, by their names.
    pub(super) rules: BTreeMap<String, Forced>,
    /// No peer is there.
    pub(super) peer_is_dead: bool,
}

impl FromStr for Assumption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut assumption = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').map(|(name, value)| (name.trim(), value.trim())).ok_or_else(|| {
                    format!("`{part}` assumes nothing; write RULE=down, RULE=up, RULE=blind or peer=dead")
                })?;
            match (name, value) {
                ("peer", "dead") => assumption.peer_is_dead = true,
                ("peer", "alive") => assumption.peer_is_dead = false,
                ("peer", other) => return Err(format!("a peer is dead or alive, not {other}")),
                (rule, "down") => drop(assumption.rules.insert(rule.to_owned(), Forced::Down)),
                (rule, "up") => drop(assumption.rules.insert(rule.to_owned(), Forced::Up)),
                (rule, "blind") => drop(assumption.rules.insert(rule.to_owned(), Forced::Blind)),
                (_, other) => return Err(format!("a rule is down, up or blind, not {other}")),
            }
        }
        if assumption == Self::default() {
            return Err("nothing is assumed; write RULE=down or peer=dead".to_owned());
        }
        Ok(assumption)
    }
}

impl Assumption {
    /// `web=down, peer=dead`
    pub(super) fn shown(&self) -> String {
        let rules = self.rules.iter().map(|(rule, forced)| format!("{rule}={}", word(*forced)));
        let peer = self.peer_is_dead.then(|| "peer=dead".to_owned());
        rules.chain(peer).collect::<Vec<_>>().join(", ")
    }
}

pub(super) const fn word(forced: Forced) -> &'static str {
    match forced {
        Forced::Up => "up",
        Forced::Down => "down",
        Forced::Blind => "blind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        let assumption: Assumption = "web=down, the arbiter=blind,peer=dead".parse().unwrap();
        assert_eq!(assumption.shown(), "the arbiter=blind, web=down, peer=dead");
        assert_eq!("web=up".parse::<Assumption>().unwrap().shown(), "web=up");
        for wrong in ["", "web", "web=dead", "peer=down"] {
            assert!(wrong.parse::<Assumption>().is_err(), "{wrong}");
        }
    }
}
