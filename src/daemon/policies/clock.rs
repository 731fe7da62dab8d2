//! The clock of every evaluation: the driver's, and the time of day.

use crate::{
    linux::BootClock,
    policy::{Clock, WallTime},
    words::Instant,
};

/// `CLOCK_BOOTTIME`, as the protocol thread reads it. The time of day is UTC.
#[derive(Clone, Copy, Debug, Default)]
pub struct DriverClock(BootClock);

impl Clock for DriverClock {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall(&self) -> WallTime {
        WallTime { unix_s: jiff::Timestamp::now().as_second(), utc_offset_s: 0 }
    }
}
