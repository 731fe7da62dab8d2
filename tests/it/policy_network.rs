//! What a policy can ask a network, and what its tests can say of the answers: nothing here sends anything.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use ha::policy::{Engine, Policy, TestReport, run_tests};

fn run(source: &str) -> TestReport {
    let engine = Engine::new();
    let policy = Policy::load(&engine, "check", "check.rhai", source)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| p.render(source)).collect::<String>()));
    run_tests(&engine, &policy, None)
}

/// The tests of a policy whose rules are `x` and the like pass. `why("x")` is what a rule says after the next evaluation.
#[track_caller]
fn passes(check: &str, test: &str) {
    let report = run(&format!(
        "fn check() {{\n{check}\n}}\nfn why(name) {{ tick(); rule(name).why }}\nfn test_it() {{\n{test}\n}}"
    ));
    assert_eq!((report.failures.as_slice(), report.passed), ([].as_slice(), 1));
}

/// What is said of a probe whose options cannot be read.
#[track_caller]
fn refused(probe: &str) -> String {
    let report = run(&format!(
        "fn check() {{ {probe}; }} fn test_x() {{ tick(); assert(verdict().kind != \"hold\", verdict().reason); }}"
    ));
    report.failures.first().map(|failure| failure.message.clone()).unwrap_or_default()
}

#[test]
fn conversations_are_judged_by_what_a_test_says_came() {
    passes(
        r#"
    watch("tcp", tcp("192.168.0.22:25", #{ expect_re: "^220 .*ESMTP" }));
    watch("udp", udp("192.168.0.22:1812", #{ hex: true, send: "0c 01", expect: "02 01" }));
    watch("unix", unix_socket("/run/web.sock", #{ send: "ping\n", expect: "pong" }));
    watch("plain", tcp("192.168.0.22:80"));
    watch("asked", unix_socket("/run/web.sock", #{ send: "show stat\n", name: "stat" }));
"#,
        r#"
    let rules = ["tcp", "udp", "unix", "plain", "asked"];
    assert_eq(rules.map(|name| why(name)), ["answered", "answered", "answered", "connected", "answered"]);
    fake("tcp:192.168.0.22:25", #{ data: "554 no" });
    fake("udp:*", #{ data: "f0201f" });
    fake("unix_socket:/run/web.sock", #{ data: "panic" });
    assert_eq(why("tcp"), "nothing like \"^220 .*ESMTP\" in the answer");
    assert_eq(why("udp"), "no \"0201\" in the answer");
    assert_eq(why("unix"), "no \"pong\" in the answer");
    fake("*:*", #{ error: "connection refused" });
    assert_eq(why("plain"), "connection refused");
"#,
    );
}

#[test]
fn what_haproxy_says_can_be_read() {
    passes(
        r#"
    let stat = unix_socket("/run/haproxy/admin.sock", #{ send: "show stat\n" });
    require("backends", stat.but(stat.ok && stat.data.contains("web,BACKEND,UP"), "no backend is up"));
"#,
        r#"
    fake("unix_socket:*", #{ data: "web,BACKEND,UP\n" });
    assert_eq(why("backends"), "answered");
    fake("unix_socket:*", #{ data: "web,BACKEND,DOWN\n" });
    assert_eq(why("backends"), "no backend is up");
"#,
    );
}

#[test]
fn a_bad_option_of_a_conversation_is_named() {
    for (probe, why) in [
        ("tcp(\"h:25\", #{ expect_re: \"(\" })", "expect_re: \"(\" is not a regular expression"),
        ("tcp(\"h\")", "\"h\" has no port"),
        ("udp(\"h:1\")", "udp needs something to send"),
        ("udp(\"h:1\", #{ send: \"0g\", hex: true })", "send: \"0g\" is not hexadecimal"),
        ("unix_socket(\"run/x.sock\")", "\"run/x.sock\" is not an absolute path"),
        ("ping(\"h\", #{ ttl: 0 })", "ttl: 0 is not a whole number from 1 to 255"),
        (
            "ping(\"h\", #{ bind: \"192.168.0.1\", family: 6 })",
            "family: bind is 192.168.0.1, which is of the other family",
        ),
        ("arping(\"192.168.0.1\", #{ family: 6 })", "family: 192.168.0.1 is of the other family"),
    ] {
        let said = refused(probe);
        assert!(said.contains(why), "{probe}: {said}");
    }
}

#[test]
fn http_is_judged_by_what_a_test_says_came() {
    passes(
        r#"
    let options = #{ header: #{ "X-Cache": "HIT" }, body_re: "^ok", json: "$.health == 'true'", min_cert_days: 14 };
    let web = http("https://192.168.0.22/health", options);
    watch("web", web, #{ fall: 100 });
    watch("plain", http("http://192.168.0.22/", #{ data: #{ query: [1, 2.5, true, ()] }, bearer: secret("api") }));
    watch("read", expect(false, `${web.cert_days} ${type_of(web.json)}`));
"#,
        r#"
    let web = "http:https://192.168.0.22/health";
    assert_eq(why("web"), "200"); assert_eq(why("plain"), "200"); assert_eq(why("read"), "90 ()");
    fake(web, #{ status: 503 });                                 assert_eq(why("web"), "status 503");
    fake(web, #{ headers: #{ "x-cache": "MISS" } });             assert_eq(why("web"), "200, no \"HIT\" in the header x-cache");
    fake(web, #{ headers: #{ "x-CACHE": "HIT 1" } });            assert_eq(why("web"), "200");
    fake(web, #{ headers: #{} });                                assert_eq(why("web"), "200, no header x-cache");
    fake(web, #{ body: "not ok" });                              assert_eq(why("web"), "200, nothing like \"^ok\" in the body");
    fake(web, #{ json: #{ health: true } });                     assert_eq(why("web"), "200, $.health is true, wanted $.health == 'true'");
    fake(web, #{ json: #{ health: "true" } });                   assert_eq(why("web"), "200"); assert_eq(why("read"), "90 map");
    fake(web, #{ cert_days: 3 });                                assert_eq(why("web"), "200, the certificate ends in 3 days");
    fake(web, #{ cert_days: -3 });                               assert_eq(why("web"), "200, the certificate ended 3 days ago");
    fake(web, #{ ok: false });                                   assert_eq(why("web"), "timeout after 2s");
"#,
    );
}

#[test]
fn a_body_that_a_test_tells_is_read_as_a_document() {
    passes(
        r#"
    let etcd = http("http://127.0.0.1:2379/health", #{ json: "$.health == 'true'" });
    watch("etcd", etcd);
    let patroni = http("http://127.0.0.1:8008/patroni");
    watch("leader", patroni.but(patroni.ok && patroni.json.role == "master", "not the leader"));
"#,
        r#"
    fake("http:http://127.0.0.1:8008/patroni", #{ body: "{\"role\": \"master\"}" });
    fake("http:*2379*", #{ body: "{\"health\": \"false\"}" });
    assert_eq(why("etcd"), "200, $.health is 'false', wanted $.health == 'true'");
    assert_eq(why("leader"), "200");
    fake("http:*2379*", #{ body: "{\"health\"" });
    assert_eq(why("etcd"), "200, the body is no JSON document");
"#,
    );
}

#[test]
fn a_document_longer_than_a_script_can_hold_is_judged_all_the_same() {
    passes(
        r#"
    watch("es", http("http://127.0.0.1:9200/", #{ json: "$[1199] == 1" }));
"#,
        r#"
    let numbers = "1,";
    while numbers.len() < 2400 { numbers += numbers; }
    fake("http:*", #{ body: `[${numbers.sub_string(0, 2399)}]` });
    assert_eq(why("es"), "200");
"#,
    );
}

#[test]
fn dns_and_cert_are_judged_by_what_a_test_says_came() {
    passes(
        r#"
    watch("a", dns("www.example.org", #{ server: "127.0.0.1", contains: "192.168.0.60", timeout: "1s" }));
    watch("mx", dns("example.org", #{ server: "127.0.0.1", type: "MX", min: 2, dnssec: true }));
    watch("none", dns("blocked.example.org", #{ server: "127.0.0.1", rcode: "NXDOMAIN" }));
    watch("cert", cert("/etc/ssl/web.pem", #{ min_days: 14 }));
"#,
        r#"
    assert_eq(["a", "mx", "none", "cert"].map(|name| why(name)),
        ["NOERROR, 192.168.0.60", "NOERROR, 192.0.2.1 and 1 more", "NXDOMAIN", "90 days left"]);
    fake("dns:*", #{ rcode: "SERVFAIL" });
    fake("cert:/etc/ssl/web.pem", #{ days: 13 });
    assert_eq(["a", "mx", "none", "cert"].map(|name| why(name)),
        ["SERVFAIL", "SERVFAIL", "SERVFAIL, wanted NXDOMAIN", "13 days left, wanted 14"]);
    fake("dns:*", #{ answers: ["192.168.0.6", "10 mail.example.org"] });
    assert_eq(why("a"), "NOERROR, 192.168.0.60 is not among the answers");
    fake("dns:*", #{ validated: false });
    assert_eq(why("mx"), "NOERROR, not validated");
    fake("cert:/etc/ssl/web.pem", #{ days: -1 });
    assert_eq(why("cert"), "expired 1 days ago");
    fake("cert:/etc/ssl/web.pem", #{ ok: false });
    assert_eq(why("cert"), "does not exist");
"#,
    );
}

#[test]
fn a_bad_option_of_a_request_is_named() {
    for (probe, why) in [
        ("http(\"http://h/\", #{ json: \"health\" })", "json: \"health\" is no expectation"),
        ("http(\"http://h/\", #{ body_re: \"(\" })", "body_re: \"(\" is not a regular expression"),
        ("http(\"http://h/\", #{ header: \"x\" })", "header takes a map"),
        ("http(\"http://h/\", #{ basic: \"us\" + \"er\" })", "basic: write \"user:password\""),
        (
            "http(\"http://h/\", #{ basic: secret(\"a\"), bearer: secret(\"b\") })",
            "basic and bearer: a request has one authorization",
        ),
        ("http(\"http://h/\", #{ data: [|| 1] })", "data: JSON has no place for a function"),
        ("http(\"http://h/\", #{ data: 1 })", "data of http takes a text or secret(\"NAME\"), not a whole number"),
        ("http(\"http://h/\", #{ headers: #{ a: 1 } })", "headers of http takes a text or secret"),
        ("http(\"http://h/\", #{ http_version: 2 })", "http_version: write \"1.0\" or \"1.1\""),
        ("http(\"http://h/\", #{ min_cert_days: 3 })", "min_cert_days: only an https address has a certificate"),
        ("http(\"https://h/\", #{ key: \"/k\" })", "key: it belongs to a certificate"),
        ("http(\"http://h/\", #{ proxy: \"socks5://p\" })", "proxy: \"socks5://p\" is no proxy"),
        ("http(\"http://h/\", #{ proxy: \"http://p\", host: \"x\" })", "proxy: it goes where the address says"),
        (
            "http(\"http://h/\", #{ unix: \"/x\", iface: \"eth0\" })",
            "iface: a Unix socket is reached without a network",
        ),
        ("tcp(\"h:1\", #{ sni: \"x\" })", "ca, sni and insecure are about TLS; write tls: true too"),
        ("dns(\"a..b\")", "\"a..b\" is not a domain name"),
        ("dns(\"a\", #{ type: \"ANY\" })", "type: \"ANY\" is none of A, AAAA"),
        ("dns(\"a\", #{ rcode: \"OK\" })", "rcode: \"OK\" is no response code"),
        ("dns(\"a\", #{ server: \"ns:x\" })", "server: \"ns:x\" is no address"),
        ("cert(\"web.pem\")", "\"web.pem\" is not an absolute path"),
    ] {
        let said = refused(probe);
        assert!(said.contains(why), "{probe}: {said}");
    }
}
