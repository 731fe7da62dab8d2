//! The probe of a certificate in a file.

use std::{io, path::Path};

use jiff::Timestamp;
use rustls::pki_types::{
    CertificateDer,
    pem::{self, PemObject},
};

use super::{
    answer::{Answer, Failure, Fields},
    certificate::{Certificate, Validity},
    deadline::Deadline,
    looks::Looks,
};
use crate::policy::probe::{CertRequest, ErrorKind, Field};

/// `ok`: the first certificate in the file is valid now and for the wanted days. Fields: `subject`, `days`. A file that is
/// not there or has no certificate is an answer; one that may not be read is none.
pub(super) async fn probe(looks: &Looks, cert: &CertRequest, deadline: Deadline) -> Answer {
    let path = cert.path.clone();
    let found = looks.run(&cert.path, deadline, move || first(&path)).await.and_then(|found| found);
    let now = Timestamp::now();
    let fields = Fields::from([
        ("subject", found.as_ref().map_or(Field::Unit, |found| Field::text(&found.subject))),
        ("days", found.as_ref().map_or(Field::Unit, |found| Field::Int(found.days(now)))),
    ]);
    Answer { verdict: found.and_then(|found| judge(cert, &found, now)), fields }
}

fn judge(cert: &CertRequest, found: &Certificate, now: Timestamp) -> Result<String, Failure> {
    let mismatch = |why| Failure::new(ErrorKind::Mismatch, why);
    match found.validity(now) {
        Validity::NotYet => Err(mismatch("not yet valid".to_owned())),
        Validity::Valid | Validity::Expired => cert.verdict(found.days(now)).map_err(mismatch),
    }
}

fn first(path: &Path) -> Result<Certificate, Failure> {
    let unusable = || Failure::new(ErrorKind::Protocol, "no certificate in it");
    let der = CertificateDer::from_pem_file(path)
        .map_err(|error| if let pem::Error::Io(error) = error { unreadable(&error) } else { unusable() })?;
    Certificate::of(&der).ok_or_else(unusable)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the system's errors are open-ended")]
fn unreadable(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(ErrorKind::Mismatch, "does not exist"),
        io::ErrorKind::PermissionDenied => Failure::new(ErrorKind::Denied, "this process may not read it"),
        _ => Failure::internal(error.to_string()),
    }
}
