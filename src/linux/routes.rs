//! Routes and rules of instances, marked as ours: there while they are wanted, and put back when somebody removed one.
//!
//! They have no lifetime in the kernel. Whether one is there is asked by adding it once more: the kernel refuses what is
//! there, whatever the size of its tables, and what is not there is there then. None of anybody else is touched: an IPv4 route
//! comes before others with the same destination, table and metric; where there is one already over IPv6, that is an error.

use std::{collections::BTreeMap, io};

use super::{
    route_request::{add_route, add_rule, remove_exactly, remove_route, remove_rule},
    rtnl::{Failure, Request, Rtnl},
};
use crate::{
    config::{Renames, Route, RouteKey, Routing, RoutingKeys, Rule, RuleKey},
    words::Instant,
};

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Was gone and is there again: in the words of `ip`.
    pub restored: Vec<String>,
    /// Cannot be set: a sentence each.
    pub failed: Vec<String>,
}

/// Sets and removes them, with a netlink socket of its own.
#[derive(Debug)]
pub struct Routes {
    netlink: Rtnl,
    held: BTreeMap<String, Vec<Piece>>,
    /// Of which nothing that a process before this one left can be there any more.
    swept: RoutingKeys,
}

/// One route or rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Route(Route),
    Rule(Rule),
}

/// How one was found.
enum Found {
    There,
    /// Not there, and now it is.
    Missing,
    /// Something is in its place.
    Taken,
    Refused(io::Error),
}

impl Routes {
    /// Opens the socket.
    ///
    /// # Errors
    /// No descriptor is left, or the kernel has no netlink.
    pub fn open() -> io::Result<Self> {
        Ok(Self { netlink: Rtnl::open(0)?, held: BTreeMap::new(), swept: RoutingKeys::default() })
    }

    /// Makes the kernel have exactly these for this instance: what it had before and is not wanted now goes first. Nothing is
    /// written after `not_after`.
    pub fn apply(&mut self, instance: &str, wanted: &Routing, not_after: Option<Instant>) -> Outcome {
        let routes = wanted.routes.iter().cloned().map(Piece::Route);
        let wanted: Vec<Piece> = routes.chain(wanted.rules.iter().cloned().map(Piece::Rule)).collect();
        let mut outcome = Outcome::default();
        let before = self.held.remove(instance).unwrap_or_default();
        let mut held = Vec::new();
        for piece in before.iter().rev().filter(|piece| !wanted.contains(piece)) {
            if self.is_wanted_by_another(piece) {
                continue;
            }
            if let Err(error) = self.remove_piece(piece, None)
                && !is_gone(&error)
            {
                outcome.failed.push(format!("{piece} cannot be removed: {error}"));
                // Tried again the next time.
                held.push(piece.clone());
            }
        }
        for piece in wanted {
            let known = before.contains(&piece);
            if known && !piece.is_tracked() {
                held.push(piece);
                continue;
            }
            if let Some(other) = self.in_the_place_of(&piece) {
                outcome
                    .failed
                    .push(format!("{piece} cannot be set: the instance {other} has another one in its place"));
                continue;
            }
            match self.put(&piece, not_after) {
                Found::There => held.push(piece),
                Found::Missing => {
                    outcome.restored.extend(known.then(|| piece.to_string()));
                    held.push(piece);
                }
                Found::Taken if known || self.is_wanted_by_another(&piece) => held.push(piece),
                // One of a process before this one is exchanged, one of somebody else stays.
                Found::Taken => match self.remove_piece(&piece, not_after).map(|()| self.put(&piece, not_after)) {
                    Ok(Found::There | Found::Missing) => held.push(piece),
                    Ok(Found::Refused(error)) => outcome.failed.push(format!("{piece} cannot be set: {error}")),
                    Ok(Found::Taken) | Err(_) => outcome.failed.push(format!(
                        "{piece} cannot be set: there is one in its place that is not of ha; remove that, or write another \
                         metric or priority"
                    )),
                },
                Found::Refused(error) => {
                    outcome.failed.push(format!("{piece} cannot be set: {error}"));
                    // It may be there all the same, from before or because only the answer was lost.
                    self.forget_that_it_is_gone(&piece);
                    held.extend(known.then_some(piece));
                }
            }
        }
        if !held.is_empty() {
            self.held.insert(instance.to_owned(), held);
        }
        outcome
    }

    /// Instances are called otherwise from now on.
    pub fn rename(&mut self, renames: &Renames) {
        renames.rekey(&mut self.held, |instance| instance);
    }

    /// Removes what a process before this one left behind: only what bears the mark, and nothing that an instance of this one
    /// has. What was looked for once is not there any more. Returns what was there.
    ///
    /// # Errors
    /// A sentence about the first one that could not be removed; the others are.
    pub fn remove(&mut self, keys: &RoutingKeys) -> Result<Vec<String>, String> {
        let mut keys = keys.clone();
        let held = || self.held.values().flatten();
        keys.retain(
            |key| !self.swept.routes.contains(key) && !held().any(|piece| piece.is_route(key)),
            |key| !self.swept.rules.contains(key) && !held().any(|piece| piece.is_rule(*key)),
        );
        let (mut removed, mut failed) = (Vec::new(), None);
        for key in &keys.rules {
            let six = if key.family == crate::words::Family::V6 { "-6 " } else { "" };
            let name = format!("the rule {six}{}", key.priority);
            self.remove_all_of(|| remove_rule(*key), name, &mut removed, &mut failed);
        }
        for key in &keys.routes {
            let RouteKey { destination, table, metric } = key;
            let name = format!("the route to {destination} in table {table} with metric {metric}");
            self.remove_all_of(|| remove_route(key), name, &mut removed, &mut failed);
            self.put_back_what_went_along(key);
        }
        if failed.is_none() {
            self.swept.extend(&keys);
        }
        failed.map_or(Ok(removed), Err)
    }

    /// One that was left with another gateway may be behind another.
    fn remove_all_of(
        &mut self,
        request: impl Fn() -> Request,
        name: String,
        removed: &mut Vec<String>,
        failed: &mut Option<String>,
    ) {
        const MOST: usize = 16;
        for time in 0..MOST {
            match self.perform(request(), None) {
                Ok(()) if time == 0 => removed.push(name.clone()),
                Ok(()) => {}
                Err(error) if is_gone(&error) => return,
                Err(error) => {
                    failed.get_or_insert_with(|| format!("{name} cannot be removed: {error}"));
                    return;
                }
            }
        }
    }

    fn forget_that_it_is_gone(&mut self, piece: &Piece) {
        self.swept.retain(|key| !piece.is_route(key), |key| !piece.is_rule(*key));
    }

    /// To the kernel the metric 0 of an IPv4 route that is to go means any.
    fn put_back_what_went_along(&mut self, gone: &RouteKey) {
        let beside = |key: RouteKey| gone.metric == 0 && (key.destination, key.table) == (gone.destination, gone.table);
        let is_beside = |piece: &&Piece| matches!(piece, Piece::Route(route) if beside(route.key()));
        let pieces: Vec<Piece> = self.held.values().flatten().filter(is_beside).cloned().collect();
        for piece in pieces {
            // What fails is tried again after the next advertisement.
            let _ = self.put(&piece, None);
        }
    }

    /// Exactly this one, where the kernel can tell it from others of ours.
    fn remove_piece(&mut self, piece: &Piece, not_after: Option<Instant>) -> io::Result<()> {
        let request = match piece {
            Piece::Route(route) if route.destination.addr().is_ipv4() => {
                // Without its interface it is gone; whatever is left of it has its key.
                let exact = remove_exactly(route, |name| self.netlink.index_of(name));
                exact.unwrap_or_else(|_| remove_route(&route.key()))
            }
            Piece::Route(route) => remove_route(&route.key()),
            Piece::Rule(rule) => remove_rule(rule.key()),
        };
        self.perform(request, not_after)
    }

    fn is_wanted_by_another(&self, piece: &Piece) -> bool {
        self.held.values().any(|held| held.contains(piece))
    }

    /// Which instance has another one with the same key.
    fn in_the_place_of(&self, piece: &Piece) -> Option<&String> {
        let other = |held: &Piece| held != piece && held.has_the_key_of(piece);
        self.held.iter().find(|(_, held)| held.iter().any(other)).map(|(instance, _)| instance)
    }

    fn put(&mut self, piece: &Piece, not_after: Option<Instant>) -> Found {
        let request = match piece {
            Piece::Route(route) => add_route(route, |name| self.netlink.index_of(name)),
            Piece::Rule(rule) => Ok(add_rule(rule)),
        };
        match request.and_then(|request| self.perform(request, not_after)) {
            Ok(()) => Found::Missing,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match piece {
                Piece::Route(route) if route.destination.addr().is_ipv6() => Found::Taken,
                // The kernel compares all of it.
                Piece::Route(_) | Piece::Rule(_) => Found::There,
            },
            Err(error) => Found::Refused(error),
        }
    }

    fn perform(&mut self, request: Request, not_after: Option<Instant>) -> io::Result<()> {
        match self.netlink.change(vec![request], not_after) {
            Ok(results) => results.into_iter().collect(),
            Err(Failure::Io(error)) => Err(error),
            Err(Failure::TooLate(late)) => {
                Err(io::Error::other(format!("{late:?} too late, the lease runs out by itself")))
            }
        }
    }
}

impl Piece {
    fn is_route(&self, key: &RouteKey) -> bool {
        matches!(self, Self::Route(route) if route.key() == *key)
    }

    fn is_rule(&self, key: RuleKey) -> bool {
        matches!(self, Self::Rule(rule) if rule.key() == key)
    }

    fn has_the_key_of(&self, other: &Self) -> bool {
        match other {
            Self::Route(route) => self.is_route(&route.key()),
            Self::Rule(rule) => self.is_rule(rule.key()),
        }
    }

    const fn is_tracked(&self) -> bool {
        match self {
            Self::Route(route) => route.tracked,
            Self::Rule(rule) => rule.tracked,
        }
    }
}

impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Route(route) => write!(f, "the route {route}"),
            Self::Rule(rule) => write!(f, "the rule {rule}"),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT))
}

#[cfg(test)]
mod tests;
