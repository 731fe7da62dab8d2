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
         peers = [\"192.0.2.21\"]\nnotify.run = [\"{}\"]\nnotify.master = [\"{}\"]\nnotify.fault = [\"/no/such\"]\n",
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
}
