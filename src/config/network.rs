//! Instances in networks of their own: which networks there are, and what of a configuration is done in each.

use std::{collections::BTreeSet, os::unix::ffi::OsStrExt, path::Path};

use super::{
    Config, Control, Instance, Netns,
    error::{Findings, Span},
};

/// `sun_path` holds 108 bytes, one of them the terminating zero.
pub(super) const SOCKET_MAX: usize = 107;

impl Config {
    /// The networks of its instances, without the daemon's own.
    #[must_use]
    pub fn networks(&self) -> BTreeSet<Netns> {
        self.instances.iter().filter_map(|instance| instance.netns.clone()).collect()
    }

    /// What is done in one network, as the configuration of the process that does it: its instances and groups, and a socket and
    /// a state directory of its own. `None`: in the daemon's network. There may be no instance at all.
    #[must_use]
    pub fn part(&self, network: Option<&Netns>) -> Self {
        let mut part = self.clone();
        part.instances.retain(|instance| instance.netns.as_ref() == network);
        let is_here = |name: &String| part.instances.iter().any(|instance| instance.name == *name);
        part.groups.retain(|group| group.instances.iter().any(is_here));
        if let Some(network) = network {
            part.control = self.control.of_network(network);
            part.netns = Some(network.clone());
        }
        if part.instances.is_empty() {
            // There is nothing to ask it for.
            part.witness = None;
        }
        part
    }
}

impl Control {
    /// Where the process is reached that works in another network for this daemon, and what it remembers.
    #[must_use]
    pub fn of_network(&self, network: &Netns) -> Self {
        let name = network.file_name();
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let stem = text(self.socket.file_stem());
        let ending = self.socket.extension().map(|ending| format!(".{}", text(Some(ending)))).unwrap_or_default();
        Self {
            socket: self.socket.with_file_name(format!("{stem}-{name}{ending}")),
            state_dir: self.state_dir.join("network").join(name),
        }
    }
}

/// The socket of each network has a name that the kernel takes.
pub(super) fn check_sockets(control: &Control, networks: &[(Netns, Span)], out: &mut Findings) {
    for (network, span) in networks {
        let socket = control.of_network(network).socket;
        let length = length(&socket);
        if length > SOCKET_MAX && self::length(&control.socket) <= SOCKET_MAX {
            let what = format!(
                "the socket of this network, {}, has a path of {length} bytes, the kernel takes {SOCKET_MAX}",
                socket.display()
            );
            out.error(span.clone(), what, "write a shorter socket in [control], or give the network a shorter name");
        }
    }
}

pub(super) fn length(socket: &Path) -> usize {
    socket.as_os_str().as_bytes().len()
}

/// Whether two instances meet at all: what is the same in two networks is two things.
pub(super) fn meet(one: &Instance, other: &Instance) -> bool {
    one.netns == other.netns
}

/// Where an instance works, for people.
pub(super) fn place(netns: Option<&Netns>) -> String {
    netns.map_or_else(|| "the daemon's own network".to_owned(), |netns| format!("the network namespace {netns}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Group, Notify, fixture};

    fn in_three() -> Config {
        let (mut config, _) = fixture::pair();
        let one = config.instances[0].clone();
        let named = |name: &str, netns: Option<&str>| Instance {
            name: name.to_owned(),
            netns: netns.and_then(Netns::of),
            ..one.clone()
        };
        config.instances =
            vec![named("A", None), named("B", Some("blue")), named("C", Some("red")), named("D", Some("blue"))];
        let group = |name: &str, members: &[&str]| Group {
            name: name.to_owned(),
            instances: members.iter().map(|name| (*name).to_owned()).collect(),
            notify: Notify::default(),
        };
        config.groups = vec![group("G", &["B", "D"]), group("H", &["A"])];
        config
    }

    #[test]
    fn each_network_has_its_instances_and_its_groups() {
        let config = in_three();
        let networks: Vec<String> = config.networks().iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["blue", "red"]);
        let part = |name: Option<&str>| {
            let part = config.part(name.and_then(Netns::of).as_ref());
            let names = part.instances.iter().map(|it| it.name.clone()).collect::<String>();
            (names, part.groups.iter().map(|it| it.name.clone()).collect::<String>(), part.networks().len())
        };
        let is = |instances: &str, groups: &str, networks| (instances.to_owned(), groups.to_owned(), networks);
        assert_eq!(part(None), is("A", "H", 0));
        assert_eq!(part(Some("blue")), is("BD", "G", 1));
        assert_eq!(part(Some("red")), is("C", "", 1));
        assert_eq!(part(Some("green")), is("", "", 0));
    }

    #[test]
    fn each_has_a_socket_and_a_memory_of_its_own() {
        let config = in_three();
        let blue = config.part(Netns::of("blue").as_ref());
        assert_eq!(blue.control.socket, Path::new("/run/ha/ha-blue.sock"));
        assert_eq!(blue.control.state_dir, Path::new("/var/lib/ha/network/blue"));
        assert_eq!(blue.netns, Netns::of("blue"));
        assert_eq!(config.part(None).control, config.control);
        let odd = Control { socket: "/run/ha/control".into(), state_dir: "/s".into() };
        let odd = odd.of_network(&Netns::of("/proc/1/ns/net").unwrap());
        assert_eq!(odd.socket, Path::new("/run/ha/control-%2Fproc%2F1%2Fns%2Fnet"));
        assert_eq!(odd.state_dir, Path::new("/s/network/%2Fproc%2F1%2Fns%2Fnet"));
    }
}
