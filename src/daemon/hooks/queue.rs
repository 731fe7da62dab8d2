//! What waits to be run for one instance, in which order, and what is no longer worth running.
//!
//! Pure: who runs it, and when, is not known here.

use std::collections::VecDeque;

use super::notice::Notice;
use crate::config::Occasion;
use crate::policy::{Hook, HookEvent, Policy, Work};

/// What waits at most; the oldest gives way.
const WAITING_MAX: usize = 64;

/// One thing to run.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// The policy, by name; empty for what is no policy's.
    pub(super) policy: String,
    pub(super) task: Task,
}

/// What it is.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// A hook, of whichever version of the policy runs by then.
    Hook(Hook, HookEvent),
    /// A repair, of the version that asked for it.
    Heal(Policy, Work),
    /// Programs that are told of something.
    Notice(Notice),
}

/// Whether every transition counts for a policy, or the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// A newer transition takes the place of one that waits.
    Latest,
    /// `ORDERED`: all, one after the other.
    All,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    jobs: VecDeque<Job>,
}

impl Waiting {
    /// Takes a job; returns those that it makes pointless, or that had to give way.
    pub(super) fn push(&mut self, job: Job, order: Order) -> Vec<Job> {
        let mut dropped = Vec::new();
        if order == Order::Latest {
            dropped = self.withdraw(|other| other.policy == job.policy && replaces(&job, other));
        }
        if self.jobs.len() >= WAITING_MAX {
            // Which role it is in must be told in the end.
            let least = self.jobs.iter().position(|job| !is_transition(job)).unwrap_or(0);
            dropped.extend(self.jobs.remove(least));
        }
        self.jobs.push_back(job);
        dropped
    }

    /// Takes a job that everything else waits for.
    pub(super) fn push_first(&mut self, job: Job) {
        self.jobs.push_front(job);
    }

    pub(super) fn pop(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether this hook is to run yet.
    pub(super) fn has(&self, hook: Hook) -> bool {
        self.jobs.iter().any(|job| job.task.is(hook))
    }

    /// Takes out every job of this kind.
    fn withdraw(&mut self, kind: impl Fn(&Job) -> bool) -> Vec<Job> {
        let (gone, kept): (VecDeque<Job>, VecDeque<Job>) = std::mem::take(&mut self.jobs).into_iter().partition(kind);
        self.jobs = kept;
        gone.into()
    }
}

/// Whether nobody needs to know of the other one any more.
fn replaces(job: &Job, other: &Job) -> bool {
    let of_lower = |job: &Job| matches!(&job.task, Task::Notice(notice) if notice.occasion == Occasion::LowerPriority);
    is_transition(job) && is_transition(other) || of_lower(job) && of_lower(other)
}

/// Whether it is about a role, of which only the latest is true.
fn is_transition(job: &Job) -> bool {
    match &job.task {
        Task::Hook(Hook::Master | Hook::Backup | Hook::Fault, _) => true,
        Task::Hook(Hook::Release | Hook::Stop | Hook::Rule | Hook::Maintenance | Hook::Reload, _) | Task::Heal(..) => {
            false
        }
        Task::Notice(notice) => notice.is_transition(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(policy: &str, hook: Hook) -> Job {
        Job { policy: policy.to_owned(), task: Task::Hook(hook, HookEvent::default()) }
    }

    fn names(waiting: &mut Waiting) -> Vec<String> {
        std::iter::from_fn(|| waiting.pop())
            .map(|job| match job.task {
                Task::Hook(hook, _) => format!("{} {hook}", job.policy),
                Task::Heal(..) => format!("{} heal", job.policy),
                Task::Notice(notice) => format!("{}notice {}", job.policy, notice.occasion.key()),
            })
            .collect()
    }

    #[test]
    fn a_newer_transition_takes_the_place_of_one_that_waits() {
        let mut waiting = Waiting::default();
        for hook in [Hook::Master, Hook::Rule, Hook::Backup] {
            waiting.push(job("a", hook), Order::Latest);
        }
        waiting.push(job("b", Hook::Master), Order::Latest);
        let dropped = waiting.push(job("a", Hook::Fault), Order::Latest);
        assert_eq!(dropped.len(), 1);
        assert_eq!(names(&mut waiting), ["a on_rule", "b on_master", "a on_fault"]);
    }

    #[test]
    fn ordered_keeps_them_all() {
        let mut waiting = Waiting::default();
        for hook in [Hook::Master, Hook::Backup, Hook::Master] {
            assert!(waiting.push(job("a", hook), Order::All).is_empty());
        }
        assert_eq!(names(&mut waiting), ["a on_master", "a on_backup", "a on_master"]);
    }

    #[test]
    fn it_is_bounded_and_the_oldest_gives_way() {
        let mut waiting = Waiting::default();
        let dropped: usize = (0..100).map(|_| waiting.push(job("a", Hook::Rule), Order::All).len()).sum();
        assert_eq!((dropped, names(&mut waiting).len()), (100 - WAITING_MAX, WAITING_MAX));
    }

    fn notice(occasion: Occasion) -> Job {
        let instance = crate::config::fixture::pair().0.instances.remove(0);
        let notice = Notice::new(occasion, HookEvent::default(), &instance);
        Job { policy: String::new(), task: Task::Notice(notice) }
    }

    #[test]
    fn what_programs_are_told_of_a_role_is_never_lost() {
        let mut waiting = Waiting::default();
        for occasion in [Occasion::Master, Occasion::LowerPriority, Occasion::LowerPriority, Occasion::Backup] {
            waiting.push(notice(occasion), Order::Latest);
        }
        for _ in 0..200 {
            waiting.push(job("a", Hook::Rule), Order::Latest);
        }
        let names = names(&mut waiting);
        assert_eq!((names.len(), names.iter().filter(|name| *name == "notice backup").count()), (WAITING_MAX, 1));
        assert!(!names.contains(&"notice master".to_owned()), "{names:?}");
    }

    #[test]
    fn a_release_comes_first() {
        let mut waiting = Waiting::default();
        waiting.push(job("a", Hook::Rule), Order::Latest);
        waiting.push_first(job("a", Hook::Release));
        assert_eq!(names(&mut waiting), ["a on_release", "a on_rule"]);
    }
}
