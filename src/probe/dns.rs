//! The DNS probe: a question to one server, by UDP (asked again if nothing comes, for a datagram may be lost) or by TCP.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
    time::timeout,
};

use super::{
    Shared,
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    way::{self, Exit},
};
use crate::{
    policy::probe::{DnsRequest, ErrorKind, Field, ProbeRequest},
    wire::dns::{NoResponse, Question, Response},
};

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How often a question is asked within its time.
const ATTEMPTS: u32 = 3;
/// Nobody is asked more often than this.
const PATIENCE_MIN: Duration = Duration::from_millis(10);
/// More than any server sends in a datagram to whoever announces no more than 1232.
const MESSAGE_MAX: usize = 4096;

/// `ok`: what [`DnsRequest::verdict`] says of the answer. Fields: `rcode`, `answers`, `ttl`, `authoritative`, `validated`.
pub(super) async fn probe(shared: &Shared, request: &ProbeRequest, dns: &DnsRequest, deadline: Deadline) -> Answer {
    let mut strangers = 0;
    let asked = deadline.within(ask(shared, request, dns, deadline, &mut strangers)).await;
    let response = asked.and_then(|asked| asked).map_err(|failure| match (failure.error, strangers) {
        (ErrorKind::Timeout, 1..) => {
            Failure { why: format!("{}, what came answers another question", failure.why), ..failure }
        }
        (_, _) => failure,
    });
    let fields = fields(response.as_ref().ok());
    let mismatch = |why| Failure::new(ErrorKind::Mismatch, why);
    Answer { verdict: response.and_then(|_| dns.verdict(&fields).map_err(mismatch)), fields }
}

fn fields(response: Option<&Response>) -> Fields {
    let Some(response) = response else {
        return ["rcode", "answers", "ttl", "authoritative", "validated"].map(|name| (name, Field::Unit)).into();
    };
    let ttl = response.records.iter().map(|record| record.ttl).min();
    Fields::from([
        ("rcode", Field::Text(response.rcode.to_string())),
        ("answers", Field::List(response.records.iter().map(|record| Field::text(&record.data)).collect())),
        ("ttl", ttl.map_or(Field::Unit, |ttl| Field::Int(ttl.into()))),
        ("authoritative", Field::Bool(response.authoritative)),
        ("validated", Field::Bool(response.validated)),
    ])
}

async fn ask(
    shared: &Shared,
    request: &ProbeRequest,
    dns: &DnsRequest,
    deadline: Deadline,
    strangers: &mut u32,
) -> Result<Response, Failure> {
    let (host, port) = match &dns.server {
        Some(server) => server.clone(),
        None => (shared.looks.run(Path::new(RESOLV_CONF), deadline, usual_server).await??, 53),
    };
    let servers = shared.names.resolve(&host, port, request.family(), deadline).await?;
    let exit = Exit::of(request);
    let question = Question { id: random(), name: dns.name.clone(), kind: dns.kind, dnssec: dns.dnssec };
    if !dns.tcp {
        let response = by_udp(&servers, &exit, &question, deadline, strangers).await?;
        if !response.truncated {
            return Ok(response);
        }
    }
    by_tcp(&servers, &exit, &question, deadline).await
}

/// Nobody on the way can guess it.
fn random() -> u16 {
    let [low, high, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// The server that the system asks first.
fn usual_server() -> Result<String, Failure> {
    let text = std::fs::read_to_string(RESOLV_CONF);
    let text = text.map_err(|error| Failure::of_socket(&error).during(RESOLV_CONF))?;
    first_server(&text).ok_or_else(|| Failure::internal(format!("{RESOLV_CONF} names no server; write server: \"…\"")))
}

fn first_server(text: &str) -> Option<String> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next().map(ToOwned::to_owned)).flatten()
    };
    text.lines().find_map(server)
}

async fn by_udp(
    servers: &[SocketAddr],
    exit: &Exit,
    question: &Question,
    deadline: Deadline,
    strangers: &mut u32,
) -> Result<Response, Failure> {
    let socket = way::correspond(servers, exit).await?;
    let (message, patience) = (question.encode(), (deadline.left() / ATTEMPTS).max(PATIENCE_MIN));
    loop {
        socket.send(&message).await.map_err(|error| Failure::of_socket(&error))?;
        // That it ends at all is the outer deadline's doing.
        if let Ok(response) = timeout(patience, listen(&socket, question, strangers)).await {
            return response;
        }
    }
}

/// Messages that answer other questions are passed over: an earlier one of ours may be among them.
async fn listen(socket: &UdpSocket, question: &Question, strangers: &mut u32) -> Result<Response, Failure> {
    // What does not fit would be lost.
    let mut message = Vec::with_capacity(MESSAGE_MAX);
    loop {
        message.clear();
        socket.recv_buf(&mut message).await.map_err(|error| Failure::of_socket(&error))?;
        match question.decode(&message) {
            Ok(response) => return Ok(response),
            Err(NoResponse::Malformed) => return Err(malformed()),
            Err(NoResponse::Foreign) => *strangers += 1,
        }
    }
}

/// RFC 7766: each message is preceded by its length.
async fn by_tcp(
    servers: &[SocketAddr],
    exit: &Exit,
    question: &Question,
    deadline: Deadline,
) -> Result<Response, Failure> {
    let mut stream = way::connect(servers, exit, deadline).await?;
    let message = question.encode();
    let length = u16::try_from(message.len()).unwrap_or_default();
    let exchanged: io::Result<Vec<u8>> = async {
        stream.write_all(&[&length.to_be_bytes()[..], &message].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
    .await;
    let answer = exchanged.map_err(|error| Failure::of_socket(&error))?;
    // Only one question was asked on this connection.
    question.decode(&answer).map_err(|_| malformed())
}

fn malformed() -> Failure {
    Failure::new(ErrorKind::Protocol, "the answer makes no sense")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_server_of_the_system() {
        let text = "# nameserver 192.0.2.9\nsearch example.org\nnameserver\t192.0.2.1\nnameserver 192.0.2.2\n";
        assert_eq!(first_server(text).as_deref(), Some("192.0.2.1"));
        assert_eq!(first_server("search example.org\nnameserver\n"), None);
    }
}
