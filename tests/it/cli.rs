//! The commands as an operator meets them: what they print, and how they exit.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

const CONFIG: &str = r#"node = "K1"
policy_dir = "policies"

[control]
socket = "ha.sock"
state_dir = "state"

[instance.VI_1]
interface = "lo"
virtual_router_id = 51
priority = 100
version = 2
advertise = "1s"
auth.password = "1111"
addresses = ["192.0.2.60/24"]
peers = ["192.0.2.21"]
policies = ["web"]
"#;

pub(crate) const POLICY: &str = r#"const URL = "http://192.0.2.20/";

fn check() {
    require("web", http(URL, #{ timeout: "1s" }));
}

fn test_three_failures_give_up() {
    tick(3);
    fake(`http:${URL}`, #{ status: 500 });
    tick(2);
    assert_verdict("healthy");
    tick();
    assert_verdict("fault");
}
"#;

/// A directory with a configuration and a policy, and the commands run in it.
pub(crate) struct Desk(tempfile::TempDir);

pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::create_dir(desk.path().join("policies")).unwrap();
        desk.write("ha.toml", CONFIG);
        desk.write("policies/web.rhai", POLICY);
        desk
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    pub(crate) fn ha(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_ha"))
            .args(arguments)
            .current_dir(self.path())
            .env_remove("CLICOLOR_FORCE")
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(self.path().to_str().unwrap(), "DIR");
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Without what differs from machine to machine: who owns the file.
fn anonymous(text: &str) -> String {
    let owner = if rustix::process::geteuid().is_root() {
        "root".into()
    } else {
        format!("uid {}", rustix::process::geteuid())
    };
    text.replace(&format!("{owner} 0644"), "OWNER 0644")
}

/// Answers every request with a status line, for as long as the test runs.
fn web_server(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    url
}

#[test]
fn a_good_configuration_is_described() {
    let said = Desk::new().ha(&["check", "ha.toml"]);
    assert_eq!(said.code, 0, "{}", said.out);
    insta::assert_snapshot!(anonymous(&said.out));
}

/// Both ways to name it lead to the same file.
#[test]
fn a_configuration_is_run_by_its_name_as_it_is_checked() {
    let desk = Desk::new();
    for arguments in [&["run", "none.toml"][..], &["run", "-c", "none.toml"]] {
        let said = desk.ha(arguments);
        assert_eq!(said.code, 78, "{}", said.err);
        assert!(said.err.contains("none.toml cannot be read"), "{}", said.err);
    }
    assert_eq!(desk.ha(&["run", "-c", "a.toml", "none.toml"]).code, 64);
}

/// As the other commands name it, whatever its ending, and from a pipe.
#[test]
fn a_configuration_is_checked_as_the_other_commands_name_it() {
    let desk = Desk::new();
    let (named, by_option) = (desk.ha(&["check", "ha.toml"]), desk.ha(&["check", "-c", "ha.toml"]));
    assert_eq!((by_option.code, &by_option.out), (named.code, &named.out), "{}", by_option.err);
    assert_eq!(desk.ha(&["check", "-c", "ha.toml", "ha.toml"]).code, 64);
    desk.write("ha.conf", CONFIG);
    assert_eq!((desk.ha(&["check", "ha.conf"]).code, desk.ha(&["check", "--config", "ha.conf"]).code), (64, 0));
    let passed = Command::new(env!("CARGO_BIN_EXE_ha"))
        .args(["check", "-c", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut passed = passed.unwrap();
    passed.stdin.take().unwrap().write_all(CONFIG.replace("policies = [\"web\"]", "").as_bytes()).unwrap();
    let output = passed.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_broken_configuration_shows_every_error() {
    let desk = Desk::new();
    desk.write("ha.toml", &CONFIG.replace("priority = 100", "prioritty = 100").replace("version = 2", "version = 4"));
    let said = desk.ha(&["check", "ha.toml"]);
    assert_eq!(said.code, 1);
    insta::assert_snapshot!(said.out);
}

#[test]
fn a_broken_policy_shows_where() {
    let desk = Desk::new();
    desk.write("policies/web.rhai", &POLICY.replace("require(", "requier("));
    let said = desk.ha(&["check", "policies/web.rhai"]);
    assert_eq!(said.code, 1);
    insta::assert_snapshot!(anonymous(&said.out));
}

#[test]
fn a_policy_whose_own_test_fails_is_invalid() {
    let desk = Desk::new();
    desk.write("policies/web.rhai", &POLICY.replace("tick(2);", "tick(3);"));
    let said = desk.ha(&["check", "ha.toml"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("error[E111]: its test test_three_failures_give_up fails"), "{}", said.out);
    assert!(said.out.contains("policies/web.rhai:11:5"), "{}", said.out);
    let said = desk.ha(&["test", "policies/web.rhai"]);
    assert_eq!(said.code, 1);
    insta::assert_snapshot!(said.out);
}

#[test]
fn a_missing_policy_is_invalid() {
    let desk = Desk::new();
    fs::remove_file(desk.path().join("policies/web.rhai")).unwrap();
    let said = desk.ha(&["check", "ha.toml"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("policies/web.rhai does not exist"), "{}", said.out);
}

#[test]
fn a_policy_that_others_may_write_is_refused() {
    let desk = Desk::new();
    fs::set_permissions(desk.path().join("policies"), fs::Permissions::from_mode(0o777)).unwrap();
    let said = desk.ha(&["check", "policies/web.rhai", "--strict"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("[E110]") && said.out.contains("policies is writable by others"), "{}", said.out);
}

/// What would only be noticed once it runs.
#[test]
fn a_policy_that_throws_although_all_is_well_is_warned_about() {
    let desk = Desk::new();
    let body = |rules: &str| format!("fn check() {{\n{rules}\n}}\nfn test_x() {{}}\n");
    let check = |rules: &str| {
        desk.write("policies/web.rhai", &body(rules));
        desk.ha(&["check", "policies/web.rhai"])
    };
    let said = check("    if node.is_master {\n        watch(\"web\", true, #{ fall: 0 });\n    }");
    assert_eq!(said.code, 0, "{}", said.out);
    insta::assert_snapshot!("code_W211", anonymous(&said.out));
    for (rules, message) in [
        ("watch(\"web\", ping(\"192.0.2.1\", #{ timeout: \"2q\" }));", "timeout: \"2q\""),
        ("prefer(\"web\", file(\"/srv\"));", "prefer needs a weight"),
        ("watch(\"web\", http(`http://${node.adr}/`));", "there is no field `adr`"),
        ("if ping(\"192.0.2.1\") { return fault(\"?\"); }", "a probe stands where"),
        ("return 7;", "check() returned a whole number"),
    ] {
        let said = check(rules);
        assert_eq!(said.out.matches("[W211]: check() cannot be evaluated: ").count(), 1, "{}", said.out);
        assert!(said.out.contains(message), "{}", said.out);
        assert!(said.out.contains("web.rhai:2:") || message.contains("returned"), "{}", said.out);
    }
    assert_eq!(desk.ha(&["check", "policies/web.rhai", "--strict"]).code, 1);
    // A fake does not know what a real server would say.
    for rules in ["watch(\"a\", true, #{ fall: 1 });", "watch(\"a\", http(\"http://192.0.2.1/\").json.role == \"x\");"]
    {
        assert!(!check(rules).out.contains("W211"), "{rules}");
    }
}

#[test]
fn the_tests_of_a_policy_are_told() {
    let said = Desk::new().ha(&["test", "policies/web.rhai"]);
    assert_eq!(said.code, 0, "{}", said.err);
    insta::assert_snapshot!(said.out);
}

const RULES: &str = r#"const FAST = "100ms";
fn check() {
    require("web", http("http://192.0.2.20/"), #{ fall: 3, rise: 2 });
    require("arbiter", ping("192.0.2.22", #{ count: 3 }), #{ external: true });
    prefer("disk", file("/srv"), #{ weight: 30 });
    watch("mail", tcp("127.0.0.1:25"), #{ latch: true });
    gate("slow", file("/run/x"), #{ backoff: #{ base: "20s" } });
    if node.is_master { prefer("through", ping(node.vip), #{ weight: 5 }); }
}
fn test_x() { tick(); }
"#;

#[test]
fn every_rule_is_forced_down_without_any_test() {
    let desk = Desk::new();
    desk.write("policies/web.rhai", RULES);
    let said = desk.ha(&["test", "policies/web.rhai", "--auto"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    insta::assert_snapshot!(said.out);
}

/// A rule that is forced down and does nothing fails, as does one that nobody evaluates; and that is what JUnit says.
#[test]
fn a_rule_that_does_nothing_is_found() {
    let desk = Desk::new();
    let policy = "fn check() {\n    require(\"web\", true);\n    if node.vrid == 1 { watch(\"never\", true); }\n    if now > 0.0 { return maintenance(\"<always>\"); }\n}\n";
    desk.write("policies/web.rhai", policy);
    let said = desk.ha(&["test", "policies", "--auto", "--json", "--junit", "junit.xml"]);
    assert_eq!(said.code, 1);
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let forced = &document["files"][0]["forced"];
    assert!(forced[0]["objection"].as_str().unwrap().contains("the policy says maintenance although all is well"));
    assert!(forced[1]["objection"].as_str().unwrap().contains("neither by a backup nor by a master"));
    let junit = fs::read_to_string(desk.path().join("junit.xml")).unwrap();
    assert!(junit.contains("<testsuite name=\"web\" tests=\"2\" failures=\"2\">"), "{junit}");
    assert!(junit.contains("<testcase classname=\"web\" name=\"rule web forced down\""), "{junit}");
    assert_eq!(said.out, desk.ha(&["test", "policies", "--auto", "--json"]).out, "the same every time");
    let said = desk.ha(&["test", "policies", "--auto", "--json", "--junit", "no/such/place.xml"]);
    assert_eq!((said.code, said.err.contains("no/such/place.xml cannot be written")), (1, true), "{}", said.err);
    assert!(said.out.contains("ha.test/1"), "what was found is told all the same: {}", said.out);
}

#[test]
fn a_file_that_looks_like_a_module_is_told_so() {
    let desk = Desk::new();
    for (text, hint) in [
        (
            "fn nginx(url) { require(\"a\", http(url)); }\n",
            "this looks like a module: check the policy that imports it",
        ),
        ("fn chek() {}\n", "`chek` is called nearly so: did you mean `check`?"),
        ("const A = 1;\n", "it is what judges the node"),
    ] {
        desk.write("policies/lib.rhai", text);
        let said = desk.ha(&["check", "policies/lib.rhai"]);
        assert!(said.code == 1 && said.out.contains("E114") && said.out.contains(hint), "{}", said.out);
    }
}

/// What is the matter with one member holds for the others, and is said of them; alone each would go its own way.
#[test]
fn a_dry_run_knows_groups() {
    let desk = Desk::new();
    desk.write("policies/web.rhai", "fn check() { require(\"here\", file(\"/\")); }\nfn test_x() { tick(); }\n");
    desk.write(
        "policies/disk.rhai",
        "fn check() { require(\"there\", file(\"/nowhere\")); }\nfn test_x() { tick(); }\n",
    );
    let (_, instance) = CONFIG.split_once("[instance.VI_1]").unwrap();
    let second = instance.replace("192.0.2.60", "192.0.2.61").replace("router_id = 51", "router_id = 52");
    let both = format!("{CONFIG}\n[instance.VI_2]{}", second.replace("[\"web\"]", "[\"disk\"]"));
    for (group, does, role, said) in
        [("", "serve", "master", false), ("\n[group.G1]\ninstances = [\"VI_1\", \"VI_2\"]\n", "release", "fault", true)]
    {
        desk.write("ha.toml", &format!("{both}{group}"));
        let (_, document) = dry_run(&desk);
        let policies = document["policies"].as_array().unwrap();
        let first = policies.iter().find(|policy| policy["instance"] == "VI_1").unwrap();
        assert_eq!(first["verdict"]["if_repeated"]["kind"], "healthy", "{first:#}");
        assert_eq!(
            (&first["would"]["do"], &first["would"]["as_master"]["role"]),
            (&does.into(), &role.into()),
            "{first:#}"
        );
        assert_eq!(first["would"]["text"].to_string().contains("VI_2, of the same group G1: "), said, "{first:#}");
    }
}

/// A file of hooks alone judges nothing: it needs another kind of test, and has no table.
#[test]
fn a_file_of_hooks_alone_is_no_judge() {
    let desk = Desk::new();
    desk.write("policies/web.rhai", "fn on_master(ev) {\n    run([\"/usr/bin/notify\"]);\n}\n");
    let said = desk.ha(&["check", "ha.toml", "--dry-run"]);
    assert!(said.out.contains("fire(\"on_master\"); assert_eq(actions()"), "{}", said.out);
    assert!(said.out.contains("it has hooks alone and judges nothing\n"), "{}", said.out);
    assert!(!said.out.contains("DOWN AFTER") && !said.out.contains("worst case  "), "{}", said.out);
    assert!(said.out.contains("[W212]: allow_exec in ha.toml does not list /usr/bin/notify"), "{}", said.out);
    desk.write("ha.toml", &CONFIG.replacen("\n\n", "\nallow_exec = [\"/usr/bin/notify\"]\n\n", 1));
    assert!(!desk.ha(&["check", "ha.toml"]).out.contains("W212"));
}

#[test]
fn documents_name_their_schema() {
    let desk = Desk::new();
    for (arguments, schema) in
        [(["check", "ha.toml", "--json"], "ha.check/1"), (["test", "policies/web.rhai", "--json"], "ha.test/1")]
    {
        let said = desk.ha(&arguments);
        let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(document["schema"], schema);
    }
}

#[test]
fn two_configurations_are_compared() {
    let desk = Desk::new();
    let other = CONFIG.replace("K1", "K2").replace("= 100", "= 99").replace("192.0.2.21", "192.0.2.20");
    desk.write("other.toml", &other);
    assert_eq!(desk.ha(&["check", "ha.toml", "other.toml"]).code, 0);
    desk.write("other.toml", &other.replace("1111", "2222"));
    let said = desk.ha(&["check", "ha.toml", "other.toml"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("the passwords differ"), "{}", said.out);
}

/// W202 and W207 know both halves of the pair.
#[test]
fn lint_knows_both_nodes_of_a_pair() {
    let desk = Desk::new();
    let other = CONFIG.replace("K1", "K2").replace("= 100", "= 50").replace("192.0.2.21", "192.0.2.20");
    let rules =
        "    require(\"arbiter\", tcp(\"192.0.2.22:80\"));\n    prefer(\"disk\", file(\"/\"), #{ weight: 50 });\n}\n\n";
    desk.write("policies/web.rhai", &POLICY.replacen("}\n\n", rules, 1));
    desk.write("other.toml", &other);
    let said = desk.ha(&["check", "ha.toml", "other.toml"]);
    assert!(said.out.contains("100 less 50 is 50, and K2 has 50: alone it moves nothing"), "{}", said.out);
    assert!(said.out.contains("K2 requires 192.0.2.22 too"), "{}", said.out);
    // The other node has policies of its own that ask something else.
    desk.write("other.toml", &other.replace("\"policies\"", "\"theirs\""));
    fs::create_dir(desk.path().join("theirs")).unwrap();
    desk.write("theirs/web.rhai", &POLICY.replace("192.0.2.20", "192.0.2.21"));
    let said = desk.ha(&["check", "ha.toml", "other.toml"]);
    assert!(!said.out.contains("W207"), "{}", said.out);
}

/// Whatever the command line has, shells complete and the manual explains.
#[test]
fn shells_and_the_manual_know_every_command() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = desk.ha(&["completions", shell]);
        assert_eq!(said.code, 0, "{}", said.err);
        for word in ["rollback", "dry-run", "completions"] {
            assert!(said.out.contains(word), "{shell} does not know {word}");
        }
    }
    assert_eq!(desk.ha(&["completions", "cmd"]).code, 64);
    let page = desk.ha(&["man"]).out;
    assert!(page.contains(".TH ha 1") && page.contains("ha\\-check(1)"), "{page}");
    assert_eq!(desk.ha(&["man", "pages"]).code, 0);
    for (file, word) in
        [("ha-check.1", "dry\\-run"), ("ha-policy-rollback.1", "GENERATION"), ("ha.1", "Keeps a service address")]
    {
        let page = fs::read_to_string(desk.path().join("pages").join(file)).unwrap();
        assert!(page.contains(word), "{file}: {page}");
    }
    assert!(!desk.path().join("pages/ha-help.1").exists());
    let said = desk.ha(&["man", "ha.toml"]);
    assert_eq!((said.code, said.err.contains("cannot be written to ha.toml")), (1, true), "{}", said.err);
}

#[test]
fn wrong_usage_is_64() {
    let desk = Desk::new();
    let commands: [&[&str]; 5] =
        [&[], &["chek"], &["check", "--no-such"], &["check", "README.md"], &["lab", "--keepalived", "3"]];
    for arguments in commands {
        assert_eq!(desk.ha(arguments).code, 64, "{arguments:?}");
    }
    assert_eq!(desk.ha(&["--help"]).code, 0);
    assert_eq!(desk.ha(&["version"]).out, concat!("ha ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn without_a_daemon_commands_say_so() {
    let desk = Desk::new();
    for command in ["status", "reload"] {
        let said = desk.ha(&[command, "-c", "ha.toml"]);
        assert_eq!(said.code, 69);
        assert_eq!(said.err, "ha: no daemon answers at DIR/ha.sock; is `ha run` running?\n");
    }
    let said = desk.ha(&["status", "-c", "ha.toml", "--check"]);
    assert_eq!((said.code, said.out.starts_with("HA UNKNOWN - ")), (3, true));
}

/// The policy with a real web server on this machine.
fn desk_with_web(status: &'static str) -> Desk {
    let desk = Desk::new();
    desk.write("policies/web.rhai", &POLICY.replace("http://192.0.2.20/", &web_server(status)));
    desk
}

fn dry_run(desk: &Desk) -> (i32, serde_json::Value) {
    let said = desk.ha(&["check", "ha.toml", "--dry-run", "--json"]);
    (said.code, serde_json::from_str(&said.out).unwrap())
}

#[test]
fn a_dry_run_probes_once_and_says_what_follows() {
    let (code, document) = dry_run(&desk_with_web("200 OK"));
    let policy = &document["policies"][0];
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(policy["verdict"]["now"]["kind"], "healthy");
    assert_eq!(policy["verdict"]["if_repeated"]["kind"], "healthy");

    let (code, document) = dry_run(&desk_with_web("500 No"));
    let policy = &document["policies"][0];
    assert_eq!(code, 2, "{document:#}");
    assert_eq!(policy["verdict"]["if_repeated"]["kind"], "fault");
    assert_eq!(policy["would"]["do"], "release");
    assert_eq!(policy["rules"][0]["rule"]["fails"], 1);
}

#[test]
fn a_probe_is_explained_step_by_step() {
    let desk = Desk::new();
    let url = web_server("500 No");
    let said = desk.ha(&["probe", &format!("http(\"{url}\", #{{ timeout: \"1s\" }})")]);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    let text = said.out.replace(&url, "URL");
    for part in [
        "http URL\n",
        "timeout 1s, method GET (default), status 200 (default)",
        "answered  ✘ status 500",
        "error     mismatch",
        "phase \"done\"",
        "in a test fake(\"http:URL\", #{ ok: false });",
        "as a rule   require(\"NAME\", http(\"URL\", #{ timeout: \"1s\" }), #{ fall: 3, rise: 2 });",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let url = web_server("200 OK");
    let said = desk.ha(&[
        "probe",
        &format!("any([http(\"{url}\"), file(\"/nowhere\")])"),
        "--json",
        "--count",
        "2",
        "--interval",
        "10ms",
    ]);
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, document["schema"].as_str()), (0, Some("ha.probe/1")));
    assert_eq!(document["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(document["attempts"][1]["why"], "1 of 2 ok");
    assert_eq!(document["attempts"][0]["probes"][0]["fields"]["status"], 200);
    assert_eq!(document["attempts"][0]["probes"][1]["error"], "mismatch");
}

#[test]
fn what_would_follow_is_told_without_a_probe() {
    let desk = Desk::new();
    desk.write("policies/web.rhai", &RULES.replace("const FAST = \"100ms\";\n", ""));
    let said = desk.ha(&["check", "ha.toml", "--what-if", "web=down"]);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    let told: Vec<&str> = said.out.lines().skip_while(|line| !line.starts_with("what if")).collect();
    insta::assert_snapshot!(told.join("\n"));
    let said = desk.ha(&["check", "ha.toml", "--what-if", "web=down", "--ticks", "2", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, document["what_if"][0]["verdicts"]["web"]["kind"].as_str()), (0, Some("healthy")));
    let said = desk.ha(&["check", "ha.toml", "--what-if", "webb=down"]);
    assert_eq!(
        (said.code, said.err.contains("there is no rule webb, and nothing of that name is tracked; there are web, arbiter, disk, mail, slow, through\n")),
        (64, true),
        "{}",
        said.err
    );
    assert_eq!(desk.ha(&["check", "ha.toml", "--what-if", "web"]).code, 64);
}

/// The counters go on from one look to the next.
#[test]
fn a_watched_dry_run_counts_on() {
    let desk = desk_with_web("500 No");
    let mut child = Command::new(env!("CARGO_BIN_EXE_ha"))
        .args(["check", "ha.toml", "--dry-run", "--watch"])
        .current_dir(desk.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let fallen = lines.find(|line| line.starts_with("verdict now") && line.contains("FAULT"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(fallen.is_some_and(|line| line.contains("web failed 3/3")));
}

#[test]
fn an_expression_that_is_wrong_says_where() {
    let desk = Desk::new();
    let said = desk.ha(&["probe", "htpp(\"http://127.0.0.1/\")"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("expression:1:1") && said.err.contains("did you mean `http`?"), "{}", said.err);
    let said = desk.ha(&["probe", "tcp(\"127.0.0.1\")"]);
    assert_eq!(said.code, 3);
    assert!(said.out.contains("expression:1:1: \"127.0.0.1\" has no port"), "{}", said.out);
    for wrong in ["1 + 1", "require(\"web\", true)"] {
        let said = desk.ha(&["probe", wrong]);
        assert_eq!((said.code, said.out.contains("`ha probe` takes a probe")), (3, true), "{wrong}: {}", said.out);
        assert!(!said.out.contains("as a rule"), "{}", said.out);
    }
    let said = desk.ha(&["probe", " "]);
    assert_eq!((said.code, said.err.contains("there is no expression")), (1, true), "{}", said.err);
    let said = desk.ha(&["probe", "tcp(\"127.0.0.1:1\""]);
    assert_eq!((said.code, said.err.contains("expression:1:")), (1, true), "{}", said.err);
    let said = desk.ha(&["probe", "exec([\"/bin/true\"])"]);
    assert!(said.err.contains("allow_exec lists the programs") && said.err.contains("-c FILE"), "{}", said.err);
    let said = desk.ha(&["probe", "ping(node.addr)"]);
    assert_eq!((said.code, said.err.contains("needs a configuration")), (64, true), "{}", said.err);
}

#[test]
fn a_dry_run_for_people() {
    let said = desk_with_web("500 No").ha(&["check", "ha.toml", "--dry-run"]);
    assert_eq!(said.code, 2);
    let table: Vec<&str> = said.out.lines().skip_while(|line| !line.starts_with("real probes")).collect();
    assert!(table.iter().all(|line| line.chars().count() <= 100), "{table:#?}");
    let text = table.join("\n");
    for part in ["counters start from zero", "web in VI_1, every 1s", "500", "3 fails", "if this goes on  FAULT in 2 s"]
    {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn a_candidate_stands_for_the_installed_policy_of_its_name() {
    let desk = desk_with_web("500 No");
    fs::create_dir(desk.path().join("candidate")).unwrap();
    desk.write("candidate/web.rhai", &POLICY.replace("http://192.0.2.20/", &web_server("200 OK")));
    let said = desk.ha(&["check", "candidate/web.rhai", "ha.toml", "--dry-run"]);
    assert_eq!(said.code, 0, "{}", said.out);
}

#[test]
fn nothing_recorded_is_nothing_to_release() {
    let said = Desk::new().ha(&["release", "--stale", "-c", "ha.toml"]);
    assert_eq!((said.code, said.out.as_str()), (0, "nothing was left behind\n"), "{}", said.err);
}

#[test]
fn nothing_is_released_under_a_living_daemon() {
    let desk = Desk::new();
    let store = ha::daemon::store::Store::open(&desk.path().join("state")).unwrap();
    let _daemon = store.lock().unwrap();
    for arguments in [&["release", "--stale", "-c", "ha.toml"][..], &["release", "-c", "ha.toml"][..]] {
        let said = desk.ha(arguments);
        assert_eq!(said.code, 75);
        assert!(said.err.contains("the daemon is alive"), "{}", said.err);
    }
}

#[test]
fn the_socket_of_the_configuration_counts_even_if_the_rest_is_broken() {
    let desk = Desk::new();
    desk.write("ha.toml", "nonsense = true\n[control]\nsocket = \"elsewhere.sock\"\n");
    let said = desk.ha(&["status", "-c", "ha.toml"]);
    assert!(said.err.contains("DIR/elsewhere.sock"), "{}", said.err);
    assert!(Path::new(env!("CARGO_BIN_EXE_ha")).exists());
}
