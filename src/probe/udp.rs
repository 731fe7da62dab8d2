//! The UDP probe: one datagram, and the first that comes back.

use tokio::net::UdpSocket;

use super::{
    answer::{Answer, Failure},
    deadline::Deadline,
    names::Names,
    talk,
    way::{self, Exit},
};
use crate::policy::probe::{ProbeRequest, UdpRequest};

/// `ok`: an answer came and is the expected one. Only the asked address can answer: the socket is connected, which is also
/// how "nobody listens" is heard. Fields: `data`.
pub(super) async fn probe(names: &Names, request: &ProbeRequest, udp: &UdpRequest, deadline: Deadline) -> Answer {
    // As long as a datagram can be: what does not fit would be lost.
    let mut data = Vec::with_capacity(talk::DATA_MAX);
    let asked = deadline.within(ask(names, request, udp, deadline, &mut data)).await;
    let verdict = asked.and_then(|asked| asked).and_then(|()| talk::judge(&udp.talk, &data));
    talk::answer(&udp.talk, verdict, &data)
}

async fn ask(
    names: &Names,
    request: &ProbeRequest,
    udp: &UdpRequest,
    deadline: Deadline,
    data: &mut Vec<u8>,
) -> Result<(), Failure> {
    let addresses = way::addresses(names, &udp.target, request, deadline).await?;
    let socket = way::correspond(&addresses, &Exit::of(request)).await?;
    exchange(&socket, &udp.talk.send, data).await.map_err(|error| Failure::of_socket(&error))
}

async fn exchange(socket: &UdpSocket, send: &[u8], data: &mut Vec<u8>) -> std::io::Result<()> {
    socket.send(send).await?;
    socket.recv_buf(data).await?;
    Ok(())
}
