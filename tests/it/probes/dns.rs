//! dns: a name server for each way to answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::mpsc,
    thread,
    time::Duration,
};

use ha::{
    policy::probe::{DnsRequest, ErrorKind, Field, ProbeKind, ProbeOutcome, ProbeRequest},
    wire::dns::{Name, Rcode, RecordType},
};

use super::{World, assert_outcome, assert_took, request, text};

/// The answer to a question, with these flags and records.
fn answer(question: &[u8], flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    // A header, a name up to its end, type and class; nothing that comes after.
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut message = question[..end].to_vec();
    message[2..4].copy_from_slice(&flags.to_be_bytes());
    message[6..12].copy_from_slice(&[0, records.len().try_into().unwrap(), 0, 0, 0, 0]);
    records.iter().for_each(|record| message.extend(record));
    message
}

/// A record about the name in the question.
fn record(code: u8, ttl: u8, data: &[u8]) -> Vec<u8> {
    [&[0xc0, 12, 0, code, 0, 1, 0, 0, 0, ttl, 0, data.len().try_into().unwrap()], data].concat()
}

fn a(last: u8) -> Vec<u8> {
    record(1, 60, &[192, 0, 2, last])
}

/// A server on UDP; `None` is silence.
fn serve(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let (socket, address) = std::iter::repeat_with(|| UdpSocket::bind("127.0.0.1:0").unwrap())
        .map(|socket| (socket.local_addr().unwrap(), socket))
        // Some test serves both; another's connection may have this port.
        .find_map(|(address, socket)| TcpListener::bind(address).is_ok().then_some((socket, address)))
        .unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

/// The same server on TCP.
fn serve_tcp(address: SocketAddr, answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) {
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let mut length = [0; 2];
            connection.read_exact(&mut length).unwrap();
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            connection.read_exact(&mut question).unwrap();
            let answer = answer(&question);
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            connection.write_all(&[&length[..], &answer].concat()).unwrap();
        }
    });
}

fn about(name: &str, server: SocketAddr) -> DnsRequest {
    DnsRequest {
        target: name.to_owned(),
        name: Name::new(name).unwrap(),
        kind: RecordType::A,
        server: Some((server.ip().to_string(), server.port())),
        rcode: Rcode::named("NOERROR").unwrap(),
        min: 1,
        contains: None,
        tcp: false,
        dnssec: false,
    }
}

fn asking(dns: DnsRequest) -> ProbeRequest {
    ProbeRequest { timeout: Duration::from_millis(300), ..request(ProbeKind::Dns(dns)) }
}

fn ask(server: SocketAddr) -> ProbeOutcome {
    World::new().probe(&asking(about("www.example.org", server)))
}

fn answers(outcome: &ProbeOutcome) -> Vec<String> {
    let Field::List(answers) = &outcome.fields["answers"] else { panic!("{outcome:?}") };
    answers
        .iter()
        .map(|answer| if let Field::Text(text) = answer { text.clone() } else { panic!("{answer:?}") })
        .collect()
}

#[test]
fn an_answer_with_records_is_ok() {
    let server = serve(|question| {
        Some(answer(question, 0x8580, &[record(1, 60, &[192, 0, 2, 1]), record(1, 30, &[192, 0, 2, 2])]))
    });
    let outcome = ask(server);
    assert_outcome(&outcome, true, ErrorKind::None, "NOERROR, 192.0.2.1 and 1 more");
    assert_eq!(answers(&outcome), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!((text(&outcome, "rcode").as_str(), &outcome.fields["ttl"]), ("NOERROR", &Field::Int(30)));
    assert_eq!(
        (&outcome.fields["authoritative"], &outcome.fields["validated"]),
        (&Field::Bool(true), &Field::Bool(false))
    );
}

#[test]
fn what_must_be_among_the_answers_is_looked_for_whole() {
    let server = serve(|question| Some(answer(question, 0x8180, &[a(60)])));
    let containing = |wanted: &str| {
        World::new()
            .probe(&asking(DnsRequest { contains: Some(wanted.to_owned()), ..about("www.example.org", server) }))
    };
    assert_outcome(&containing("192.0.2.60"), true, ErrorKind::None, "NOERROR, 192.0.2.60");
    let why = "NOERROR, 192.0.2.6 is not among the answers";
    assert_outcome(&containing("192.0.2.6"), false, ErrorKind::Mismatch, why);
    let more = DnsRequest { min: 2, ..about("www.example.org", server) };
    let why = "NOERROR, 1 records of type A, wanted 2";
    assert_outcome(&World::new().probe(&asking(more)), false, ErrorKind::Mismatch, why);
}

#[test]
fn an_alias_is_followed_to_its_address_and_is_none_by_itself() {
    let alias = || record(5, 60, b"\x03web\xc0\x10");
    let followed = serve(move |question| Some(answer(question, 0x8180, &[alias(), a(1)])));
    assert_outcome(&ask(followed), true, ErrorKind::None, "NOERROR, 192.0.2.1");
    let dangling = serve(move |question| Some(answer(question, 0x8180, &[alias()])));
    assert_outcome(&ask(dangling), false, ErrorKind::Mismatch, "NOERROR, 0 records of type A, wanted 1");
    let itself = DnsRequest { kind: RecordType::Cname, ..about("www.example.org", dangling) };
    assert_outcome(&World::new().probe(&asking(itself)), true, ErrorKind::None, "NOERROR, web.example.org");
}

#[test]
fn nxdomain_and_servfail_are_answers_and_not_ok() {
    for (code, name) in [(2, "SERVFAIL"), (3, "NXDOMAIN"), (5, "REFUSED")] {
        let server = serve(move |question| Some(answer(question, 0x8180 | code, &[])));
        let outcome = ask(server);
        assert_outcome(&outcome, false, ErrorKind::Mismatch, name);
        assert_eq!(text(&outcome, "rcode"), name);
        let wanted = DnsRequest { rcode: Rcode::named(name).unwrap(), min: 0, ..about("www.example.org", server) };
        assert_outcome(&World::new().probe(&asking(wanted)), true, ErrorKind::None, name);
    }
}

#[test]
fn what_does_not_fit_is_asked_for_again_by_tcp() {
    let server = serve(|question| Some(answer(question, 0x8380, &[a(1)])));
    serve_tcp(server, |question| answer(question, 0x8180, &[a(1), a(2), a(3)]));
    let outcome = ask(server);
    assert_outcome(&outcome, true, ErrorKind::None, "NOERROR, 192.0.2.1 and 2 more");

    let deaf = serve(|question| Some(answer(question, 0x8380, &[a(1)])));
    assert_outcome(&ask(deaf), false, ErrorKind::Refused, "connection refused");
}

#[test]
fn it_can_be_asked_by_tcp_alone() {
    let silent = serve(|_| None);
    serve_tcp(silent, |question| answer(question, 0x8180, &[a(1)]));
    let by_tcp = DnsRequest { tcp: true, ..about("www.example.org", silent) };
    assert_outcome(&World::new().probe(&asking(by_tcp)), true, ErrorKind::None, "NOERROR, 192.0.2.1");
}

#[test]
fn silence_times_out_and_a_closed_port_is_refused() {
    let outcome = ask(serve(|_| None));
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms");
    assert_took(&outcome, Duration::from_millis(300));
    assert_eq!(outcome.fields["rcode"], Field::Unit);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_outcome(&ask(closed), false, ErrorKind::Refused, "connection refused");
}

#[test]
fn a_lost_datagram_is_not_a_failure() {
    let lost = std::cell::Cell::new(0);
    let server = serve(move |question| {
        lost.set(lost.get() + 1);
        (lost.get() > 2).then(|| answer(question, 0x8180, &[a(1)]))
    });
    assert_outcome(&ask(server), true, ErrorKind::None, "NOERROR, 192.0.2.1");
}

#[test]
fn garbage_is_a_protocol_error() {
    let cut = serve(|question| {
        let whole = answer(question, 0x8180, &[a(1)]);
        Some(whole[..whole.len() - 2].to_vec())
    });
    assert_outcome(&ask(cut), false, ErrorKind::Protocol, "the answer makes no sense");
}

#[test]
fn an_answer_to_another_question_is_none() {
    let wrong_number = |question: &[u8]| {
        let mut answer = answer(question, 0x8180, &[a(66)]);
        answer[0] ^= 0xff;
        Some(answer)
    };
    let outcome = ask(serve(wrong_number));
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms, what came answers another question");
    assert_took(&outcome, Duration::from_millis(300));

    let other_name = serve(|question| {
        let mut answer = answer(question, 0x8180, &[a(66)]);
        answer[13] ^= 1;
        Some(answer)
    });
    assert_eq!(ask(other_name).error, ErrorKind::Timeout);
}

#[test]
fn a_validated_answer_must_say_so() {
    let (sender, seen) = mpsc::channel();
    let server = move |flags| {
        let sender = sender.clone();
        serve(move |question| {
            sender.send(question.to_vec()).unwrap();
            Some(answer(question, flags, &[a(1)]))
        })
    };
    let dnssec = |server| World::new().probe(&asking(DnsRequest { dnssec: true, ..about("www.example.org", server) }));
    assert_outcome(&dnssec(server(0x81a0)), true, ErrorKind::None, "NOERROR, 192.0.2.1");
    assert!(seen.recv().unwrap().ends_with(&[0x80, 0, 0, 0]), "asks for it");
    assert_outcome(&dnssec(server(0x8180)), false, ErrorKind::Mismatch, "NOERROR, not validated");
}

#[test]
fn the_wrong_source_or_interface_is_no_way_there() {
    let server = serve(|question| Some(answer(question, 0x8180, &[a(1)])));
    let told = ProbeRequest {
        bind: Some("127.0.0.7".parse().unwrap()),
        iface: Some("lo".to_owned()),
        ..asking(about("www.example.org", server))
    };
    assert_outcome(&World::new().probe(&told), true, ErrorKind::None, "NOERROR, 192.0.2.1");
    let missing = ProbeRequest { iface: Some("nosuch0".to_owned()), ..asking(about("www.example.org", server)) };
    assert_outcome(&World::new().probe(&missing), false, ErrorKind::Unreachable, "nosuch0: no such device");
}
