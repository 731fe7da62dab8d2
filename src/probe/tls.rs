//! Whom an https probe trusts: the system's authorities, those of a PEM file, or anybody.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, OnceLock},
};

use ureq::{
    Error,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::transport::{ConnectionDetails, Connector, RustlsConnector, Transport},
};

use super::answer::Failure;
use crate::policy::probe::{ErrorKind, HttpRequest};

/// Where distributions keep the system's authorities, as one file.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The system's authorities, read once, when the first https probe needs them.
#[derive(Debug)]
pub(super) struct Roots {
    system: OnceLock<RootCerts>,
    connector: Arc<RustlsConnector>,
}

/// What a client needs to speak TLS.
pub(super) struct Trust {
    pub(super) config: TlsConfig,
    pub(super) connector: SharedTls,
}

impl Roots {
    pub(super) fn new() -> Self {
        Self { system: OnceLock::new(), connector: Arc::default() }
    }

    /// Reads the authority file anew each time: it is small, and it may have been renewed.
    pub(super) fn trust(&self, http: &HttpRequest) -> Result<Trust, Failure> {
        let builder = TlsConfig::builder();
        if http.insecure {
            return Ok(Trust { config: builder.disable_verification(true).build(), connector: SharedTls::default() });
        }
        if let Some(path) = &http.ca {
            let config = builder.root_certs(RootCerts::from(authorities(path)?)).build();
            return Ok(Trust { config, connector: SharedTls::default() });
        }
        // A plain request must not pay for them.
        if !http.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")) && http.follow == 0 {
            return Ok(Trust { config: builder.build(), connector: SharedTls::default() });
        }
        let system = self.system.get_or_init(system).clone();
        // The connector keeps what it made of the certificates, so one serves all.
        let connector = SharedTls(Arc::clone(&self.connector));
        Ok(Trust { config: builder.root_certs(system).build(), connector })
    }
}

/// Mozilla's authorities, which the client brings along, where the system has none.
fn system() -> RootCerts {
    let found = BUNDLES.iter().find_map(|path| authorities(Path::new(path)).ok());
    found.map_or(RootCerts::WebPki, RootCerts::from)
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let pem = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Failure::internal(format!("{}: no certificate in it", path.display())));
    }
    Ok(certificates)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let kind = if denied { ErrorKind::Denied } else { ErrorKind::Internal };
    Failure::new(kind, format!("{}: {error}", path.display()))
}

/// The client's TLS layer, for several clients.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedTls(Arc<RustlsConnector>);

impl<In: Transport> Connector<In> for SharedTls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        self.0.connect(details, chained)
    }
}
