//! The near end of a probe that goes out: a socket with the source address and the interface that a policy asked for.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    answer::Failure,
    deadline::Deadline,
    names::{Names, interface_index},
};
use crate::policy::probe::ProbeRequest;

/// Where a connection leaves this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exit {
    pub(super) bind: Option<IpAddr>,
    pub(super) iface: Option<String>,
}

impl Exit {
    pub(super) fn of(request: &ProbeRequest) -> Self {
        Self { bind: request.bind, iface: request.iface.clone() }
    }

    /// A socket towards `address`, not connected yet. `kind` says whether it may block.
    pub(super) fn socket(&self, address: SocketAddr, kind: Type) -> Result<Socket, Failure> {
        let socket = Socket::new(Domain::for_address(address), kind, None).map_err(of_socket)?;
        if let Some(iface) = &self.iface {
            socket.bind_device(Some(iface.as_bytes())).map_err(|error| of_socket(error).during(iface))?;
        }
        if let Some(source) = self.bind {
            let bound = socket.bind(&self.source(source)?.into());
            bound.map_err(|error| of_socket(error).during(source))?;
        }
        Ok(socket)
    }

    /// The source as the kernel wants it: a link-local one belongs to an interface.
    pub(super) fn source(&self, source: IpAddr) -> Result<SocketAddr, Failure> {
        self.zoned(SocketAddr::new(source, 0))
    }

    /// An address with the interface number that a link-local one needs.
    pub(super) fn zoned(&self, address: SocketAddr) -> Result<SocketAddr, Failure> {
        let SocketAddr::V6(v6) = address else { return Ok(address) };
        if v6.scope_id() != 0 || !is_local(*v6.ip()) {
            return Ok(address);
        }
        let Some(iface) = &self.iface else {
            let why = format!("{} is on every link; say on which it is meant: iface: \"…\"", v6.ip());
            return Err(Failure::internal(why));
        };
        Ok(SocketAddrV6::new(*v6.ip(), v6.port(), 0, interface_index(iface)?).into())
    }
}

fn is_local(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || address.is_multicast()
}

fn of_socket(error: io::Error) -> Failure {
    Failure::of_socket(&error)
}

/// The addresses of `HOST:PORT`, at least one.
pub(super) async fn addresses(
    names: &Names,
    endpoint: &str,
    request: &ProbeRequest,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, Failure> {
    let parts = endpoint.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| Failure::internal(format!("{endpoint} is not HOST:PORT")))?;
    names.resolve(host, port, request.family(), deadline).await
}

/// A connection to one of the addresses: each in turn, each with its share of the time.
pub(super) async fn connect(addresses: &[SocketAddr], exit: &Exit, deadline: Deadline) -> Result<TcpStream, Failure> {
    let mut failure = deadline.passed();
    for (tried, &address) in addresses.iter().enumerate() {
        let share = deadline.share(addresses.len() - tried - 1);
        match timeout(share, connect_to(address, exit)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = deadline.passed(),
        }
    }
    Err(failure)
}

async fn connect_to(address: SocketAddr, exit: &Exit) -> Result<TcpStream, Failure> {
    let socket = exit.socket(address, Type::STREAM.nonblocking())?;
    TcpSocket::from_std_stream(socket.into()).connect(exit.zoned(address)?).await.map_err(of_socket)
}

/// A socket for datagrams to and from the first of the addresses.
pub(super) async fn correspond(addresses: &[SocketAddr], exit: &Exit) -> Result<UdpSocket, Failure> {
    let &address = addresses.first().ok_or_else(|| Failure::internal("no address"))?;
    let socket = exit.socket(address, Type::DGRAM.nonblocking())?;
    let socket = UdpSocket::from_std(socket.into()).map_err(of_socket)?;
    socket.connect(exit.zoned(address)?).await.map_err(of_socket)?;
    Ok(socket)
}
