//! The interfaces of this machine as they count: what changes for a moment only is let pass, where that is wanted; and so is
//! the time after a start.

use std::{collections::BTreeMap, time::Duration};

use super::{Event, Journal, LinkSeen, Node, Output};
use crate::{
    config::{self, Config, LinkDelays},
    words::{Instant, InterfaceName, readable},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Links {
    delays: BTreeMap<InterfaceName, LinkDelays>,
    counts: BTreeMap<InterfaceName, LinkSeen>,
    /// How it is, and when that counts unless it ends before.
    pending: BTreeMap<InterfaceName, (LinkSeen, Instant)>,
}

/// What follows from a look at an interface.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It counts.
    Counts,
    /// The same, and a loss that did not count has ended.
    Over,
    /// It counts later; a sentence, if that is news.
    Later(Option<String>),
}

const fn carries(link: &LinkSeen) -> bool {
    link.up && link.carrier
}

impl Links {
    /// What is on its way to count stays on its way.
    pub(super) fn configure(&mut self, delays: &BTreeMap<InterfaceName, LinkDelays>) {
        self.delays.clone_from(delays);
    }

    /// As they count.
    pub(super) const fn all(&self) -> &BTreeMap<InterfaceName, LinkSeen> {
        &self.counts
    }

    /// Another interface has this name now.
    pub(super) fn is_another(&self, link: &LinkSeen) -> bool {
        self.counts.get(&link.name).is_some_and(|known| known.index != link.index)
    }

    /// That it loses its carrier does not count at once.
    pub(super) fn outlasts_a_loss(&self, interface: &InterfaceName) -> bool {
        self.delays.get(interface).is_some_and(|delays| !delays.down.is_zero())
    }

    /// An interface is like this now.
    pub(super) fn see(&mut self, now: Instant, link: &LinkSeen) -> Look {
        let name = &link.name;
        let known = self.counts.get(name).filter(|known| known.index == link.index);
        let delay = match known {
            Some(known) if carries(known) != carries(link) => self.delay(link),
            Some(_) | None => Duration::ZERO,
        };
        if delay.is_zero() {
            let ended = self.pending.remove(name).is_some_and(|(waiting, _)| !carries(&waiting));
            self.counts.insert(name.clone(), link.clone());
            return if ended && carries(link) { Look::Over } else { Look::Counts };
        }
        if let Some((waiting, _)) = self.pending.get_mut(name).filter(|(waiting, _)| waiting.index == link.index) {
            waiting.clone_from(link);
            return Look::Later(None);
        }
        self.pending.insert(name.clone(), (link.clone(), now + delay));
        let (state, key) = match (link.up, link.carrier) {
            (true, true) => ("is up again", "up_delay"),
            (true, false) => ("has no carrier", "down_delay"),
            (false, _) => ("is down", "down_delay"),
        };
        Look::Later(Some(format!(
            "interface {name} {state}; that counts once it has lasted for {} ({key})",
            readable(delay)
        )))
    }

    /// An interface is gone, at once.
    pub(super) fn lose(&mut self, name: &InterfaceName) {
        self.pending.remove(name);
        self.counts.remove(name);
    }

    /// What has lasted long enough counts.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<LinkSeen> {
        let due: Vec<LinkSeen> =
            self.pending.extract_if(.., |_, (_, at)| *at <= now).map(|(_, (link, _))| link).collect();
        self.counts.extend(due.iter().map(|link| (link.name.clone(), link.clone())));
        due
    }

    /// When something may count next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.pending.values().map(|(_, at)| *at).min()
    }

    fn delay(&self, link: &LinkSeen) -> Duration {
        let delays = self.delays.get(&link.name).copied().unwrap_or_default();
        if carries(link) { delays.up } else { delays.down }
    }
}

impl Node {
    /// An interface is like this now; what follows if that counts.
    pub(super) fn see_link(&mut self, link: &LinkSeen) {
        if self.links.is_another(link) {
            self.addresses.remove(&link.name);
        }
        match self.links.see(self.now, link) {
            Look::Counts => self.on_link(link),
            Look::Over => {
                self.on_link(link);
                self.each_on(&link.name, |now, instance, out| instance.is_heard_again(now, out));
            }
            Look::Later(news) => {
                let journal = |text| Journal { at: self.now, instance: String::new(), event: Event::Note(text) };
                self.outbox.extend(news.map(|text| Output::Report(journal(text))));
            }
        }
    }

    /// What has lasted long enough counts.
    pub(super) fn settle_links(&mut self) {
        for link in self.links.settle(self.now) {
            self.on_link(&link);
        }
    }

    fn on_link(&mut self, link: &LinkSeen) {
        self.each_path_on(&link.name, |instance| instance.on_path_link(&link.name, Some(link)));
        self.each_on(&link.name, |now, instance, out| instance.on_link(now, Some(link.clone()), out));
        self.each_beside(&link.name, |now, instance, out| {
            instance.on_device_link(now, &link.name, Some(link.clone()), out);
        });
        self.each_tracking(&link.name, Some(link));
    }

    /// Where the loss of a carrier does not count at once, what is sent without one has not left all the same: it renews no
    /// lease, and is no trouble before the lease has run out.
    pub(super) fn on_transmitted(&mut self, name: &str, result: Result<(), String>, carrier: Option<bool>) {
        let on = self.instances.get(name).map(|instance| &instance.config);
        let waits = |on: &config::Instance| on.track_own_interface && self.links.outlasts_a_loss(&on.interface);
        if carrier == Some(false) && on.is_some_and(waits) {
            return self.with(name, |now, instance, out| instance.on_unsent(now, out));
        }
        self.with(name, |now, instance, out| instance.on_transmitted(now, result, carrier, out));
    }
}

/// Until when a node that starts now takes no part. The clock counts from the start of the machine.
pub(super) fn quiet_until(now: Instant, config: &Config) -> Option<Instant> {
    let until = (now + config.start.start).max(Instant::ZERO + config.start.boot);
    (now < until).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn link(index: u32, carrier: bool) -> LinkSeen {
        LinkSeen { name: "eth0".parse().unwrap(), index, mac: None, up: true, carrier, port_of: None }
    }

    fn links() -> Links {
        let delays = LinkDelays { up: Duration::from_secs(2), down: Duration::from_secs(1) };
        let mut links = Links::default();
        links.configure(&BTreeMap::from([("eth0".parse().unwrap(), delays)]));
        links
    }

    #[test]
    fn what_is_seen_first_counts_at_once_and_so_does_another_interface() {
        let mut links = links();
        assert_eq!(links.see(at(0), &link(1, false)), Look::Counts);
        assert_eq!(links.see(at(0), &link(2, true)), Look::Counts);
        links.see(at(0), &link(2, false));
        links.lose(&"eth0".parse().unwrap());
        assert_eq!((links.next(), links.settle(at(9000))), (None, vec![]));
    }

    #[test]
    fn a_loss_counts_once_it_has_lasted() {
        let mut links = links();
        links.see(at(0), &link(1, true));
        assert!(matches!(links.see(at(100), &link(1, false)), Look::Later(Some(_))));
        assert_eq!(links.see(at(500), &link(1, false)), Look::Later(None), "the time runs from the first moment");
        assert_eq!((links.next(), links.settle(at(1099))), (Some(at(1100)), vec![]));
        assert_eq!(links.settle(at(1100)), [link(1, false)]);
        assert!(matches!(links.see(at(1200), &link(1, true)), Look::Later(Some(_))));
        assert_eq!(links.next(), Some(at(3200)));
    }

    #[test]
    fn what_is_over_in_time_never_was() {
        let mut links = links();
        links.see(at(0), &link(1, true));
        links.see(at(100), &link(1, false));
        assert_eq!(links.see(at(900), &link(1, true)), Look::Over);
        assert_eq!((links.next(), links.settle(at(5000))), (None, vec![]));
        links.see(at(5000), &link(1, false));
        assert_eq!(links.next(), Some(at(6000)), "each loss has its own time");
    }
}
