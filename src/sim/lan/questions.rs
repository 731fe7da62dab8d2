//! What a test asks of a LAN: how it is, and what happened.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a world of its own: its machines are numbered by it")]

use super::*;

impl Lan {
    pub fn role(&self, index: usize) -> Role {
        self.stations[index].node.status().instances[0].role
    }

    /// The reasons of its transitions since the counts were reset.
    pub fn transitions(&self, index: usize) -> Vec<&str> {
        let lines = self.story.iter().filter(|(_, of, _)| *of == index);
        let reason = lines.filter_map(|(_, _, line)| {
            if let Line::Event(Event::Transition { reason, .. }) = line { Some(reason.as_str()) } else { None }
        });
        reason.collect()
    }

    /// Why it is in its role.
    pub fn reason(&self, index: usize) -> String {
        self.stations[index].node.status().instances[0].reason.clone()
    }

    pub fn has_condition(&self, index: usize, name: &str) -> bool {
        self.stations[index].node.status().instances[0].conditions.iter().any(|condition| condition.name == name)
    }

    pub fn holds(&self, index: usize) -> bool {
        !self.stations[index].kernel.is_empty()
    }

    /// When a station did something, since the counts were reset.
    pub fn times(&self, index: usize, what: impl Fn(&Line) -> bool) -> Vec<Instant> {
        self.story.iter().filter(|(_, who, line)| *who == index && what(line)).map(|(at, _, _)| *at).collect()
    }

    pub fn sent(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| matches!(line, Line::Sent(_)))
    }

    pub fn probed(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| matches!(line, Line::Probed(_, None)))
    }

    pub fn held(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| matches!(line, Line::Hold(addresses) if !addresses.is_empty()))
    }

    pub fn released(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| matches!(line, Line::Hold(addresses) if addresses.is_empty()))
    }

    pub fn announced(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| *line == Line::Announce)
    }

    pub fn noted(&self, index: usize, text: &str) -> usize {
        self.times(index, |line| matches!(line, Line::Event(Event::Note(note)) if note.contains(text))).len()
    }

    pub fn raised(&self, index: usize, name: &str) -> usize {
        self.times(index, |line| matches!(line, Line::Event(Event::Raised(condition)) if condition.name == name)).len()
    }

    /// What its kernel has of the virtual addresses.
    pub fn kernel(&self, index: usize) -> Vec<IpNet> {
        self.stations[index].kernel.keys().copied().collect()
    }

    pub fn holding(&self) -> Vec<usize> {
        (0..self.stations.len()).filter(|index| self.holds(*index)).collect()
    }

    /// The last lines of the story, for whoever reads a failure.
    pub fn tale(&self, lines: usize) -> String {
        let skip = self.story.len().saturating_sub(lines);
        let line = |(at, index, line): &(Instant, usize, Line)| format!("{at:?} node{index} {line:?}\n");
        self.story.iter().skip(skip).map(line).collect()
    }

    /// Forgets what was counted, to count from here.
    pub fn reset_counts(&mut self) {
        self.holders = Holders::default();
        self.stretch = (self.reachable_holders(), self.now);
        self.story.clear();
    }

    pub fn settle_counts(&mut self) -> Holders {
        self.count();
        let (_, since) = self.stretch;
        self.stretch.1 = since;
        self.close_stretch();
        self.holders
    }
}
