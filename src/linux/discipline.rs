//! Whether something holds the kernel's clock to a better one: adjtimex(2), which changes nothing here.

use std::io;

/// Whether the clock is synchronised, and how many seconds of its offset the kernel has yet to correct.
///
/// # Errors
///
/// The system call is not permitted here.
pub fn time_status() -> io::Result<(bool, f64)> {
    // SAFETY: a structure of plain numbers, for which zero is a value; `modes` zero means that nothing is to be changed.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is writable and lives until the call returns.
    if unsafe { libc::adjtimex(&raw mut timex) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let fraction = if timex.status & libc::STA_NANO != 0 { 1e-9 } else { 1e-6 };
    // The kernel keeps it below half a second.
    let offset = i32::try_from(timex.offset).map_or(f64::NAN, f64::from) * fraction;
    Ok((timex.status & libc::STA_UNSYNC == 0, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_says_how_its_clock_is() {
        let (_, offset) = time_status().unwrap();
        assert!(offset.abs() <= 0.5, "{offset}");
    }
}
