//! What the actions of policies change in the kernel: further addresses, routes, announcements, signals. Each is made so
//! that doing it twice is doing it once; virtual addresses are not among them.

use std::{fs, io, net::IpAddr, path::Path};

use ipnet::IpNet;
use nix::{
    errno::Errno,
    sys::signal::{self, kill},
    unistd::Pid,
};
use rtnetlink::{
    RouteMessageBuilder,
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{RouteNetlinkMessage, route::RouteMessage},
};

use super::{
    address_request::{bare, scope, take_away},
    neighbor_socket::NeighborSocket,
    rtnl::{Failure, Request, Rtnl},
};
use crate::{
    policy::action::{AddressChange, Network, Route, RouteChange, Signal},
    words::{Family, InterfaceName},
};

/// Puts an address on an interface, without a mark and for ever, or removes it.
///
/// # Errors
/// There is no such interface or address, or the privilege is missing.
pub fn change_address(change: AddressChange, network: Network, dev: &str) -> io::Result<()> {
    let index = index_of(dev)?;
    let address = IpNet::new(network.address, network.prefix).map_err(invalid)?;
    let (request, done) = match change {
        AddressChange::Add => {
            let mut message = bare(index, address, None);
            message.header.scope = scope(address.addr(), None);
            let flags = NLM_F_REPLACE | NLM_F_CREATE;
            (Request { message: RouteNetlinkMessage::NewAddress(message), flags }, Errno::EEXIST)
        }
        AddressChange::Del => (take_away(index, address, None), Errno::EADDRNOTAVAIL),
    };
    request_one(request, done)
}

/// Makes a route, or removes it.
///
/// # Errors
/// It leads nowhere, its parts are of two families, or the privilege is missing.
pub fn change_route(change: RouteChange, route: &Route) -> io::Result<()> {
    let message = route_message(route)?;
    let (request, done) = match change {
        RouteChange::Replace => {
            let flags = NLM_F_REPLACE | NLM_F_CREATE;
            (Request { message: RouteNetlinkMessage::NewRoute(message), flags }, Errno::EEXIST)
        }
        RouteChange::Del => (Request { message: RouteNetlinkMessage::DelRoute(message), flags: 0 }, Errno::ESRCH),
    };
    request_one(request, done)
}

/// Announces an address on an interface, once.
///
/// # Errors
/// There is no such interface, it is down, or the privilege is missing.
pub fn announce_address(address: IpAddr, dev: &str) -> io::Result<()> {
    let name = named(dev)?;
    let links = Rtnl::open(0)?.links()?;
    let link = links.into_iter().find(|link| link.name.as_ref() == Some(&name));
    let mac = link.and_then(|link| link.mac);
    let mac = mac.ok_or_else(|| invalid("no such interface, or none with a link-layer address"))?;
    NeighborSocket::open(&name, Family::of(address))?.announce(&[address], mac)
}

/// Sends a signal to every process of this name; how many there were. Those that run this program (the keeper, another daemon)
/// are none of them, nor is this one.
///
/// # Errors
/// One of them may not be sent signals by this process.
pub fn signal_processes(name: &str, wanted: Signal) -> io::Result<usize> {
    let wanted = match wanted {
        Signal::Hup => signal::Signal::SIGHUP,
        Signal::Usr1 => signal::Signal::SIGUSR1,
        Signal::Usr2 => signal::Signal::SIGUSR2,
        Signal::Int => signal::Signal::SIGINT,
        Signal::Term => signal::Signal::SIGTERM,
    };
    let program = |process: &Path| fs::read_link(process.join("exe")).ok();
    let own = program(Path::new("/proc/self"));
    let mut count = 0;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()).map(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| *pid != Pid::this()) else { continue };
        let is_it = fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        if !is_it || own.is_some() && program(&entry.path()) == own {
            continue;
        }
        match kill(pid, wanted) {
            Ok(()) => count += 1,
            // It has ended meanwhile.
            Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(count)
}

fn route_message(route: &Route) -> io::Result<RouteMessage> {
    let everywhere = |address: IpAddr| match address {
        IpAddr::V4(_) => Network { address: IpAddr::from([0; 4]), prefix: 0 },
        IpAddr::V6(_) => Network { address: IpAddr::from([0; 16]), prefix: 0 },
    };
    let v4 = IpAddr::from([0; 4]);
    let to = route.to.unwrap_or_else(|| everywhere(route.via.unwrap_or(v4)));
    let mut builder = RouteMessageBuilder::<IpAddr>::new();
    builder = builder.destination_prefix(to.address, to.prefix).map_err(|error| invalid(format!("{error:?}")))?;
    if let Some(via) = route.via {
        builder = builder.gateway(via).map_err(|error| invalid(format!("{error:?}")))?;
    }
    if let Some(dev) = &route.dev {
        builder = builder.output_interface(index_of(dev)?);
    }
    if let Some(table) = route.table {
        builder = builder.table_id(table);
    }
    if let Some(metric) = route.metric {
        builder = builder.priority(metric);
    }
    Ok(builder.build())
}

/// `done`: what the kernel says where there is nothing to do.
fn request_one(request: Request, done: Errno) -> io::Result<()> {
    let results = Rtnl::open(0)?.change(vec![request], None).map_err(|failure| match failure {
        Failure::TooLate(_) => io::Error::from(io::ErrorKind::TimedOut),
        Failure::Io(error) => error,
    })?;
    results.into_iter().find_map(Result::err).map_or(Ok(()), |error| match error.raw_os_error() {
        Some(number) if Errno::from_raw(number) == done => Ok(()),
        Some(_) | None => Err(error),
    })
}

fn index_of(dev: &str) -> io::Result<u32> {
    Rtnl::open(0)?.index_of(&named(dev)?)
}

fn named(dev: &str) -> io::Result<InterfaceName> {
    dev.parse().map_err(|_| invalid("no such interface"))
}

fn invalid(why: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.to_string())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    use super::{super::namespace::alone, *};

    fn network(text: &str) -> Network {
        let net: IpNet = text.parse().unwrap();
        Network { address: net.addr(), prefix: net.prefix_len() }
    }

    #[test]
    fn an_address_and_a_route_come_and_go_and_twice_is_once() {
        alone(|| {
            for _ in 0..2 {
                change_address(AddressChange::Add, network("10.9.0.1/24"), "lo").unwrap();
            }
            let has = || {
                Rtnl::open(0).unwrap().addresses().unwrap().iter().any(|seen| seen.address.to_string() == "10.9.0.1/24")
            };
            assert!(has());
            let route = Route {
                to: Some(network("10.10.0.0/16")),
                via: None,
                dev: Some("lo".to_owned()),
                table: None,
                metric: None,
            };
            for _ in 0..2 {
                change_route(RouteChange::Replace, &route).unwrap();
            }
            let routes = || fs::read_to_string("/proc/net/route").unwrap();
            assert!(routes().contains("00000A0A"), "{}", routes());
            for _ in 0..2 {
                change_route(RouteChange::Del, &route).unwrap();
                change_address(AddressChange::Del, network("10.9.0.1/24"), "lo").unwrap();
            }
            assert!(!has() && !routes().contains("00000A0A"));
            assert!(change_address(AddressChange::Add, network("10.9.0.1/24"), "nowhere").is_err());
        });
    }

    /// The other half of the next test: this program, under the name that it is given.
    #[test]
    #[ignore = "waits for its input to end; the test that starts it sees to that"]
    fn waits_for_its_input() {
        fs::write("/proc/self/comm", std::env::var("CALLED").unwrap()).unwrap();
        println!("ready");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }

    #[test]
    fn whatever_runs_this_program_gets_no_signal() {
        let called = format!("sig{}", std::process::id());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "linux::changes::tests::waits_for_its_input"])
            .env("CALLED", &called)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().contains("ready")));
        assert_eq!(signal_processes(&called, Signal::Term).unwrap(), 0);
        drop(child.stdin.take());
        said.for_each(drop);
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn nobody_of_that_name_is_no_error() {
        assert_eq!(signal_processes("ha-no-such-proc", Signal::Hup).unwrap(), 0);
    }
}
