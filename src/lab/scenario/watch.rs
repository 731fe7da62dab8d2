//! Who watches chaos: the client that is served or not and asks who has the address, the kernels, and what the daemons take and
//! leave. What is promised is [`Promise`]'s; a daemon's own word counts for nothing.

use std::time::{Duration, Instant};

use super::{
    census::{Census, Vitals, left_over},
    player::Player,
};
use crate::{
    lab::{
        asking::{Answered, Asking, EVERY},
        client::{Record, Stream},
        trouble::{Result, Trouble},
    },
    sim::{Breach, Done, Held, Promise},
    words::readable,
};

/// How long the nodes may take until all is well before chaos begins.
const SETTLES: Duration = Duration::from_secs(60);
/// Well, and at rest: every rule was seen, every announcement made.
const RESTS: Duration = Duration::from_secs(4);
/// Between two looks at what the daemons take for themselves.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A process is settled when it is so old.
const SETTLED: Duration = Duration::from_secs(5);
/// How long it may take after everything until descriptors are closed and the kernel's lists are as before.
const TIDIES: Duration = Duration::from_secs(20);
/// How much later a busy machine may do everything.
const BUSY: Duration = Duration::from_millis(1500);
/// The same for what only the kernels must do.
const BUSY_KERNEL: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    promise: Promise,
    stream: Stream,
    asking: Asking,
    /// Each node before its daemon was there, and while all was well.
    blank: Vec<Census>,
    well: Vec<Census>,
    first: Vec<Vitals>,
    most: Vec<Vitals>,
    looked_at: Instant,
    breaches: Vec<Breach>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) breaches: Vec<Breach>,
    /// For people, a line each.
    pub(super) summary: Vec<String>,
}

impl Watch {
    /// Before the daemons start.
    pub(super) fn begin(player: &Player, promise: Promise) -> Result<Self> {
        let world = player.world();
        Ok(Self {
            promise,
            stream: Stream::every(world, EVERY)?,
            asking: Asking::start(world)?,
            blank: player.hosts().map(|host| Census::of(world, host)).collect::<Result<_>>()?,
            well: Vec::new(),
            first: Vec::new(),
            most: Vec::new(),
            looked_at: Instant::now(),
            breaches: Vec::new(),
        })
    }

    /// Waits until all is well and at rest, and remembers how that looks.
    pub(super) fn settle(&mut self, player: &mut Player) -> Result<()> {
        let until = Instant::now() + SETTLES;
        while let Err(why) = player.is_well() {
            if Instant::now() > until {
                return Err(Trouble::Late {
                    what: format!("all is well before chaos begins ({why})"),
                    waited: SETTLES,
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(RESTS);
        let world = player.world();
        self.well = player.hosts().map(|host| Census::of(world, host)).collect::<Result<_>>()?;
        self.first = player.vitals().into_iter().map(Option::unwrap_or_default).collect();
        self.most = self.first.clone();
        Ok(())
    }

    /// Between two steps: whether a daemon takes too much.
    pub(super) fn look(&mut self, player: &mut Player, began: Instant) {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Instant::now();
        for (index, vitals) in player.vitals().into_iter().enumerate() {
            let old = player.age(index).is_some_and(|age| age > SETTLED);
            let (Some(vitals), Some(first), true) = (vitals, self.first.get(index), old) else { continue };
            if let Some(why) = vitals.excess(*first) {
                self.breaches.push(Breach { at: began.elapsed(), text: format!("{}: {why}", player.title(index)) });
            }
            if let Some(most) = self.most.get_mut(index) {
                most.memory = most.memory.max(vitals.memory);
                most.descriptors = most.descriptors.max(vitals.descriptors);
            }
        }
    }

    /// All is calm, or should be: what was taken is given back, then everything ends, and nothing is left.
    pub(super) fn end(mut self, player: &mut Player, done: &[Done], began: Instant, over: Instant) -> Result<Findings> {
        let mut found = std::mem::take(&mut self.breaches);
        let now = |began: Instant| began.elapsed();
        for (index, why) in self.not_given_back(player) {
            found.push(Breach { at: now(began), text: format!("all is calm, and {}: {why}", player.title(index)) });
        }
        for (index, before) in self.well.iter().enumerate() {
            let host = player.host_of(index)?;
            for line in Census::until_as(player.world(), host, before, TIDIES)? {
                let text = format!("all is calm, and {}: {line}", player.title(index));
                found.push(Breach { at: now(began), text });
            }
        }
        player.stop_all()?;
        for (index, before) in self.blank.iter().enumerate() {
            let host = player.host_of(index)?;
            let left = left_over(player.world(), host, TIDIES);
            let mut lines = Census::until_as(player.world(), host, before, TIDIES)?;
            lines.extend(left.iter().map(|pid| format!("process {pid} still runs")));
            for line in lines {
                let text = format!("every daemon was stopped, and {}: {line}", player.title(index));
                found.push(Breach { at: now(began), text });
            }
        }
        let answers = self.asking.answers();
        let record = self.stream.stop();
        let held = held(player, began, over)?;
        let answered = answered(player, &answers, began, over);
        let gaps = gaps(&record, began, over);
        found.extend(self.promise.two_holders(done, &held, BUSY_KERNEL));
        found.extend(
            self.promise
                .two_holders(done, &answered, BUSY)
                .into_iter()
                .map(|breach| Breach { text: format!("{}, as ARP answers the client", breach.text), ..breach }),
        );
        found.extend(self.promise.nobody(done, &held, &gaps, BUSY));
        found.sort_by_key(|breach| breach.at);
        let mut summary = vec![
            two("two had the address, by the kernels", &held),
            two("two answered for it, by ARP from the client", &answered),
            longest("the client was without an answer", &gaps),
            bounds(&self.promise),
        ];
        for (index, (first, most)) in self.first.iter().zip(&self.most).enumerate() {
            summary.push(format!(
                "{}: {} to {} KiB of its own, {} to {} descriptors",
                player.title(index),
                first.memory >> 10,
                most.memory >> 10,
                first.descriptors,
                most.descriptors
            ));
        }
        Ok(Findings { breaches: found, summary })
    }

    /// Who has more than at first once all is calm.
    fn not_given_back(&self, player: &mut Player) -> Vec<(usize, String)> {
        let until = Instant::now() + TIDIES;
        loop {
            let vitals = player.vitals();
            let more = |(index, (vitals, first)): (usize, (Option<Vitals>, &Vitals))| {
                let vitals = vitals?;
                let open = (vitals.descriptors > first.descriptors).then(|| vitals.open(*first));
                open.or_else(|| vitals.excess(*first)).map(|why| (index, why))
            };
            let found: Vec<(usize, String)> =
                vitals.into_iter().zip(&self.first).enumerate().filter_map(more).collect();
            if found.is_empty() || Instant::now() > until {
                return found;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Who had the address when, as the kernels have it.
fn held(player: &Player, began: Instant, over: Instant) -> Result<Vec<Held>> {
    let reigns = player.observer()?.reigns(began, over).into_iter();
    let held = reigns.map(|reign| Held {
        from: reign.from.saturating_duration_since(began),
        to: reign.to.saturating_duration_since(began),
        by: reign.holders.into_iter().filter_map(|host| player.index(host)).collect(),
    });
    Ok(held.collect())
}

/// The same, as the network answers the client.
fn answered(player: &Player, answers: &[Answered], began: Instant, over: Instant) -> Vec<Held> {
    let since = |at: Instant| at.saturating_duration_since(began);
    let ends = answers.iter().skip(1).map(|answered| answered.at).chain([over]);
    let times = answers.iter().zip(ends).filter(|(answered, to)| *to > began && *to > answered.at);
    let held = times.map(|(answered, to)| Held {
        from: since(answered.at),
        to: since(to.min(over)),
        by: answered.by.iter().filter_map(|host| player.index(*host)).collect(),
    });
    held.collect()
}

fn gaps(record: &Record, began: Instant, over: Instant) -> Vec<(Duration, Duration)> {
    let since = |at: Instant| at.saturating_duration_since(began);
    record.gaps(began, over).into_iter().map(|(from, to)| (since(from), since(to))).collect()
}

fn two(what: &str, held: &[Held]) -> String {
    let times: Vec<(Duration, Duration)> =
        held.iter().filter(|held| held.by.len() > 1).map(|held| (held.from, held.to)).collect();
    longest(what, &times)
}

fn longest(what: &str, times: &[(Duration, Duration)]) -> String {
    let lengths = || times.iter().map(|(from, to)| to.saturating_sub(*from));
    let (all, most): (Duration, Duration) = (lengths().sum(), lengths().max().unwrap_or_default());
    format!("{what} for {} in all, {} at a time", readable(all), readable(most))
}

fn bounds(promise: &Promise) -> String {
    let two =
        promise.two_at_most().map_or_else(|| "is not bounded".to_owned(), |two| format!("{} at most", readable(two)));
    format!(
        "the bounds while every packet arrives: two have it {two}, nobody answers {} at most",
        readable(promise.nobody_at_most())
    )
}
