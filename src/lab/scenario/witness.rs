//! The witness of a scenario: a real etcd where the configurations look for it, on a machine and a network of its own. So nothing that
//! befalls the networks of the virtual routers befalls it, as in the simulation; what does is said of it in words of its own.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Play,
    network::{HOSTS, shared},
    player::Player,
    unfit,
};
use crate::{
    config::Config,
    lab::{
        etcd::{Launch, Member, wait_until_healthy},
        plan::Cable,
        process::on_path,
        relay::Relay,
        trouble::Result,
        world::{Host, World},
    },
    sim::{Act, Happening, Mishap, Node, Scenario, Setup, network},
};

/// What the interfaces on the network of the witness are called.
const INTERFACE: &str = "witness";
/// Where etcd listens behind a relay.
const BEHIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);
/// It is alone, so it has a leader soon: an election of half a second at most.
const ALONE: [&str; 2] = ["--heartbeat-interval=50", "--election-timeout=500"];
/// Far more than it takes to start.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Witness {
    etcd: Member,
    /// Only where the scenario makes it slow.
    relay: Option<Relay>,
}

impl Witness {
    /// It answers when this returns. `None`: no node has one.
    pub(super) fn start(world: &World, play: &Play) -> Result<Option<Self>> {
        let places = places(&play.scenario.nodes);
        let Some(first) = places.first().copied() else { return Ok(None) };
        for cable in cables_of(world).filter(|cable| cable.host != Host::Witness) {
            places.iter().try_for_each(|place| world.rtnl(cable.host).add_way(&cable.interface, place.ip()))?;
            // Nodes meet nobody there but the witness.
            world.switch_rtnl().set_isolated(&cable.port(), true)?;
        }
        let netns = world.netns(Host::Witness);
        let is_slow =
            play.scenario.steps.iter().any(|step| matches!(step.what, Happening::Do(Act::Witness(Mishap::Slow(_)))));
        let asked = if is_slow { BTreeSet::from([BEHIND]) } else { places.clone() };
        let launch = Launch {
            host: Host::Witness,
            number: 0,
            size: 1,
            clients: asked.iter().map(|place| format!("http://{place}")).collect(),
            more: ALONE.map(str::to_owned).to_vec(),
        };
        let etcd = Member::start(world, launch)?;
        let relay = is_slow.then(|| Relay::start(netns, places, BEHIND)).transpose()?;
        wait_until_healthy(netns, first, STARTS_WITHIN)?;
        Ok(Some(Self { etcd, relay }))
    }

    /// The end of what it wrote.
    pub(super) fn log(&self) -> String {
        const LINES: usize = 40;
        let log = self.etcd.log();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
    }
}

impl Player {
    /// Something befalls the witness.
    pub(super) fn befall(&mut self, mishap: Mishap) -> Result<()> {
        let Some(witness) = &mut self.witness else { return Ok(()) };
        match mishap {
            Mishap::Down => witness.etcd.kill(),
            Mishap::Forgets => witness.etcd.forget(&self.world)?,
            Mishap::Slow(takes) => witness.relay.iter().for_each(|relay| relay.take(takes)),
            Mishap::Unreachable(index) => drop(self.switch.away.insert(self.host_of(index)?)),
            Mishap::Unheard(index) => drop(self.switch.unheard.insert(self.host_of(index)?)),
            Mishap::Up => return self.mend_witness(),
        }
        self.rule()
    }

    /// It is well again, for everybody.
    pub(super) fn mend_witness(&mut self) -> Result<()> {
        let Some(witness) = &mut self.witness else { return Ok(()) };
        witness.relay.iter().for_each(|relay| relay.take(Duration::ZERO));
        witness.etcd.start_again(&self.world)?;
        self.switch.away.clear();
        self.switch.unheard.clear();
        self.rule()
    }
}

/// The cables of its network: to it, which has every one of these addresses, and to each of these machines.
pub(super) fn cables(hosts: &[Host], places: &BTreeSet<SocketAddr>, wire: u8) -> Vec<Cable> {
    if places.is_empty() {
        return Vec::new();
    }
    let at = |address: IpAddr| IpNet::new(address, if address.is_ipv4() { 32 } else { 128 });
    let cable = |host: &Host| {
        let [.., number] = host.address().octets();
        let own = [
            (places.iter().any(SocketAddr::is_ipv4), IpAddr::from(Ipv4Addr::new(169, 254, 77, number)), 24),
            (places.iter().any(SocketAddr::is_ipv6), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()).into(), 64),
        ];
        let own = own.into_iter().filter(|(is_asked, ..)| *is_asked);
        let mut own: Vec<IpNet> = own.filter_map(|(_, address, length)| IpNet::new(address, length).ok()).collect();
        if *host == Host::Witness {
            let addresses: BTreeSet<IpAddr> = places.iter().map(SocketAddr::ip).collect();
            own.extend(addresses.into_iter().filter_map(|address| at(address).ok()));
        }
        Cable { host: *host, interface: INTERFACE.to_owned(), wire, own }
    };
    hosts.iter().chain(&[Host::Witness]).map(cable).collect()
}

/// A cable of its network.
pub(super) fn is_its(cable: &Cable) -> bool {
    cable.interface == INTERFACE
}

fn cables_of(world: &World) -> impl Iterator<Item = &Cable> {
    world.plan().cables.iter().filter(|cable| is_its(cable))
}

/// Where these nodes look for it.
pub(super) fn places(nodes: &[Node]) -> BTreeSet<SocketAddr> {
    nodes.iter().flat_map(|node| of(&node.setup.config)).collect()
}

fn of(config: &Config) -> impl Iterator<Item = SocketAddr> {
    config.witness.iter().flat_map(|witness| &witness.endpoints).filter_map(|endpoint| place(endpoint))
}

/// Where a member is that is called so; `None`: only whoever knows names can say it.
fn place(endpoint: &str) -> Option<SocketAddr> {
    let (scheme, place) = endpoint.split_once("://")?;
    let usual = if scheme == "https" { 443 } else { 80 };
    let address = || place.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    place.parse().ok().or_else(|| Some(SocketAddr::new(address().ok()?, usual)))
}

/// Why the lab cannot be the witness of this configuration, one of these.
pub(super) fn refusal(config: &Config, nodes: &[Node]) -> Option<String> {
    let witness = config.witness.as_ref()?;
    let setups: Vec<Setup> = nodes.iter().map(|node| node.setup.clone()).collect();
    let taken = network(&setups).into_iter().flatten().flat_map(|place| place.own).chain(shared(nodes));
    let taken: BTreeSet<IpAddr> = taken.map(|own| own.addr()).collect();
    let why = |endpoint: &String| {
        let Some(address) = place(endpoint).map(|place| place.ip()) else {
            return Some(format!(
                "{endpoint} is a name, which the lab cannot look up; write its address into a copy of the file"
            ));
        };
        let local = match address {
            IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        if taken.contains(&address) || address.is_loopback() {
            return Some(format!("{endpoint} is on a node itself, and here it has a machine of its own"));
        }
        let is_nobodys = local || address.is_unspecified() || address.is_multicast();
        is_nobodys.then(|| format!("{endpoint} is no address that a machine can be reached at from everywhere"))
    };
    witness.endpoints.iter().find_map(why).map(|why| format!("its witness at {why}")).or_else(|| {
        let missing = "it has a witness, and etcd is not installed (Debian: apt install etcd-server), of which a real one runs here";
        on_path("etcd").is_none().then(|| missing.to_owned())
    })
}

/// A configuration asks where no node asked when the lab was laid.
pub(super) fn is_elsewhere(config: &Config, scenario: &Scenario) -> bool {
    let known = places(&scenario.nodes);
    let endpoints = config.witness.iter().flat_map(|witness| &witness.endpoints);
    endpoints.into_iter().any(|endpoint| place(endpoint).is_none_or(|place| !known.contains(&place)))
}

/// A configuration for a machine of the lab: its etcd speaks no TLS, and asks nobody who it is.
pub(super) fn dress(table: &mut toml::Table, config: &Config) -> Result<()> {
    let Some(witness) = table.get_mut("witness").and_then(toml::Value::as_table_mut) else { return Ok(()) };
    for secret in ["user", "password", "ca"] {
        witness.remove(secret);
    }
    let url = |place: SocketAddr| toml::Value::String(format!("http://{place}"));
    let places: Vec<toml::Value> = of(config).map(url).collect();
    if places.is_empty() {
        return Err(unfit("it has a witness and no address for it"));
    }
    witness.insert("endpoints".to_owned(), toml::Value::Array(places));
    Ok(())
}

/// The machines of a scenario's nodes, for its network.
pub(super) fn hosts(nodes: &[Node]) -> &'static [Host] {
    HOSTS.get(..nodes.len()).unwrap_or(&HOSTS)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config::Facts, sim::Kind};

    fn node(address: &str, peer: &str, endpoints: &str) -> Node {
        let text = format!(
            "node = \"x\"\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\npriority = 100\n\
             addresses = [\"192.168.0.60/24\"]\npeers = [\"{peer}\"]\nsource = \"{address}\"\n\
             [witness]\nendpoints = [{endpoints}]\nmode = \"strict\"\nkey = \"ha/x\"\n"
        );
        let config = crate::config::parse(&text, Path::new("/x/ha.toml"), &Facts::default());
        let config = config.unwrap().config;
        let (addresses, policies) = <(std::collections::BTreeMap<_, _>, std::collections::BTreeMap<_, _>)>::default();
        let setup = Setup {
            name: "x".to_owned(),
            kind: Kind::Ha,
            release: crate::sim::Release::default(),
            config,
            addresses,
            policies,
        };
        Node { file: "ha.toml".to_owned(), setup }
    }

    fn pair(endpoints: &str) -> [Node; 2] {
        let (one, other) = ("192.168.0.20", "192.168.0.21");
        [node(one, other, endpoints), node(other, one, endpoints)]
    }

    #[test]
    fn it_is_wherever_the_configurations_look_for_it() {
        let nodes = pair("\"http://192.168.0.22:2379\", \"https://10.9.9.9\", \"http://[2001:db8::7]:80\"");
        let places = places(&nodes);
        let texts: Vec<String> = places.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.9.9.9:443", "192.168.0.22:2379", "[2001:db8::7]:80"]);
        let own = |cable: &Cable| {
            let own: Vec<String> = cable.own.iter().map(ToString::to_string).collect();
            format!("{} {} {}", cable.host, cable.wire, own.join(" "))
        };
        let cables: Vec<String> = cables(hosts(&nodes), &places, 3).iter().map(own).collect();
        assert_eq!(
            cables,
            [
                "node1 3 169.254.77.20/24 fd77::14/64",
                "node2 3 169.254.77.21/24 fd77::15/64",
                "witness 3 169.254.77.31/24 fd77::1f/64 10.9.9.9/32 192.168.0.22/32 2001:db8::7/128",
            ]
        );
    }

    #[test]
    fn what_cannot_be_its_address_is_refused() {
        for (endpoint, why) in [
            ("http://etcd.example.org:2379", "is a name, which the lab cannot look up"),
            ("http://127.0.0.1:2379", "is on a node itself"),
            ("http://192.168.0.21:2379", "is on a node itself"),
            ("http://192.168.0.60:2379", "is on a node itself"),
            ("http://[fe80::1]:2379", "is no address that a machine can be reached at from everywhere"),
            ("http://0.0.0.0:2379", "is no address that a machine can be reached at from everywhere"),
        ] {
            let nodes = pair(&format!("\"http://192.168.0.22:2379\", \"{endpoint}\""));
            let said = refusal(&nodes[0].setup.config, &nodes).unwrap();
            assert!(said.starts_with(&format!("its witness at {endpoint} {why}")), "{said}");
        }
    }

    #[test]
    fn a_configuration_asks_without_tls_and_without_a_password() {
        let [node, _] = pair("\"https://10.9.9.9\"");
        let text = "[witness]\nendpoints = [\"https://10.9.9.9\"]\nuser = \"u\"\npassword = \"secret:p\"\nca = \"c\"\nkey = \"k\"\n";
        let mut table: toml::Table = text.parse().unwrap();
        dress(&mut table, &node.setup.config).unwrap();
        assert_eq!(table.to_string(), "[witness]\nendpoints = [\"http://10.9.9.9:443\"]\nkey = \"k\"\n");
    }
}
