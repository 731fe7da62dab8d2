//! What a policy may ask of TLS: whom to trust, whom to ask for, who to be.

use std::path::PathBuf;

use crate::policy::{
    language::{Choice, choice},
    options::Options,
};

pub(super) const CA: Choice = choice("ca", "text", "", "PEM file of the authorities to trust instead of the system's.");
pub(super) const INSECURE: Choice = choice("insecure", "truth", "false", "Accept any certificate.");
pub(super) const SNI: Choice =
    choice("sni", "text", "", "Server name to ask for and to verify, instead of the host's.");

/// How to speak TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsRequest {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Accept any certificate.
    pub insecure: bool,
    /// Server name to ask for and to verify, if not the host's.
    pub sni: Option<String>,
    /// Who to be.
    pub identity: Option<Identity>,
}

/// A client's certificate and its key: PEM files, perhaps one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with those that lead to its authority.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl TlsRequest {
    /// The options that every kind of probe with TLS has.
    pub(super) fn read(options: &Options<'_>) -> Result<Self, String> {
        Ok(Self {
            ca: options.text("ca")?.map(PathBuf::from),
            insecure: options.truth("insecure")?,
            sni: options.text("sni")?,
            identity: None,
        })
    }
}

impl Identity {
    /// `cert` and `key`, or one file with both.
    pub(super) fn read(options: &Options<'_>) -> Result<Option<Self>, String> {
        let cert = options.text("cert")?.map(PathBuf::from);
        let key = options.text("key")?.map(PathBuf::from);
        match (cert, key) {
            (Some(cert), Some(key)) => Ok(Some(Self { cert, key })),
            (Some(cert), None) => Ok(Some(Self { key: cert.clone(), cert })),
            (None, None) => Ok(None),
            (None, Some(_)) => {
                Err("key: it belongs to a certificate; write cert: \"/etc/…/client.pem\" too".to_owned())
            }
        }
    }
}
