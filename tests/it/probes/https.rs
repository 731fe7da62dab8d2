//! https with a private authority. `authority/` holds two of them, a certificate of www.example.org by the first, valid from
//! 2020 to 2119, an expired one and a client's by the second.

use std::time::Duration;

use ha::policy::probe::{ErrorKind, Field, HttpRequest, Identity, ProbeKind, ProbeRequest, TlsRequest};

use super::{
    World, assert_outcome, assert_took, get, request, serve, text,
    tls::{Clients, authority, expired, private, server},
};

fn asking(url: &str, tls: TlsRequest) -> HttpRequest {
    HttpRequest { tls, ..get(url) }
}

/// The first authority, and the name in the certificate.
fn trusting() -> TlsRequest {
    TlsRequest { sni: Some("www.example.org".to_owned()), ..private() }
}

#[test]
fn the_named_host_is_verified_against_the_given_authority() {
    let http = HttpRequest {
        host: Some("www.example.org".to_owned()),
        ..asking(&format!("https://{}/", server(Clients::Anybody)), private())
    };
    let outcome = World::new().http(http);
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    assert_eq!(text(&outcome, "body"), "www.example.org");
}

#[test]
fn a_server_name_does_not_change_the_host() {
    let url = format!("https://{}/", server(Clients::Anybody));
    let outcome = World::new().http(asking(&url, trusting()));
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    assert_eq!(text(&outcome, "body"), "www.example.org");
    let wrong = TlsRequest { sni: Some("mail.example.org".to_owned()), ..private() };
    let outcome = World::new().http(asking(&url, wrong));
    assert_eq!((outcome.ok, outcome.error), (false, ErrorKind::Tls), "{outcome:?}");
    assert!(outcome.why.contains("not valid for name"), "{}", outcome.why);
}

#[test]
fn a_wrong_name_and_an_unknown_authority_are_tls_errors() {
    let url = format!("https://{}/", server(Clients::Anybody));
    let wrong_name = asking(&url, private());
    let unknown = HttpRequest { host: Some("www.example.org".to_owned()), ..get(&url) };
    for (http, word) in [(wrong_name, "not valid for name"), (unknown, "UnknownIssuer")] {
        let outcome = World::new().http(http);
        assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Tls, false), "{outcome:?}");
        assert!(outcome.why.contains(word), "{}", outcome.why);
        assert_eq!(text(&outcome, "phase"), "tls");
    }
}

#[test]
fn insecure_takes_any_certificate() {
    let insecure = TlsRequest { insecure: true, ..TlsRequest::default() };
    for server in [server(Clients::Anybody), expired()] {
        let outcome = World::new().http(asking(&format!("https://{server}/"), insecure.clone()));
        assert_outcome(&outcome, true, ErrorKind::None, "200");
    }
}

#[test]
fn an_expired_certificate_is_a_tls_error() {
    let second = TlsRequest { ca: Some(authority("second-ca.pem")), ..trusting() };
    let outcome = World::new().http(asking(&format!("https://{}/", expired()), second));
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Tls, false), "{outcome:?}");
    assert!(outcome.why.contains("certificate expired"), "{}", outcome.why);
}

#[test]
fn how_long_the_certificate_is_valid_can_be_read_and_wanted() {
    let url = format!("https://{}/", server(Clients::Anybody));
    let wanting = |days| HttpRequest { min_cert_days: Some(days), ..asking(&url, trusting()) };
    let outcome = World::new().http(wanting(14));
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    let Field::Int(days) = outcome.fields["cert_days"] else { panic!("{outcome:?}") };
    assert!((1..=36_525).contains(&days), "{days}");
    let outcome = World::new().http(wanting(days + 2));
    let why = format!("200, the certificate ends in {days} days");
    assert_outcome(&outcome, false, ErrorKind::Mismatch, &why);

    let insecure = TlsRequest { insecure: true, ..TlsRequest::default() };
    let http = HttpRequest { min_cert_days: Some(0), ..asking(&format!("https://{}/", expired()), insecure) };
    let outcome = World::new().http(http);
    assert!(outcome.why.starts_with("200, the certificate ended ") && !outcome.ok, "{outcome:?}");
}

#[test]
fn a_client_is_known_by_its_certificate() {
    let url = format!("https://{}/", server(Clients::Known));
    let me = Identity { cert: authority("client.pem"), key: authority("client.pem") };
    let known = TlsRequest { identity: Some(me), ..trusting() };
    assert_outcome(&World::new().http(asking(&url, known.clone())), true, ErrorKind::None, "200");

    let outcome = World::new().http(asking(&url, trusting()));
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Tls, false), "{outcome:?}");
    assert!(outcome.why.contains("CertificateRequired"), "{}", outcome.why);

    let keyless = Identity { cert: authority("client.pem"), key: authority("ca.pem") };
    let outcome = World::new().http(asking(&url, TlsRequest { identity: Some(keyless), ..trusting() }));
    let why = format!("{}: no private key in it", authority("ca.pem").display());
    assert_outcome(&outcome, false, ErrorKind::Internal, &why);
}

#[test]
fn an_authority_file_that_is_missing_or_empty_is_our_own_trouble() {
    let url = format!("https://{}/", server(Clients::Anybody));
    for file in ["nosuch.pem", "server-key.pem"] {
        let tls = TlsRequest { ca: Some(authority(file)), ..TlsRequest::default() };
        let outcome = World::new().http(asking(&url, tls));
        assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Internal, true), "{outcome:?}");
        assert!(outcome.why.contains(file), "{}", outcome.why);
    }
}

#[test]
fn a_port_that_speaks_no_tls_is_a_tls_error_and_a_mute_one_times_out() {
    let plain = serve(|mut connection| {
        let _ = std::io::Write::write_all(&mut connection, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let outcome = World::new().http(get(format!("https://{plain}/")));
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Tls, false), "{outcome:?}");

    let mute = serve(|_connection| std::thread::sleep(Duration::from_secs(10)));
    let timeout = Duration::from_millis(300);
    let request = ProbeRequest { timeout, ..request(ProbeKind::Http(get(format!("https://{mute}/")))) };
    let outcome = World::new().probe(&request);
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms");
    assert_took(&outcome, timeout);
    assert_eq!(text(&outcome, "phase"), "tls");
}
