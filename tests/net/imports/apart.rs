//! What cannot be compared, and what differs on purpose; each with its reason.

use std::collections::BTreeSet;

use super::{World, fixture::Fixture};
use crate::runner;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Role,
    Advertisement,
    Address,
}

/// Fixtures that one of the two cannot run here.
pub(super) const APART: &[(&str, &str)] =
    &[("track-processes", "keepalived follows processes only from the first network namespace of a machine")];

/// One that this keepalived cannot run: `auth_hmac` was another one before 2.4.2, and none before 2.4.0. The stories of
/// `mixed::signed` need one that can as well, and what it writes is compared with a captured one by `ha::wire`.
const SIGNED: &str = "auth-hmac";

/// Whether both can run a fixture here.
pub(super) fn can_be_compared(fixture: &Fixture) -> bool {
    APART.iter().all(|(name, _)| *name != fixture.name) && (fixture.name != SIGNED || runner::keepalived_signs())
}

/// Something that differs on purpose.
#[derive(Debug)]
pub(super) struct Different {
    pub(super) fixture: &'static str,
    pub(super) world: Option<World>,
    pub(super) what: &'static [What],
    /// In what it is called.
    pub(super) name: &'static str,
    pub(super) why: &'static str,
}

const ALL: &[What] = &[What::Role, What::Advertisement, What::Address];
const ROUTE: &str =
    "in ha a link-local address brings no route of its own: the interface has one, which would go with the address";
const UNCHECKED: &str =
    "keepalived 2.2.7 disables a check that is found by PATH and not run as root, and serves unchecked; ha does not";

pub(super) const DIFFERENT: &[Different] = &[
    Different { fixture: "address-settings", world: None, what: &[What::Address], name: "fe80::7/64", why: ROUTE },
    Different {
        fixture: "address-settings",
        world: None,
        what: &[What::Address],
        name: "2001:db8::7/64",
        why: "ha never waits for duplicate address detection; keepalived 2.2.7 forgets -nodad where another flag follows",
    },
    Different { fixture: "garp", world: None, what: &[What::Address], name: "fe80::34/64", why: ROUTE },
    Different { fixture: "garp-groups", world: None, what: &[What::Address], name: "fe80::42/64", why: ROUTE },
    Different { fixture: "ipv6", world: None, what: &[What::Address], name: "fe80::10/64", why: ROUTE },
    Different {
        fixture: "ipv6",
        world: None,
        what: &[What::Advertisement],
        name: "id 10 to ff02",
        why: "ha puts the link-local address first, as RFC 9568 has it; nobody looks at the order",
    },
    Different {
        fixture: "old-style",
        world: Some(World::Well),
        what: &[What::Advertisement],
        name: "id 51",
        why: "</dev/tcp/… is for bash: where sh is another shell this check always fails in keepalived",
    },
    Different {
        fixture: "vmac-twins",
        world: None,
        what: &[What::Address],
        name: "fe80::ff:fe00:100/64 on 00:00:5e:00:02:33",
        why: "keepalived gives its device the interface's own link-local address; ha needs none there to advertise from it",
    },
    Different { fixture: "haproxy-pair", world: Some(World::Ill), what: ALL, name: "", why: UNCHECKED },
    Different { fixture: "web-pair", world: Some(World::Ill), what: &[What::Advertisement], name: "", why: UNCHECKED },
    Different {
        fixture: "missing-program",
        world: None,
        what: ALL,
        name: "",
        why: "keepalived serves unchecked where the program of a check is missing; to ha that is no success",
    },
];

/// Which of them a difference is, if it is on purpose.
pub(super) fn meant(fixture: &Fixture, world: World, what: What, name: &str) -> Option<usize> {
    let is_this = |known: &Different| {
        known.fixture == fixture.name
            && known.world.is_none_or(|known| known == world)
            && known.what.contains(&what)
            && name.contains(known.name)
    };
    DIFFERENT.iter().position(is_this)
}

/// Those that are listed and did not occur.
pub(super) fn stale(occurred: &BTreeSet<usize>) -> impl Iterator<Item = String> {
    let gone = DIFFERENT.iter().enumerate().filter(|(number, _)| !occurred.contains(number));
    gone.map(|(_, Different { fixture, world, what, name, why })| {
        format!("{fixture}, {world:?}, {what:?} {name:?}: it does not differ any more, though it is listed: {why}")
    })
}
