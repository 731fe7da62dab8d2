//! The probes of the machine as a whole: memory, load, processors and pressure, as proc(5) tells them; and the clock.

use std::{
    fs, io,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use super::answer::{Answer, Failure, Fields};
use crate::policy::probe::{ErrorKind, Field, LoadRequest, MemoryRequest, PressureRequest, Resource};

/// The first look at the processors needs two.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// Fewer ticks of all processors together say nothing.
const TICKS_MIN: u64 = 5;

/// Asks the kernel for its clock: whether it is synchronised, and how many seconds it has yet to correct.
pub type TimeStatus = fn() -> io::Result<(bool, f64)>;

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::internal(format!("{path}: {error}")))
}

fn odd(path: &str) -> Failure {
    Failure::internal(format!("{path} does not say what it should"))
}

/// The verdict that a limit gives.
fn judged((ok, why): (bool, String)) -> Result<String, Failure> {
    if ok { Ok(why) } else { Err(Failure::new(ErrorKind::Mismatch, why)) }
}

fn unknown<const N: usize>(failure: Failure, names: [&'static str; N]) -> Answer {
    Answer { verdict: Err(failure), fields: names.map(|name| (name, Field::Unit)).into() }
}

/// Fields: `available_pct`, `swap_pct`.
pub(super) fn memory(wanted: &MemoryRequest) -> Answer {
    const PATH: &str = "/proc/meminfo";
    match read(PATH).and_then(|text| memory_of(&text).ok_or_else(|| odd(PATH))) {
        Ok((available, swap)) => Answer {
            verdict: judged(wanted.judge_available(available)),
            fields: Fields::from([("available_pct", Field::Float(available)), ("swap_pct", Field::Float(swap))]),
        },
        Err(failure) => unknown(failure, ["available_pct", "swap_pct"]),
    }
}

/// Available memory and used swap space, in percent.
fn memory_of(meminfo: &str) -> Option<(f64, f64)> {
    let kib = |key: &str| -> Option<f64> {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        rest.trim().trim_end_matches(" kB").parse().ok()
    };
    let (total, available) = (kib("MemTotal:")?, kib("MemAvailable:")?);
    let (swap_total, swap_free) = (kib("SwapTotal:")?, kib("SwapFree:")?);
    let used = if swap_total > 0.0 { (swap_total - swap_free) / swap_total * 100.0 } else { 0.0 };
    (total > 0.0).then(|| (available / total * 100.0, used))
}

/// Fields: `load1`, `per_cpu`.
pub(super) fn load(wanted: &LoadRequest) -> Answer {
    match load_now() {
        Ok((load, per_cpu)) => Answer {
            verdict: judged(wanted.judge_load(per_cpu)),
            fields: Fields::from([("load1", Field::Float(load)), ("per_cpu", Field::Float(per_cpu))]),
        },
        Err(failure) => unknown(failure, ["load1", "per_cpu"]),
    }
}

fn load_now() -> Result<(f64, f64), Failure> {
    let (loadavg, stat) = (read("/proc/loadavg")?, read("/proc/stat")?);
    let load: f64 = loadavg.split(' ').next().and_then(|word| word.parse().ok()).ok_or_else(|| odd("/proc/loadavg"))?;
    let processors = u32::try_from(processors(&stat)).unwrap_or(u32::MAX).max(1);
    Ok((load, load / f64::from(processors)))
}

/// Those that are switched on: the lines cpu0, cpu1, …
fn processors(stat: &str) -> usize {
    stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count()
}

/// Fields: `some10`, `full10`.
pub(super) fn pressure(wanted: &PressureRequest) -> Answer {
    match pressure_now(wanted.resource) {
        Ok((some, full)) => Answer {
            verdict: judged(wanted.judge_pressure(some, full)),
            fields: Fields::from([("some10", Field::Float(some)), ("full10", full.map_or(Field::Unit, Field::Float))]),
        },
        Err(failure) => unknown(failure, ["some10", "full10"]),
    }
}

fn pressure_now(resource: Resource) -> Result<(f64, Option<f64>), Failure> {
    let path = format!("/proc/pressure/{}", resource.as_str());
    let text = fs::read_to_string(&path).map_err(|error| {
        let hint = "; this kernel measures no pressure (CONFIG_PSI, and psi=1 on its command line)";
        Failure::internal(format!("{path}: {error}{hint}"))
    })?;
    let average = |kind: &str| average10(&text, kind);
    Ok((average("some").ok_or_else(|| odd(&path))?, average("full")))
}

/// Of a line such as `some avg10=0.12 avg60=…`.
fn average10(text: &str, kind: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
    line.split(' ').find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

/// What was last seen of the processors.
#[derive(Debug, Default)]
pub(super) struct Processors(Mutex<Option<Seen>>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    at: Ticks,
    busy: Option<f64>,
}

/// Since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Processors {
    /// Field: `busy`, since the last look; the first waits for a second one, at most half of `left`.
    pub(super) async fn probe(&self, left: Duration) -> Answer {
        let busy = match self.look() {
            Ok(None) => {
                tokio::time::sleep(FIRST_LOOK.min(left / 2)).await;
                self.look()
            }
            seen => seen,
        };
        match busy {
            Ok(Some(busy)) => Answer {
                verdict: Ok(format!("{busy:.0} % busy")),
                fields: Fields::from([("busy", Field::Float(busy))]),
            },
            Ok(None) => unknown(Failure::internal("too little time to see anything"), ["busy"]),
            Err(failure) => unknown(failure, ["busy"]),
        }
    }

    fn look(&self) -> Result<Option<f64>, Failure> {
        let now = read("/proc/stat").and_then(|text| ticks(&text).ok_or_else(|| odd("/proc/stat")))?;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Seen::next(*last, now);
        *last = Some(seen);
        Ok(seen.busy)
    }
}

impl Seen {
    /// Two looks at the same moment see what the first one saw.
    fn next(last: Option<Self>, now: Ticks) -> Self {
        let Some(last) = last else { return Self { at: now, busy: None } };
        let all = now.all.saturating_sub(last.at.all);
        if all < TICKS_MIN {
            return last;
        }
        // The kernel may take idle time back.
        let idle = now.idle.saturating_sub(last.at.idle).min(all);
        Self { at: now, busy: Some(percent(all - idle, all)) }
    }
}

fn percent(part: u64, of: u64) -> f64 {
    let number = |ticks: u64| f64::from(u32::try_from(ticks).unwrap_or(u32::MAX));
    number(part) / number(of) * 100.0
}

/// The line of all processors: user, nice, system, idle, iowait, irq, softirq, steal; guests are in the first two already.
fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let numbers: Vec<u64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
    let waiting = numbers.get(4).copied().unwrap_or_default();
    Some(Ticks { all: numbers.iter().sum(), idle: numbers.get(3)? + waiting })
}

/// Fields: `synced`, `offset`.
pub(super) fn time_sync(status: &OnceLock<TimeStatus>) -> Answer {
    let Some(status) = status.get() else {
        return unknown(Failure::internal("nobody here may ask the kernel for its clock"), ["synced", "offset"]);
    };
    match status() {
        Ok((synced, offset)) => Answer {
            verdict: if synced {
                Ok(format!("synchronised, {:.1} ms off", offset.abs() * 1000.0))
            } else {
                Err(Failure::new(ErrorKind::Mismatch, "not synchronised: does chrony, ntpd or systemd-timesyncd run?"))
            },
            fields: Fields::from([("synced", Field::Bool(synced)), ("offset", Field::Float(offset))]),
        },
        Err(error) => unknown(Failure::of_socket(&error).during("the kernel's clock"), ["synced", "offset"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_is_available_not_what_is_free() {
        let text =
            "MemTotal:  2000 kB\nMemFree:  100 kB\nMemAvailable:  500 kB\nSwapTotal:  400 kB\nSwapFree:  300 kB\n";
        assert_eq!(memory_of(text), Some((25.0, 25.0)));
        assert_eq!(memory_of(&text.replace("400", "0").replace("300", "0")), Some((25.0, 0.0)), "no swap space");
        assert_eq!(memory_of("MemTotal:  2000 kB\nMemFree:  100 kB\n"), None);
    }

    #[test]
    fn pressure_of_a_kernel_without_a_full_line() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!((average10(text, "some"), average10(text, "full")), (Some(1.5), Some(0.25)));
        assert_eq!(average10("some avg10=1.50 avg60=0.00\n", "full"), None);
    }

    #[test]
    fn busy_is_what_changed_between_two_looks() {
        let at = |user: u64, idle: u64, iowait: u64| {
            let stat = format!("cpu  {user} 0 0 {idle} {iowait} 0 0 0 0 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n");
            assert_eq!(processors(&stat), 2);
            ticks(&stat).unwrap()
        };
        let first = Seen::next(None, at(1000, 9000, 0));
        assert_eq!(first.busy, None);
        let second = Seen::next(Some(first), at(1030, 9060, 10));
        assert_eq!(second.busy, Some(30.0), "waiting for a disk is not busy");
        assert_eq!(Seen::next(Some(second), at(1031, 9060, 10)), second, "the same moment");
        assert_eq!(Seen::next(Some(second), at(1200, 9000, 10)).busy, Some(100.0), "idle time taken back");
    }
}
