//! For the tests of this floor: a network of their own, in a process of their own, and a second one at the end of a cable.

use std::{
    any,
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::monitor::snapshot;
use crate::{
    node::{AddressSeen, LinkSeen},
    words::{InterfaceName, MacAddr},
};

/// Set in the process that has its own network.
const INSIDE: &str = "HA_TEST_IN_NAMESPACE";

const UNSHARE: [&str; 4] = ["--user", "--map-root-user", "--net", "--"];

/// Runs a story as root of a network of its own: this test again, in a new process. Where that is not possible the story
/// is skipped, and it is said.
pub(super) fn alone<F: FnOnce()>(story: F) {
    if std::env::var_os(INSIDE).is_some() {
        ip("link set lo up");
        return story();
    }
    if !Command::new("unshare").args(UNSHARE).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no user and network namespace can be made here (unshare -Urn)");
        return;
    }
    // "ha::linux::clock::tests::name::{{closure}}"
    let (_, path) = any::type_name::<F>().split_once("::").unwrap();
    let test = path.strip_suffix("::{{closure}}").unwrap();
    let output = Command::new("unshare")
        .args(UNSHARE)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "in the namespace:\n{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{test} did not run:\n{stdout}\n{stderr}");
}

/// Whether a datagram from the other network arrives here at this address.
pub(super) fn arrives(far: &Far, address: &'static str) -> bool {
    let here = UdpSocket::bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
    here.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let to = here.local_addr().unwrap();
    far.run(move || {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        UdpSocket::bind(any).unwrap().send_to(b"?", to).unwrap();
    });
    here.recv(&mut [0]).is_ok()
}

/// Another network, with `vb` in it, the other end of `va` here.
///
/// Here 192.168.0.1/24, fd00::1/64 and fe80::1; there the same with 2.
pub(super) struct Far {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Far {
    pub(super) fn connect() -> Self {
        let (jobs, inbox) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            inbox.into_iter().for_each(|job| job());
        });
        let far = Self { jobs };
        let thread = far.run(|| rustix::thread::gettid().as_raw_nonzero());
        ip(&format!("link add va type veth peer name vb netns {thread}"));
        end_up("va", 1);
        far.run(|| end_up("vb", 2));
        up_and_running("va", 1);
        far.run(|| up_and_running("vb", 2));
        far
    }

    /// Does something there.
    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, result) = mpsc::channel();
        self.jobs.send(Box::new(move || drop(answer.send(job())))).unwrap();
        result.recv().expect("the job in the other network panicked")
    }

    pub(super) fn ip(&self, arguments: &'static str) {
        self.run(|| ip(arguments));
    }

    pub(super) fn mac(&self) -> MacAddr {
        self.run(|| mac("vb"))
    }
}

/// Both families are usable at once: no duplicate detection.
fn end_up(name: &str, host: u8) {
    ip(&format!("link set {name} addrgenmode none"));
    ip(&format!("link set {name} up"));
    ip(&format!("addr add 192.168.0.{host}/24 dev {name}"));
    ip(&format!("addr add fd00::{host}/64 dev {name} nodad"));
    ip(&format!("addr add fe80::{host}/64 dev {name} nodad"));
}

/// Before that the kernel drops what is sent, or does not answer for its IPv6 addresses.
fn up_and_running(name: &str, host: u8) {
    eventually("the cable is up", || link(name).is_some_and(|end| end.carrier).then_some(()));
    let group = format!("ff02::1:ff00:{host}");
    eventually("it can be asked for", || ip_shows(&format!("-6 maddr show dev {name}")).contains(&group).then_some(()));
}

/// `ip`, which must succeed.
pub(super) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What `ip` prints.
pub(super) fn ip_shows(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

pub(super) fn link(name: &str) -> Option<LinkSeen> {
    snapshot().unwrap().into_iter().map(|(link, _)| link).find(|link| link.name.as_str() == name)
}

pub(super) fn mac(name: &str) -> MacAddr {
    link(name).unwrap().mac.unwrap()
}

/// The address as the kernel has it on an interface.
pub(super) fn address(interface: &str, address: &str) -> Option<AddressSeen> {
    let address: IpAddr = address.parse().unwrap();
    let mut all = snapshot().unwrap().into_iter().filter(|(link, _)| link.name.as_str() == interface);
    all.find_map(|(_, addresses)| addresses.into_iter().find(|seen| seen.address.addr() == address))
}

/// Waits until there is something, for a few seconds.
pub(super) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(8), "not within 8 s: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Gives what should not come the time to come.
pub(super) fn a_moment() {
    thread::sleep(Duration::from_millis(30));
}
