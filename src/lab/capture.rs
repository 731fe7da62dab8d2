//! Every VRRP and ARP frame that enters the switch, with the cable it came from: what a daemon really said.
//!
//! Frames are seen as they arrive at a port, before any of the switch's filters, and their time is the kernel's: how busy
//! this machine is does not make a daemon late here.

use std::{
    io::{self, IoSliceMut},
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg,
            setsockopt, socket, sockopt,
        },
        time::{TimeSpec, TimeVal, TimeValLike},
    },
};
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::{
    packets::is_outgoing,
    trouble::{Result, Trouble},
    world::{Host, World},
};

/// A frame that came from a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When the switch received it.
    pub at: Instant,
    /// Whose cable it came from.
    pub from: Host,
    /// What it is.
    pub what: What,
}

/// What a frame is, as far as the lab cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A VRRP advertisement over IPv4.
    Advertisement {
        /// 2 or 3.
        version: u8,
        /// Virtual router identifier.
        vrid: u8,
        /// 0 resigns.
        priority: u8,
        /// Where it goes.
        to: Ipv4Addr,
    },
    /// "I am at this address", to everybody.
    GratuitousArp(Ipv4Addr),
    /// "Who has this?", from an address or from nobody.
    ArpRequest {
        /// Who asks; 0.0.0.0 is nobody.
        sender: Ipv4Addr,
        /// The address asked for.
        target: Ipv4Addr,
    },
    /// "I am at this address", to the one who asked.
    ArpReply(Ipv4Addr),
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Starts to listen on the switch.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn start(world: &World) -> Result<Self> {
        let (frames, over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (shared, ends) = (Arc::clone(&frames), Arc::clone(&over));
        let started = world.switch().run(move || -> io::Result<JoinHandle<()>> {
            let socket = open()?;
            thread::Builder::new().name("capture".to_owned()).spawn(move || listen(&socket, &shared, &ends))
        })?;
        Ok(Self { frames, over, thread: Some(started.map_err(Trouble::kernel("capture packets"))?) })
    }

    /// Everything heard so far.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything heard from a machine between two moments.
    #[must_use]
    pub fn from(&self, host: Host, from: Instant, to: Instant) -> Vec<Frame> {
        self.frames().into_iter().filter(|frame| frame.from == host && frame.at >= from && frame.at <= to).collect()
    }

    /// Priorities of the advertisements of a machine between two moments.
    #[must_use]
    pub fn priorities(&self, host: Host, from: Instant, to: Instant) -> Vec<u8> {
        let frames = self.from(host, from, to).into_iter();
        frames
            .filter_map(|frame| match frame.what {
                What::Advertisement { priority, .. } => Some(priority),
                What::GratuitousArp(_) | What::ArpRequest { .. } | What::ArpReply(_) => None,
            })
            .collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::milliseconds(100))?;
    setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?;
    let _ = setsockopt(&fd, sockopt::RcvBuf, &(1 << 20));
    Ok(fd)
}

fn listen(socket: &OwnedFd, frames: &Mutex<Vec<Frame>>, over: &AtomicBool) {
    let mut buffer = [0; 256];
    while !over.load(Ordering::Relaxed) {
        let Some((length, address, at)) = receive(socket, &mut buffer) else { continue };
        let heard = buffer.get(..length.min(buffer.len())).and_then(|bytes| heard(bytes, &address, at));
        frames.lock().unwrap_or_else(PoisonError::into_inner).extend(heard);
    }
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<(usize, LinkAddr, Instant)> {
    let mut control = cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()).ok()?;
    let stamp = message
        .cmsgs()
        .ok()?
        .find_map(|control| if let ControlMessageOwned::ScmTimestampns(stamp) = control { Some(stamp) } else { None });
    Some((message.bytes, message.address?, stamp.map_or_else(Instant::now, moment)))
}

/// The kernel's stamp, which is of the wall clock, on the clock of everybody else here.
fn moment(stamp: TimeSpec) -> Instant {
    let now = Instant::now();
    let wall = clock_gettime(ClockId::Realtime);
    let stamp = Timespec { tv_sec: stamp.tv_sec(), tv_nsec: stamp.tv_nsec() };
    // A clock that was set back meanwhile says nothing about the age.
    let age = Duration::try_from(wall - stamp).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

fn heard(bytes: &[u8], address: &LinkAddr, at: Instant) -> Option<Frame> {
    // The switch passing it on.
    if is_outgoing(address) {
        return None;
    }
    let what = decode(bytes)?;
    Some(Frame { at, from: owner(address.ifindex())?, what })
}

/// Whose cable a port of the switch is; asked in the switch's namespace.
fn owner(port: usize) -> Option<Host> {
    let name = nix::net::if_::if_indextoname(u32::try_from(port).ok()?).ok()?;
    Host::ALL.into_iter().chain([Host::Node3]).find(|host| host.port().as_bytes() == name.as_bytes())
}

fn decode(frame: &[u8]) -> Option<What> {
    let (header, rest) = frame.split_first_chunk::<14>()?;
    match header {
        [.., 0x08, 0x06] => decode_arp(rest),
        [.., 0x08, 0x00] => decode_vrrp(rest),
        _ => None,
    }
}

fn decode_arp(arp: &[u8]) -> Option<What> {
    let arp = arp.first_chunk::<28>()?;
    let [_, _, _, _, _, _, _, operation, _, _, _, _, _, _, s0, s1, s2, s3, _, _, _, _, _, _, t0, t1, t2, t3] = *arp;
    let (sender, target) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(t0, t1, t2, t3));
    match operation {
        1 | 2 if sender == target => Some(What::GratuitousArp(sender)),
        1 => Some(What::ArpRequest { sender, target }),
        2 => Some(What::ArpReply(sender)),
        _ => None,
    }
}

fn decode_vrrp(ip: &[u8]) -> Option<What> {
    let header = ip.first_chunk::<20>()?;
    let [version_and_length, _, _, _, _, _, _, _, _, 112, _, _, _, _, _, _, d0, d1, d2, d3] = *header else {
        return None;
    };
    let message = ip.get(usize::from(version_and_length & 15) * 4..)?;
    let [version_and_type, vrid, priority, ..] = *message else { return None };
    let to = Ipv4Addr::new(d0, d1, d2, d3);
    Some(What::Advertisement { version: version_and_type >> 4, vrid, priority, to })
}

/// Waits a little so that frames sent just now are seen.
pub fn settle() {
    thread::sleep(Duration::from_millis(20));
}
