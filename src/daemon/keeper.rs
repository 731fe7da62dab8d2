//! The keeper: a small process that outlives the daemon by a moment.
//!
//! It holds a pipe, and knows what is to be done if the pipe ends: let go of the addresses and say so with priority 0, so
//! that the peer takes over in milliseconds instead of waiting out the down timer. If it dies as well, the lease does the
//! same a little later. It does nothing else, and nothing at all for a daemon that was not master.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    net::IpAddr,
    process::{Child, ChildStdin, Command, Stdio},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    linux::{Holder, VrrpSocket},
    node::{Hold, Lifetime, Transmit},
    words::{Family, InterfaceName},
};

/// The argument that makes this program the keeper; only the daemon gives it.
pub const COMMAND: &str = "keeper";

/// What is to be done for one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Duty {
    instance: String,
    interface: String,
    source: IpAddr,
    destinations: Vec<IpAddr>,
    payloads: Vec<Vec<u8>>,
    addresses: Vec<IpNet>,
}

impl Duty {
    fn of((transmit, hold): &(Transmit, Hold)) -> Self {
        Self {
            instance: hold.instance.clone(),
            interface: hold.interface.to_string(),
            source: transmit.source,
            destinations: transmit.destinations.clone(),
            payloads: transmit.payloads.clone(),
            addresses: hold.configured.clone(),
        }
    }
}

/// The daemon's end.
#[derive(Debug)]
pub struct Keeper {
    process: Option<(Child, ChildStdin)>,
    entrusted: Vec<Duty>,
}

impl Keeper {
    /// Starts the process: this program, called as keeper. Returns what to tell if that failed; the lease is the safety
    /// then.
    #[must_use]
    pub fn start() -> (Self, Option<String>) {
        match spawn() {
            Ok(process) => (Self { process: Some(process), entrusted: Vec::new() }, None),
            Err(error) => (Self { process: None, entrusted: Vec::new() }, Some(without(&error))),
        }
    }

    /// Tells it what is to be done from now on; nothing if nothing is held. Returns what to tell if it is gone and cannot
    /// be had again.
    pub fn entrust(&mut self, will: &[(Transmit, Hold)]) -> Option<String> {
        let duties: Vec<Duty> = will.iter().map(Duty::of).collect();
        if duties == self.entrusted {
            return None;
        }
        self.entrusted = duties;
        if self.write().is_ok() {
            return None;
        }
        self.bury();
        match spawn() {
            Ok(process) => {
                self.process = Some(process);
                self.write().err().map(|error| without(&error))
            }
            Err(error) => Some(without(&error)),
        }
    }

    /// Nothing is to be done any more; it ends.
    pub fn dismiss(&mut self) {
        self.entrusted.clear();
        // Gone already is as good.
        let _ = self.write();
        self.bury();
    }

    fn write(&mut self) -> io::Result<()> {
        let Some((_, pipe)) = &mut self.process else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let mut line = serde_json::to_vec(&self.entrusted)?;
        line.push(b'\n');
        pipe.write_all(&line)
    }

    /// Ends the process, which has nothing to do any more, and never waits for one that is stopped.
    fn bury(&mut self) {
        if let Some((mut child, _pipe)) = self.process.take() {
            // Gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn without(error: &io::Error) -> String {
    format!(
        "no keeper process: {error}; if this daemon is killed, the address is gone when its lease runs out, not at once"
    )
}

/// In a process group of its own: a signal for the daemon's group is not for it.
fn spawn() -> io::Result<(Child, ChildStdin)> {
    use std::os::unix::process::CommandExt;
    let mut child = Command::new(std::env::current_exe()?)
        .arg(COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()?;
    match child.stdin.take() {
        Some(pipe) => Ok((child, pipe)),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// The keeper's end. Returns when the daemon has died or dismissed it.
pub fn keep() {
    let mut duties: Vec<Duty> = Vec::new();
    let mut hands: Vec<(Duty, Option<VrrpSocket>)> = Vec::new();
    let mut holder = Holder::open().ok();
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let Ok(new) = serde_json::from_str::<Vec<Duty>>(&line) else { continue };
        if new != duties {
            duties = new;
            // Opened now: when the daemon has died there may be no descriptor left on this machine.
            hands = duties.iter().map(|duty| (duty.clone(), socket(duty))).collect();
        }
    }
    for (duty, socket) in &hands {
        execute(duty, socket.as_ref(), holder.as_mut());
    }
}

fn socket(duty: &Duty) -> Option<VrrpSocket> {
    let interface: InterfaceName = duty.interface.parse().ok()?;
    VrrpSocket::open_deaf(&interface, Family::of(duty.source)).ok()
}

/// Lets go first: nobody is told to take what is still held.
fn execute(duty: &Duty, socket: Option<&VrrpSocket>, holder: Option<&mut Holder>) {
    let Ok(interface) = duty.interface.parse::<InterfaceName>() else { return };
    let released = holder.is_some_and(|holder| {
        let release = Hold {
            instance: duty.instance.clone(),
            interface,
            addresses: Vec::new(),
            manners: BTreeMap::new(),
            configured: duty.addresses.clone(),
            lifetime: Lifetime::Forever,
            not_after: None,
        };
        holder.apply(&release).is_ok()
    });
    let Some(socket) = socket.filter(|_| released) else { return };
    for (destination, payload) in duty.destinations.iter().zip(&duty.payloads) {
        // One that fails is waited out by the peer's down timer.
        let _ = socket.send(duty.source, *destination, payload);
    }
}
