//! Servers that speak TLS, and tcp probes of them.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ha::policy::probe::{ErrorKind, ProbeKind, ProbeRequest, Talk, TcpRequest, TlsRequest};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{World, assert_outcome, assert_took, request, serve, text};

pub(super) fn authority(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/authority").join(file)
}

/// Trust in the first authority, whatever the name.
pub(super) fn private() -> TlsRequest {
    TlsRequest { ca: Some(authority("ca.pem")), ..TlsRequest::default() }
}

/// Whom a server serves.
#[derive(Clone, Copy)]
pub(super) enum Clients {
    Anybody,
    /// Those with a certificate of the second authority.
    Known,
}

impl Clients {
    fn verifier(self) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority("second-ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        match self {
            Self::Anybody => WebPkiClientVerifier::no_client_auth(),
            Self::Known => WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
        }
    }
}

/// www.example.org.
pub(super) fn server(clients: Clients) -> SocketAddr {
    showing("server.pem", "server-key.pem", clients)
}

/// The same, long ago.
pub(super) fn expired() -> SocketAddr {
    showing("expired.pem", "expired.pem", Clients::Anybody)
}

/// A server that answers whatever is said with the server name the client asked for, as HTTP does.
fn showing(certificate: &str, key: &str, clients: Clients) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(authority(certificate)).unwrap();
    let key = PrivateKeyDer::from_pem_file(authority(key)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(clients.verifier());
    let config = Arc::new(config.with_single_cert(vec![certificate], key).unwrap());
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

fn asking(server: SocketAddr, tls: TlsRequest) -> ProbeRequest {
    let talk = Talk { send: b"?".to_vec(), expect: Some("www.example.org".to_owned()), ..Talk::default() };
    let tcp = TcpRequest { talk, tls: Some(tls), ..TcpRequest::to(server.to_string()) };
    ProbeRequest { timeout: Duration::from_secs(2), ..request(ProbeKind::Tcp(tcp)) }
}

#[test]
fn a_conversation_can_be_encrypted() {
    let named = TlsRequest { sni: Some("www.example.org".to_owned()), ..private() };
    let outcome = World::new().probe(&asking(server(Clients::Anybody), named));
    assert_outcome(&outcome, true, ErrorKind::None, "answered");
    assert!(text(&outcome, "data").ends_with("www.example.org"));
}

#[test]
fn who_answers_is_verified_unless_told() {
    let outcome = World::new().probe(&asking(server(Clients::Anybody), private()));
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Tls, false), "{outcome:?}");
    assert!(outcome.why.contains("not valid for name"), "{}", outcome.why);
    let insecure = TlsRequest { insecure: true, sni: Some("www.example.org".to_owned()), ..TlsRequest::default() };
    let outcome = World::new().probe(&asking(expired(), insecure));
    assert_outcome(&outcome, true, ErrorKind::None, "answered");
}

#[test]
fn a_handshake_that_never_ends_times_out_and_no_handshake_is_a_tls_error() {
    let mute = serve(|_connection| std::thread::sleep(Duration::from_secs(10)));
    let short = ProbeRequest { timeout: Duration::from_millis(300), ..asking(mute, private()) };
    let outcome = World::new().probe(&short);
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms");
    assert_took(&outcome, Duration::from_millis(300));

    let plain = serve(|mut connection| {
        let _ = connection.write_all(b"220 mail.example.org ESMTP\r\n");
    });
    let outcome = World::new().probe(&asking(plain, private()));
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Tls, false), "{outcome:?}");
}
