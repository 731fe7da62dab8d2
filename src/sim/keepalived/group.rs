//! Groups of keepalived (`vrrp_sync_group`), as they were measured: they are in fault while a member is, they lead once every member
//! would, and a member that finds a higher master takes the others back with it, who say nothing of it.

use super::Keepalived;
use crate::{node::Role, words::Instant};

impl Keepalived {
    /// A fault of one is a fault of all, and the end of the last one is the end of all.
    pub(super) fn settle(&mut self, now: Instant) {
        for index in 0..self.routers.len() {
            let fit =
                self.members(index).iter().all(|member| self.routers.get(*member).is_none_or(super::Router::is_fit));
            if let Some(router) = self.routers.get_mut(index) {
                router.settle(now, fit, &mut self.outbox);
            }
        }
    }

    /// Those whose timers have run out lead, if all of their group would. Those that have taken are masters by then, so the others see
    /// that all would.
    pub(super) fn take_together(&mut self, now: Instant) {
        for index in 0..self.routers.len() {
            let would = |member: &usize| {
                self.routers.get(*member).is_none_or(|router| router.wants || router.role == Role::Master)
            };
            if self.members(index).iter().all(would)
                && let Some(router) = self.routers.get_mut(index)
                && router.wants
            {
                router.take(now, &mut self.outbox);
            }
        }
    }

    /// What one has heard bears on the others of its group: `was` it a master before, and does it lead no more, they do not either;
    /// `lower`: it has heard a lower master, and they announce their addresses too.
    pub(super) fn follow(&mut self, now: Instant, index: usize, was: Role, lower: bool) {
        let leads = self.routers.get(index).is_some_and(|router| router.role == Role::Master);
        let others: Vec<usize> = self.members(index).into_iter().filter(|member| *member != index).collect();
        for member in others {
            let Some(router) = self.routers.get_mut(member) else { continue };
            if was == Role::Master && !leads {
                router.step_back(now, "a member of its group has heard a higher master", &mut self.outbox);
            } else if lower && router.role == Role::Master {
                router.announce(&mut self.outbox);
            }
        }
    }

    /// The routers of its group, itself among them.
    fn members(&self, index: usize) -> Vec<usize> {
        let name = self.routers.get(index).map(|router| router.config.name.as_str()).unwrap_or_default();
        let mut groups = self.config.groups.iter();
        let Some(group) = groups.find(|group| group.instances.iter().any(|member| member == name)) else {
            return vec![index];
        };
        let is_member =
            |at: &usize| self.routers.get(*at).is_some_and(|router| group.instances.contains(&router.config.name));
        (0..self.routers.len()).filter(is_member).collect()
    }
}
