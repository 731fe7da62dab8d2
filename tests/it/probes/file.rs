//! file: is it there, and what is in it.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use ha::policy::probe::{ErrorKind, Field, FileRequest, ProbeKind, ProbeOutcome};

use super::{World, assert_outcome, float, request, text};

fn look_at(path: &Path) -> ProbeOutcome {
    World::new().probe(&request(ProbeKind::File(FileRequest { path: path.to_owned() })))
}

#[test]
fn a_file_tells_its_size_age_mode_and_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("maintenance");
    fs::write(&path, "since noon\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let outcome = look_at(&path);
    assert_outcome(&outcome, true, ErrorKind::None, "exists");
    assert_eq!(outcome.fields["exists"], Field::Bool(true));
    assert_eq!(outcome.fields["size"], Field::Int(11));
    assert_eq!(outcome.fields["mode"], Field::Int(0o640));
    assert_eq!(text(&outcome, "content"), "since noon\n");
    assert!(float(&outcome, "age") < 60.0);
}

#[test]
fn a_missing_file_is_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plain"), "").unwrap();
    for path in ["gone", "plain/below"] {
        let outcome = look_at(&dir.path().join(path));
        assert_outcome(&outcome, false, ErrorKind::Mismatch, "does not exist");
        assert_eq!(outcome.fields["exists"], Field::Bool(false));
        assert_eq!(outcome.fields["content"], Field::Unit);
    }
}

#[test]
fn only_the_beginning_of_a_long_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long");
    fs::write(&path, vec![b'x'; 100_000]).unwrap();
    let outcome = look_at(&path);
    assert_eq!(outcome.fields["size"], Field::Int(100_000));
    assert_eq!(text(&outcome, "content").len(), 65_536);
}

#[test]
fn what_is_no_regular_file_exists_without_content() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for path in [socket.as_path(), pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
        let outcome = look_at(path);
        assert_outcome(&outcome, true, ErrorKind::None, "exists");
        assert_eq!(outcome.fields["content"], Field::Unit);
    }
}
