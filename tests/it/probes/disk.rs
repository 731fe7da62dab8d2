//! disk: file systems of this test's own: with room, full, read-only, and none at all.

use std::{fs, path::Path};

use ha::policy::probe::{DiskRequest, ErrorKind, Field, ProbeKind, ProbeOutcome};

use super::{World, assert_outcome, float, in_namespaces, request, text};

fn look(path: impl AsRef<Path>, write_test: bool, min_free_pct: Option<f64>) -> ProbeOutcome {
    let path = path.as_ref().to_owned();
    World::new().probe(&request(ProbeKind::Disk(DiskRequest { path, write_test, min_free_pct })))
}

#[test]
fn a_directory_is_no_mount_and_what_is_not_there_neither() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = look(directory.path(), false, None);
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "nothing is mounted there");
    assert_eq!((&outcome.fields["mounted"], &outcome.fields["free_pct"]), (&Field::Bool(false), &Field::Unit));
    let outcome = look(directory.path().join("gone"), true, None);
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "does not exist");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was written");
}

/// Four file systems below a directory that only this namespace sees; /proc is of the namespace, too.
const FILE_SYSTEMS: &str = r#"
exec unshare -m sh -ec '
    mount -t tmpfs none /mnt
    mkdir /mnt/room /mnt/full /mnt/ro "/mnt/a b" /mnt/few
    mount -t tmpfs -o size=1m none /mnt/room
    mount -t tmpfs -o size=64k none /mnt/full
    mount -t tmpfs -o size=1m none /mnt/ro
    mount -t tmpfs -o size=1m none "/mnt/a b"
    mount -t tmpfs -o size=1m,nr_inodes=10 none /mnt/few
    ln -s room /mnt/link
    mount -o remount,ro /mnt/ro
    head -c 65536 /dev/zero >/mnt/full/filler 2>/dev/null || true
    touch /mnt/few/1 /mnt/few/2 /mnt/few/3 /mnt/few/4 /mnt/few/5 /mnt/few/6 /mnt/few/7
    exec "$@"' sh "$@"
"#;

#[test]
fn a_full_and_a_read_only_file_system_are_not_ok() {
    in_namespaces(FILE_SYSTEMS, "disk::file_systems");
}

#[test]
#[ignore = "run by a_full_and_a_read_only_file_system_are_not_ok, in namespaces of its own"]
fn file_systems() {
    for path in ["/mnt/room", "/mnt/a b", "/mnt/link", "/mnt/room/"] {
        let outcome = look(path, true, Some(50.0));
        assert_outcome(&outcome, true, ErrorKind::None, "100.0 % free");
        assert_eq!(
            (&outcome.fields["mounted"], &outcome.fields["read_only"]),
            (&Field::Bool(true), &Field::Bool(false))
        );
        assert_eq!(text(&outcome, "fstype"), "tmpfs");
    }
    assert_eq!(fs::read_dir("/mnt/room").unwrap().count(), 0, "the write test leaves nothing");

    let outcome = look("/mnt/full", false, None);
    assert_outcome(&outcome, true, ErrorKind::None, "0.0 % free");
    let outcome = look("/mnt/full", false, Some(5.0));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "0.0 % free, less than 5 %");
    assert!(float(&outcome, "free_pct") < 0.1 && float(&outcome, "inodes_pct") > 50.0);
    let outcome = look("/mnt/full", true, None);
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "a write: no space left on device");

    let outcome = look("/mnt/ro", false, None);
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "read-only");
    assert_eq!(outcome.fields["read_only"], Field::Bool(true));

    let outcome = look("/mnt/few", false, Some(25.0));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "20.0 % of the inodes free, less than 25 %");
}
