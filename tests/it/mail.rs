//! Mail on transitions, against an SMTP server on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use ha::{
    config::Mail,
    daemon::mail::{Letter, MailError, Mailer, Tally, Transition},
    node::Role,
};

/// A mail as a server got it.
#[derive(Debug)]
struct Received {
    from: String,
    to: Vec<String>,
    text: String,
}

/// How a server treats its clients.
#[derive(Clone, Copy)]
enum Manner {
    /// Takes everything.
    Kind,
    /// Takes everything but mail for this recipient.
    Refuses(&'static str),
    /// Takes nothing the first so many times.
    BusyAtFirst(usize),
    /// Accepts connections and says nothing.
    Mute,
}

/// A server on loopback, and what it gets.
fn server(manner: Manner) -> (String, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        let mut silent = Vec::new();
        for (number, connection) in listener.incoming().map_while(Result::ok).enumerate() {
            match manner {
                Manner::Mute => silent.push(connection),
                Manner::BusyAtFirst(times) if number < times => drop(converse(&connection, "421 busy", "", &sender)),
                Manner::BusyAtFirst(_) | Manner::Kind => drop(converse(&connection, "220 hello", "", &sender)),
                Manner::Refuses(whom) => drop(converse(&connection, "220 hello", whom, &sender)),
            }
        }
    });
    (address, received)
}

/// One session, as much of RFC 5321 as it takes. `None` once it has ended.
fn converse(connection: &TcpStream, greeting: &str, refused: &str, sender: &Sender<Received>) -> Option<()> {
    let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
    let mut mail = Received { from: String::new(), to: Vec::new(), text: String::new() };
    say(connection, greeting)?;
    loop {
        let line = lines.next()?;
        let address = || line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).unwrap().0.to_owned();
        if line.starts_with("MAIL FROM:") {
            mail.from = address();
            say(connection, "250 ok")?;
        } else if line.starts_with("RCPT TO:") && !refused.is_empty() && address() == refused {
            say(connection, "550 5.1.1 nobody here of that name")?;
        } else if line.starts_with("RCPT TO:") {
            mail.to.push(address());
            say(connection, "250 ok")?;
        } else if line == "DATA" {
            say(connection, "354 go on")?;
            mail.text = lines.by_ref().take_while(|line| line != ".").collect::<Vec<_>>().join("\n");
            say(connection, "250 queued")?;
        } else if line == "QUIT" {
            say(connection, "221 bye")?;
            if !mail.text.is_empty() {
                sender.send(mail).ok()?;
            }
            return None;
        } else {
            say(connection, "250 ok")?;
        }
    }
}

fn say(mut connection: &TcpStream, text: &str) -> Option<()> {
    write!(connection, "{text}\r\n").ok()
}

fn mail(smtp: &str) -> Mail {
    Mail {
        to: vec!["ops@example.org".to_owned(), "Night Shift <night@example.org>".to_owned()],
        from: "ha@node1.example.org".to_owned(),
        smtp: smtp.to_owned(),
        timeout: Duration::from_millis(200),
    }
}

fn transition() -> Letter {
    Transition {
        node: "K1",
        instance: "VI_1",
        from: Role::Backup,
        to: Role::Master,
        reason: "no advertisement for 3.609s",
        at: "2026-08-22T10:20:00Z".parse().unwrap(),
        addresses: &["192.168.0.60/24".parse().unwrap()],
    }
    .letter()
}

fn next(received: &Receiver<Received>) -> Received {
    received.recv_timeout(Duration::from_secs(10)).unwrap()
}

/// Waits until a mail was given up.
fn failure(mailer: &Mailer) -> Tally {
    let until = Instant::now() + Duration::from_secs(10);
    while mailer.tally().failed == 0 && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    mailer.tally()
}

#[test]
fn every_recipient_gets_one_mail_that_tells_the_story() {
    let (address, received) = server(Manner::Kind);
    let mailer = Mailer::start(&mail(&address)).unwrap();
    mailer.send(transition());
    let got = next(&received);
    assert_eq!(got.from, "ha@node1.example.org");
    assert_eq!(got.to, ["ops@example.org", "night@example.org"]);
    for line in [
        "From: ha@node1.example.org",
        "To: ops@example.org, \"Night Shift\" <night@example.org>",
        "Subject: [K1] VI_1 is master (backup before): no advertisement for 3.609s",
        "K1 now holds the addresses below and answers for them.",
        "node (router_id): K1",
        "time:             2026-08-22T10:20:00Z",
        "addresses:        192.168.0.60/24",
    ] {
        assert!(got.text.lines().any(|got| got == line), "{line} in {}", got.text);
    }
    assert!(mailer.finish(Duration::from_secs(5)));
}

#[test]
fn mails_arrive_one_after_the_other_in_their_order() {
    let (address, received) = server(Manner::Kind);
    let mailer = Mailer::start(&mail(&address)).unwrap();
    for number in 0..5 {
        mailer.send(Letter::new(&format!("number {number}"), "body"));
    }
    for number in 0..5 {
        assert!(next(&received).text.contains(&format!("Subject: number {number}\n")));
    }
    assert!(mailer.finish(Duration::from_secs(5)));
}

#[test]
fn a_busy_server_is_asked_again() {
    let (address, received) = server(Manner::BusyAtFirst(2));
    let mailer = Mailer::start(&mail(&address)).unwrap();
    mailer.send(transition());
    assert_eq!(next(&received).to.len(), 2);
}

#[test]
fn one_wrong_recipient_costs_nobody_else_the_news() {
    let (address, received) = server(Manner::Refuses("ops@example.org"));
    let mailer = Mailer::start(&mail(&address)).unwrap();
    mailer.send(transition());
    assert_eq!(next(&received).to, ["night@example.org"]);
    let why = failure(&mailer).last_failure.unwrap();
    assert!(why.contains("ops@example.org: the server says") && why.contains("nobody here of that name"), "{why}");
    assert!(!why.contains("night@example.org"), "{why}");
}

#[test]
fn a_server_that_is_down_is_tried_three_times_and_reported() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mailer = Mailer::start(&mail(&closed)).unwrap();
    let began_at = Instant::now();
    mailer.send(transition());
    let tally = failure(&mailer);
    assert!(began_at.elapsed() >= Duration::from_millis(600), "backs off 200 ms, then 400 ms");
    assert_eq!((tally.delivered, tally.failed, tally.dropped), (0, 1, 0));
    let why = tally.last_failure.unwrap();
    assert!(why.contains("Connection refused") && why.contains("(3 attempts)"), "{why}");
    assert!(why.contains(&format!("Check that an SMTP server listens at {closed}")), "{why}");
}

#[test]
fn a_server_that_hangs_delays_nobody() {
    let (address, _received) = server(Manner::Mute);
    let mailer = Mailer::start(&mail(&address)).unwrap();
    let began_at = Instant::now();
    for _ in 0..70 {
        mailer.send(transition());
    }
    assert!(began_at.elapsed() < Duration::from_millis(190), "sending waits for nothing");
    let dropped = mailer.tally().dropped;
    assert!((5..=6).contains(&dropped), "64 wait, one may be on its way: {dropped} dropped");

    // Three attempts of 200 ms, 200 ms and 400 ms between them.
    let tally = failure(&mailer);
    let elapsed = began_at.elapsed();
    assert!((Duration::from_millis(1200)..Duration::from_secs(3)).contains(&elapsed), "took {elapsed:?}");
    assert_eq!(tally.failed, 1);

    let began_at = Instant::now();
    assert!(!mailer.finish(Duration::from_millis(100)), "there is no end to it");
    assert!(began_at.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_is_no_address_is_found_at_the_start() {
    let wrong = Mail { to: vec!["ops".to_owned()], ..mail("localhost:25") };
    let error = Mailer::start(&wrong).unwrap_err();
    assert!(matches!(error, MailError::Address { ref text, .. } if text == "ops"), "{error}");
    let error = Mailer::start(&mail("localhost")).unwrap_err();
    assert_eq!(error.to_string(), "\"localhost\" in [mail] is not HOST:PORT");
}
