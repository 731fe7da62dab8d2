//! Mail through a server that somebody else wrote (`msmtpd`): a whole conversation, and what comes out of it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use ha::lab::{
    Host, Setup,
    process::{Process, on_path},
};

use crate::{
    Need, Story,
    stage::{Stage, wait_until},
};

pub(crate) const STORIES: [Story; 1] = [Story {
    name: "s03_mail_through_a_real_server",
    needs: &[Need::Msmtpd],
    seconds: 60,
    tell: through_a_real_server,
}];

const MAIL: &str = "[mail]\nto = [\"ops@example.org\", \"night@example.org\"]\nfrom = \"ha@k1.example.org\"\nsmtp = \"127.0.0.1:25\"\n";

/// Each mail becomes a file: its envelope in the first line, then what was sent.
const DELIVER: &str = "#!/bin/sh\ncd \"$(dirname \"$0\")\" || exit 1\nnew=$(mktemp new.XXXXXX) || exit 1\n\
                       { echo \"$@\"; cat; } > \"$new\" && mv \"$new\" \"mail.$(date +%s%N)\"\n";

fn through_a_real_server(stage: &Stage) {
    let directory = stage.world.directory(Host::Node1).unwrap().join("mails");
    fs::create_dir_all(&directory).unwrap();
    let deliver = directory.join("deliver");
    fs::write(&deliver, DELIVER).unwrap();
    fs::set_permissions(&deliver, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments =
        ["--interface=127.0.0.1".to_owned(), "--port=25".to_owned(), format!("--command={} %F --", deliver.display())];
    let log = directory.join("log");
    let _server =
        Process::start(stage.world.netns(Host::Node1), &on_path("msmtpd").unwrap(), &arguments, &log).unwrap();
    let setup = Setup::founding(Host::Node1).version3(Duration::from_millis(200));
    let mut daemon = stage.ha_with(Host::Node1, &(setup.toml(Host::Node1) + MAIL), &[]);
    stage.held_by(&[Host::Node1], 20);
    stage.world.plug(Host::Node1, false).unwrap();
    stage.held_by(&[], 10);
    daemon.terminate().unwrap();
    daemon.process().wait(Duration::from_secs(20)).unwrap();
    wait_until("three mails", Duration::from_secs(20), || mails(&directory).len() == 3);
    let mails = mails(&directory);
    for (mail, subject) in
        mails.iter().zip(["is backup (fault before)", "is master (backup before)", "is fault (master before)"])
    {
        let (envelope, text) = mail.split_once('\n').unwrap();
        assert_eq!(envelope, "ha@k1.example.org -- ops@example.org night@example.org");
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or_else(|| panic!("a head and a body: {text}"));
        let unfolded = head.replace("\n ", " ");
        for field in
            ["From: ha@k1.example.org", "To: ops@example.org, night@example.org", "Date: ", "Subject: [node1] VI_1 "]
        {
            assert_eq!(unfolded.lines().filter(|line| line.starts_with(field)).count(), 1, "{field}: {unfolded}");
        }
        assert!(unfolded.contains(subject), "in order: {unfolded}");
        assert!(body.contains("192.168.0.60/24"), "{body}");
    }
}

/// In the order of their arrival.
fn mails(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    let is_mail =
        |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mail."));
    let mut paths: Vec<_> = entries.filter(is_mail).collect();
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}
