//! Every code of lint: it is found where it is, shown with line and caret, and explained.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeSet;

use ha::policy::{CODES, Code, Engine, Policy, Problem, Sources, Surroundings};

use crate::{cli::Desk, sources};

/// A policy for each code that is found in the text alone.
const SLIPS: &[(&str, &str)] = &[
    ("E100", "fn check() {\n    let x = ;\n}\nfn test_x() {}"),
    ("E101", "fn check() {\n    requier(\"web\", http(`http://${node.addr}/`));\n}\nfn test_x() {}"),
    ("E102", "fn check() {\n    require(\"web\");\n}\nfn test_x() {}"),
    ("E103", "const ARBITER = \"192.168.0.22\";\nfn check() {\n    watch(\"a\", ping(ARBITTER));\n}\nfn test_x() {}"),
    ("E104", "fn check() {\n    watch(\"a\", ping(\"192.168.0.1\", #{ timout: \"1s\" }));\n}\nfn test_x() {}"),
    ("E105", "let web = 1;\nfn check() {}\nfn test_x() {}"),
    (
        "E106",
        "fn check() {\n    if !gate(\"web\", service(\"nginx\")) { service_restart(\"nginx\"); }\n}\nfn test_x() {}",
    ),
    ("E107", "fn check() {}\nfn require(name, condition) { true }\nfn test_x() {}"),
    ("E108", "const PATH = \"lib/web\";\nimport PATH as web;\nfn check() {}\nfn test_x() {}"),
    ("E109", "fn check() {\n    watch(\"web\", true);\n    watch(\"web\", false);\n}\nfn test_x() {}"),
    ("E113", "const INTERVAL = \"10ms\";\nfn check() {}\nfn test_x() {}"),
    ("E114", "fn check(node) {}\nfn test_x() {}"),
    ("E115", "import \"std/wep\" as web;\nfn check() {}\nfn test_x() {}"),
    (
        "E116",
        "import \"std/web\" as web;\nfn nginx(url, options) {}\nfn check() {\n    nginx(\"a\", #{});\n}\nfn test_x() {}",
    ),
    (
        "W201",
        "fn check() {\n    if node.is_master {\n        require(\"writable\", file(\"/srv/data/rw\"));\n    }\n}\nfn test_x() {}",
    ),
    ("W202", "fn check() {\n    prefer(\"disk\", file(\"/srv/data\"), #{ weight: 250 });\n}\nfn test_x() {}"),
    ("W203", "fn check() {\n    watch(\"a\", ping(\"192.168.0.1\", #{ timeout: \"3s\" }));\n}\nfn test_x() {}"),
    ("W204", "fn check() {\n    require(\"a\", ping(\"192.168.0.1\"), #{ external: true });\n}\nfn test_x() {}"),
    ("W205", "fn check() {\n    watch(\"a\", tcp(\"mail.example.org:25\"));\n}\nfn test_x() {}"),
    ("W206", "fn check() {\n    watch(\"a\", http(\"https://127.0.0.1/\", #{ insecure: true }));\n}\nfn test_x() {}"),
    ("W207", "fn check() {\n    require(\"a\", tcp(\"192.168.0.22:443\"));\n}\nfn test_x() {}"),
    ("W208", "fn check() {}"),
    ("W209", "fn check() {\n    require(\"web\", http(`http://${node.vip}/`));\n}\nfn test_x() {}"),
    ("W210", "fn check() {\n    require(\"a\", file(\"/srv\"), #{ fall: 1 });\n}\nfn test_x() {}"),
];

/// Codes that depend on the file system or on running the tests: `tests/it/cli.rs` shows them.
const OF_COMMANDS: [&str; 3] = ["E110", "E111", "W211"];
/// The code of what a configuration allows, shown by a test of its own.
const OF_NODES: [&str; 1] = ["W212"];
/// The code of secrets, shown with those.
const OF_SECRETS: [&str; 1] = ["E112"];

fn lint(source: &str) -> Vec<Problem> {
    match Policy::load(&Engine::new(), "web", "web.rhai", source) {
        Ok(policy) => policy.warnings().to_vec(),
        Err(problems) => problems,
    }
}

#[test]
fn every_code_is_shown_with_its_place() {
    for (code, source) in SLIPS {
        let problems = lint(source);
        let [problem] = problems.as_slice() else { panic!("{code}: {problems:?}") };
        assert_eq!(problem.code, *code);
        insta::assert_snapshot!(format!("code_{code}"), problem.render(source));
    }
}

#[test]
fn a_code_of_the_list_is_found_and_one_that_is_found_is_of_the_list() {
    let listed: BTreeSet<&str> = CODES.iter().map(|code| code.code).collect();
    let shown: BTreeSet<&str> =
        SLIPS.iter().map(|(code, _)| *code).chain(OF_COMMANDS).chain(OF_NODES).chain(OF_SECRETS).collect();
    assert_eq!(shown, listed);
    let used: BTreeSet<String> = sources::program().iter().flat_map(|source| codes_in(&source.text)).collect();
    let strangers: Vec<&String> = used.iter().filter(|code| !listed.contains(code.as_str())).collect();
    assert!(strangers.is_empty(), "not in the list: {strangers:?}");
}

/// `"E101"` and its like, as texts in the code.
fn codes_in(text: &str) -> BTreeSet<String> {
    let is_code = |word: &&str| {
        word.len() == 4 && word.starts_with(['E', 'W']) && word.chars().skip(1).all(|c| c.is_ascii_digit())
    };
    text.split('"').filter(is_code).map(ToOwned::to_owned).collect()
}

#[test]
fn every_code_is_explained() {
    let desk = Desk::new();
    for Code { code, title, why, todo } in CODES {
        assert!(!title.ends_with('.') && why.ends_with('.') && todo.ends_with('.'), "{code}");
        let said = desk.ha(&["check", "--explain", &code.to_lowercase()]);
        assert_eq!(said.code, 0);
        assert!(said.out.contains(code) && said.out.contains(title), "{}", said.out);
        assert!(said.out.lines().all(|line| line.chars().count() <= 100), "{}", said.out);
    }
    let said = desk.ha(&["check", "--explain", "E999"]);
    assert_eq!((said.code, said.err.contains("E101")), (64, true), "{}", said.err);
}

/// A policy where it is known what is around it.
fn around(body: &str, around: &[Surroundings]) -> Vec<String> {
    let source = format!("fn check() {{\n{body}\n}}\nfn test_x() {{}}");
    let engine = Engine::new();
    let policy = Policy::load(&engine, "web", "web.rhai", &source).unwrap();
    let problems = policy.warnings_around(&engine, &Sources::alone(&engine, "web.rhai", &source), around);
    problems.iter().map(|problem| format!("{} {}", problem.code, problem.message)).collect()
}

/// Node 1 of the founding pair.
fn node1() -> Surroundings {
    Surroundings {
        instance: "VI_1".to_owned(),
        priority: 100,
        peers: vec![("K2".to_owned(), 99)],
        virtual_addresses: vec!["192.168.0.60".parse().unwrap()],
        own: vec!["192.168.0.20".parse().unwrap()],
        other: None,
        allow_exec: None,
    }
}

#[test]
fn w201_is_about_rules_that_take_the_address_and_do_not_say_how_long() {
    let trap = ["W201"];
    let codes =
        |body: &str| -> Vec<String> { around(body, &[]).iter().map(|line| line.chars().take(4).collect()).collect() };
    for body in [
        "if node.is_backup { return; }\nrequire(\"a\", file(\"/x\"));",
        "if !node.has_vip { watch(\"b\", true); } else { require(\"a\", file(\"/x\")); }",
        "switch node.state { \"master\" => { require(\"a\", file(\"/x\")); } }",
        "if peer.alive && node.is_master { require(\"a\", file(\"/x\")); }",
    ] {
        assert_eq!(codes(body), trap, "{body}");
    }
    for body in [
        "if node.is_master { require(\"a\", file(\"/x\"), #{ linger: \"30s\" }); }",
        "if node.is_master { watch(\"a\", file(\"/x\")); }",
        "if node.is_master { prefer(\"a\", file(\"/x\"), #{ weight: 9 }); }",
        "if peer.alive { require(\"a\", file(\"/x\")); }",
        "require(\"a\", file(\"/x\"));\nif node.is_backup { return hold(\"wait\"); }",
        "if node.is_master && file(\"/y\").exists { return hold(\"wait\"); }\nrequire(\"a\", file(\"/x\"));",
    ] {
        assert_eq!(codes(body), Vec::<String>::new(), "{body}");
    }
}

#[test]
fn w202_knows_the_peers() {
    let weight = |weight: u32, around: &Surroundings| {
        self::around(&format!("prefer(\"a\", file(\"/x\"), #{{ weight: {weight} }});"), std::slice::from_ref(around))
    };
    let wide = Surroundings { peers: vec![("K2".to_owned(), 50)], ..node1() };
    assert_eq!(weight(50, &wide), ["W202 100 less 50 is 50, and K2 has 50: alone it moves nothing"]);
    assert!(weight(51, &wide).is_empty());
    assert!(weight(99, &wide).is_empty());
    assert!(weight(100, &wide).concat().contains("less than 1"));
    // The standby does not lead: there a weight decides who comes next.
    let standby = Surroundings { priority: 50, peers: vec![("K1".to_owned(), 100)], ..node1() };
    assert!(weight(10, &standby).is_empty());
    // Nobody knows the peer.
    assert!(weight(100, &Surroundings { peers: vec![], ..node1() }).is_empty());
}

#[test]
fn w207_is_about_what_both_require() {
    let requires = |hosts: &[&str]| Surroundings {
        other: Some(("K2".to_owned(), hosts.iter().map(ToString::to_string).collect())),
        ..node1()
    };
    let arbiter = "require(\"a\", ping(\"192.168.0.22\", #{ count: 3 }));";
    assert_eq!(
        around(arbiter, &[requires(&["192.168.0.22"])]),
        ["W207 K2 requires 192.168.0.22 too: if it fails, both give up the address"]
    );
    assert!(around(arbiter, &[requires(&["192.168.0.1"])]).is_empty());
    assert_eq!(around(arbiter, &[node1()]).len(), 1, "the other node's policies are not known");
    assert!(around("require(\"web\", http(\"http://192.168.0.20/\"));", &[node1()]).is_empty(), "its own address");
}

#[test]
fn w212_is_about_programs_that_the_node_does_not_allow() {
    let allows = |programs: &[&str]| Surroundings {
        allow_exec: Some(programs.iter().map(ToString::to_string).collect()),
        ..node1()
    };
    let said = |body: &str, programs: &[&str]| around(body, &[allows(programs)]).concat();
    let exec = "watch(\"a\", exec([\"/usr/bin/look\", \"-q\"]));";
    assert_eq!(
        said(exec, &["/usr/bin/other"]),
        "W212 allow_exec in ha.toml does not list /usr/bin/look: it is never started"
    );
    assert_eq!(said(exec, &["/usr/bin/look"]), "");
    let heal = "watch(\"a\", true);\nheal(\"a\", || run([\"/usr/bin/mend\"]));";
    assert!(said(heal, &[]).contains("/usr/bin/mend"));
    let conntrackd = "watch(\"a\", true);\nheal(\"a\", || conntrackd([\"commit\"]));";
    assert!(said(conntrackd, &[]).contains("does not list conntrackd"));
    assert_eq!(said(conntrackd, &["/usr/sbin/conntrackd"]), "");
    assert!(around(exec, &[node1()]).is_empty(), "nobody knows what the node allows");
}

#[test]
fn w209_is_about_a_standby_that_asks_the_master() {
    for body in [
        "let url = `http://${node.vip}/`;\nwatch(\"a\", http(url));",
        "for vip in node.vips { watch(vip, ping(vip)); }",
        "watch(\"a\", ping(node.vips[0]));",
        "watch(\"a\", tcp(\"192.168.0.60:80\"));",
    ] {
        assert!(around(body, &[node1()]).concat().starts_with("W209"), "{body}: {:?}", around(body, &[node1()]));
    }
    for body in [
        "if node.has_vip { watch(\"a\", ping(node.vip)); }",
        "watch(\"a\", any([!node.has_vip, ping(node.vip)]));",
        "if !node.is_master { return; }\nwatch(\"a\", ping(node.vip));",
        "watch(\"a\", ping(node.addr));",
    ] {
        assert_eq!(around(body, &[node1()]), Vec::<String>::new(), "{body}");
    }
}
