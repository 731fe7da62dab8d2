//! One question to a table of the kernel over netlink(7), and its answers. Reads only, needs no privilege.
//!
//! Answers are taken as bytes, and only the few fields that a probe needs are read: an attribute of a newer kernel must not
//! make a socket or a route invisible.

use std::{io, time::Duration};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};

/// The kernel answers at once; what does not come then never does.
const PATIENCE: Duration = Duration::from_secs(1);
/// A table that changes while it is told is asked for again this often.
const ATTEMPTS: usize = 5;
/// The kernel never puts more into one datagram.
const DATAGRAM: usize = 64 * 1024;
const HEADER: usize = 16;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Which part of the kernel is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Table {
    /// Links, addresses, routes, neighbours: rtnetlink(7).
    Route,
    /// Sockets: sock_diag(7).
    Sockets,
}

/// How much is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// The one answer to the question.
    One,
    /// Every entry.
    All,
}

/// The bodies of the answers to a question of this kind; without their headers.
pub(super) fn ask(table: Table, kind: u16, want: Want, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    for _ in 0..ATTEMPTS {
        if let Some(answers) = attempt(table, kind, want, body)? {
            return Ok(answers);
        }
    }
    Err(io::Error::other("the kernel's table changes faster than it can be read"))
}

/// `None`: the table changed meanwhile.
fn attempt(table: Table, kind: u16, want: Want, body: &[u8]) -> io::Result<Option<Vec<Vec<u8>>>> {
    let protocol: Option<Protocol> = match table {
        // Number zero.
        Table::Route => None,
        Table::Sockets => Some(netlink::SOCK_DIAG),
    };
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    send(&socket, &question(kind, want, body), SendFlags::empty())?;
    let mut answers = Vec::new();
    let mut whole = true;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (length, _) = recv(&socket, &mut *buffer, RecvFlags::empty())?;
        for message in messages(buffer.get(..length).unwrap_or_default()) {
            whole &= message.flags & NLM_F_DUMP_INTR == 0;
            match message.kind {
                NLMSG_DONE => return Ok(whole.then_some(answers)),
                NLMSG_ERROR => return Err(refusal(message.body)),
                _ => answers.push(message.body.to_vec()),
            }
            if want == Want::One {
                return Ok(Some(answers));
            }
        }
    }
}

fn question(kind: u16, want: Want, body: &[u8]) -> Vec<u8> {
    let flags = match want {
        Want::One => NLM_F_REQUEST,
        Want::All => NLM_F_REQUEST | NLM_F_DUMP,
    };
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut question = Vec::with_capacity(HEADER + body.len());
    question.extend(length.to_ne_bytes());
    question.extend(kind.to_ne_bytes());
    question.extend(flags.to_ne_bytes());
    question.extend([0; 8]);
    question.extend(body);
    question
}

struct Message<'b> {
    kind: u16,
    flags: u16,
    body: &'b [u8],
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let message = Message { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, body: bytes.get(HEADER..length)? };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Zero would be an acknowledgement, which nobody asked for.
fn refusal(body: &[u8]) -> io::Error {
    let code = u32_at(body, 0).map_or(0, u32::cast_signed);
    io::Error::from_raw_os_error(code.saturating_neg())
}

/// The attributes of an answer, after its fixed part.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        // The two highest bits say how the value is written.
        let attribute = (u16_at(bytes, 2)? & 0x3fff, bytes.get(4..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(attribute)
    })
}

/// In the machine's own order of bytes.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// In the machine's own order of bytes.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_bytes_are_the_end() {
        assert_eq!(
            attributes(&[8, 0, 1, 0, 1, 2, 3, 4, 5, 0, 2, 0, 9, 0, 0, 0, 200, 0, 3, 0]).collect::<Vec<_>>(),
            [(1, &[1, 2, 3, 4][..]), (2, &[9][..])]
        );
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0, "an attribute shorter than its header");
        assert_eq!(
            messages(&question(20, Want::One, &[1, 2])).map(|message| message.body.to_vec()).collect::<Vec<_>>(),
            [vec![1, 2]]
        );
        assert_eq!(messages(&[200, 0, 0, 0, 1, 0, 0, 0]).count(), 0, "longer than what came");
    }
}
