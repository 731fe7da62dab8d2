//! The kernel's process connector (`cn_proc`): who starts and who ends, as it happens.
//!
//! It is there only in the first network, user and process namespace, and for `CAP_NET_ADMIN`; where it is not, the kernel
//! says so, or says nothing at all.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send, socket_with,
        sockopt::set_socket_recv_buffer_size,
    },
};

/// `NETLINK_CONNECTOR`.
const CONNECTOR: u32 = 11;
/// `CN_IDX_PROC` and `CN_VAL_PROC`, also the multicast group.
const PROC: u32 = 1;
/// `NLMSG_DONE`, the type of every message of the connector.
const DONE: u16 = 3;
/// `PROC_CN_MCAST_LISTEN`.
const LISTEN: u32 = 1;
const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
/// `what`, `cpu`, `timestamp_ns`.
const EVENT_HEADER: usize = 16;
/// How long the kernel may take to say that it listens: it does so within the call.
const ANSWER: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// More events before an overrun, in bytes.
const BUFFER: usize = 1 << 20;

/// What happened to a process. Threads are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// A process has another one.
    Forked { parent: u32, child: u32 },
    /// It runs another program, or calls itself otherwise.
    Changed(u32),
    /// It has ended.
    Ended(u32),
}

/// What a datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The kernel listens, or does not (an error number).
    Listens(u32),
    Happened(ProcessEvent),
    Nothing,
}

/// Follows every process of this machine.
#[derive(Debug)]
pub struct ProcessEvents(OwnedFd);

impl ProcessEvents {
    /// Begins to follow.
    ///
    /// # Errors
    /// The kernel does not allow it, or has nothing of the kind here.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = rustix::net::RawProtocol::new(CONNECTOR).map(rustix::net::Protocol::from_raw);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
        // As much as is allowed.
        let _ = set_socket_recv_buffer_size(&socket, BUFFER);
        bind(&socket, &netlink::SocketAddrNetlink::new(0, PROC))?;
        send(&socket, &listen(), SendFlags::empty())?;
        let events = Self(socket);
        loop {
            let mut descriptors = [PollFd::new(&events, PollFlags::IN)];
            if poll(&mut descriptors, Some(&ANSWER))? == 0 {
                return Err(io::Error::other("the kernel does not answer: not the first namespaces of this machine"));
            }
            match events.receive()? {
                Some(Said::Listens(0)) => return Ok(events),
                Some(Said::Listens(error)) => {
                    return Err(io::Error::from_raw_os_error(i32::try_from(error).unwrap_or(libc::EPERM)));
                }
                Some(Said::Happened(_) | Said::Nothing) | None => {}
            }
        }
    }

    /// Everything that has happened since.
    ///
    /// # Errors
    /// `ENOBUFS`: some of it was lost. Anything else: nothing more will come.
    pub fn read(&self) -> io::Result<Vec<ProcessEvent>> {
        let mut events = Vec::new();
        while let Some(said) = self.receive()? {
            if let Said::Happened(event) = said {
                events.push(event);
            }
        }
        Ok(events)
    }

    fn receive(&self) -> io::Result<Option<Said>> {
        let mut buffer = [0; 512];
        match recv(&self.0, &mut buffer, RecvFlags::empty()) {
            Ok((_, length)) => Ok(Some(decode(buffer.get(..length).unwrap_or_default()))),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for ProcessEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `struct nlmsghdr`, `struct cn_msg`, `enum proc_cn_mcast_op`.
fn listen() -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(40_u32.to_ne_bytes());
    message.extend(DONE.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(PROC.to_ne_bytes());
    message.extend(PROC.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(4_u16.to_ne_bytes());
    message.extend([0; 2]);
    message.extend(LISTEN.to_ne_bytes());
    message
}

/// `struct proc_event` behind the two headers.
pub(super) fn decode(datagram: &[u8]) -> Said {
    let event = datagram.get(NETLINK_HEADER + CONNECTOR_HEADER..).unwrap_or_default();
    let word = |at: usize| -> Option<u32> { Some(u32::from_ne_bytes(event.get(at..at + 4)?.try_into().ok()?)) };
    let data = |index: usize| word(EVENT_HEADER + 4 * index);
    let happened = |event| Some(Said::Happened(event));
    let said = match word(0) {
        Some(0) => data(0).map(Said::Listens),
        Some(1) => match (data(1), data(2), data(3)) {
            (Some(parent), Some(pid), Some(child)) if pid == child => happened(ProcessEvent::Forked { parent, child }),
            _ => None,
        },
        Some(2 | 0x200) => data(1).and_then(|process| happened(ProcessEvent::Changed(process))),
        Some(0x8000_0000) => match (data(0), data(1)) {
            (Some(pid), Some(process)) if pid == process => happened(ProcessEvent::Ended(process)),
            _ => None,
        },
        Some(_) | None => None,
    };
    said.unwrap_or(Said::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(what: u32, data: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; NETLINK_HEADER + CONNECTOR_HEADER];
        bytes.extend(what.to_ne_bytes());
        bytes.extend([0; 12]);
        data.iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn what_happens_to_processes_is_understood() {
        for (what, data, expected) in [
            (0, &[0][..], Said::Listens(0)),
            (0, &[1], Said::Listens(1)),
            (1, &[10, 10, 20, 20], Said::Happened(ProcessEvent::Forked { parent: 10, child: 20 })),
            (1, &[11, 10, 21, 20], Said::Nothing),
            (2, &[20, 20], Said::Happened(ProcessEvent::Changed(20))),
            (0x200, &[21, 20, 0, 0, 0, 0], Said::Happened(ProcessEvent::Changed(20))),
            (0x8000_0000, &[20, 20, 0, 17, 10, 10], Said::Happened(ProcessEvent::Ended(20))),
            (0x8000_0000, &[21, 20, 0, 17, 10, 10], Said::Nothing),
            (4, &[20, 20, 0, 0], Said::Nothing),
            (0x4000_0000, &[20, 20, 10, 10], Said::Nothing),
        ] {
            let bytes = datagram(what, data);
            assert_eq!(decode(&bytes), expected, "{what:x} {data:?}");
            for length in 0..bytes.len() {
                let cut = decode(bytes.get(..length).unwrap());
                assert!(cut == Said::Nothing || cut == expected, "cut at {length}");
            }
        }
    }

    #[test]
    fn the_wish_to_listen_is_as_long_as_it_says() {
        assert_eq!(listen().len(), 40);
    }

    /// Where it is allowed, a process that starts and ends is seen; where not, an error says so at once.
    #[test]
    fn it_follows_or_says_why_it_does_not() {
        let begun = std::time::Instant::now();
        match ProcessEvents::open() {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(events) => {
                let mut child = std::process::Command::new("true").spawn().unwrap();
                let pid = child.id();
                child.wait().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(50));
                let seen = events.read().unwrap();
                assert!(seen.contains(&ProcessEvent::Ended(pid)), "{seen:?}");
            }
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    }
}
