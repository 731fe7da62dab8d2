//! A reload that finds no file where the configuration was, or one whose file server is gone: nobody waits for that who has
//! something else to do.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd, unix::fs::symlink},
    path::Path,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup};
use nix::{
    mount::{MsFlags, mount},
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};

use crate::{
    Need, Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 4] = [
    Story { name: "reload_of_a_pipe", needs: &[], seconds: 90, tell: pipe },
    Story { name: "reload_of_a_file_that_hangs", needs: &[Need::Fuse], seconds: 120, tell: hangs },
    Story { name: "reload_beside_policies_that_hang", needs: &[Need::Fuse], seconds: 120, tell: policies_hang },
    Story { name: "secrets_that_hang_freeze_no_policy", needs: &[Need::Fuse], seconds: 90, tell: secrets_hang },
];

/// What the runtime's only thread takes part in: a probe that has a deadline.
const PROBED: &str =
    "const INTERVAL = \"200ms\";\nfn check() { require(\"kernel\", file(\"/proc/version\"), #{ fall: 1 }); }\n";
/// Longer than a standby needs that hears its master resign, or not at all.
pub(crate) const LONG: Duration = Duration::from_secs(7);

pub(crate) fn judged(node: Host) -> String {
    Setup::founding(node).toml(node) + "policies = [\"judge\"]\n"
}

/// Both nodes judged by a probe.
pub(crate) fn pair(stage: &Stage) -> [Daemon; 2] {
    let pair = Host::NODES.map(|node| stage.ha_with(node, &judged(node), &[("judge", PROBED)]));
    stage.held_by(&[Host::Node1], 20);
    wait_until("it is judged", Duration::from_secs(10), || {
        stage.instance(&pair[0]).unwrap_or_default()["reports"][0]["verdict"]["kind"] == "healthy"
    });
    pair
}

/// What a command prints, and how it ends.
pub(crate) fn told(stage: &Stage, daemon: &Daemon, command: &[&str]) -> (Option<i32>, String) {
    let output = daemon.command(&stage.world, command).unwrap();
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat();
    // Whatever line it was broken into.
    (output.status.code(), text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn differs(stage: &Stage, daemon: &Daemon) -> bool {
    daemon.status(&stage.world).unwrap_or_default()["configuration"]["differs"] == true
}

/// Slow is not different.
fn is_unread(stage: &Stage, daemon: &Daemon) -> bool {
    let status = daemon.status(&stage.world).unwrap_or_default();
    status["configuration"]["unread"].is_string() && status["configuration"]["differs"] == false
}

/// Nothing has moved, and the master is still judged.
#[track_caller]
pub(crate) fn nothing_moved(stage: &Stage, daemon: &Daemon, since: Instant) {
    assert_eq!(stage.observer.first(Host::Node1, false, since), None, "nothing moves");
    assert_eq!(stage.capture.priorities(Host::Node2, since, Instant::now()), Vec::<u8>::new());
    let instance = stage.instance(daemon).unwrap();
    assert_eq!(
        (&instance["state"], &instance["reports"][0]["verdict"]["kind"]),
        (&"master".into(), &"healthy".into()),
        "{instance:#}"
    );
}

/// Somebody has put a pipe in the place of the file; a signal and a command ask for it.
fn pipe(stage: &Stage) {
    let [mut node1, _node2] = pair(stage);
    let (file, aside) = (node1.directory().join("ha.toml"), node1.directory().join("ha.aside"));
    fs::rename(&file, &aside).unwrap();
    mkfifo(&file, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let begin = node1.process().signal(Signal::SIGHUP).unwrap();
    wait_until("the log says why not", Duration::from_secs(5), || node1.log().contains("it is no regular file"));
    let (code, text) = told(stage, &node1, &["reload"]);
    assert!(code == Some(78) && text.contains("ha.toml cannot be read: it is no regular file"), "{code:?} {text}");
    assert!(differs(stage, &node1));
    let (code, text) = told(stage, &node1, &["restart"]);
    assert!(code != Some(0) && text.contains("the configuration on disk cannot be used"), "{code:?} {text}");
    pass(LONG);
    nothing_moved(stage, &node1, begin);
    fs::rename(&aside, &file).unwrap();
    let (code, text) = told(stage, &node1, &["reload"]);
    assert!(code == Some(0) && text.contains("nothing has changed"), "{code:?} {text}");
}

/// A file system of which nobody answers anything, until this is dropped.
pub(crate) struct Gone(#[expect(dead_code, reason = "its end is that of the file system")] File);

impl Gone {
    pub(crate) fn at(stage: &Stage, node: Host, directory: &Path) -> Self {
        fs::create_dir(directory).unwrap();
        let server = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let (options, directory) =
            (format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd()), directory.to_owned());
        let mounted = move || mount(Some("gone"), &directory, Some("fuse"), MsFlags::empty(), Some(options.as_str()));
        stage.world.netns(node).run(mounted).unwrap().unwrap();
        Self(server)
    }
}

fn threads(daemon: &mut Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/task", daemon.process().pid())).unwrap().count()
}

/// The file is on a server that is gone, and many ask for it.
fn hangs(stage: &Stage) {
    let [mut node1, node2] = pair(stage);
    let (file, aside) = (node1.directory().join("ha.toml"), node1.directory().join("ha.aside"));
    let gone = Gone::at(stage, Host::Node1, &node1.directory().join("gone"));
    fs::rename(&file, &aside).unwrap();
    symlink(node1.directory().join("gone/ha.toml"), &file).unwrap();
    let begin = node1.process().signal(Signal::SIGHUP).unwrap();
    // While the first is waited for, a policy is exchanged as ever.
    node1.write_policy("judge", &format!("{PROBED}// 2\n")).unwrap();
    wait_until("the next generation runs", Duration::from_secs(4), || {
        node1.status(&stage.world).unwrap_or_default()["policies"][0]["generation"] == 2
    });
    wait_until("the log says why not", Duration::from_secs(15), || node1.log().contains("could not be read within"));
    let before = threads(&mut node1);
    for _ in 0..40 {
        node1.process().signal(Signal::SIGHUP).unwrap();
        assert!(is_unread(stage, &node1));
    }
    let (code, text) = told(stage, &node1, &["reload"]);
    assert!(code == Some(78) && text.contains("has not come back for"), "{code:?} {text}");
    assert!(text.contains("keeping the previous configuration"), "{text}");
    let (code, text) = told(stage, &node1, &["restart"]);
    assert!(code != Some(0) && text.contains("has not come back for"), "{code:?} {text}");
    pass(LONG);
    let after = threads(&mut node1);
    assert!(after < before + 10, "{before} threads, then {after}");
    nothing_moved(stage, &node1, begin);
    drop(gone);
    fs::rename(&aside, &file).unwrap();
    wait_until("it is read again", Duration::from_secs(10), || told(stage, &node1, &["reload"]).0 == Some(0));
    assert!(!differs(stage, &node1));
    // Nor does whoever stops wait for it.
    let _gone = Gone::at(stage, Host::Node1, &node1.directory().join("again"));
    fs::remove_file(&file).unwrap();
    symlink(node1.directory().join("again/ha.toml"), &file).unwrap();
    node1.process().signal(Signal::SIGHUP).unwrap();
    node1.terminate().unwrap();
    stage.leads_after_a_resignation(&node2);
    assert!(node1.process().wait(Duration::from_secs(10)).unwrap().success());
}

/// The directory of the policies is on a server that is gone: what runs of them goes on.
fn policies_hang(stage: &Stage) {
    let [mut node1, _node2] = pair(stage);
    let (policies, aside) = (node1.directory().join("policies"), node1.directory().join("policies.aside"));
    let gone = Gone::at(stage, Host::Node1, &node1.directory().join("gone"));
    let begin = Instant::now();
    fs::rename(&policies, &aside).unwrap();
    symlink(node1.directory().join("gone"), &policies).unwrap();
    let (code, text) = told(stage, &node1, &["reload"]);
    assert!(code == Some(78) && text.contains("the policies could not be read within"), "{code:?} {text}");
    let before = threads(&mut node1);
    for _ in 0..20 {
        let (code, text) = told(stage, &node1, &["reload"]);
        assert!(code == Some(78) && text.contains("has not come back for"), "{code:?} {text}");
    }
    let (code, text) = told(stage, &node1, &["policy", "pin", "judge"]);
    assert!(code == Some(0) && text.contains("stays at generation 1"), "{code:?} {text}");
    let (code, text) = told(stage, &node1, &["policy", "unpin", "judge"]);
    assert!(code == Some(0) && text.contains("policy judge follows its file again"), "{code:?} {text}");
    assert!(text.contains("has not come back for"), "{text}");
    let (code, text) = told(stage, &node1, &["policy", "use", "other", "judge"]);
    assert!(
        code == Some(1) && text.contains("this is not done later") && text.contains("nothing was changed"),
        "{text}"
    );
    pass(LONG);
    let after = threads(&mut node1);
    assert!(after < before + 10, "{before} threads, then {after}");
    nothing_moved(stage, &node1, begin);
    drop(gone);
    fs::remove_file(&policies).unwrap();
    fs::rename(&aside, &policies).unwrap();
    wait_until("they are read again", Duration::from_secs(10), || told(stage, &node1, &["reload"]).0 == Some(0));
}

/// A rule needs a secret that lies on a server that is gone; what the policy requires besides is seen all the same.
fn secrets_hang(stage: &Stage) {
    let directory = stage.world.directory(Host::Node1).unwrap();
    let _gone = Gone::at(stage, Host::Node1, &directory.join("gone"));
    let lever = directory.join("lever");
    fs::write(&lever, "").unwrap();
    let policy = format!(
        "const INTERVAL = \"200ms\";\nfn check() {{\n    watch(\"web\", http(\"http://127.0.0.1:9/\", #{{ bearer: secret(\"db\"), \
         timeout: \"300ms\" }}));\n    require(\"lever\", file({lever:?}), #{{ fall: 1 }});\n}}\n"
    );
    let config = format!("secrets_dir = {:?}\n{}", directory.join("gone"), judged(Host::Node1));
    let node1 = stage.ha_with(Host::Node1, &config, &[("judge", &policy)]);
    let _node2 = stage.ha_with(Host::Node2, &judged(Host::Node2), &[("judge", PROBED)]);
    wait_until("the secret is missed", Duration::from_secs(20), || {
        let rules = stage.instance(&node1).unwrap_or_default()["reports"][0]["rules"].to_string();
        rules.contains("secret db cannot be read") && rules.contains("has not come back for")
    });
    stage.held_by(&[Host::Node1], 20);
    fs::remove_file(&lever).unwrap();
    stage.held_by(&[Host::Node2], 10);
}
