//! https with a private authority. `authority/` holds one and a certificate of www.example.org, valid from 2020 to 2119.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ha::policy::probe::{ErrorKind, HttpRequest, ProbeKind, ProbeRequest};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{World, assert_outcome, assert_took, get, request, serve, text};

fn authority(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/authority").join(file)
}

/// A server for www.example.org that answers with the server name the client asked for.
fn server() -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(authority("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(authority("server-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    serve(move |connection| {
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), connection);
        if tls.read(&mut [0; 4096]).is_err() {
            return;
        }
        let name = tls.conn.server_name().unwrap_or("nobody").to_owned();
        let _ = write!(tls, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        let _ = tls.flush();
    })
}

#[test]
fn the_named_host_is_verified_against_the_given_authority() {
    let http = HttpRequest {
        ca: Some(authority("ca.pem")),
        host: Some("www.example.org".to_owned()),
        ..get(format!("https://{}/", server()))
    };
    let outcome = World::new().http(http);
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    assert_eq!(text(&outcome, "body"), "www.example.org");
}

#[test]
fn a_wrong_name_and_an_unknown_authority_are_tls_errors() {
    let url = format!("https://{}/", server());
    let wrong_name = HttpRequest { ca: Some(authority("ca.pem")), ..get(&url) };
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
    let http = HttpRequest { insecure: true, ..get(format!("https://{}/", server())) };
    assert_outcome(&World::new().http(http), true, ErrorKind::None, "200");
}

#[test]
fn an_authority_file_that_is_missing_or_empty_is_our_own_trouble() {
    let url = format!("https://{}/", server());
    for file in ["nosuch.pem", "server-key.pem"] {
        let outcome = World::new().http(HttpRequest { ca: Some(authority(file)), ..get(&url) });
        assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Internal, true), "{outcome:?}");
        assert!(outcome.why.contains(file), "{}", outcome.why);
    }
}

#[test]
fn a_port_that_speaks_no_tls_is_a_tls_error_and_a_mute_one_times_out() {
    let plain = serve(|mut connection| {
        let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
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
