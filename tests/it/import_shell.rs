//! Scripts as a shell runs them, and the policies that `ha import` makes of them: over every combination of what is well and what
//! is not, both say the same. What cannot be translated so is run as it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own machinery")]

use std::{
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ha::{
    import::{Files, Import, Machine, import},
    policy::{Engine, Policy, run_tests},
};

use crate::cli::Desk;

/// A shell that has not ended by then never will.
const DEADLINE: Duration = Duration::from_secs(60);

const SCRIPT: &str = "/etc/keepalived/check.sh";

/// The programs that scripts here call; each is `tests/import/stubs/program`.
const PROGRAMS: [&str; 8] = ["pidof", "pgrep", "systemctl", "curl", "nc", "ss", "netstat", "ip"];

/// What a script asks: as the programs know it, and the probe that asks the same. `@` is the directory of the test.
fn asked(atom: &str) -> String {
    match atom.split_once(':').unwrap() {
        ("pidof" | "pgrep", name) => format!("process:{name}"),
        ("systemctl", name) => format!("service:{name}"),
        ("curl", url) => format!("http:{url}"),
        ("nc", port) => format!("tcp:127.0.0.1:{port}"),
        ("tcp", port) => format!("listening:{port}"),
        ("udp", port) => format!("listening:{port}/udp"),
        ("ip", address) => format!("addr:{address}"),
        ("file", path) => format!("file:{path}"),
        other => panic!("{other:?}"),
    }
}

/// Scripts that are translated, each with what it asks.
const TRANSLATED: &[(&str, &[&str])] = &[
    (
        "#!/bin/sh\npidof a; A=$?; pidof b; B=$?\nif [ $A -ne 0 ]; then exit 1; fi\nif [ $B -ne 0 ]; then exit 1; fi\nexit 0",
        &["pidof:a", "pidof:b"],
    ),
    (
        "#!/bin/sh\ncurl -sf http://a/ >/dev/null; RC=$?; logger \"it says $RC\"; pidof b; exit $RC",
        &["curl:http://a/", "pidof:b"],
    ),
    ("#!/bin/sh\npidof a; STATUS=$?; systemctl is-active b || STATUS=1; exit $STATUS", &["pidof:a", "systemctl:b"]),
    (
        "#!/bin/sh\nif [ -f @/tls ]; then PORT=443; else PORT=8080; fi\nnc -z -w 1 127.0.0.1 $PORT",
        &["file:@/tls", "nc:443", "nc:8080"],
    ),
    ("#!/bin/sh\npidof a || exit 1; if pidof b; then exit 0; else exit $?; fi", &["pidof:a", "pidof:b"]),
    (
        "#!/bin/sh\nset -ux; systemctl is-active a; if [ -f @/maint ]; then exit 1; fi; systemctl is-active b",
        &["systemctl:a", "file:@/maint", "systemctl:b"],
    ),
    (
        "#!/bin/sh\nfail() {\n  echo \"*** $*\" >&2\n  exit 1\n}\ncurl -sf http://a/ || fail \"no a\"\nif ip addr | grep -q 192.168.1.100; then\n  curl -sf http://b/ || fail \"no b\"\nfi",
        &["curl:http://a/", "ip:192.168.1.100", "curl:http://b/"],
    ),
    (
        "#!/bin/bash\npidof a > /dev/null 2>&1\nif [ $? -ne 0 ]; then\n  logger down\n  exit 1\nfi\nss -ltn | grep -q \":80 \" || exit 1\n[ ! -f @/maint ] && exit 0\nexit 1",
        &["pidof:a", "tcp:80", "file:@/maint"],
    ),
    ("#!/bin/sh\npgrep -x a && ! test -e @/nologin", &["pgrep:a", "file:@/nologin"]),
    ("#!/bin/sh\npidof a && pidof b || pidof c", &["pidof:a", "pidof:b", "pidof:c"]),
    ("#!/bin/sh\npidof a || pidof b && pidof c", &["pidof:a", "pidof:b", "pidof:c"]),
    ("#!/bin/sh\npidof a && exit 0 || pidof b && exit 1\npidof c", &["pidof:a", "pidof:b", "pidof:c"]),
    ("#!/bin/sh\npidof a b", &["pidof:a", "pidof:b"]),
    ("#!/bin/sh\npidof a\nif test \"$?\" = \"0\"; then pidof b; else pidof c; fi", &["pidof:a", "pidof:b", "pidof:c"]),
    (
        "#!/bin/sh\nif pidof a; then exit 0; elif pidof b; then pidof c; else exit 2; fi",
        &["pidof:a", "pidof:b", "pidof:c"],
    ),
    ("#!/bin/sh\nif pidof a; then pidof b; elif pidof c; then exit 1; fi", &["pidof:a", "pidof:b", "pidof:c"]),
    ("#!/bin/sh\npidof a; [ $? -ne 0 ] && exit 1; pidof b; [ $? -ne 0 ] && exit 1; exit 0", &["pidof:a", "pidof:b"]),
    ("#!/bin/sh\npidof a || [ $? -ne 0 ] && pidof b", &["pidof:a", "pidof:b"]),
    ("#!/bin/sh\npidof a; X=1; [ $? -eq 0 ] || exit 1; pidof b", &["pidof:a", "pidof:b"]),
    ("#!/bin/sh\nif pidof a; then X=0; else X=1; fi\npidof b || X=2\nexit $X", &["pidof:a", "pidof:b"]),
    (
        "#!/bin/sh\nOK=0\npidof a || OK=1\npidof b || OK=1\nif [ $OK -gt 0 ]; then\n  echo ill\n  exit 1\nfi\necho well",
        &["pidof:a", "pidof:b"],
    ),
    ("#!/bin/sh\nif ! pidof a; then exit 00; fi\npidof b", &["pidof:a", "pidof:b"]),
    ("#!/bin/sh\nfalse || pidof a; RC=\"$?\"; true; exit ${RC}", &["pidof:a"]),
    ("#!/bin/sh\nnetstat -tulpn | grep ':1812 '", &["tcp:1812", "udp:1812"]),
    ("#!/bin/sh\nss -lun | grep -q ':1812 ' && ss -ltn | grep ':65000'", &["udp:1812", "tcp:65000"]),
    (
        "#!/bin/bash\nfunction fail() { echo no; exit 1; }\nif pidof a &>/dev/null; then :; else fail; fi\npidof b; [ $? == 0 ]",
        &["pidof:a", "pidof:b"],
    ),
    ("#!/bin/sh\nURL=http://a; curl -sf $URL/ && curl -sf \"${URL}/b\"", &["curl:http://a/", "curl:http://a/b"]),
    (
        "#!/bin/sh\ntimeout 2 pidof a >/dev/null \\\n  || exit 1\nPATH=$PATH:/sbin\nexport PATH\npidof b # the second",
        &["pidof:a", "pidof:b"],
    ),
    ("#!/bin/sh\n! pidof a || ! pidof b", &["pidof:a", "pidof:b"]),
    ("#!/bin/sh\nif pidof a; then if pidof b; then exit 1; fi; else pidof b; fi", &["pidof:a", "pidof:b"]),
];

/// Scripts of which something would be lost.
const RUN: &[&str] = &[
    "#!/bin/bash\nset -euo pipefail; curl http://a/; curl http://b/",
    "#!/bin/sh\nset -e; systemctl is-active a; if [ -f /etc/maint ]; then exit 1; fi; systemctl is-active b; echo ok",
    "#!/bin/bash\necho >/dev/tcp/127.0.0.1/3306 || exit 1; curl http://x/",
    "#!/bin/bash\ntrue </dev/tcp/127.0.0.1/3306 && pidof x",
    "#!/bin/bash\n: 2>/dev/null >/dev/tcp/127.0.0.1/3306 && pidof x",
    "#!/bin/sh\nip route show | grep 10.0.0.254",
    "#!/bin/sh\nip neigh show | grep 192.168.1.1",
    "#!/bin/sh\nip -6 addr | grep 192.168.1.100",
    "#!/bin/sh\nip addr | grep -v 192.168.1.100",
    "#!/bin/sh\nip addr | grep -x 192.168.1.100",
    "#!/bin/sh\nip addr >/dev/null | grep 192.168.1.100",
    "#!/bin/sh\nss -ltn | grep 10.0.0.1:80",
    "#!/bin/sh\nss -ltn | grep -w ':80'",
    "#!/bin/sh\nss -lt | grep ':80 '",
    "#!/bin/sh\nss -tn | grep ':80 '",
    "#!/bin/sh\nss -lnp | grep ':80 '",
    "#!/bin/sh\nss -ltn sport = :443 | grep ':80 '",
    "#!/bin/sh\npidof a 12>/dev/null",
    "#!/bin/sh\npidof a &> /dev/null",
    "#!/bin/sh\npidof a; [ $? == 0 ]",
    "#!/bin/sh\nhttp_proxy=http://b/ curl -sf http://a/",
    "#!/bin/sh\nexport http_proxy=http://b/; curl -sf http://a/",
    "#!/bin/sh\nfail() { systemctl restart a; exit 1; }\npidof a || fail",
    "#!/bin/sh\nfail() { exit $1; }\npidof a || fail 0",
    "#!/bin/sh\npidof() { exit 0; }\nX=$(pidof a)",
    "#!/bin/sh\ncurl() { return 0; }\ncurl http://a/",
    "#!/bin/sh\nX='a b'; pidof $X",
    "#!/bin/sh\nX=; pidof a $X",
    "#!/bin/sh\npidof $1",
    "#!/bin/sh\npidof a || exit 256",
    "#!/bin/sh\npidof a || exit 0 1",
    "#!/bin/sh\npidof a &",
    "#!/bin/sh\n(pidof a; exit 1) || pidof b",
    "#!/bin/sh\nwhile pidof a; do sleep 1; done",
    "#!/bin/sh\necho ill > /run/flag; pidof a",
    "#!/bin/sh\npidof a >> /var/log/check",
    "#!/bin/sh\nset -u; echo $NOWHERE; pidof a",
    "#!/bin/sh\npidof a; A=$?; [ $A -eq 1 ] && exit 1; exit 0",
    "#!/bin/bash\npidof {a,b}",
    "#!/bin/sh\npidof a; trap 'exit 0' EXIT",
    "#!/bin/sh -e\npidof a; pidof b",
    "#!/bin/sh\nif pidof a; then exit 0; fi exit 1",
    "#!/bin/sh\ncurl -u a:b http://a/ && curl -u c:d http://b/",
];

struct Script(String);

impl Files for Script {
    fn list(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn exists(&self, path: &str) -> bool {
        path == SCRIPT
    }

    fn read(&self, path: &str) -> Result<String, String> {
        (path == SCRIPT).then(|| self.0.clone()).ok_or("it is not there".to_owned())
    }
}

fn imported(script: &str) -> Import {
    let text = format!(
        "vrrp_script chk {{ script \"{SCRIPT}\" }}\nvrrp_instance A {{ interface eth0\nvirtual_router_id 1\n\
         virtual_ipaddress {{ 10.0.0.1/24 }}\ntrack_script {{ chk }}\n}}\n"
    );
    import("keepalived.conf", &text, &Machine { name: "n".to_owned(), id: "n".to_owned() }, &Script(script.to_owned()))
}

fn policy(script: &str) -> String {
    let import = imported(script);
    assert!(!import.is_refused(), "{script}\n{}", import.refusals());
    import.outputs.iter().find(|output| output.path.ends_with("chk.rhai")).unwrap().text.clone()
}

/// Whether the shell says that it is well; `None`: there is no such shell here.
fn ran(script: &str, directory: &Path, well: &[&str]) -> Option<bool> {
    let shell = script.lines().next().unwrap().trim_start_matches("#!");
    if !Path::new(shell).exists() {
        return None;
    }
    let mut child = Command::new(shell)
        .args(["-c", script])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", directory.join("bin").display()))
        .env("TRUTH", well.join(" "))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.success());
        }
        if began.elapsed() > DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it does not end: {script}");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_a_script_says_its_policy_says() {
    let desk = Desk::new();
    let bin = desk.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let program = crate::sources::root().join("tests/import/stubs/program");
    for name in PROGRAMS.iter().chain(&["logger"]) {
        symlink(&program, bin.join(name)).unwrap();
    }
    let engine = Engine::new();
    let mut seen = 0;
    let here = desk.path().to_str().unwrap().to_owned();
    for (script, atoms) in TRANSLATED {
        let script = script.replace('@', &here);
        let atoms: Vec<String> = atoms.iter().map(|atom| atom.replace('@', &here)).collect();
        let atoms: Vec<&str> = atoms.iter().map(String::as_str).collect();
        let mut text = policy(&script);
        assert!(!text.contains("exec("), "it is not translated:\n{script}");
        assert!(atoms.len() <= 4, "too many ways: {script}");
        for number in 0..1_usize << atoms.len() {
            let is_well = |at: usize| number >> at & 1 == 1;
            let well: Vec<&str> =
                atoms.iter().enumerate().filter(|(at, _)| is_well(*at)).map(|(_, atom)| *atom).collect();
            for path in atoms.iter().filter_map(|atom| atom.strip_prefix("file:")) {
                let _ = std::fs::remove_file(path);
            }
            for path in well.iter().filter_map(|atom| atom.strip_prefix("file:")) {
                std::fs::write(path, "").unwrap();
            }
            let Some(healthy) = ran(&script, &desk.path(), &well) else { continue };
            let fakes = atoms
                .iter()
                .enumerate()
                .map(|(at, atom)| format!("fake(\"{}\", #{{ ok: {} }}); ", asked(atom), is_well(at)));
            let verdict = if healthy { "healthy" } else { "fault" };
            // The name of a test says what is well.
            let name: String = well
                .join("_")
                .chars()
                .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' })
                .collect();
            text += &format!(
                "\nfn test_{number}_{name}() {{ {}tick(3); assert_verdict(\"{verdict}\"); }}\n",
                fakes.collect::<String>()
            );
            seen += 1;
        }
        let loaded =
            Policy::load(&engine, "chk", "chk.rhai", &text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let failures = run_tests(&engine, &loaded, None).failures;
        assert!(failures.is_empty(), "{script}\n\n{text}\n{failures:?}");
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn what_is_not_surely_the_same_is_run_as_it_is() {
    for script in RUN {
        let text = policy(script);
        assert!(text.contains(&format!("exec([\"{SCRIPT}\"]")), "{script}\n\n{text}");
    }
}
