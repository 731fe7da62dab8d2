//! What a probe wants to know of a certificate (X.509, RFC 5280): whose it is and when it is valid. Whether to trust it is
//! the TLS library's business.

use jiff::Timestamp;
use x509_cert::{Certificate as X509, der::Decode, time::Time};

const DAY: i64 = 24 * 3600;

/// Whose, and when; in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// As RFC 4514 writes it: `CN=www.example.org,O=Example`.
    pub(super) subject: String,
    begins_at: i64,
    ends_at: i64,
}

/// Where a certificate stands in its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    NotYet,
    Valid,
    Expired,
}

impl Certificate {
    /// Of its DER bytes.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let certificate = X509::from_der(der).ok()?;
        let inside = certificate.tbs_certificate();
        let validity = inside.validity();
        Some(Self {
            subject: inside.subject().to_string(),
            begins_at: seconds(validity.not_before)?,
            ends_at: seconds(validity.not_after)?,
        })
    }

    /// Whole days until its end; negative once that has passed.
    pub(super) fn days(&self, now: Timestamp) -> i64 {
        (self.ends_at - now.as_second()).div_euclid(DAY)
    }

    pub(super) fn validity(&self, now: Timestamp) -> Validity {
        let now = now.as_second();
        if now < self.begins_at {
            Validity::NotYet
        } else if now > self.ends_at {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }
}

fn seconds(time: Time) -> Option<i64> {
    i64::try_from(time.to_unix_duration().as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    fn server() -> Certificate {
        let pem = include_bytes!("../../tests/it/authority/server.pem");
        Certificate::of(&CertificateDer::from_pem_slice(pem).unwrap()).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_certificate_has_a_name_and_two_ends() {
        let server = server();
        assert_eq!(server.subject, "CN=www.example.org");
        let (begins, ends) = (server.begins_at, server.ends_at);
        assert_eq!(server.validity(at(begins - 1)), Validity::NotYet);
        assert_eq!(server.validity(at(begins)), Validity::Valid);
        assert_eq!(server.validity(at(ends)), Validity::Valid);
        assert_eq!(server.validity(at(ends + 1)), Validity::Expired);
        assert_eq!((server.days(at(ends - DAY)), server.days(at(ends + 1))), (1, -1));
    }

    #[test]
    fn what_is_none_is_none() {
        assert_eq!(Certificate::of(b"-----BEGIN CERTIFICATE-----"), None);
    }
}
