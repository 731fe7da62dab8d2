//! The way from the http probe's client to the other side: a socket with a source address, an interface or a Unix path.
//!
//! `ureq`'s own connector has none of these, and takes a thread for each literal address. Its extension points have no
//! stable interface, hence the exact version in Cargo.toml.

use std::{
    fmt,
    io::{self, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use ureq::{
    Error, Timeout,
    config::Config,
    http::{Uri, uri::Scheme},
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport},
    },
};

use super::{
    answer::Failure, certificate::Certificate, deadline::Deadline, names::Names, unix_socket::of_unix_socket, way::Exit,
};
use crate::words::Family;

/// How far an exchange has come and whom it met; shared with whoever reports that it went no further.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<Met>>);

/// What is known of the other side.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    pub(super) phase: Phase,
    /// Who was connected to, last.
    pub(super) remote: Option<SocketAddr>,
    /// Its certificate, the last to show one.
    pub(super) certificate: Option<Certificate>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Resolve,
    Connect,
    Tls,
    Answer,
    Body,
    Done,
}

impl Phase {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Answer => "answer",
            Self::Body => "body",
            Self::Done => "done",
        }
    }
}

impl Progress {
    pub(super) fn reach(&self, phase: Phase) {
        self.note(|met| met.phase = phase);
    }

    pub(super) fn note(&self, what: impl FnOnce(&mut Met)) {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn so_far(&self) -> Met {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A failure of ours on its way through the client's error type.
#[derive(Debug)]
pub(super) struct Ours(pub(super) Failure);

impl fmt::Display for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.why)
    }
}

impl std::error::Error for Ours {}

pub(super) fn ours(failure: Failure) -> Error {
    Error::Other(Box::new(Ours(failure)))
}

/// Where the authority of the request really is, if another host was named in it.
#[derive(Clone, Debug)]
pub(super) struct Instead {
    /// The host and port that the request names.
    pub(super) named: (String, u16),
    /// Where they are.
    pub(super) real: (String, u16),
}

/// Turns a URL into addresses.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) names: Names,
    pub(super) deadline: Deadline,
    pub(super) progress: Progress,
    pub(super) family: Option<Family>,
    pub(super) instead: Option<Instead>,
    /// The way is a Unix socket: no address is needed, but the client insists on one.
    pub(super) unix: bool,
}

impl Route {
    fn target(&self, uri: &Uri) -> Option<(String, u16)> {
        let target = (uri.host()?.to_owned(), port_of(uri)?);
        Some(match &self.instead {
            Some(instead) if target == instead.named => instead.real.clone(),
            Some(instead) if target.0 == instead.named.0 => (instead.real.0.clone(), target.1),
            Some(_) | None => target,
        })
    }
}

impl Resolver for Route {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.progress.reach(Phase::Resolve);
        let mut addresses = self.empty();
        if self.unix {
            addresses.push(SocketAddr::from(([127, 0, 0, 1], 0)));
            return Ok(addresses);
        }
        let (host, port) = self.target(uri).ok_or_else(|| Error::BadUri(uri.to_string()))?;
        let found = self.names.resolve_blocking(&host, port, self.family, self.deadline).map_err(ours)?;
        // The client's array holds sixteen and panics beyond.
        found.into_iter().take(16).for_each(|address| addresses.push(address));
        Ok(addresses)
    }
}

/// The port of a URL, said or implied.
pub(super) fn port_of(uri: &Uri) -> Option<u16> {
    let implied = || if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    uri.authority().map(|authority| authority.port_u16().unwrap_or_else(implied))
}

/// Opens the socket.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) deadline: Deadline,
    pub(super) progress: Progress,
    pub(super) exit: Exit,
    pub(super) unix: Option<PathBuf>,
}

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, Stream>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if chained.is_some() {
            return Ok(chained.map(Either::A));
        }
        self.progress.reach(Phase::Connect);
        let socket = match &self.unix {
            Some(path) => self.connect_unix(path).map_err(|failure| ours(failure.during(path.display()))),
            None => self.connect_any(&details.addrs),
        }?;
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        self.progress.note(|met| met.remote = socket.peer_addr().ok().and_then(|remote| remote.as_socket()));
        Ok(Some(Either::B(Stream { socket, deadline: self.deadline, buffers: LazyBuffers::new(input, output) })))
    }
}

impl Dial {
    fn connect_any(&self, addresses: &[SocketAddr]) -> Result<Socket, Error> {
        let mut failure = self.deadline.passed();
        for (tried, &address) in addresses.iter().enumerate() {
            match self.connect_to(address, addresses.len() - tried - 1) {
                Ok(socket) => return Ok(socket),
                Err(error) => failure = error,
            }
        }
        Err(ours(failure))
    }

    fn connect_to(&self, address: SocketAddr, others: usize) -> Result<Socket, Failure> {
        let socket = self.exit.socket(address, Type::STREAM)?;
        let address = self.exit.zoned(address)?;
        let share = self.deadline.share(others);
        if share.is_zero() {
            return Err(self.deadline.passed());
        }
        match socket.connect_timeout(&address.into(), share) {
            Ok(()) => Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(self.deadline.passed()),
            Err(error) => Err(Failure::of_socket(&error)),
        }
    }

    /// A Unix socket connects at once or waits for a place in the other side's queue, as long as a write may take.
    fn connect_unix(&self, path: &Path) -> Result<Socket, Failure> {
        let of_socket = |error: io::Error| {
            let is_late = error.kind() == io::ErrorKind::WouldBlock;
            if is_late { self.deadline.passed() } else { of_unix_socket(&error) }
        };
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(of_socket)?;
        let left = self.deadline.left();
        if left.is_zero() {
            return Err(self.deadline.passed());
        }
        socket.set_write_timeout(Some(left)).map_err(of_socket)?;
        socket.connect(&SockAddr::unix(path).map_err(of_socket)?).map_err(of_socket)?;
        Ok(socket)
    }
}

/// A connected socket of any family. Never reused.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    deadline: Deadline,
    buffers: LazyBuffers,
}

impl Stream {
    /// Zero would mean "for ever" to the kernel.
    fn left(&self) -> Result<Duration, Error> {
        let left = self.deadline.left();
        if left.is_zero() { Err(Error::Timeout(Timeout::Global)) } else { Ok(left) }
    }
}

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        (&self.socket).write_all(output).map_err(late)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        loop {
            self.socket.set_read_timeout(Some(self.left()?))?;
            match (&self.socket).read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(late(error)),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

fn late(error: io::Error) -> Error {
    let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    if late { Error::Timeout(Timeout::Global) } else { Error::Io(error) }
}

/// Last in the chain: whatever there was to agree on is agreed on.
#[derive(Debug)]
pub(super) struct Arrived(pub(super) Progress);

impl<In: Transport> Connector<In> for Arrived {
    type Out = In;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<In>, Error> {
        self.0.reach(Phase::Answer);
        Ok(chained)
    }
}
