//! Whom a probe trusts: the system's authorities, those of a PEM file, or anybody; and who it is. For http and tcp alike.
//!
//! No session is ever resumed: whoever resumes one sees no certificate, and so would not notice a new or an expired one.

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject},
};

use super::answer::Failure;
use crate::policy::probe::{ErrorKind, Identity, TlsRequest};

/// Where distributions keep the system's authorities, as one file.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What most probes with TLS need, made when the first of them does. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Roots {
    usual: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Roots {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// How to speak TLS. Reads files, so not on a thread that others wait for: those that are named are read anew each
    /// time, because they are small and may have been renewed.
    pub(super) fn config(&self, tls: &TlsRequest) -> Result<Arc<ClientConfig>, Failure> {
        if tls.ca.is_some() || tls.insecure || tls.identity.is_some() {
            return configure(tls).map(Arc::new);
        }
        if let Some(usual) = self.usual.get() {
            return Ok(Arc::clone(usual));
        }
        let usual = Arc::new(configure(tls)?);
        Ok(Arc::clone(self.usual.get_or_init(|| usual)))
    }
}

/// The file that is read for it, the first if there are several.
pub(super) fn file_of(tls: &TlsRequest) -> &Path {
    let own = tls.identity.as_ref().map(|identity| identity.cert.as_path());
    own.or(tls.ca.as_deref()).unwrap_or(Path::new(BUNDLES[0]))
}

fn configure(tls: &TlsRequest) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| Failure::internal(error.to_string()))?;
    let builder = match (&tls.ca, tls.insecure) {
        (_, true) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        (Some(path), false) => builder.with_root_certificates(store(authorities(path)?)),
        (None, false) => builder.with_root_certificates(system()),
    };
    let mut config = match &tls.identity {
        Some(identity) => {
            let (chain, key) = own(identity)?;
            let wrong = |error: Error| Failure::internal(format!("{}: {error}", identity.cert.display()));
            builder.with_client_auth_cert(chain, key).map_err(wrong)?
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Mozilla's authorities, which are built in, where the system has none.
fn system() -> RootCertStore {
    let found = BUNDLES.iter().find_map(|path| authorities(Path::new(path)).ok());
    found.map_or_else(|| RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }, store)
}

/// Those that make no sense are left out, as everybody does: a system's bundle has some.
fn store(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates);
    store
}

/// The certificates of a PEM file.
pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(path, &error))?;
    if certificates.is_empty() {
        return Err(Failure::internal(format!("{}: no certificate in it", path.display())));
    }
    Ok(certificates)
}

fn own(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
    let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| unreadable(&identity.key, &error))?;
    Ok((authorities(&identity.cert)?, key))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the parser's errors are open-ended")]
fn unreadable(path: &Path, error: &pem::Error) -> Failure {
    let (kind, why) = match error {
        pem::Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            (ErrorKind::Denied, error.to_string())
        }
        pem::Error::NoItemsFound => (ErrorKind::Internal, "no private key in it".to_owned()),
        error => (ErrorKind::Internal, error.to_string()),
    };
    Failure::new(kind, format!("{}: {why}", path.display()))
}

/// The server name to ask for.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, Failure> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| Failure::internal(format!("{name} is no name of a server")))
}

/// The TLS layer does not even begin.
pub(super) fn refused(error: &Error) -> Failure {
    Failure::new(ErrorKind::Tls, error.to_string())
}

/// What the TLS layer says, where it says it through an error of the socket; anything else is the socket's.
pub(super) fn failure(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(inner) => refused(inner),
        None if error.kind() == io::ErrorKind::InvalidData => Failure::new(ErrorKind::Tls, error.to_string()),
        None => Failure::of_socket(error),
    }
}

/// Takes any certificate, whatever it is and whoever shows it.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
