//! Cables on which packets take their time: what is on its way to a node is held back, and may come twice.
//!
//! ```text
//!   eth0 of node1 ──── far-node1 ···· near-node1 ──── to-node1, a port of the switch
//! ```
//!
//! Both ends are in a namespace of their own, and a thread there copies what arrives at one of them to the other. What a node sends
//! passes at once. What another node sent to it waits, for each receiver on its own, as in the simulation; the arbiter, the client
//! and strangers are not in the simulation, and what comes from them passes at once too. No queueing discipline of the kernel
//! is needed, which it may lack.

mod line;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto, setsockopt, socket, sockopt,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::line::Line;
pub use self::line::Manner;
use super::{
    netns::Netns,
    packets::{is_outgoing, links},
    plan::Cable,
    rtnl::{Plug, Rtnl},
    trouble::{Result, Trouble},
};
use crate::linux::compute_checksums;

/// How long to wait before looking whether it is over.
const A_WHILE: Duration = Duration::from_millis(100);
/// So many packets are read before those that are due are sent on.
const AT_ONCE: usize = 64;
/// More than any frame: nothing here is larger than what an interface sends.
const LARGEST: usize = 1 << 16;

/// See the module. It copies until it is dropped.
#[derive(Debug)]
pub struct Wires {
    rtnl: Rtnl,
    netns: Netns,
    manner: Arc<Mutex<Manner>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Where a packet that arrives at an end goes.
#[derive(Clone, Copy, Debug)]
struct Way {
    to: LinkAddr,
    /// To a node, and not from it.
    inward: bool,
}

impl Wires {
    /// A namespace for the ends.
    pub(super) fn create() -> Result<Self> {
        let netns = Netns::create("wires")?;
        // The ends say nothing of their own. A kernel without IPv6 has no such file.
        let _ = netns.run(|| fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"))?;
        let (manner, over) = (Arc::default(), Arc::default());
        Ok(Self { rtnl: Rtnl::open(&netns)?, netns, manner, over, thread: None })
    }

    /// Lays a cable in two pieces. Nothing passes before [`start`](Self::start).
    pub(super) fn lay(&self, cable: &Cable, switch: (&Rtnl, &Netns), node: &Netns) -> Result<()> {
        let (port, near, far) = (cable.port(), cable.near(), cable.far());
        let (rtnl, switch) = switch;
        rtnl.add_cable(&port, Plug { name: &near, mac: [2, 0, 0, 1, cable.wire, 1], netns: &self.netns })?;
        self.rtnl.add_cable(&far, Plug { name: &cable.interface, mac: cable.mac(), netns: node })?;
        // The ends are given whole packets, and not what an interface was meant to complete.
        compute(switch, &port)?;
        compute(node, &cable.interface)?;
        self.rtnl.set_up(&near, true)?;
        self.rtnl.set_up(&far, true)
    }

    /// Whether a node has its carrier.
    pub(super) fn plug(&self, cable: &Cable, plugged: bool) -> Result<()> {
        self.rtnl.set_up(&cable.far(), plugged)
    }

    /// Begins to copy between the ends of these cables. What `bystanders` send, by their Ethernet addresses, is not held back.
    pub(super) fn start(&mut self, cables: &[Cable], bystanders: BTreeSet<[u8; 6]>, seed: u64) -> Result<()> {
        let ends: Vec<(String, String)> = cables.iter().map(|cable| (cable.near(), cable.far())).collect();
        let (manner, over) = (Arc::clone(&self.manner), Arc::clone(&self.over));
        let started = self.netns.run(move || -> io::Result<JoinHandle<()>> {
            let ways = ways(&ends)?;
            let socket = open()?;
            let copy = Copying { socket, ways, bystanders, line: Line::new(seed) };
            thread::Builder::new().name("wires".to_owned()).spawn(move || copy.until(&over, &manner))
        })?;
        self.thread = Some(started.map_err(Trouble::kernel("relay packets"))?);
        Ok(())
    }

    /// How packets are treated that are sent from now on.
    pub fn treat(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.manner.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn compute(netns: &Netns, interface: &str) -> Result<()> {
    let name = interface.to_owned();
    let done = netns.run(move || compute_checksums(&name.parse().map_err(|_| io::ErrorKind::InvalidInput)?))?;
    done.map_err(Trouble::kernel(format!("let the kernel compute the checksums of {interface}")))
}

/// From which end to which, by the numbers of their interfaces.
fn ways(ends: &[(String, String)]) -> io::Result<BTreeMap<usize, Way>> {
    let links = links()?;
    let link = |name: &String| links.get(name).copied().ok_or(io::ErrorKind::NotFound);
    let mut ways = BTreeMap::new();
    for (near, far) in ends {
        let (near, far) = (link(near)?, link(far)?);
        ways.insert(near.ifindex(), Way { to: far, inward: true });
        ways.insert(far.ifindex(), Way { to: near, inward: false });
    }
    Ok(ways)
}

/// One socket that hears every interface of its namespace.
fn open() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    // A refusal leaves the default, which is smaller.
    let _ = setsockopt(&fd, sockopt::RcvBuf, &(1 << 20));
    Ok(fd)
}

/// The thread's own.
struct Copying {
    socket: OwnedFd,
    ways: BTreeMap<usize, Way>,
    bystanders: BTreeSet<[u8; 6]>,
    line: Line<(LinkAddr, Arc<[u8]>)>,
}

impl Copying {
    fn until(mut self, over: &AtomicBool, manner: &Mutex<Manner>) {
        let mut buffer = vec![0; LARGEST];
        while !over.load(Ordering::Relaxed) {
            let due = self.line.next().map(|at| at.saturating_duration_since(Instant::now()));
            let wait = Timespec::try_from(due.map_or(A_WHILE, |due| due.min(A_WHILE))).ok();
            // Interrupted or not: whatever is there is read, and whatever is due is sent.
            let _ = poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], wait.as_ref());
            for _ in 0..AT_ONCE {
                // "No packet" and "an interface went down" alike.
                let Ok((length, from)) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) else { break };
                let frame = buffer.get(..length).unwrap_or_default();
                let way = from.filter(|from| !is_outgoing(from)).and_then(|from| self.ways.get(&from.ifindex()));
                let Some(way) = way else { continue };
                // Asked after the packet is there: whoever told first and sent then is understood.
                let told = || *manner.lock().unwrap_or_else(PoisonError::into_inner);
                let manner = if way.inward && !self.is_of_a_bystander(frame) { told() } else { Manner::default() };
                self.line.send(Instant::now(), manner, (way.to, frame.into()));
            }
            while let Some((to, frame)) = self.line.arrived(Instant::now()) {
                // Nothing passes where a cable is out.
                let _ = sendto(self.socket.as_raw_fd(), &frame, &to, MsgFlags::empty());
            }
        }
    }

    fn is_of_a_bystander(&self, frame: &[u8]) -> bool {
        frame.get(6..12).and_then(|mac| mac.first_chunk()).is_some_and(|mac| self.bystanders.contains(mac))
    }
}
