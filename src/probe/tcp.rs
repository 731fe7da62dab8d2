//! The TCP probe: connect, say something, look for something in the answer.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use super::{
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    names::Names,
};
use crate::{
    policy::probe::{ErrorKind, Field, ProbeRequest, TcpRequest},
    words::Family,
};

/// How much of an answer is looked at.
const DATA_MAX: usize = 64 * 1024;

/// `ok`: connected, sent, and the expected text came. Fields: `connect` (seconds until connected), `data` (what was
/// received; read only if something is expected, at most 64 KiB).
pub(super) async fn probe(names: &Names, request: &ProbeRequest, tcp: &TcpRequest, deadline: Deadline) -> Answer {
    let mut seen = Seen::default();
    let verdict = match deadline.within(converse(names, request, tcp, deadline, &mut seen)).await {
        Ok(verdict) => verdict,
        // Something came, and it was not what was asked for.
        Err(_) if !seen.data.is_empty() => Err(lacks(tcp)),
        Err(late) => Err(late),
    };
    Answer { verdict, fields: seen.into_fields() }
}

/// What is known so far, kept outside so that a deadline does not lose it.
#[derive(Default)]
struct Seen {
    connect: Option<Duration>,
    data: Vec<u8>,
}

impl Seen {
    fn into_fields(self) -> Fields {
        let connect = self.connect.map_or(Field::Unit, |after| Field::Float(after.as_secs_f64()));
        let data = Field::Text(String::from_utf8_lossy(&self.data).into_owned());
        Fields::from([("connect", connect), ("data", data)])
    }
}

async fn converse(
    names: &Names,
    request: &ProbeRequest,
    tcp: &TcpRequest,
    deadline: Deadline,
    seen: &mut Seen,
) -> Result<String, Failure> {
    let (host, port) = host_and_port(&tcp.target)?;
    let addresses = names.resolve(host, port, request.family(), deadline).await?;
    let began_at = Instant::now();
    let mut stream = connect_any(&addresses, request, deadline).await?;
    seen.connect = Some(began_at.elapsed());
    if let Some(text) = &tcp.send {
        stream.write_all(text.as_bytes()).await.map_err(|error| Failure::of_socket(&error))?;
    }
    match &tcp.expect {
        Some(wanted) => {
            await_text(&mut stream, wanted, &mut seen.data).await.map_err(|why| why.unwrap_or_else(|| lacks(tcp)))
        }
        None => Ok("connected".to_owned()),
    }
}

fn host_and_port(target: &str) -> Result<(&str, u16), Failure> {
    let parts = target.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.ok_or_else(|| Failure::internal(format!("{target} is not HOST:PORT")))
}

/// Each address in turn, each with its share of the time.
async fn connect_any(
    addresses: &[SocketAddr],
    request: &ProbeRequest,
    deadline: Deadline,
) -> Result<TcpStream, Failure> {
    let mut failure = deadline.passed();
    for (tried, &address) in addresses.iter().enumerate() {
        let share = deadline.share(addresses.len() - tried - 1);
        match timeout(share, connect(address, request)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = deadline.passed(),
        }
    }
    Err(failure)
}

async fn connect(address: SocketAddr, request: &ProbeRequest) -> Result<TcpStream, Failure> {
    let socket = match Family::of(address.ip()) {
        Family::V4 => TcpSocket::new_v4(),
        Family::V6 => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|error| Failure::of_socket(&error))?;
    if let Some(iface) = &request.iface {
        let bound = socket.bind_device(Some(iface.as_bytes()));
        bound.map_err(|error| Failure::of_socket(&error).during(iface))?;
    }
    if let Some(source) = request.bind {
        let bound = socket.bind(SocketAddr::new(source, 0));
        bound.map_err(|error| Failure::of_socket(&error).during(source))?;
    }
    socket.connect(address).await.map_err(|error| Failure::of_socket(&error))
}

/// Reads until `wanted` is there. `Err(None)`: an answer came and ended, or grew too long, without it.
async fn await_text(stream: &mut TcpStream, wanted: &str, data: &mut Vec<u8>) -> Result<String, Option<Failure>> {
    let mut chunk = [0; 4096];
    while !contains(data, wanted) {
        if data.len() >= DATA_MAX {
            return Err(None);
        }
        match stream.read(&mut chunk).await {
            Ok(0) if data.is_empty() => {
                return Err(Some(Failure::new(ErrorKind::Reset, "closed without an answer")));
            }
            Ok(0) => return Err(None),
            Ok(count) => data.extend(chunk.iter().take(count)),
            Err(error) => return Err(Some(Failure::of_socket(&error))),
        }
    }
    Ok("answered".to_owned())
}

fn contains(data: &[u8], wanted: &str) -> bool {
    wanted.is_empty() || data.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

fn lacks(tcp: &TcpRequest) -> Failure {
    let wanted = tcp.expect.as_deref().unwrap_or_default();
    Failure::new(ErrorKind::Mismatch, format!("no {wanted:?} in the answer"))
}
