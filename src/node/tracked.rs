//! What everything tracked comes to, for whoever foretells what an instance does (`ha check`): the machine's own judgement
//! of what was seen, or of what is assumed.

use std::collections::BTreeMap;

use super::{
    LinkSeen,
    judgement::Opinion,
    tracks::{ComesTo, Finding, Seen, TrackedFacts},
};
use crate::{
    config::{Effect, TrackedFile, Tracks},
    policy::Forced,
    words::InterfaceName,
};

/// What is tracked by an instance, judged.
#[derive(Clone, Debug, Default)]
pub struct Tracked(Vec<Finding>);

impl Tracked {
    /// Where nothing is tracked.
    #[must_use]
    pub const fn nothing() -> Self {
        Self(Vec::new())
    }

    /// As it is: the interfaces of the machine, and what files and processes were found to be.
    #[must_use]
    pub fn seen(tracks: &Tracks, links: &BTreeMap<InterfaceName, LinkSeen>, facts: &TrackedFacts) -> Self {
        let mut seen = Seen::default();
        seen.take(tracks, links, facts);
        Self(seen.findings(tracks))
    }

    /// Everything is well, but for what is assumed otherwise, by the names of what is tracked.
    #[must_use]
    pub fn supposed(tracks: &Tracks, assumed: &BTreeMap<String, Forced>) -> Self {
        let suppose = |(name, effect): (String, Effect)| {
            let forced = assumed.get(&name).copied();
            Finding::supposed(name, effect, forced)
        };
        let file = |tracked: &TrackedFile| {
            let forced = assumed.get(&tracked.to_string()).copied();
            Finding::supposed_file(tracked, forced)
        };
        let interfaces = tracks.interfaces.iter().map(|tracked| (tracked.to_string(), tracked.effect)).map(suppose);
        let processes = tracks.processes.iter().map(|tracked| (tracked.to_string(), tracked.effect)).map(suppose);
        Self(interfaces.chain(tracks.files.iter().map(file)).chain(processes).collect())
    }

    /// What is tracked, by name, and why it is not well.
    pub fn findings(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|finding| (finding.name.as_str(), finding.why.as_deref()))
    }

    /// Nothing of it is other than it should be.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.0.iter().all(|finding| finding.why.is_none())
    }

    pub(super) fn opinion(&self) -> Opinion {
        self.0.iter().cloned().map(Finding::opinion).fold(Opinion::WELL, Opinion::beside)
    }

    pub(super) fn weights(&self) -> impl Iterator<Item = (String, i32)> {
        self.0.iter().filter_map(|finding| match finding.comes_to {
            ComesTo::Adds { delta, .. } => Some((finding.name.clone(), delta)),
            ComesTo::Fault | ComesTo::StandDown | ComesTo::Unknown | ComesTo::NotYet => None,
        })
    }
}
