//! What the protocol thread asks of the machine so that it is on time: real-time priority, memory that stays, and to be
//! the last one killed. Each is a wish; a refusal is a sentence, and `ha` goes on without.

use std::{fs, io};

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::has_capability;

/// Gives the calling thread `SCHED_FIFO` with a priority of 1-99. Threads and processes it starts do not inherit it.
///
/// # Errors
/// The privilege is missing: what happened, what `ha` does now, what to do.
pub fn realtime(priority: u8) -> Result<(), String> {
    // SAFETY: sched_param is a plain C structure of integers; all zeros is a value of it.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = i32::from(priority);
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameters` is valid for the call, which only reads it; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result == 0 {
        return Ok(());
    }
    Err(format!(
        "real-time priority {priority} was refused: {}. ha goes on without it; on a busy machine advertisements can be \
         late. Give the unit LimitRTPRIO={priority} or the capability CAP_SYS_NICE (CPUSchedulingPolicy=fifo in the unit \
         works too), or remove realtime_priority",
        io::Error::last_os_error()
    ))
}

/// Keeps every page of this process in memory once it was touched.
///
/// # Errors
/// The privilege is missing: what happened, what `ha` does now, what to do.
pub fn lock_memory() -> Result<(), String> {
    let refused = |why: &str| {
        format!(
            "the memory could not be locked: {why}. ha goes on without; if the machine swaps, advertisements can be late. \
             Give the unit LimitMEMLOCK=infinity, or remove lock_memory"
        )
    };
    // With a finite limit mlockall may succeed and a later allocation fail, which is worse than no lock.
    if !unlimited() {
        return Err(refused("the limit of locked memory (LimitMEMLOCK) is finite"));
    }
    // ONFAULT: whole thread stacks would otherwise become resident.
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|error| refused(&error.to_string()))
}

/// Asks the kernel to kill this process late when memory runs out: -1000 (never) to 1000 (first).
///
/// # Errors
/// The privilege is missing: what happened, what `ha` does now, what to do.
pub fn spare_from_oom_killer(adjustment: i16) -> Result<(), String> {
    fs::write("/proc/self/oom_score_adj", adjustment.to_string()).map_err(|error| {
        format!(
            "the out-of-memory score could not be set to {adjustment}: {error}. ha goes on with the present one; when memory \
             runs out it can be killed as any other process. Give the unit OOMScoreAdjust={adjustment}"
        )
    })
}

/// Whether locked memory has no limit, after trying to lift it.
fn unlimited() -> bool {
    let none = Rlimit { current: None, maximum: None };
    getrlimit(Resource::Memlock).current.is_none() || setrlimit(Resource::Memlock, none).is_ok() || may_lock_any()
}

/// Whether this process has `CAP_IPC_LOCK` in the first user namespace, where the kernel asks for it.
fn may_lock_any() -> bool {
    let whole = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    fs::read_to_string("/proc/self/uid_map").is_ok_and(whole) && has_capability("CAP_IPC_LOCK") == Some(true)
}

#[cfg(test)]
mod tests {
    use super::{super::namespace::alone, *};

    /// Either it is granted and so, or it is refused in a sentence that says what to do. Which one depends on the machine.
    #[test]
    fn what_is_granted_is_so_and_what_is_refused_is_said() {
        alone(|| {
            // SAFETY: 0 is the calling thread; the call only returns a number.
            let policy = || unsafe { libc::sched_getscheduler(0) };
            match realtime(50) {
                Ok(()) => assert_eq!(policy() & !libc::SCHED_RESET_ON_FORK, libc::SCHED_FIFO),
                Err(why) => {
                    assert_eq!(policy(), libc::SCHED_OTHER);
                    assert!(
                        why.starts_with("real-time priority 50 was refused: ") && why.contains("LimitRTPRIO=50"),
                        "{why}"
                    );
                }
            }
            let locked = || fs::read_to_string("/proc/self/smaps").unwrap().contains(" lo ");
            match lock_memory() {
                Ok(()) => assert!(locked()),
                Err(why) => assert!(why.contains("LimitMEMLOCK=infinity") && !locked(), "{why}"),
            }
            match spare_from_oom_killer(-900) {
                Ok(()) => assert_eq!(fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim(), "-900"),
                Err(why) => assert!(why.contains("OOMScoreAdjust=-900"), "{why}"),
            }
            spare_from_oom_killer(500).unwrap();
            assert_eq!(fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim(), "500");
        });
    }

    #[test]
    fn an_impossible_priority_is_refused() {
        assert!(realtime(200).unwrap_err().starts_with("real-time priority 200 was refused: Invalid argument"));
    }
}
