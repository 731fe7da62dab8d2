//! cert: certificates in files.

use std::path::PathBuf;

use ha::policy::probe::{CertRequest, ErrorKind, Field, ProbeKind, ProbeOutcome};

use super::{World, assert_outcome, request, text, tls::authority};

fn cert(path: PathBuf, min_days: i64) -> ProbeOutcome {
    World::new().probe(&request(ProbeKind::Cert(CertRequest { path, min_days })))
}

#[test]
fn a_certificate_is_good_for_as_long_as_it_is_valid() {
    let outcome = cert(authority("server.pem"), 14);
    let Field::Int(days) = outcome.fields["days"] else { panic!("{outcome:?}") };
    assert_outcome(&outcome, true, ErrorKind::None, &format!("{days} days left"));
    assert_eq!(text(&outcome, "subject"), "CN=www.example.org");
    let outcome = cert(authority("server.pem"), days + 2);
    assert_outcome(&outcome, false, ErrorKind::Mismatch, &format!("{days} days left, wanted {}", days + 2));
}

#[test]
fn an_expired_one_and_one_of_the_future_are_not_ok() {
    let outcome = cert(authority("expired.pem"), 0);
    assert_eq!((outcome.ok, outcome.error), (false, ErrorKind::Mismatch), "{outcome:?}");
    assert!(outcome.why.starts_with("expired ") && outcome.why.ends_with(" days ago"), "{}", outcome.why);
    assert_outcome(&cert(authority("early.pem"), 0), false, ErrorKind::Mismatch, "not yet valid");
}

#[test]
fn a_file_that_is_missing_or_something_else_is_an_answer() {
    let outcome = cert(authority("nosuch.pem"), 0);
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "does not exist");
    assert_eq!(outcome.fields["days"], Field::Unit);
    for other in ["server-key.pem", "../main.rs"] {
        assert_outcome(&cert(authority(other), 0), false, ErrorKind::Protocol, "no certificate in it");
    }
}
