//! `ha check` names what keeps a program from being told.

#![allow(clippy::unwrap_used, reason = "a test's own machinery")]

use std::{fs, os::unix::fs::PermissionsExt};

use crate::cli::Desk;

#[test]
fn a_program_that_others_can_change_is_named() {
    let desk = Desk::new();
    desk.write("safe.sh", "#!/bin/sh\n");
    let safe = desk.path().join("safe.sh");
    let open = desk.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::write(open.join("notify.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(&safe, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let config = format!(
        "node = \"K1\"\n[instance.VI_1]\ninterface = \"lo\"\nvirtual_router_id = 51\naddresses = [\"192.0.2.60/24\"]\n\
         peers = [\"192.0.2.21\"]\nnotify.run = [\"{}\"]\nnotify.master = [\"{}\"]\nnotify.fault = [\"/no/such\"]\n\
         notify.user = \"nosuchuser\"\n",
        safe.display(),
        open.join("notify.sh").display()
    );
    desk.write("ha.toml", &config);
    let said = desk.ha(&["check", "ha.toml"]);
    assert_eq!(said.code, 0, "{}", said.out);
    let plain = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let what = "notify.master would not be started on this machine: DIR/open is writable by others (mode 0777)";
    assert!(plain.contains(what), "{plain}");
    assert!(plain.contains("notify.fault would not be started on this machine: /no/such cannot be started"), "{plain}");
    assert!(!plain.contains("notify.run would not"), "{plain}");
    let what = "notify.user: no program of it would be started on this machine: there is no user nosuchuser";
    assert!(plain.contains(what), "{plain}");
    for part in ["CAP_SETUID (notify.user)", "SystemCallFilter=@setuid"] {
        assert!(plain.contains(part), "{plain}");
    }
}

/// Written by root, and the daemon is not root.
#[test]
fn secrets_that_the_daemon_cannot_read_are_named_to_root() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let desk = Desk::new();
    fs::create_dir(desk.path().join("secrets")).unwrap();
    desk.write("secrets/db", "hunter22");
    fs::set_permissions(desk.path().join("secrets/db"), fs::Permissions::from_mode(0o600)).unwrap();
    let config = "node = \"K1\"\nsecrets_dir = \"secrets\"\n[privileges]\nuser = \"nobody\"\n[instance.VI_1]\ninterface = \"lo\"\n\
                  virtual_router_id = 51\naddresses = [\"192.0.2.60/24\"]\npeers = [\"192.0.2.21\"]\n";
    desk.write("ha.toml", config);
    let plain = |config: &str| {
        desk.write("ha.toml", config);
        desk.ha(&["check", "ha.toml"]).out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = plain(config);
    assert!(said.contains("the daemon runs as nobody, who cannot read it"), "{said}");
    assert!(said.contains("sudo chown -R nobody: DIR/secrets"), "{said}");
    // Once they are that user's, root's check judges as the daemon would.
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
    for path in ["secrets", "secrets/db"] {
        nix::unistd::chown(&desk.path().join(path), Some(nobody), None).unwrap();
    }
    let said = plain(&(config.to_owned() + "auth.password = \"secret:db\"\nversion = 2\n"));
    assert!(!said.contains("cannot read it") && !said.contains("cannot be read"), "{said}");
    let said = plain(&config.replace("user = \"nobody\"", ""));
    assert!(!said.contains("cannot read it"), "{said}");
}
