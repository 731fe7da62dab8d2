//! Configurations of keepalived in the style of what operators publish, and what becomes of every line. What is written
//! loads by the loader and passes the lint of policies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own machinery")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use ha::{
    config::{self, Facts},
    import::{Files, Import, Machine, import},
    policy::{Engine, Policy, Severity, run_tests},
};
use proptest::prelude::*;

use crate::cli::Desk;

/// The files beside the fixtures, as if their directory were the root.
struct Shelf;

fn shelf(path: &str) -> PathBuf {
    crate::sources::root().join("tests/import/shelf").join(path.trim_start_matches('/'))
}

impl Files for Shelf {
    fn list(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(shelf(directory)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn exists(&self, path: &str) -> bool {
        shelf(path).exists()
    }

    fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(shelf(path)).map_err(|_| "it is not there".to_owned())
    }
}

fn machine() -> Machine {
    Machine { name: "node1.example.org".to_owned(), id: "node1".to_owned() }
}

fn fixtures() -> Vec<PathBuf> {
    let directory = crate::sources::root().join("tests/import");
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    files
}

fn imported(text: &str) -> Import {
    import("keepalived.conf", text, &machine(), &Shelf)
}

/// The configuration loads, and the policies are those that it names and are right.
fn check_outputs(import: &Import) {
    static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);
    let engine = &*ENGINE;
    let mut policies = BTreeMap::new();
    for output in &import.outputs {
        if let Some(name) = output.path.strip_prefix("policies/").and_then(|name| name.strip_suffix(".rhai")) {
            let policy = Policy::load(engine, name, &output.path, &output.text).unwrap_or_else(|problems| {
                let shown: Vec<String> = problems.iter().map(|problem| problem.render(&output.text)).collect();
                panic!("{}\n{}", output.text, shown.join("\n"))
            });
            assert!(policy.warnings().iter().all(|problem| problem.severity == Severity::Warning));
            let tests = run_tests(engine, &policy, None);
            assert!(tests.failures.is_empty(), "{:?}\n{}", tests.failures, output.text);
            policies.insert(name.to_owned(), policy);
        }
    }
    let text = &import.outputs.first().unwrap().text;
    let loaded = config::parse(text, "/etc/ha/ha.toml".as_ref(), &Facts::default());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    for instance in &loaded.config.instances {
        for name in &instance.policies {
            assert!(policies.contains_key(name), "{name} is not written");
        }
    }
}

/// Everything that one sees, for a snapshot.
fn shown(import: &Import) -> String {
    let mut text = import.explanation();
    if import.is_refused() {
        text += "\n---- refused\n";
        text += &import.refusals();
        return text;
    }
    for output in &import.outputs {
        text += &format!("\n---- {}{}\n{}", output.path, if output.private { " (private)" } else { "" }, output.text);
    }
    text
}

#[test]
fn what_operators_publish() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 30);
    for path in fixtures {
        let text = fs::read_to_string(&path).unwrap();
        let import = imported(&text);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!import.refusals().contains("is not understood where it stands"), "{}", import.refusals());
        assert_eq!(imported(&text), import, "{name}: another result for the same text");
        let places =
            import.refusals().lines().filter(|line| !line.starts_with("    ")).map(str::to_owned).collect::<Vec<_>>();
        for place in places {
            let named = place.split_once(".conf:").and_then(|(_, rest)| rest.split_once(": "));
            assert!(named.is_some_and(|(line, _)| line.parse::<usize>().is_ok()), "{name}: no file and line: {place}");
        }
        if !import.is_refused() {
            check_outputs(&import);
        }
        insta::with_settings!({ snapshot_path => "../import/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown(&import));
        });
    }
}

/// Through an `include` too.
#[test]
fn what_is_wrong_in_an_included_file_is_told_by_its_name_and_line() {
    let path = crate::sources::root().join("tests/import/included-mistakes.conf");
    let refusals = imported(&fs::read_to_string(path).unwrap()).refusals();
    for place in [
        "mistakes.conf:4: ",
        "mistakes.conf:5: ",
        "mistakes.conf:6: ",
        "mistakes.conf:8: ",
        "mistakes.conf:10: ",
        "mistakes.conf:11: ",
    ] {
        assert!(refusals.lines().any(|line| line.starts_with(place)), "{place}\n{refusals}");
    }
}

/// `! command` must not come to "well" where nobody could look.
#[test]
fn what_cannot_be_seen_is_no_success_the_other_way_around() {
    let text = "vrrp_script flag { script \"[ ! -e /run/down ]\" }\nvrrp_instance A { interface eth0\nvirtual_router_id 1\n\
                virtual_ipaddress { 10.0.0.1/24 }\ntrack_script { flag }\n}\n";
    let import = imported(text);
    let policy = &import.outputs.iter().find(|output| output.path.ends_with("flag.rhai")).unwrap().text;
    for (answer, verdict) in
        [("ok: false", "healthy"), ("ok: true", "fault"), ("ok: false, blind: true, error: \"denied\"", "fault")]
    {
        let test = format!(
            "{policy}\nfn test_it() {{ fake(\"file:/run/down\", #{{ {answer} }}); tick(3); assert_verdict(\"{verdict}\"); }}\n"
        );
        let engine = Engine::new();
        let loaded = Policy::load(&engine, "flag", "flag.rhai", &test).unwrap();
        let failures = run_tests(&engine, &loaded, None).failures;
        assert!(failures.is_empty(), "{answer}: {failures:?}\n{test}");
    }
}

/// With a check of these lines.
fn with_check(lines: &str) -> Import {
    imported(&format!(
        "vrrp_script chk {{\n{lines}\n}}\nvrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\n\
         virtual_ipaddress {{ 10.0.0.1/24 }}\ntrack_script {{ chk }}\n}}\n"
    ))
}

fn explained(lines: &str) -> String {
    let import = with_check(lines);
    if !import.is_refused() {
        check_outputs(&import);
    }
    import.explanation()
}

/// A program is no text.
#[test]
fn a_program_that_is_there_is_not_called_missing() {
    let desk = Desk::new();
    let text = |program: &str| {
        format!(
            "vrrp_script chk {{ script \"{program}\" }}\nvrrp_instance A {{ interface eth0\nvirtual_router_id 1\n\
             virtual_ipaddress {{ 10.0.0.1/24 }}\ntrack_script {{ chk }}\n}}\n"
        )
    };
    for (program, missing) in [("/usr/bin/env true", false), ("/usr/bin/nothing-of-this-name", true)] {
        desk.write("one.conf", &text(program));
        let said = desk.ha(&["import", "one.conf", "--explain"]);
        assert_eq!(said.out.contains("is not here"), missing, "{}", said.out);
    }
}

#[test]
fn sudo_runs_a_program_as_whom_it_names() {
    let said = explained("script \"sudo -u postgres /usr/bin/psql -c 'select 1'\"");
    assert!(said.contains("#{ timeout: \"1s\", user: \"postgres\" }"), "{said}");
    assert!(said.contains("sudo is left out: ha runs it itself, as postgres"), "{said}");
    assert!(!said.contains("as its own user"), "{said}");
    let group = explained("script \"sudo -n -u postgres -g adm /usr/bin/psql\"");
    assert!(group.contains("user: \"postgres:adm\""), "{group}");
    // What is not known of it is left to it.
    for options in ["-i -u postgres", "-u postgres A=b", "-g adm"] {
        let said = explained(&format!("script \"/usr/bin/sudo {options} /usr/bin/psql\""));
        assert!(said.contains("exec([\"/usr/bin/sudo\""), "{said}");
    }
    let root = explained("script \"sudo /usr/bin/psql\"\nuser postgres");
    assert!(!root.contains("user: \"postgres\"") && root.contains("as its own user"), "{root}");
}

/// ping(8): with a deadline, fewer than count answers are a failure.
#[test]
fn ping_with_a_deadline_wants_every_answer() {
    for (options, expected) in [
        ("-c 3 -w 2", "#{ timeout: \"2s\", count: 3, min: 3 }"),
        ("-c 3 -W 2", "#{ timeout: \"2s\", count: 3 }"),
        ("-c 1 -w 2", "#{ timeout: \"2s\" }"),
        ("-w 2", "#{ timeout: \"2s\", count: 2 }"),
    ] {
        let said = explained(&format!("script \"ping {options} 192.0.2.9\"\ninterval 5"));
        assert!(said.contains(&format!("ping(\"192.0.2.9\", {expected})")), "{options}: {said}");
        assert!(!said.contains("never ends") && !said.contains("counts it as failure"), "{options}: {said}");
    }
    // Two seconds pass before the third is sent.
    let late = explained("script \"ping -c 3 192.0.2.9\"\ninterval 1");
    assert!(late.contains("ping sends for 2s, and after 1s keepalived counts it as failure"), "{late}");
}

/// systemctl(1): `is-active` is content with one of several, `status` with none less than all.
#[test]
fn systemctl_asks_for_one_or_for_all() {
    let said = explained("script \"systemctl is-active a b\"");
    assert!(said.contains("any([service(\"a\""), "{said}");
    let said = explained("script \"systemctl status a b\"");
    assert!(said.contains("all([service(\"a\""), "{said}");
}

#[test]
fn what_a_rule_cannot_count_to_is_refused() {
    for keyword in ["rise", "fall"] {
        assert!(!with_check(&format!("script \"killall -0 a\"\n{keyword} 1000")).is_refused());
        explained(&format!("script \"killall -0 a\"\n{keyword} 1000"));
        let refused = with_check(&format!("script \"killall -0 a\"\n{keyword} 1001")).refusals();
        assert!(refused.contains("ha counts to 1000 at most"), "{refused}");
    }
}

#[test]
fn what_a_shell_would_have_redirected_is_named() {
    let said = explained("script \"/usr/bin/curl -s http://a/ > /dev/null 2>&1\"");
    assert!(said.contains("\">\" is given to /usr/bin/curl as an argument"), "{said}");
    for quiet in ["curl http://a/?b=<c>", "/bin/sh -c 'pidof a >/dev/null'"] {
        let said = explained(&format!("script \"{quiet}\""));
        assert!(!said.contains("as an argument"), "{said}");
    }
}

#[test]
fn an_interval_that_is_too_short_is_named() {
    let said = explained("script \"killall -0 a\"\ninterval 0.001");
    assert!(said.contains("ha makes no check more often than every 50ms"), "{said}");
    assert!(!explained("script \"killall -0 a\"\ninterval 0.05").contains("more often"));
}

#[test]
fn secrets_are_shown_nowhere() {
    for path in fixtures() {
        let import = imported(&fs::read_to_string(&path).unwrap());
        let mut said = import.explanation() + import.refusals().as_str();
        said.extend(import.outputs.iter().filter(|output| !output.private).map(|output| output.text.as_str()));
        let keys = ["0001020304050607", "a text of more than 32 letters"];
        for secret in ["s3cr3t-i", "hunter22", "abcdef", "patroni1", "topsecre"].into_iter().chain(keys) {
            assert!(!said.contains(secret), "{}: {secret}", path.display());
        }
    }
}

#[test]
fn a_refused_configuration_writes_nothing_and_ends_with_65() {
    let desk = Desk::new();
    let path = crate::sources::root().join("tests/import/vmac.conf");
    let said = desk.ha(&["import", path.to_str().unwrap(), "-o", desk.path().join("out").to_str().unwrap()]);
    assert_eq!(said.code, 65);
    assert!(said.err.contains("vmac.conf:18: use_vmac 02:00:00:00:00:01 group 7"), "{}", said.err);
    assert!(!desk.path().join("out").exists());
}

#[test]
fn what_is_written_is_clean_for_ha_check() {
    let desk = Desk::new();
    let path = crate::sources::root().join("tests/import/haproxy-pair.conf");
    let out = desk.path().join("out");
    let arguments = ["import", path.to_str().unwrap(), "-o", out.to_str().unwrap()];
    let said = desk.ha(&arguments);
    assert_eq!(said.code, 0, "{}", said.err);
    // The unit runs it as ha, which is here or is to be made.
    assert!(said.out.contains("sudo chown -R ha: DIR/out/secrets\n") || said.out.contains("made ha's"), "{}", said.out);
    let config = out.join("ha.toml");
    let checked = desk.ha(&["check", config.to_str().unwrap()]);
    assert_eq!(checked.code, 0, "{}", checked.out);
    assert_eq!(fs::read_to_string(out.join("secrets/chk_stats_password")).unwrap(), "admin:hunter22");
    let secrets = ["chk_stats_password", "vrrp_VI_LB"].map(|name| out.join("secrets").join(name));
    assert_eq!(fs::read_to_string(&secrets[1]).unwrap(), "s3cr3t-i");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&secrets[0]), mode(&secrets[1]), mode(&out.join("secrets"))), (0o600, 0o600, 0o700));
    fs::set_permissions(&secrets[1], fs::Permissions::from_mode(0o644)).unwrap();
    let open = desk.ha(&["check", "--strict", config.to_str().unwrap()]);
    assert_eq!(open.code, 1, "{}", open.out);
    assert!(
        open.out.contains("VI_LB: auth.password: secret vrrp_VI_LB cannot be read") && open.out.contains("mode 0644"),
        "{}",
        open.out
    );
    assert_eq!(desk.ha(&arguments).code, 73, "a second import overwrites nothing");
    assert_eq!(desk.ha(&["import", "/nonexistent/keepalived.conf"]).code, 66);
}

const VI_1: &str = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority 100\n authentication {\n  auth_type PASS\n  \
                    auth_pass 1111\n }\n virtual_ipaddress {\n  192.168.0.60/24\n }\n}\n";

#[test]
fn two_files_of_keepalived_are_compared_as_a_pair() {
    let desk = Desk::new();
    desk.write("one.conf", VI_1);
    desk.write("other.conf", &VI_1.replace("priority 100", "priority 99"));
    let fits = desk.ha(&["check", "--keepalived", "one.conf", "other.conf"]);
    assert_eq!((fits.code, fits.err.as_str()), (0, ""), "{}", fits.out);
    assert!(fits.out.contains("one.conf") && fits.out.contains("192.168.0.60/24"), "{}", fits.out);
    assert!(!fits.out.contains("ha-check-"), "no directory that is gone: {}", fits.out);
    assert!(
        fits.out.contains("--> one.conf as ha.toml:") && fits.out.contains("`ha import one.conf` shows"),
        "{}",
        fits.out
    );
    desk.write("other.conf", &VI_1.replace("auth_pass 1111", "auth_pass 2222"));
    let differs = desk.ha(&["check", "--keepalived", "one.conf", "other.conf"]);
    assert_eq!(differs.code, 1, "{}", differs.out);
    assert!(differs.out.contains("password"), "{}", differs.out);
}

#[test]
fn a_file_of_keepalived_that_cannot_be_imported_is_no_valid_configuration() {
    let desk = Desk::new();
    desk.write("one.conf", &VI_1.replace("interface eth0", "interface eth0\n use_ipvlan"));
    let said = desk.ha(&["check", "--keepalived", "one.conf"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("use_ipvlan"), "{}", said.err);
    assert_eq!(desk.ha(&["check", "--keepalived", "a", "b", "c"]).code, 64);
}

proptest! {
    /// Whatever is in the file: it comes to an end, and what is not refused loads.
    #[test]
    fn nothing_ends_an_import(text in words()) {
        let import = imported(&text);
        prop_assert!(import.is_refused() || !import.outputs.is_empty());
        if !import.is_refused() {
            check_outputs(&import);
        }
    }

    #[test]
    fn no_text_at_all_ends_an_import(text in "\\PC{0,200}") {
        let _ = imported(&text).explanation();
    }
}

/// Words of configurations in any order, most of them nonsense.
fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        proptest::sample::select(vec![
            "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress { 10.0.0.7/24 }\n",
            "vrrp_script chk {\n script \"killall -0 a\"\n",
            "track_script { chk weight 3 }\n",
            "}\n",
            "{",
            "}",
            "\n",
            "\"",
            "\\",
            "#",
            "!",
            "global_defs {\n",
            "~SEQ(N,1,3) ",
            "~LST({A,B},{1,2}) ",
            "$N=1\n",
            "$N",
            "${N}",
            "@node1 ",
            "@^node1 ",
            "priority 300\n",
            "priority 120\n",
            "state MASTER\n",
            "nopreempt\n",
            "preempt_delay 3\n",
            "include track-*.conf\n",
            "include nowhere\n",
            "advert_int 0.5\n",
            "version 3\n",
            "authentication { auth_type PASS\n auth_pass ab\u{e9}defghij\n }\n",
            "2001:db8::1\n",
            "unicast_peer { 10.0.0.2\n 10.0.0.3 }\n",
            "unicast_src_ip 10.0.0.2\n",
            "weight -300\n",
            "weight 20 reverse\n",
            "interval 2\n",
            "interval 0.001\n",
            "timeout 0.0001\n",
            "timeout 90000\n",
            "rise 100000\n",
            "rise 1000\n",
            "fall 1001\n",
            "vrrp_script chk {\n script \"/bin/sh -c 'pidof a || exit 1; ip a | grep 10.0.0.7'\"\n",
            "vrrp_script chk {\n script \"sudo -u a ping -c 3 -w 2 b\"\n",
            "track_script { chk }\n",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ];
    proptest::collection::vec(word, 0..25).prop_map(|words| words.concat())
}
