//! The client: a stream of datagrams to the service address, and what came of each.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    service::ECHO_PORT,
    trouble::{Result, Trouble},
    world::{Host, SERVICE_ADDRESS, World},
};

/// Time between two datagrams: 500 a second.
pub const PERIOD: Duration = Duration::from_millis(2);
/// An answer later than this is none: the client's kernel keeps datagrams while it looks for the address, and a burst of
/// old answers is no service.
const LATE: Duration = Duration::from_millis(20);

/// A datagram and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it was sent.
    pub at: Instant,
    /// Who answered in time.
    pub answered_by: Option<Host>,
    /// It was answered, in time or not.
    pub answered: bool,
}

/// A stream that runs until it is stopped.
#[derive(Debug)]
pub struct Stream {
    over: Arc<AtomicBool>,
    caller: JoinHandle<Vec<Instant>>,
    listener: JoinHandle<Vec<Answer>>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    number: usize,
    at: Instant,
    by: Host,
}

/// A stream that is over.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Every call, in order.
    pub calls: Vec<Call>,
}

/// What the client missed in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outage {
    /// Calls without an answer in time.
    pub lost: usize,
    /// Those of them that were never answered: on a busy machine the rest may only have been slow.
    pub never_answered: usize,
    /// The longest time without service: from the last answered call to the next one, less one period.
    pub longest: Duration,
}

impl Stream {
    /// Starts calling.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn start(world: &World) -> Result<Self> {
        Self::every(world, PERIOD)
    }

    /// The same with another time between two datagrams: a long stream need not be that dense.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn every(world: &World, period: Duration) -> Result<Self> {
        let bound = world.netns(Host::Client).run(|| -> std::io::Result<(UdpSocket, UdpSocket)> {
            let socket = UdpSocket::bind(SocketAddr::from((Host::Client.address(), 0)))?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            Ok((socket.try_clone()?, socket))
        })?;
        let (out, back) = bound.map_err(Trouble::kernel("open the client's socket"))?;
        let over = Arc::new(AtomicBool::new(false));
        let (caller_over, listener_over) = (Arc::clone(&over), Arc::clone(&over));
        let caller = thread::Builder::new().name("caller".to_owned()).spawn(move || call(&out, &caller_over, period));
        let listener = thread::Builder::new().name("listener".to_owned()).spawn(move || listen(&back, &listener_over));
        let started = |thread: std::io::Result<_>| thread.map_err(Trouble::kernel("start a thread"));
        Ok(Self { over, caller: started(caller)?, listener: listener.map_err(Trouble::kernel("start a thread"))? })
    }

    /// Stops calling, waits for the last answers, and tells.
    #[must_use]
    pub fn stop(self) -> Record {
        thread::sleep(LATE);
        self.over.store(true, Ordering::Relaxed);
        let sent = self.caller.join().unwrap_or_default();
        let answers = self.listener.join().unwrap_or_default();
        Record::new(&sent, &answers)
    }
}

impl Record {
    fn new(sent: &[Instant], answers: &[Answer]) -> Self {
        let mut calls: Vec<Call> = sent.iter().map(|at| Call { at: *at, answered_by: None, answered: false }).collect();
        for answer in answers {
            if let Some(call) = calls.get_mut(answer.number) {
                call.answered = true;
                if answer.at.saturating_duration_since(call.at) <= LATE {
                    call.answered_by = Some(answer.by);
                }
            }
        }
        // Those sent last had no time to be answered.
        let end = sent.last().copied();
        calls.retain(|call| call.answered_by.is_some() || end.is_some_and(|end| end.duration_since(call.at) > LATE));
        Self { calls }
    }

    /// What was missed between two moments (by the time of the call).
    #[must_use]
    pub fn outage(&self, from: Instant, to: Instant) -> Outage {
        let mut outage = Outage::default();
        let mut served = from;
        for call in self.calls.iter().filter(|call| call.at >= from && call.at <= to) {
            if call.answered_by.is_some() {
                served = call.at;
            } else {
                outage.lost += 1;
                outage.never_answered += usize::from(!call.answered);
                outage.longest = outage.longest.max(call.at.duration_since(served));
            }
        }
        outage
    }

    /// The times in which no call was answered, each from the last call that was answered (or `from`) to the next one (or `to`).
    #[must_use]
    pub fn gaps(&self, from: Instant, to: Instant) -> Vec<(Instant, Instant)> {
        let mut gaps = Vec::new();
        let mut served = from;
        let mut lost = false;
        for call in self.calls.iter().filter(|call| call.at >= from && call.at <= to) {
            if call.answered_by.is_none() {
                lost = true;
                continue;
            }
            if std::mem::take(&mut lost) {
                gaps.push((served, call.at));
            }
            served = call.at;
        }
        if lost {
            gaps.push((served, to));
        }
        gaps
    }

    /// Who answered first at or after a moment, and when the call was made.
    #[must_use]
    pub fn first_answer(&self, after: Instant) -> Option<(Instant, Host)> {
        self.calls.iter().filter(|call| call.at >= after).find_map(|call| Some((call.at, call.answered_by?)))
    }

    /// Who answered last.
    #[must_use]
    pub fn last_answer_by(&self) -> Option<Host> {
        self.calls.iter().rev().find_map(|call| call.answered_by)
    }
}

fn call(socket: &UdpSocket, over: &AtomicBool, period: Duration) -> Vec<Instant> {
    let mut sent = Vec::new();
    let mut next = Instant::now();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        sent.push(Instant::now());
        let number = u64::try_from(sent.len() - 1).unwrap_or(u64::MAX);
        // No route, no neighbour: a call without an answer.
        let _ = socket.send_to(&number.to_be_bytes(), (SERVICE_ADDRESS, ECHO_PORT));
        // After a pause of this machine the calls that are due are not made up for: a burst measures nothing.
        next = Instant::now().max(next + period);
    }
    sent
}

fn listen(socket: &UdpSocket, over: &AtomicBool) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut buffer = [0; 64];
    while !over.load(Ordering::Relaxed) {
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let at = Instant::now();
            answers.extend(buffer.get(..length).and_then(|bytes| parse(bytes, at)));
        }
    }
    answers
}

fn parse(bytes: &[u8], at: Instant) -> Option<Answer> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    let by = Host::TRIO.into_iter().find(|host| host.address().octets().last() == rest.first())?;
    Some(Answer { number: usize::try_from(u64::from_be_bytes(*number)).ok()?, at, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(answered: &[bool]) -> (Instant, Record) {
        let origin = Instant::now();
        let calls = answered.iter().zip(0_u32..).map(|(answered, number)| Call {
            at: origin + PERIOD * number,
            answered_by: answered.then_some(Host::Node1),
            answered: *answered,
        });
        (origin, Record { calls: calls.collect() })
    }

    #[test]
    fn an_undisturbed_stream_has_no_outage() {
        let (origin, record) = record(&[true; 10]);
        assert_eq!(record.outage(origin, origin + PERIOD * 10), Outage::default());
    }

    #[test]
    fn the_longest_hole_counts_and_every_lost_call() {
        let (origin, record) = record(&[true, false, true, false, false, false, true]);
        assert_eq!(
            record.outage(origin, origin + PERIOD * 10),
            Outage { lost: 4, never_answered: 4, longest: PERIOD * 3 }
        );
    }

    #[test]
    fn gaps_reach_from_one_answer_to_the_next() {
        let (origin, record) = record(&[true, false, true, true, false, false, true, false]);
        let end = origin + PERIOD * 9;
        let gaps = record.gaps(origin, end).into_iter();
        let gaps: Vec<(u128, u128)> =
            gaps.map(|(from, to)| ((from - origin).as_millis(), (to - origin).as_millis())).collect();
        assert_eq!(gaps, [(0, 4), (6, 12), (12, 18)]);
    }

    #[test]
    fn a_late_answer_is_none() {
        let origin = Instant::now();
        let sent: Vec<Instant> = (0..100).map(|number| origin + PERIOD * number).collect();
        let answer = |number: usize, late: u64| Answer {
            number,
            at: sent[number] + Duration::from_millis(late),
            by: Host::Node2,
        };
        let record = Record::new(&sent, &[answer(0, 1), answer(1, 21), answer(2, 20)]);
        let by: Vec<Option<Host>> = record.calls.iter().take(3).map(|call| call.answered_by).collect();
        assert_eq!(by, [Some(Host::Node2), None, Some(Host::Node2)]);
        let outage = record.outage(origin, sent[2]);
        assert_eq!((outage.lost, outage.never_answered), (1, 0), "slow is not lost");
    }
}
