//! A network with one daemon in it.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use ha::lab::{Process, netns::Netns, process};
use nix::mount::{MsFlags, mount};

use super::{Outcome, World, fixture::Fixture, heard::Heard, held, shelf, text};
use crate::{runner, stage::HA};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    Keepalived,
    Ha,
}

/// Ports of what answers while checks are well.
const PORTS: [u16; 5] = [80, 443, 5432, 8080, 8404];

/// Programs that checks name and that not every machine has, in `/usr/local/bin`.
const STAND_INS: [(&str, &str); 2] = [
    ("nc", "#!/bin/bash\nwhile [[ $1 == -* ]]; do [[ $1 == -w ]] && shift; shift; done\nexec 3<>\"/dev/tcp/$1/$2\"\n"),
    ("killall", "#!/bin/bash\nshift\nfor name; do grep -qsx -- \"$name\" /proc/[0-9]*/comm || exit 1; done\n"),
];

/// A key of `auth_hmac`, which nobody else may read.
const KEY: &str = "/etc/keepalived/vrrp.key";

/// Users that only fixtures have. keepalived runs all checks as the first one where it exists.
const USERS: [&str; 2] = ["keepalived_script", "haproxy"];

pub(super) struct Booth {
    netns: Netns,
    runs: Runs,
    directory: PathBuf,
    heard: Heard,
    daemon: Process,
    began: Instant,
}

impl Booth {
    /// A network as the fixture wants it, and the daemon in it.
    pub(super) fn build(fixture: &Fixture, world: World, runs: Runs, directory: &Path) -> Self {
        let directory = directory.to_owned();
        fs::create_dir_all(&directory).unwrap();
        fs::copy(&fixture.path, directory.join("keepalived.conf")).unwrap();
        fs::copy(shelf().join("track-a.conf"), directory.join("track-a.conf")).unwrap();
        let config = text(&fixture.path);
        for (name, line) in [("passwd", "990:990::/:/bin/false"), ("group", "990:")] {
            let users = USERS.iter().filter(|user| config.contains(**user)).map(|user| format!("{user}:x:{line}\n"));
            fs::write(directory.join(name), text(&Path::new("/etc").join(name)) + users.collect::<String>().as_str())
                .unwrap();
        }
        let cables = Cable::new(fixture);
        fs::write(directory.join("links"), links(fixture, world, &cables)).unwrap();
        let netns = Netns::create(Box::leak(format!("{} {runs:?}", fixture.name).into_boxed_str())).unwrap();
        let place = directory.clone();
        netns.run(move || furnish(&place, world)).unwrap();
        cables.iter().for_each(Cable::plug);
        let heard = Heard::start(&netns);
        let daemon = start(&netns, runs, &directory);
        Self { netns, runs, directory, heard, daemon, began: Instant::now() }
    }

    pub(super) fn outcome(&self, fixture: &Fixture) -> Outcome {
        let mut roles = match self.runs {
            Runs::Keepalived => held::roles_of_keepalived(&self.daemon.log()),
            Runs::Ha => held::roles_of_ha(&self.ask(&["status", "--json"])),
        };
        // An instance whose check fails from the start is in fault, and keepalived says nothing of it.
        if self.runs == Runs::Keepalived && self.began.elapsed() > Duration::from_secs(5) {
            for name in &fixture.instances {
                roles.entry(name.clone()).or_insert_with(|| "fault".to_owned());
            }
        }
        let mut outcome = Outcome { roles, ..Outcome::default() };
        let devices = held::devices(&self.netns);
        outcome.addresses = held::addresses(&self.netns, &devices);
        outcome.advertisements = self.heard.last(&devices);
        outcome
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let socket = self.directory.join("ha.sock").display().to_string();
        let arguments: Vec<String> =
            arguments.iter().map(|one| (*one).to_owned()).chain(["--socket".to_owned(), socket]).collect();
        let output = process::output(&self.netns, Path::new(HA), &arguments).unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What it wrote last, for a reader of a failure.
    pub(super) fn last_words(&self) -> String {
        let log = self.daemon.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("  --- {:?}\n  {}", self.runs, lines[lines.len().saturating_sub(30)..].join("\n  "))
    }
}

fn start(netns: &Netns, runs: Runs, directory: &Path) -> Process {
    let file = |name: &str| directory.join(name).display().to_string();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    let (program, arguments) = match runs {
        Runs::Keepalived => (
            runner::keepalived().unwrap().display().to_string(),
            format!("-n -l -P -i node1 -f {} -p {} -r {}", file("keepalived.conf"), file("pid"), file("vrrp.pid")),
        ),
        Runs::Ha => (
            HA.to_owned(),
            format!("run -i node1 --keepalived {} --directory {}", file("keepalived.conf"), directory.display()),
        ),
    };
    let arguments: Vec<String> = [path, program].into_iter().chain(arguments.split(' ').map(str::to_owned)).collect();
    Process::start(netns, Path::new("/usr/bin/env"), &arguments, &directory.join("log")).unwrap()
}

/// Its other end is in the network of the story itself, where nobody answers.
struct Cable {
    name: String,
    end: String,
}

impl Cable {
    /// One for each interface.
    fn new(fixture: &Fixture) -> Vec<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let end = || format!("to{}", COUNT.fetch_add(1, Ordering::Relaxed));
        fixture.interfaces.iter().map(|name| Self { name: name.clone(), end: end() }).collect()
    }

    fn plug(&self) {
        let done = Command::new("ip").args(["link", "set", &self.end, "up"]).status().unwrap();
        assert!(done.success());
    }
}

/// For `ip -batch`: the same in both networks, down to the Ethernet addresses.
fn links(fixture: &Fixture, world: World, cables: &[Cable]) -> String {
    let mut text = "link set lo up\n".to_owned();
    for (number, Cable { name, end }) in cables.iter().enumerate() {
        let mac = format!("02:00:00:00:01:{number:02x}");
        let outside = std::process::id();
        writeln!(text, "link add {name} address {mac} type veth peer name {end} netns {outside}").unwrap();
        let sources = fixture.sources.iter().filter(|(interface, _)| interface == name);
        let mut sources: Vec<String> = sources.map(|(_, source)| format!("{source}/24")).collect();
        if sources.is_empty() {
            sources.push(format!("10.250.{number}.2/24"));
        }
        for source in sources {
            writeln!(text, "address add {source} dev {name}").unwrap();
        }
        if world == World::Well || fixture.own.contains(name) {
            writeln!(text, "link set {name} up").unwrap();
        }
    }
    for (interface, peer) in &fixture.peers {
        writeln!(text, "neigh add {peer} lladdr 02:00:00:00:02:01 dev {interface} nud permanent").unwrap();
    }
    if let Some(first) = fixture.own.first() {
        writeln!(text, "route add default dev {first}").unwrap();
    }
    text
}

/// Inside: directories of its own, interfaces, and what answers.
fn furnish(directory: &Path, world: World) {
    // A kernel without IPv6 has no such file, and nothing to quiet.
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    let nothing = None::<&str>;
    for covered in ["/etc/keepalived", "/usr/local/bin", "/run"] {
        mount(Some("tmpfs"), covered, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .unwrap_or_else(|error| panic!("cover {covered}: {error}"));
    }
    for name in ["passwd", "group"] {
        let (ours, theirs) = (directory.join(name), Path::new("/etc").join(name));
        mount(Some(&ours), &theirs, nothing, MsFlags::MS_BIND, nothing).unwrap();
    }
    fs::create_dir("/run/keepalived").unwrap();
    // Whatever it is called, it is this network.
    if let Some(name) =
        text(&directory.join("keepalived.conf")).lines().find_map(|line| line.strip_prefix("net_namespace "))
    {
        let name = Path::new("/run/netns").join(name.split_whitespace().next().unwrap());
        fs::create_dir_all("/run/netns").unwrap();
        fs::write(&name, "").unwrap();
        mount(Some("/proc/thread-self/ns/net"), &name, nothing, MsFlags::MS_BIND, nothing).unwrap();
    }
    for place in ["etc/keepalived", "usr/local/bin"] {
        for entry in fs::read_dir(shelf().join(place)).unwrap().flatten() {
            executable(&Path::new("/").join(place).join(entry.file_name()), &text(&entry.path()));
        }
    }
    fs::write(KEY, "a key of more than 32 letters, from a file\n").unwrap();
    fs::set_permissions(KEY, fs::Permissions::from_mode(0o600)).unwrap();
    for (name, script) in STAND_INS {
        executable(&Path::new("/usr/local/bin").join(name), script);
    }
    let done = Command::new("ip").arg("-batch").arg(directory.join("links")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    match world {
        World::Well => {
            fs::write("/etc/keepalived/uplink", "").unwrap();
            PORTS.into_iter().for_each(serve);
        }
        World::Ill => fs::write("/etc/keepalived/down", "").unwrap(),
    }
}

/// Answers every request with 200 and takes every connection.
fn serve(port: u16) {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).unwrap();
    let answer = |mut stream: TcpStream| {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let mut request = [0; 2048];
        if matches!(stream.read(&mut request), Ok(length) if length > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
        }
    };
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
