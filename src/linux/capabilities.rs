//! Which capabilities this process has (capabilities(7)).

use std::fs;

/// By their numbers.
const NAMES: [&str; 25] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
];

/// The effective capabilities of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Those of this process; `None` where `/proc` does not say.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        Self::in_status(&fs::read_to_string("/proc/self/status").ok()?)
    }

    fn in_status(status: &str) -> Option<Self> {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok().map(Self)
    }

    /// It has the one of this name, such as `CAP_NET_RAW`. A name that is not known here is one it has not.
    #[must_use]
    pub fn have(self, name: &str) -> bool {
        NAMES.iter().position(|known| *known == name).is_some_and(|number| self.0 & (1 << number) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_from_what_the_kernel_says() {
        let unit = Capabilities::in_status("Name:\tha\nCapPrm:\t0\nCapEff:\t0000000000003000\n").unwrap();
        assert!(unit.have("CAP_NET_RAW") && unit.have("CAP_NET_ADMIN"));
        assert!(!unit.have("CAP_SYS_ADMIN") && !unit.have("CAP_NONSENSE"));
        assert!(Capabilities::of_this_process().is_some());
        assert_eq!(Capabilities::in_status("Name:\tha\n"), None);
    }
}
