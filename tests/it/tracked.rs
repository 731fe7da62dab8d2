//! What is tracked, in a dry run and in `--what-if`: nobody is told that a node would lead which would not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own machinery")]

use serde_json::Value;

use crate::cli::Desk;

/// One instance without a policy, which tracks; the loopback interface is everywhere.
fn desk(tracks: &str) -> Desk {
    let desk = Desk::new();
    let file = format!(
        "node = \"K1\"\n[control]\nsocket = \"ha.sock\"\nstate_dir = \"state\"\n[instance.VI_1]\ninterface = \"lo\"\n\
         virtual_router_id = 51\npriority = 100\naddresses = [\"192.168.0.60/24\"]\npeers = [\"192.168.0.21\"]\n\
         [instance.VI_1.track]\n{tracks}\n"
    );
    desk.write("ha.toml", &file);
    desk
}

fn told(desk: &Desk, arguments: &[&str], from: &str) -> (i32, String) {
    let said = desk.ha(&[&["check", "ha.toml"], arguments].concat());
    let lines: Vec<&str> = said.out.lines().skip_while(|line| !line.contains(from)).collect();
    (said.code, format!("{}{}", lines.join("\n"), said.err))
}

#[test]
fn a_dry_run_looks_at_what_is_tracked() {
    let desk = desk(
        "interfaces = [\"eth77\"]\nfiles = [{ file = \"/nowhere/lever\", weight = -2 }]\n\
         processes = [{ process = \"no-such-program\", weight = -30 }]",
    );
    let (code, text) = told(&desk, &["--dry-run"], "tracked");
    insta::assert_snapshot!(format!("{code}\n{text}"));
}

#[test]
fn a_dry_run_is_content_with_what_is_well() {
    let desk = desk("processes = [{ process = \"no-such-program\", reverse = true }]");
    let (code, text) = told(&desk, &["--dry-run"], "tracked");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("✔ process no-such-program"), "{text}");
    let document: Value = serde_json::from_str(&desk.ha(&["check", "ha.toml", "--dry-run", "--json"]).out).unwrap();
    assert_eq!(document["tracked"][0]["tracked"][0]["well"], true);
    assert_eq!(document["tracked"][0]["would"]["do"], "serve");
}

#[test]
fn what_is_tracked_can_be_supposed_to_be_down() {
    let desk = desk("interfaces = [{ interface = \"eth1\", weight = -30 }]\nfiles = [\"/run/leave\"]");
    let (code, text) = told(&desk, &["--what-if", "interface eth1=down"], "what if");
    insta::assert_snapshot!(format!("{code}\n{text}"));
    let (_, text) = told(&desk, &["--what-if", "file /run/leave=down"], "what if");
    assert!(text.contains("→ as master: hand 192.168.0.60/24 over; peer 192.168.0.21 takes over"), "{text}");
    let (code, text) = told(&desk, &["--what-if", "eth9=down"], "what if");
    let known = "there is no rule eth9, and nothing of that name is tracked; there are interface eth1, file /run/leave";
    assert!(code == 64 && text.contains(known), "{text}");
}

/// One that leads together with another goes where it goes.
#[test]
fn what_if_knows_who_leads_together() {
    let desk = Desk::new();
    let instance = |name: &str, vrid: u8, tracks: &str| {
        format!(
            "[instance.{name}]\ninterface = \"lo\"\nvirtual_router_id = {vrid}\npriority = 100\naddresses = \
             [\"192.168.{vrid}.60/24\"]\npeers = [\"192.168.0.21\"]\n{tracks}"
        )
    };
    let file = format!(
        "node = \"K1\"\n[control]\nsocket = \"ha.sock\"\nstate_dir = \"state\"\n[group.both]\ninstances = [\"inside\", \"outside\"]\n{}{}",
        instance("inside", 51, "policies = [\"web\"]\n"),
        instance("outside", 52, "[instance.outside.track]\ninterfaces = [\"eth1\"]\n"),
    );
    desk.write("ha.toml", &file);
    desk.write(
        "policies/web.rhai",
        "fn check() { require(\"web\", http(\"http://127.0.0.1/\"), #{ fall: 2 }); }\nfn test_x() { tick(); }\n",
    );
    let (code, text) = told(&desk, &["--what-if", "interface eth1=down"], "what if");
    insta::assert_snapshot!("a_tracked_interface_of_the_other", format!("{code}\n{text}"));
    let (code, text) = told(&desk, &["--what-if", "web=down"], "what if");
    insta::assert_snapshot!("a_rule_of_the_other", format!("{code}\n{text}"));
}
