//! The instances of a node, by name, and when each wants the time.
//!
//! A node may have a thousand. A turn is about one or two of them: the others are not even asked when they want their next
//! one, because that was known and nothing has changed it. Whoever gets to change an instance makes it forget that.

use std::collections::BTreeMap;

use super::{Ears, Wake, instance::Instance};
use crate::{config::Renames, words::Instant};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Roll(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    instance: Instance,
    next: Next,
}

/// When an instance wants the time.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// It was changed since it was asked, and wants a look now.
    Unknown,
    /// Then; `None`: not before it is changed.
    At(Option<(Instant, Wake)>),
}

impl Entry {
    const fn new(instance: Instance) -> Self {
        Self { instance, next: Next::Unknown }
    }

    fn touch(&mut self) -> &mut Instance {
        self.next = Next::Unknown;
        &mut self.instance
    }

    fn next_timeout(&self, now: Instant) -> Option<(Instant, Wake)> {
        match self.next {
            Next::Unknown => self.instance.next_timeout(now),
            Next::At(next) => next,
        }
    }

    fn wants_the_time(&self, now: Instant, ears: Ears) -> bool {
        ears == Ears::Behind
            || self.instance.behind_since.is_some()
            || match self.next {
                Next::Unknown => true,
                Next::At(next) => next.is_some_and(|(at, _)| at <= now),
            }
    }
}

impl Roll {
    pub(super) fn insert(&mut self, name: String, instance: Instance) {
        self.0.insert(name, Entry::new(instance));
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Instance> {
        self.0.remove(name).map(|entry| entry.instance)
    }

    /// Each under the name that it has from now on.
    pub(super) fn rename(&mut self, renames: &Renames) {
        renames.rekey(&mut self.0, |name| name);
    }

    pub(super) fn contains_key(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Instance> {
        self.0.get(name).map(|entry| &entry.instance)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Instance> {
        self.0.get_mut(name).map(Entry::touch)
    }

    /// The instance of this name, if it is like that, to be changed.
    pub(super) fn get_mut_if(&mut self, name: &str, like: impl Fn(&Instance) -> bool) -> Option<&mut Instance> {
        self.0.get_mut(name).filter(|entry| like(&entry.instance)).map(Entry::touch)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Instance> {
        self.0.values().map(|entry| &entry.instance)
    }

    /// Every instance, to be changed.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.0.values_mut().map(Entry::touch)
    }

    /// Those that are like that, to be changed.
    pub(super) fn matching_mut(&mut self, like: impl Fn(&Instance) -> bool) -> impl Iterator<Item = &mut Instance> {
        self.0.values_mut().filter(move |entry| like(&entry.instance)).map(Entry::touch)
    }

    /// Gives the time to everybody who wants it.
    pub(super) fn tell_the_time(&mut self, now: Instant, ears: Ears, mut tell: impl FnMut(&mut Instance)) {
        for entry in self.0.values_mut().filter(|entry| entry.wants_the_time(now, ears)) {
            tell(&mut entry.instance);
            entry.next = Next::At(entry.instance.next_timeout(now));
        }
    }

    /// The first time that anybody wants, and why.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<(Instant, Wake)> {
        self.0.values().filter_map(|entry| entry.next_timeout(now)).min_by_key(|(at, _)| *at)
    }

    /// An instance that would want the time earlier than it said: something has changed it unnoticed.
    pub(super) fn forgotten(&self, now: Instant) -> Option<&Instance> {
        let earlier = |entry: &&Entry| {
            let wants = entry.instance.next_timeout(now).map(|(at, _)| at);
            let known = entry.next_timeout(now).map(|(at, _)| at);
            wants.is_some_and(|wants| known.is_none_or(|known| wants < known && now < known))
        };
        self.0.values().find(earlier).map(|entry| &entry.instance)
    }
}
