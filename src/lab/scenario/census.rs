//! What a daemon leaves in the kernel of its machine, and what it takes for itself: held against what there was before.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::lab::{
    daemon::Daemon,
    process::{inhabitants, on_path, output},
    trouble::{Result, Trouble},
    world::{Host, World},
};

/// What a process may write into its memory beyond what it had when it had settled: allocators keep what they were given.
pub(super) const GROWTH: u64 = 8 << 20;
/// How many more descriptors may be open for a moment: probes and clients under way.
pub(super) const AT_WORK: usize = 24;
/// What is said about these is the kernel's own affair, and different each time.
const VOLATILE: [&str; 4] = ["valid_lft", "preferred_lft", "expires", "hoplimit"];
/// The lab's own: what makes a machine mute.
const OURS: &str = "table inet lab";

/// Interfaces, addresses, routes, rules and tables of the packet filter of a machine, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Census(BTreeSet<String>);

impl Census {
    /// What there is now.
    pub(super) fn of(world: &World, host: Host) -> Result<Self> {
        let mut lines = BTreeSet::new();
        for (kind, program, arguments) in [
            ("link", "ip", "-o link show"),
            ("address", "ip", "-o address show"),
            ("route", "ip", "route show table all"),
            ("route", "ip", "-6 route show table all"),
            ("rule", "ip", "rule show"),
            ("rule", "ip", "-6 rule show"),
            ("filter", "nft", "list tables"),
        ] {
            let failed = || Trouble::Program { name: program.to_owned(), error: std::io::ErrorKind::NotFound.into() };
            let path = on_path(program).ok_or_else(failed)?;
            let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
            let said = output(world.netns(host), &path, &arguments)?.stdout;
            let said = String::from_utf8_lossy(&said).into_owned();
            lines
                .extend(said.lines().filter(|line| *line != OURS).map(|line| format!("{kind} {}", steady(kind, line))));
        }
        Ok(Self(lines))
    }

    /// What is there and was not before, and the other way round; empty: nothing.
    pub(super) fn beside(&self, before: &Self) -> Vec<String> {
        let more = self.0.difference(&before.0).map(|line| format!("there is now: {line}"));
        let less = before.0.difference(&self.0).map(|line| format!("there is no more: {line}"));
        more.chain(less).collect()
    }

    /// Waits until all is as it was before; what is not in the end.
    pub(super) fn until_as(world: &World, host: Host, before: &Self, at_most: Duration) -> Result<Vec<String>> {
        let until = Instant::now() + at_most;
        loop {
            let differs = Self::of(world, host)?.beside(before);
            if differs.is_empty() || Instant::now() > until {
                return Ok(differs);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A line without what changes by itself: of an interface its name is enough, numbers and lifetimes go.
fn steady(kind: &str, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    if kind == "link" {
        return words.get(1).copied().unwrap_or_default().to_owned();
    }
    let mut kept = Vec::new();
    let mut skip = kind == "address";
    for word in words {
        if std::mem::take(&mut skip) {
            continue;
        }
        // One that is held has a lease, and is not dynamic to anybody else.
        if word == "dynamic" || word == "\\" || word == "linkdown" {
            continue;
        }
        skip = VOLATILE.contains(&word);
        if !skip {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// What a daemon takes for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vitals {
    /// What its processes wrote into their memory, in bytes.
    pub(super) memory: u64,
    /// Their open descriptors.
    pub(super) descriptors: usize,
}

impl Vitals {
    pub(super) fn of(daemon: &mut Daemon) -> Self {
        let process = daemon.process();
        Self { memory: process.anonymous(), descriptors: process.descriptors() }
    }

    /// What is too much beside what there was at first, while it is at work.
    pub(super) fn excess(self, first: Self) -> Option<String> {
        if self.memory > first.memory + GROWTH {
            let [now, then, most] = [self.memory, first.memory, GROWTH].map(|bytes| bytes >> 10);
            return Some(format!("its memory grew from {then} to {now} KiB, and {most} KiB more is what it may take"));
        }
        (self.descriptors > first.descriptors + AT_WORK).then(|| self.open(first))
    }

    /// How many descriptors there are, and were.
    pub(super) fn open(self, first: Self) -> String {
        format!("it has {} descriptors open, and had {}", self.descriptors, first.descriptors)
    }
}

/// The processes that are left on a machine on which none should be.
pub(super) fn left_over(world: &World, host: Host, at_most: Duration) -> Vec<i32> {
    let until = Instant::now() + at_most;
    loop {
        let left = inhabitants(world.netns(host));
        if left.is_empty() || Instant::now() > until {
            return left;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(lines: &[&str]) -> Census {
        Census(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    #[test]
    fn what_is_left_and_what_is_missing_is_named() {
        let before = census(&["link eth0:", "filter table inet a"]);
        assert_eq!(before.beside(&before), Vec::<String>::new());
        let after = census(&["link eth0:", "link vrrp.51:"]);
        assert_eq!(after.beside(&before), ["there is now: link vrrp.51:", "there is no more: filter table inet a"]);
    }

    #[test]
    fn what_changes_by_itself_is_not_looked_at() {
        let line = "2: eth0    inet 192.168.0.60/24 scope global secondary dynamic proto 0x70 eth0\\       valid_lft 2sec \
                    preferred_lft 2sec";
        let seen = "eth0 inet 192.168.0.60/24 scope global secondary proto 0x70 eth0\\";
        assert_eq!(steady("address", line), seen);
        assert_eq!(steady("link", "2: eth0@if3: <BROADCAST,UP> mtu 1500"), "eth0@if3:");
        assert_eq!(steady("route", "default dev eth0 expires 12sec linkdown"), "default dev eth0");
    }

    #[test]
    fn growth_and_open_descriptors_are_bounded() {
        let first = Vitals { memory: 10 << 20, descriptors: 20 };
        assert_eq!(Vitals { memory: 18 << 20, descriptors: 44 }.excess(first), None);
        let grown = Vitals { memory: (18 << 20) + 1024, descriptors: 20 }.excess(first).unwrap();
        assert!(grown.contains("from 10240 to 18433 KiB"), "{grown}");
        let open = Vitals { memory: 0, descriptors: 45 }.excess(first).unwrap();
        assert_eq!(open, "it has 45 descriptors open, and had 20");
    }
}
