//! From a host as written to addresses. A literal address costs nothing; a name asks the system's resolver on a thread.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6, ToSocketAddrs},
};

use nix::net::if_::if_nametoindex;
use tokio::runtime::Handle;

use super::{answer::Failure, deadline::Deadline, workers::Workers};
use crate::{policy::probe::ErrorKind, words::Family};

/// The system's resolver.
#[derive(Clone, Debug)]
pub(super) struct Names {
    workers: Workers,
}

impl Names {
    pub(super) fn new(handle: Handle) -> Self {
        Self { workers: Workers::new(handle, "name lookups", 16) }
    }

    /// The addresses of `host`, at least one, all of `family` if that is given. `host` may be an address, also in
    /// brackets, also with a `%zone`. A name without address is [`ErrorKind::Dns`]; a resolver that does not answer is
    /// our own trouble.
    pub(super) async fn resolve(
        &self,
        host: &str,
        port: u16,
        family: Option<Family>,
        deadline: Deadline,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let found = match literal(host, port)? {
            Some(address) => vec![address],
            None => self.look_up(host, port, deadline).await?,
        };
        let wanted = |address: &SocketAddr| family.is_none_or(|family| Family::of(address.ip()) == family);
        let addresses: Vec<SocketAddr> = found.into_iter().filter(wanted).collect();
        if addresses.is_empty() {
            let family = family.map_or("", |family| match family {
                Family::V4 => "IPv4 ",
                Family::V6 => "IPv6 ",
            });
            return Err(Failure::new(ErrorKind::Dns, format!("{host} has no {family}address")));
        }
        Ok(addresses)
    }

    /// The same, from a thread that may block.
    pub(super) fn resolve_blocking(
        &self,
        host: &str,
        port: u16,
        family: Option<Family>,
        deadline: Deadline,
    ) -> Result<Vec<SocketAddr>, Failure> {
        self.workers.handle().block_on(self.resolve(host, port, family, deadline))
    }

    async fn look_up(&self, host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Failure> {
        let name = host.to_owned();
        let work = move || (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
        match self.workers.run(deadline, work).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(unresolved(host, &error)),
            // The name may be fine: it is this machine's resolver that says nothing.
            Err(late) => Err(Failure::internal(format!("looking up {host}: {}", late.why))),
        }
    }
}

/// `host` as an address, if it is one. A zone that is no interface has no way there.
fn literal(host: &str, port: u16) -> Result<Option<SocketAddr>, Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Some((address, zone)) = bare.split_once('%')
        && let Ok(address) = address.parse()
    {
        return Ok(Some(SocketAddrV6::new(address, port, 0, interface_index(zone)?).into()));
    }
    Ok(bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, port)))
}

/// The kernel's number of an interface.
pub(super) fn interface_index(name: &str) -> Result<u32, Failure> {
    if_nametoindex(name).map_err(|_| Failure::new(ErrorKind::Unreachable, format!("no interface {name}")))
}

/// The standard library keeps only the text of getaddrinfo's error; these are the texts of glibc and musl for a name
/// that does not exist or has no address. Everything else (try again, system error) is the resolver's trouble.
fn unresolved(host: &str, error: &io::Error) -> Failure {
    const NO_SUCH_NAME: [&str; 4] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
    ];
    let text = error.to_string();
    if NO_SUCH_NAME.iter().any(|known| text.contains(known)) {
        Failure::new(ErrorKind::Dns, format!("{host} has no address"))
    } else {
        Failure::internal(format!("looking up {host}: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    #[tokio::test]
    async fn literals_need_no_resolver() {
        let names = Names::new(Handle::current());
        for (host, want) in [("192.168.0.22", "192.168.0.22:80"), ("[::1]", "[::1]:80"), ("::1", "[::1]:80")] {
            assert_eq!(names.resolve(host, 80, None, soon()).await.unwrap(), vec![want.parse().unwrap()]);
        }
        let lo = names.resolve("fe80::1%lo", 0, None, soon()).await.unwrap();
        assert_eq!(lo, vec![SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 0, 0, 1))]);
    }

    #[tokio::test]
    async fn an_address_of_the_other_family_is_no_address() {
        let names = Names::new(Handle::current());
        let failure = names.resolve("::1", 80, Some(Family::V4), soon()).await.unwrap_err();
        assert_eq!(failure, Failure::new(ErrorKind::Dns, "::1 has no IPv4 address"));
        let failure = names.resolve("fe80::1%nosuch0", 80, None, soon()).await.unwrap_err();
        assert_eq!(failure, Failure::new(ErrorKind::Unreachable, "no interface nosuch0"));
    }

    #[test]
    fn a_missing_name_is_the_names_fault_a_dead_resolver_is_ours() {
        let error = |text: &str| io::Error::other(format!("failed to lookup address information: {text}"));
        let missing = unresolved("nosuch", &error("Name or service not known"));
        assert_eq!(missing, Failure::new(ErrorKind::Dns, "nosuch has no address"));
        assert_eq!(unresolved("x", &error("Temporary failure in name resolution")).error, ErrorKind::Internal);
        assert_eq!(unresolved("x", &io::Error::from_raw_os_error(24)).error, ErrorKind::Internal);
    }
}
