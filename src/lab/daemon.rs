//! The daemons of the nodes: `ha`, and keepalived as the other half of a pair or as the one to compare with.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{
    process::{self, Process},
    trouble::{Result, Trouble},
    world::{Host, INTERFACE, PREFIX, SERVICE_ADDRESS, SERVICE_ADDRESS_6, World},
};

/// How a node is set up, in words that both daemons understand. The default is the founding pair's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Protocol version, 2 or 3.
    pub version: u8,
    /// Time between two advertisements: whole seconds in version 2, hundredths in version 3.
    pub advertise: Duration,
    /// Base priority.
    pub priority: u8,
    /// Advertise to the peer alone.
    pub unicast: bool,
    /// Advertise to another group than the RFC's.
    pub group: Option<&'static str>,
    /// Unicast: the least TTL that is accepted.
    pub min_ttl: Option<u8>,
    /// The pair keeps an IPv6 address ([`SERVICE_ADDRESS_6`]); version 3.
    pub ipv6: bool,
    /// Take over from a lower master.
    pub preempt: bool,
    /// Password, version 2 only.
    pub password: Option<&'static str>,
}

impl Setup {
    /// The founding pair's setup of a node: version 2, multicast, each second, PASS `1111`, priority 100 or 99.
    #[must_use]
    pub fn founding(node: Host) -> Self {
        let priority = if node == Host::Node1 { 100 } else { 99 };
        let advertise = Duration::from_secs(1);
        Self {
            version: 2,
            advertise,
            priority,
            unicast: false,
            group: None,
            min_ttl: None,
            ipv6: false,
            preempt: true,
            password: Some("1111"),
        }
    }

    /// The same in version 3, with an interval of hundredths of a second.
    #[must_use]
    pub fn version3(self, advertise: Duration) -> Self {
        Self { version: 3, advertise, password: None, ..self }
    }

    /// The same over IPv6.
    #[must_use]
    pub fn over_ipv6(self) -> Self {
        Self { ipv6: true, ..self }
    }

    /// The address that a node advertises from.
    const fn own_address(&self, node: Host) -> IpAddr {
        if self.ipv6 { IpAddr::V6(node.link_local()) } else { IpAddr::V4(node.address()) }
    }

    /// The service address with its prefix.
    fn service(&self) -> String {
        if self.ipv6 { format!("{SERVICE_ADDRESS_6}/64") } else { format!("{SERVICE_ADDRESS}/{PREFIX}") }
    }

    /// As `ha` reads it, without policies.
    #[must_use]
    pub fn toml(&self, node: Host) -> String {
        let mut text = format!(
            "node = \"{node}\"\n\n[instance.VI_1]\ninterface = \"{INTERFACE}\"\nvirtual_router_id = 51\npriority = {}\n\
             version = {}\nadvertise = \"{}ms\"\naddresses = [\"{}\"]\npeers = [\"{}\"]\n",
            self.priority,
            self.version,
            self.advertise.as_millis(),
            self.service(),
            self.own_address(node.peer()),
        );
        if let Some(password) = self.password {
            push(&mut text, format_args!("auth.password = \"{password}\"\n"));
        }
        if self.unicast {
            let source = self.own_address(node);
            push(&mut text, format_args!("transport = \"unicast\"\nsource = \"{source}\"\n"));
        }
        if let Some(group) = self.group {
            push(&mut text, format_args!("multicast_group = \"{group}\"\n"));
        }
        if let Some(ttl) = self.min_ttl {
            push(&mut text, format_args!("min_ttl = {ttl}\n"));
        }
        if !self.preempt {
            text.push_str("preempt = false\n");
        }
        text
    }

    /// As keepalived reads it; `script` is run each second and judges the node.
    #[must_use]
    pub fn keepalived_conf(&self, node: Host, script: Option<&Path>) -> String {
        let mut text = format!("global_defs {{\n router_id {node}\n script_user root\n}}\n");
        if let Some(script) = script {
            push(
                &mut text,
                format_args!(
                    "vrrp_script check_local {{\n script \"{}\"\n interval 1\n timeout 3\n fall 3\n rise 2\n}}\n",
                    script.display()
                ),
            );
        }
        push(
            &mut text,
            format_args!(
                "vrrp_instance VI_1 {{\n state BACKUP\n interface {INTERFACE}\n virtual_router_id 51\n priority {}\n \
                 version {}\n advert_int {}\n virtual_ipaddress {{\n  {}\n }}\n",
                self.priority,
                self.version,
                self.advertise.as_secs_f64(),
                self.service(),
            ),
        );
        if let Some(password) = self.password {
            push(&mut text, format_args!(" authentication {{\n  auth_type PASS\n  auth_pass {password}\n }}\n"));
        }
        if self.unicast {
            let (own, peer) = (self.own_address(node), self.own_address(node.peer()));
            let limit = self.min_ttl.map_or_else(String::new, |ttl| format!(" min_ttl {ttl}"));
            push(&mut text, format_args!(" unicast_src_ip {own}\n unicast_peer {{\n  {peer}{limit}\n }}\n"));
        }
        if let Some(group) = self.group {
            push(&mut text, format_args!(" mcast_dst_ip {group}\n"));
        }
        if !self.preempt {
            text.push_str(" nopreempt\n");
        }
        if script.is_some() {
            text.push_str(" track_script {\n  check_local\n }\n");
        }
        text.push_str("}\n");
        text
    }
}

/// A daemon on a node. It ends with its owner, without a chance to tidy up.
#[derive(Debug)]
pub struct Daemon {
    node: Host,
    directory: PathBuf,
    program: PathBuf,
    process: Process,
}

impl Daemon {
    /// Starts `ha run` on a node. `policies` are pairs of a name and a text. What an earlier one remembered is there.
    ///
    /// # Errors
    ///
    /// Where `config` is no TOML, or the program does not start.
    pub fn ha(world: &World, node: Host, program: &Path, config: &str, policies: &[(&str, &str)]) -> Result<Self> {
        Self::ha_from(world, node, node, program, config, policies)
    }

    /// The same, in the network of another machine: where it works is its own business.
    ///
    /// # Errors
    ///
    /// As [`ha`](Self::ha).
    pub fn ha_from(
        world: &World,
        outside: Host,
        node: Host,
        program: &Path,
        config: &str,
        policies: &[(&str, &str)],
    ) -> Result<Self> {
        let directory = world.directory(node)?;
        fs::create_dir_all(directory.join("policies"))
            .map_err(Trouble::kernel("make the directory of the policies"))?;
        write_private(&directory.join("ha.toml"), &localise(config, &directory)?)?;
        for (name, text) in policies {
            write_private(&directory.join("policies").join(format!("{name}.rhai")), text)?;
        }
        let file = directory.join("ha.toml").display().to_string();
        let process = Process::start(
            world.netns(outside),
            program,
            &["run".to_owned(), "-c".to_owned(), file],
            &directory.join("log"),
        )?;
        Ok(Self { node, directory, program: program.to_owned(), process })
    }

    /// Starts `ha run --keepalived` on a node: from a configuration of keepalived.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub fn straight(world: &World, node: Host, program: &Path, config: &str) -> Result<Self> {
        let directory = world.directory(node)?;
        write_private(&directory.join("keepalived.conf"), config)?;
        let file = directory.join("keepalived.conf").display().to_string();
        let place = directory.display().to_string();
        let arguments = ["run".to_owned(), "--keepalived".to_owned(), file, "--directory".to_owned(), place];
        let process = Process::start(world.netns(node), program, &arguments, &directory.join("log"))?;
        Ok(Self { node, directory, program: program.to_owned(), process })
    }

    /// Starts keepalived on a node.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub fn keepalived(world: &World, node: Host, program: &Path, config: &str) -> Result<Self> {
        let directory = world.directory(node)?;
        write_private(&directory.join("keepalived.conf"), config)?;
        let mut arguments: Vec<String> = ["-n", "-l", "-P", "-f"].map(str::to_owned).to_vec();
        arguments.push(directory.join("keepalived.conf").display().to_string());
        for (option, name) in [("-p", "keepalived.pid"), ("-r", "vrrp.pid"), ("-c", "checkers.pid")] {
            // A file of a killed one makes it refuse to start, as long as the number lives on in any process.
            let _ = fs::remove_file(directory.join(name));
            arguments.extend([option.to_owned(), directory.join(name).display().to_string()]);
        }
        if knows_bfd(program) {
            arguments.extend(["-b".to_owned(), directory.join("bfd.pid").display().to_string()]);
        }
        let process = Process::start(world.netns(node), program, &arguments, &directory.join("log"))?;
        Ok(Self { node, directory, program: program.to_owned(), process })
    }

    /// The node it runs on.
    #[must_use]
    pub const fn node(&self) -> Host {
        self.node
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process, for everything that is done to any process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// SIGKILL for it and everything it started.
    pub fn kill(&mut self) -> Instant {
        self.process.kill_family()
    }

    /// The machine loses its power: its cable goes dead, its processes end, and its kernel holds nothing any more.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn lose_power(&mut self, world: &World) -> Result<Instant> {
        let now = world.plug(self.node, false)?;
        self.kill();
        // A machine without power holds no address; there may have been none.
        let _ = world.delete_service_address(self.node);
        Ok(now)
    }

    /// SIGKILL for it alone.
    pub fn kill_alone(&mut self) -> Instant {
        self.process.kill_alone()
    }

    /// SIGSTOP for it and everything it started.
    pub fn freeze(&mut self) -> Instant {
        self.process.signal_family(Signal::SIGSTOP)
    }

    /// SIGCONT.
    pub fn thaw(&mut self) -> Instant {
        self.process.signal_family(Signal::SIGCONT)
    }

    /// SIGTERM: asks it to stop in order.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn terminate(&self) -> Result<Instant> {
        self.process.signal(Signal::SIGTERM)
    }

    /// Replaces a policy by a rename, as careful editors do.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write_policy(&self, name: &str, text: &str) -> Result<Instant> {
        let (new, file) =
            (self.directory.join("new.rhai"), self.directory.join("policies").join(format!("{name}.rhai")));
        write_private(&new, text)?;
        let now = Instant::now();
        fs::rename(new, file).map_err(Trouble::kernel("replace a policy"))?;
        Ok(now)
    }

    /// Rewrites the configuration file; nothing happens until a reload.
    ///
    /// # Errors
    ///
    /// Where `config` is no TOML.
    pub fn write_config(&self, config: &str) -> Result<()> {
        write_private(&self.directory.join("ha.toml"), &localise(config, &self.directory)?)
    }

    /// Runs a command of `ha` that talks to this daemon, on its node.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub fn command(&self, world: &World, arguments: &[&str]) -> Result<Output> {
        let socket = self.directory.join("ha.sock").display().to_string();
        let arguments: Vec<String> =
            arguments.iter().map(|argument| (*argument).to_owned()).chain(["--socket".to_owned(), socket]).collect();
        process::output(world.netns(self.node), &self.program, &arguments)
    }

    /// What it says of itself: `ha status --json`; `None` while it does not answer.
    #[must_use]
    pub fn status(&self, world: &World) -> Option<serde_json::Value> {
        let output = self.command(world, &["status", "--json"]).ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }
}

/// The configuration with its files in `directory`: several daemons on one machine need their own.
fn localise(config: &str, directory: &Path) -> Result<String> {
    let bad = |why: String| Trouble::File { name: "the configuration".to_owned(), why };
    let mut table: toml::Table = config.parse().map_err(|error: toml::de::Error| bad(error.to_string()))?;
    let path = |name: &str| toml::Value::String(directory.join(name).display().to_string());
    table.insert("policy_dir".to_owned(), path("policies"));
    let mut control = toml::Table::new();
    control.insert("socket".to_owned(), path("ha.sock"));
    control.insert("state_dir".to_owned(), path("state"));
    table.insert("control".to_owned(), toml::Value::Table(control));
    toml::to_string(&table).map_err(|error| bad(error.to_string()))
}

/// Whether this keepalived can speak BFD. The file of the process that would is locked from 2.3.2 on, also where none runs,
/// and unless it is told otherwise there is one for the whole machine.
fn knows_bfd(program: &Path) -> bool {
    let said = Command::new(program).arg("--version").output();
    // 2.2.7 writes it to the standard error.
    let said = said.map_or_else(|_| Vec::new(), |said| [said.stdout, said.stderr].concat());
    said.split(u8::is_ascii_whitespace).any(|word| word == b"BFD")
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(Trouble::kernel(format!("write {}", path.display())))
}

/// Writing to a string cannot fail.
fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_keeps_everything_but_its_places() {
        let config = Setup::founding(Host::Node1).toml(Host::Node1);
        let there: toml::Table = localise(&config, Path::new("/tmp/x")).unwrap().parse().unwrap();
        assert_eq!(there["control"]["socket"].as_str(), Some("/tmp/x/ha.sock"));
        assert_eq!(there["instance"]["VI_1"]["auth"]["password"].as_str(), Some("1111"));
        assert_eq!(there["instance"]["VI_1"]["peers"][0].as_str(), Some("192.168.0.21"));
    }
}
