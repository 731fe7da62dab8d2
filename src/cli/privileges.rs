//! What functions of policies need beyond what an ordinary process may, compared with what the unit gives and with what
//! this process has.

use std::collections::{BTreeMap, BTreeSet};

use crate::{linux::has_capability, policy::language::Function};

/// What `config/ha.service` gives; a test compares.
pub(super) const UNIT: [&str; 2] = ["CAP_NET_ADMIN", "CAP_NET_RAW"];

/// What it takes to start a program as another user.
pub(super) const OF_OTHER_USERS: [&str; 2] = ["CAP_SETUID", "CAP_SETGID"];

/// The capabilities that these functions need and `has` does not, each with the functions.
pub(super) fn lacking<'f>(
    functions: impl IntoIterator<Item = &'f Function>,
    has: impl Fn(&str) -> bool,
) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut lacking: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for function in functions {
        for capability in function.capabilities().filter(|capability| !has(capability)) {
            lacking.entry(capability).or_default().insert(function.name);
        }
    }
    lacking
}

/// The unit gives it.
pub(super) fn is_given_by_the_unit(capability: &str) -> bool {
    UNIT.contains(&capability)
}

/// This process has it; where the kernel does not say, the probe will.
pub(super) fn is_held(capability: &str) -> bool {
    has_capability(capability).unwrap_or(true)
}

/// What `systemctl edit ha` must be given; empty if the unit gives it all.
pub(super) fn drop_in(lacking: &BTreeMap<&str, BTreeSet<&str>>) -> String {
    if lacking.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = lacking.keys().copied().collect();
    let names = names.join(" ");
    // The unit forbids the calls themselves, too.
    let calls = OF_OTHER_USERS.iter().any(|capability| lacking.contains_key(capability));
    let calls = if calls { "SystemCallFilter=@setuid\n" } else { "" };
    format!("[Service]\nAmbientCapabilities={names}\nCapabilityBoundingSet={names}\n{calls}")
}

/// `CAP_SYS_PTRACE (process)`
pub(super) fn named(lacking: &BTreeMap<&str, BTreeSet<&str>>) -> String {
    let one = |(capability, functions): (&&str, &BTreeSet<&str>)| {
        format!("{capability} ({})", functions.iter().copied().collect::<Vec<_>>().join(", "))
    };
    lacking.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::policy::language;

    #[test]
    fn the_unit_gives_what_is_said_here() {
        let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/ha.service")).unwrap();
        for line in ["AmbientCapabilities=", "CapabilityBoundingSet="] {
            let given: Vec<&str> =
                unit.lines().filter_map(|text| text.strip_prefix(line)).flat_map(str::split_whitespace).collect();
            assert_eq!(given, UNIT, "{line}");
        }
    }

    #[test]
    fn what_is_lacking_is_named_with_its_functions() {
        let ping = language::function("ping").unwrap();
        let arping = language::function("arping").unwrap();
        assert!(lacking([ping, arping], is_given_by_the_unit).is_empty());
        let nothing = lacking([ping, arping], |_| false);
        assert_eq!(named(&nothing), "CAP_NET_RAW (arping, ping)");
        assert_eq!(
            drop_in(&nothing),
            "[Service]\nAmbientCapabilities=CAP_NET_RAW\nCapabilityBoundingSet=CAP_NET_RAW\n"
        );
        assert_eq!(drop_in(&BTreeMap::new()), "");
        let exec = lacking([language::function("exec").unwrap()], is_given_by_the_unit);
        let names = "CAP_SETGID CAP_SETUID";
        assert_eq!(
            drop_in(&exec),
            format!(
                "[Service]\nAmbientCapabilities={names}\nCapabilityBoundingSet={names}\nSystemCallFilter=@setuid\n"
            )
        );
    }
}
