//! The TCP probe: connect, perhaps agree on TLS, say something, look for something in the answer.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Shared,
    answer::{Answer, Failure},
    deadline::Deadline,
    talk::{self, Unexpected},
    tls,
    way::{self, Exit},
};
use crate::policy::probe::{Field, ProbeRequest, TcpRequest, TlsRequest};

/// `ok`: connected, sent, and the expected answer came. Fields: `connect` (seconds until connected), `data` (what was
/// received; read only if something is expected, at most 64 KiB).
pub(super) async fn probe(shared: &Shared, request: &ProbeRequest, tcp: &TcpRequest, deadline: Deadline) -> Answer {
    let mut seen = Seen::default();
    let verdict = match deadline.within(converse(shared, request, tcp, deadline, &mut seen)).await {
        Ok(verdict) => verdict,
        Err(_) => talk::cut_off(&tcp.talk, &seen.data, deadline),
    };
    let connect = seen.connect.map_or(Field::Unit, |after| Field::Float(after.as_secs_f64()));
    let mut answer = talk::answer(&tcp.talk, verdict, &seen.data);
    answer.fields.insert("connect", connect);
    answer
}

/// What is known so far, kept outside so that a deadline does not lose it.
#[derive(Default)]
struct Seen {
    connect: Option<Duration>,
    data: Vec<u8>,
}

async fn converse(
    shared: &Shared,
    request: &ProbeRequest,
    tcp: &TcpRequest,
    deadline: Deadline,
    seen: &mut Seen,
) -> Result<String, Failure> {
    let addresses = way::addresses(&shared.names, &tcp.target, request, deadline).await?;
    let began_at = Instant::now();
    let mut stream = way::connect(&addresses, &Exit::of(request), deadline).await?;
    seen.connect = Some(began_at.elapsed());
    if tcp.proxy_protocol {
        let header = introduction(&stream).map_err(|error| Failure::of_socket(&error))?;
        stream.write_all(header.as_bytes()).await.map_err(|error| Failure::of_socket(&error))?;
    }
    let Some(tls) = &tcp.tls else {
        return talk::hold(&mut stream, &tcp.talk, Unexpected::Unread, &mut seen.data).await;
    };
    let mut stream = encrypt(shared, tls, &tcp.target, stream, deadline).await?;
    talk::hold(&mut stream, &tcp.talk, Unexpected::Unread, &mut seen.data).await
}

/// The name to ask for is the host's, unless told.
async fn encrypt(
    shared: &Shared,
    request: &TlsRequest,
    target: &str,
    stream: TcpStream,
    deadline: Deadline,
) -> Result<TlsStream<TcpStream>, Failure> {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let name = tls::server_name(request.sni.as_deref().unwrap_or(host))?;
    let (roots, request) = (shared.roots.clone(), request.clone());
    let file = tls::file_of(&request).to_owned();
    let config = shared.looks.run(&file, deadline, move || roots.config(&request)).await??;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| tls::failure(&error))
}

/// The header of the PROXY protocol, version 1, of a connection that is made for ourselves.
fn introduction(stream: &TcpStream) -> std::io::Result<String> {
    let (from, to) = (stream.local_addr()?, stream.peer_addr()?);
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    Ok(format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port()))
}
