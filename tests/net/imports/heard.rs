//! The advertisements that leave a network.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use ha::lab::netns::Netns;
use nix::sys::{
    socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt},
    time::{TimeVal, TimeValLike},
};

use super::held::Device;

const OUTGOING: u8 = 4; // PACKET_OUTGOING

/// By interface and by what says whose it is: the last one.
type Frames = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

/// Listens on every interface until it is dropped.
pub(super) struct Heard {
    frames: Arc<Mutex<Frames>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Heard {
    pub(super) fn start(netns: &Netns) -> Self {
        let (frames, over): (Arc<Mutex<Frames>>, Arc<AtomicBool>) = Default::default();
        let (shared, ends) = (Arc::clone(&frames), Arc::clone(&over));
        let listen = move || {
            let ear =
                socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll).unwrap();
            setsockopt(&ear, sockopt::ReceiveTimeout, &TimeVal::milliseconds(200)).unwrap();
            thread::spawn(move || {
                let mut frame = [0; 2048];
                while !ends.load(Ordering::Relaxed) {
                    let Ok((length, Some(from))) = recvfrom::<LinkAddr>(ear.as_raw_fd(), &mut frame) else { continue };
                    let frame = &frame[..length];
                    if from.pkttype() == OUTGOING
                        && let Some(key) = key(frame)
                    {
                        shared.lock().unwrap().insert((from.ifindex(), key), frame.to_vec());
                    }
                }
            })
        };
        let thread = netns.run(listen).unwrap();
        Self { frames, over, thread: Some(thread) }
    }

    /// The last advertisement of each virtual router to each destination, as a text for people.
    pub(super) fn last(&self, devices: &BTreeMap<usize, Device>) -> BTreeMap<String, String> {
        let frames = self.frames.lock().unwrap();
        let shown = frames.iter().filter_map(|((index, key), frame)| {
            // What leaves a device of its own is seen on the one beneath as well.
            let device = devices.get(index).filter(|device| device.beneath.is_none())?;
            let (shown, version_and_id) = show(frame)?;
            Some((format!("{} {version_and_id} to {}", device.name, hex(&key[2..])), shown))
        });
        shown.collect()
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Family, identifier and destination, if it is an advertisement.
fn key(frame: &[u8]) -> Option<Vec<u8>> {
    let (ip, message) = parts(frame)?;
    let destination = if ip[0] >> 4 == 4 { &ip[16..20] } else { &ip[24..40] };
    Some([&[ip[0] >> 4, *message.get(1)?], destination].concat())
}

/// The header of IP and what is in it.
fn parts(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let ip = frame.get(14..)?;
    match (frame.get(12..14)?, ip.get(..40)?) {
        ([0x08, 0x00], header) if header[9] == 112 => {
            let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
            Some((ip.get(..20)?, ip.get(usize::from(header[0] & 15) * 4..total)?))
        }
        ([0x86, 0xdd], header) if header[6] == 112 => {
            let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
            Some((header, ip.get(40..40 + length)?))
        }
        _ => None,
    }
}

/// Everything that another node could see, and version and identifier.
fn show(frame: &[u8]) -> Option<(String, String)> {
    let (ip, message) = parts(frame)?;
    let mac = hex(&frame[6..12]);
    let (class, limit, source) = match ip[0] >> 4 {
        4 => (ip[1], ip[8], hex(&ip[12..16])),
        _ => ((ip[0] << 4) | (ip[1] >> 4), ip[7], hex(&ip[8..24])),
    };
    let shown = format!("mac {mac} class {class:02x} ttl {limit} from {source}: {}", timeless(message, ip[0] >> 4));
    Some((shown, format!("v{} id {}", message[0] >> 4, message[1])))
}

/// A message, and of a trailer of `auth_hmac` what does not change with the time: its type and the number of its key.
fn timeless(message: &[u8], family: u8) -> String {
    let address = if family == 4 { 4 } else { 16 };
    let password = if message[0] >> 4 == 2 { 8 } else { 0 };
    let length = 8 + usize::from(message[3]) * address + password;
    match message.split_at_checked(length) {
        Some((message, trailer)) if trailer.len() == 28 => {
            format!("{} signed {}", hex(message), hex(&trailer[..4]))
        }
        _ => hex(message),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
