//! A real etcd on a machine of the lab: a member of a cluster, of one or of several, and what can befall it. It keeps what it knows
//! in the machine's directory, over every end of its process.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{
    netns::Netns,
    process::{Process, on_path},
    trouble::{Result, Trouble},
    world::{Host, World},
};

/// The first port on which the members of a cluster talk to each other, on the loopback of their machine.
const PEERS: u16 = 2480;
/// One question about its health; a member without a leader keeps it waiting.
const HEALTH_WITHIN: Duration = Duration::from_secs(2);

/// How a member is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// On which machine; all of a cluster are on the same.
    pub host: Host,
    /// Which member it is, from 0.
    pub number: u16,
    /// How many there are.
    pub size: u16,
    /// Where it is asked: `http://192.168.0.22:2379`, at least one.
    pub clients: Vec<String>,
    /// Further arguments of etcd.
    pub more: Vec<String>,
}

/// See the module. It ends with its owner.
#[derive(Debug)]
pub struct Member {
    launch: Launch,
    process: Process,
    runs: bool,
}

impl Member {
    /// Starts it, with what it knew before if there is any.
    ///
    /// # Errors
    ///
    /// Where etcd is not installed, or does not start.
    pub fn start(world: &World, launch: Launch) -> Result<Self> {
        let process = launch.start(world)?;
        Ok(Self { launch, process, runs: true })
    }

    /// Starts it again, unless it runs.
    ///
    /// # Errors
    ///
    /// As [`Member::start`].
    pub fn start_again(&mut self, world: &World) -> Result<()> {
        if !self.runs {
            self.process = self.launch.start(world)?;
            self.runs = true;
        }
        Ok(())
    }

    /// Kills it; what it knows stays.
    pub fn kill(&mut self) {
        self.process.kill_family();
        self.runs = false;
    }

    /// Everything that it knows is lost: every lease, and every key with it. One that runs is killed for it and started again.
    ///
    /// # Errors
    ///
    /// As [`Member::start`], and where its files cannot be removed.
    pub fn forget(&mut self, world: &World) -> Result<()> {
        let ran = self.runs;
        self.kill();
        match fs::remove_dir_all(self.launch.data(world)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Trouble::kernel("remove the data of etcd")(error));
            }
            Ok(()) | Err(_) => {}
        }
        if ran { self.start_again(world) } else { Ok(()) }
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal_family(signal);
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Launch {
    fn data(&self, world: &World) -> Result<PathBuf> {
        Ok(world.directory(self.host)?.join(format!("etcd{}", self.number)))
    }

    fn start(&self, world: &World) -> Result<Process> {
        let etcd = on_path("etcd").ok_or_else(|| Trouble::Program {
            name: "etcd (Debian: apt install etcd-server)".to_owned(),
            error: io::ErrorKind::NotFound.into(),
        })?;
        let data = self.data(world)?;
        let log = data.with_extension("log");
        Process::start(world.netns(self.host), &etcd, &self.arguments(&data.display().to_string()), &log)
    }

    fn arguments(&self, data: &str) -> Vec<String> {
        let peer = |number: u16| format!("http://127.0.0.1:{}", PEERS.saturating_add(number));
        let cluster: Vec<String> = (0..self.size).map(|number| format!("m{number}={}", peer(number))).collect();
        let clients = self.clients.join(",");
        let arguments = [
            format!("--name=m{}", self.number),
            format!("--data-dir={data}"),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={}", peer(self.number)),
            format!("--initial-advertise-peer-urls={}", peer(self.number)),
            format!("--initial-cluster={}", cluster.join(",")),
        ];
        arguments.into_iter().chain(self.more.iter().cloned()).collect()
    }
}

/// Waits until a member without TLS is well, asked from `netns`: its cluster has a leader.
///
/// # Errors
///
/// If it is not in time.
pub fn wait_until_healthy(netns: &Netns, place: SocketAddr, at_most: Duration) -> Result<()> {
    let until = Instant::now() + at_most;
    while !netns.run(move || is_healthy(place).unwrap_or(false))? {
        if Instant::now() > until {
            return Err(Trouble::Late { what: format!("etcd at {place} is well"), waited: at_most });
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn is_healthy(place: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&place, HEALTH_WITHIN)?;
    stream.set_read_timeout(Some(HEALTH_WITHIN))?;
    write!(stream, "GET /health HTTP/1.0\r\nHost: {place}\r\n\r\n")?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said.contains("\"health\":\"true\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_knows_its_cluster() {
        let launch = Launch {
            host: Host::Arbiter,
            number: 1,
            size: 2,
            clients: vec!["http://10.0.0.1:1".to_owned(), "http://10.0.0.2:1".to_owned()],
            more: vec!["--more=x".to_owned()],
        };
        assert_eq!(
            launch.arguments("/x/etcd1"),
            [
                "--name=m1",
                "--data-dir=/x/etcd1",
                "--listen-client-urls=http://10.0.0.1:1,http://10.0.0.2:1",
                "--advertise-client-urls=http://10.0.0.1:1,http://10.0.0.2:1",
                "--listen-peer-urls=http://127.0.0.1:2481",
                "--initial-advertise-peer-urls=http://127.0.0.1:2481",
                "--initial-cluster=m0=http://127.0.0.1:2480,m1=http://127.0.0.1:2481",
                "--more=x",
            ]
        );
    }
}
