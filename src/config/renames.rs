//! Which instances another configuration calls otherwise. A virtual router is its interface, its family and its identifier
//! (RFC 9568, section 1.7); how it is called is for people.

use std::collections::{BTreeMap, BTreeSet};

use super::{Instance, network};

/// Old names and new ones, all at once: two instances may have exchanged theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renames(BTreeMap<String, String>);

impl Renames {
    /// What becomes of the names of the instances that run, `old`, when others are configured. Whoever has a name that is
    /// another's from now on, and is configured no more or is `going` already, is called by one that no configuration has: it
    /// is still to hand over.
    #[must_use]
    pub fn between<'i>(
        old: impl IntoIterator<Item = &'i Instance>,
        going: impl IntoIterator<Item = &'i str>,
        new: &[Instance],
    ) -> Self {
        let (old, going): (Vec<&Instance>, BTreeSet<&str>) = (old.into_iter().collect(), going.into_iter().collect());
        let mut names = BTreeMap::new();
        for coming in new {
            if let Some(known) =
                old.iter().find(|known| is_one_router(known, coming)).filter(|it| it.name != coming.name)
            {
                names.insert(known.name.clone(), coming.name.clone());
            }
        }
        let here: BTreeSet<&str> = old.iter().map(|known| known.name.as_str()).chain(going).collect();
        let displaced =
            here.iter().filter(|name| !names.contains_key(**name) && names.values().any(|new| new == *name));
        let aside: Vec<_> = displaced.map(|name| ((*name).to_owned(), aside_name(name, &here))).collect();
        names.extend(aside);
        Self(names)
    }

    /// Nobody is called otherwise.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How whoever was called so is called now.
    #[must_use]
    pub fn name<'n>(&'n self, old: &'n str) -> &'n str {
        self.0.get(old).map_or(old, String::as_str)
    }

    /// The old name of each that has another one, and that.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(old, new)| (old.as_str(), new.as_str()))
    }

    /// Gives a name in its place the new one.
    pub fn rename(&self, name: &mut String) {
        if let Some(new) = self.0.get(name.as_str()) {
            name.clone_from(new);
        }
    }

    /// What is known by name is known by the new one. What is left under a name that is another's now makes room for it.
    pub fn rekey<K: Ord, V>(&self, known: &mut BTreeMap<K, V>, name: impl Fn(&mut K) -> &mut String) {
        let (mut stays, mut moves) = (BTreeMap::new(), BTreeMap::new());
        for (mut key, value) in std::mem::take(known) {
            let its = name(&mut key);
            match self.0.get(its.as_str()) {
                Some(new) => {
                    its.clone_from(new);
                    moves.insert(key, value);
                }
                None => drop(stays.insert(key, value)),
            }
        }
        stays.extend(moves);
        *known = stays;
    }
}

fn is_one_router(one: &Instance, other: &Instance) -> bool {
    network::meet(one, other) && (&one.interface, one.family, one.vrid) == (&other.interface, other.family, other.vrid)
}

/// A space is in no name of a configuration.
fn aside_name(name: &str, taken: &BTreeSet<&str>) -> String {
    let mut aside = format!("{name} (before)");
    while taken.contains(aside.as_str()) {
        aside.push_str(" (before)");
    }
    aside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::fixture::pair, wire::Vrid};

    fn instances(all: &[(&str, u8)]) -> Vec<Instance> {
        let base = &pair().0.instances[0];
        let one = |(name, vrid): &(&str, u8)| Instance {
            name: (*name).to_owned(),
            vrid: Vrid::new(*vrid).unwrap(),
            ..base.clone()
        };
        all.iter().map(one).collect()
    }

    fn between(old: &[(&str, u8)], new: &[(&str, u8)]) -> Vec<(String, String)> {
        let renames = Renames::between(&instances(old), ["C (before)"], &instances(new));
        renames.iter().map(|(old, new)| (old.to_owned(), new.to_owned())).collect()
    }

    fn names(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect()
    }

    #[test]
    fn a_virtual_router_is_known_by_what_it_is_on_the_wire() {
        let two = [("A", 51), ("B", 52)];
        for (new, expected) in [
            (&two[..], &[][..]),
            (&[("W", 51), ("B", 52)], &[("A", "W")]),
            // Both change places.
            (&[("B", 51), ("A", 52)], &[("A", "B"), ("B", "A")]),
            // In a row.
            (&[("B", 51), ("C", 52)], &[("A", "B"), ("B", "C")]),
            // Another identifier is another virtual router, whatever it is called.
            (&[("A", 53), ("B", 52)], &[]),
            // Whoever goes makes room for the name that it had.
            (&[("B", 51)], &[("A", "B"), ("B", "B (before)")]),
        ] {
            assert_eq!(between(&two, new), names(expected), "{new:?}");
        }
        let displaced = names(&[("A", "C"), ("C", "C (before) (before)")]);
        assert_eq!(between(&[("A", 51), ("C", 52)], &[("C", 51)]), displaced, "one of that name is on its way out");
    }

    #[test]
    fn names_that_change_places_lose_nothing_that_is_known_by_them() {
        let renames = Renames::between(&instances(&[("A", 1), ("B", 2)]), [], &instances(&[("B", 1), ("A", 2)]));
        let mut known = BTreeMap::from([("A".to_owned(), 1), ("B".to_owned(), 2), ("C".to_owned(), 3)]);
        renames.rekey(&mut known, |name| name);
        assert_eq!(known.into_iter().collect::<Vec<_>>(), [("A".into(), 2), ("B".into(), 1), ("C".into(), 3)]);
        let renames = Renames::between(&instances(&[("A", 1)]), [], &instances(&[("B", 1)]));
        let mut known = BTreeMap::from([("A".to_owned(), 1), ("B".to_owned(), 9)]);
        renames.rekey(&mut known, |name| name);
        assert_eq!(known.into_iter().collect::<Vec<_>>(), [("B".into(), 1)], "nothing of one that was called so once");
        assert_eq!((renames.name("A"), renames.name("C")), ("B", "C"));
    }
}
