//! Who has the address, as the network says: the client asks everybody a hundred times a second, and whoever answers has it.
//!
//! It is the second opinion beside the [`observer`](super::observer), which believes the kernels: an address that is on an
//! interface nobody watches answers all the same.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::socket::{MsgFlags, recv, send};

use super::{
    packets::open_on,
    trouble::{Result, Trouble},
    world::{Host, INTERFACE, SERVICE_ADDRESS, World},
};

/// Between two questions.
pub(super) const EVERY: Duration = Duration::from_millis(10);

/// Asks until it is dropped.
#[derive(Debug)]
pub(super) struct Asking {
    answers: Arc<Mutex<Vec<Answered>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Who answered from now on, until the next entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) at: Instant,
    pub(super) by: BTreeSet<Host>,
}

impl Asking {
    pub(super) fn start(world: &World) -> Result<Self> {
        let (answers, over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (shared, ends) = (Arc::clone(&answers), Arc::clone(&over));
        let started = world.netns(Host::Client).run(move || -> io::Result<JoinHandle<()>> {
            let socket = open_on(INTERFACE)?;
            thread::Builder::new().name("asking".to_owned()).spawn(move || ask(&socket, &shared, &ends))
        })?;
        let thread = Some(started.map_err(Trouble::kernel("ask who has the address"))?);
        Ok(Self { answers, over, thread })
    }

    /// Everything so far: only what changed.
    pub(super) fn answers(&self) -> Vec<Answered> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask(socket: &OwnedFd, answers: &Mutex<Vec<Answered>>, over: &AtomicBool) {
    let question = question();
    let mut next = Instant::now();
    let mut last = BTreeSet::new();
    while !over.load(Ordering::Relaxed) {
        let at = Instant::now();
        // Without a way out nobody answers, which is what is seen.
        let _ = send(socket.as_raw_fd(), &question, MsgFlags::empty());
        next = Instant::now().max(next + EVERY);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let by = heard(socket);
        if by != last {
            last.clone_from(&by);
            answers.lock().unwrap_or_else(PoisonError::into_inner).push(Answered { at, by });
        }
    }
}

/// "Who has the service address? Tell the client."
fn question() -> Vec<u8> {
    let client = Host::Client;
    let mut frame = vec![0xff; 6];
    frame.extend(client.mac());
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(client.mac());
    frame.extend(client.address().octets());
    frame.extend([0; 6]);
    frame.extend(SERVICE_ADDRESS.octets());
    frame
}

/// Who has answered since the last look.
fn heard(socket: &OwnedFd) -> BTreeSet<Host> {
    let mut by = BTreeSet::new();
    let mut buffer = [0; 128];
    while let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
        by.extend(buffer.get(..length).and_then(answer));
    }
    by
}

/// Whose answer a frame is, if it is one about the service address.
fn answer(frame: &[u8]) -> Option<Host> {
    let (header, rest) = frame.split_first_chunk::<14>()?;
    let arp = rest.first_chunk::<28>()?;
    let [.., 0x08, 0x06] = header else { return None };
    let [_, _, _, _, _, _, 0, 2, m0, m1, m2, m3, m4, m5, s0, s1, s2, s3, ..] = *arp else { return None };
    let mac = [m0, m1, m2, m3, m4, m5];
    Host::TRIO.into_iter().find(|host| host.mac() == mac).filter(|_| [s0, s1, s2, s3] == SERVICE_ADDRESS.octets())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whose_machine_it_is_and_a_question_does_not() {
        let mut frame = question();
        assert_eq!(answer(&frame), None);
        frame[21] = 2;
        frame[22..28].copy_from_slice(&Host::Node2.mac());
        frame[28..32].copy_from_slice(&SERVICE_ADDRESS.octets());
        assert_eq!(answer(&frame), Some(Host::Node2));
        frame[31] = 61;
        assert_eq!(answer(&frame), None, "another address");
    }
}
