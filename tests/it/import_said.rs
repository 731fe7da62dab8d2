//! What an import says of single lines: that it is true, and that nothing goes without a word.

#![allow(clippy::unwrap_used, reason = "a test's own machinery")]

use ha::import::{
    Files, Import, Machine, import,
    ledger::{Fate, Place},
};

struct Nothing;

impl Files for Nothing {
    fn list(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn exists(&self, _: &str) -> bool {
        false
    }

    fn read(&self, _: &str) -> Result<String, String> {
        Err("it is not there".to_owned())
    }
}

fn imported(text: &str) -> Import {
    let machine = Machine { name: "node1".to_owned(), id: "node1".to_owned() };
    import("keepalived.conf", text, &machine, &Nothing)
}

fn written(import: &Import, path: &str) -> String {
    assert!(!import.is_refused(), "{}", import.refusals());
    import.outputs.iter().find(|output| output.path == path).unwrap().text.clone()
}

/// What became of the first line that has this in it, and what was said of it.
fn said(text: &str, import: &Import, part: &str) -> (Fate, String) {
    let line = text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let place = Place { file: 0, line };
    let notes = import.ledger.notes(place).iter().map(|note| note.text.as_str()).filter(|text| !text.is_empty());
    let notes: Vec<&str> = notes.collect();
    (import.ledger.fate(place).unwrap(), notes.join("\n"))
}

fn instance(name: &str, id: u8, lines: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {id}\n{lines}\nvirtual_ipaddress {{\n10.0.0.{id}/24\n}}\n}}\n"
    )
}

const CHECK: &str = "vrrp_script chk {\nscript \"/bin/ping -c 1 192.0.2.9\"\nweight 2\n}\n";

#[test]
fn a_check_that_an_owner_ignores_is_left_out_and_not_refused() {
    let text = format!("{CHECK}{}", instance("A", 1, "state MASTER\ntrack_script {\nchk\n}"));
    let import = imported(&text);
    assert!(written(&import, "ha.toml").contains("priority = 255"));
    assert_eq!(import.outputs.len(), 1, "no policy of it is written");
    let (fate, why) = said(&text, &import, "vrrp_script chk");
    assert_eq!(fate, Fate::Dropped);
    assert_eq!(why, "an owner (priority 255) ignores weights, in keepalived and here");
    // Another one that looks at it has it.
    let text = text + instance("B", 2, "priority 100\ntrack_script {\nchk\n}").as_str();
    assert!(written(&imported(&text), "policies/chk.rhai").contains("ping"));
}

#[test]
fn with_an_owner_it_is_use_vmac_that_is_refused_and_nothing_else() {
    let import = imported(&instance("A", 1, "priority 255\nuse_vmac\nvmac_xmit_base"));
    let refused: Vec<&str> = import.ledger.refusals().map(|(_, why)| why).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused.concat().contains("remove use_vmac"), "{refused:?}");
}

const TRACKED: &str = "track_file lev {\nfile /run/lev\n}\nvrrp_track_process web {\nprocess nginx\n}\n";
const TRACKS: &str =
    "track_file {\nlev weight 3\n}\ntrack_interface {\neth1 weight 4\n}\ntrack_process {\nweb weight 5\n}";

/// Measured with keepalived 2.2.7, which says of the interface that it ignores the weight, and counts it.
#[test]
fn what_a_member_of_a_sync_group_tracks_with_a_weight_is_left_out_or_told() {
    let group = |more: &str| format!("vrrp_sync_group G {{\ngroup {{\nA\nB\n}}\n{more}}}\n");
    let both = instance("A", 1, TRACKS) + instance("B", 2, "").as_str();
    let text = format!("{TRACKED}{}{both}", group(""));
    let import = imported(&text);
    let config = written(&import, "ha.toml");
    assert!(!config.contains("track.files") && config.contains("track.interfaces"), "{config}");
    let (fate, why) = said(&text, &import, "lev weight 3");
    assert_eq!(fate, Fate::Dropped);
    assert!(why.contains("keepalived ignores a file with a weight in a member of a sync group"), "{why}");
    for line in ["eth1 weight 4", "web weight 5"] {
        let why = said(&text, &import, line).1;
        assert!(why.contains("in keepalived this weight moves this instance only"), "{line}: {why}");
    }
    let text = format!("{TRACKED}{}{both}", group("sync_group_tracking_weight\n"));
    let import = imported(&text);
    assert!(written(&import, "ha.toml").contains("track.files"));
    assert!(said(&text, &import, "lev weight 3").1.contains("moves this instance only"));
    // Nobody moves with one that is alone.
    let text = format!("{TRACKED}{}", instance("A", 1, TRACKS));
    assert!(!said(&text, &imported(&text), "eth1 weight 4").1.contains("only"));
}

#[test]
fn one_line_of_track_interface_is_one_interface() {
    let text = instance("A", 1, "track_interface {\neth0 eth1\n}\n");
    let (fate, why) = said(&text, &imported(&text), "eth0 eth1");
    assert_eq!(fate, Fate::Dropped);
    assert!(why.contains("keepalived ignores \"eth1\" here: it reads one name in each line"), "{why}");
}

#[test]
fn an_address_that_is_written_is_said_to_be() {
    for (line, entry) in [
        ("10.0.0.9/24 nodad", "\"10.0.0.9/24\""),
        ("10.0.0.9/24 10.0.0.10/24", "\"10.0.0.9/24\""),
        ("10.0.0.9", "\"10.0.0.9/32\""),
        ("10.0.0.9/24 dev eth1", "{ address = \"10.0.0.9/24\", device = \"eth1\" }"),
    ] {
        let text = instance("A", 1, &format!("virtual_ipaddress_excluded {{\n{line}\n}}"));
        let import = imported(&text);
        assert!(written(&import, "ha.toml").contains(entry), "{line}");
        assert!(said(&text, &import, line).1.lines().any(|note| note == entry), "{line}");
    }
}

#[test]
fn mail_is_about_every_instance_and_one_that_wants_none_is_told_so() {
    let global = "global_defs {\nnotification_email {\nops@example.org\n}\nnotification_email_from a@example.org\nsmtp_server 192.0.2.1\n}\n";
    let text = format!("{global}{}{}", instance("A", 1, "smtp_alert"), instance("B", 2, "smtp_alert no"));
    let import = imported(&text);
    assert!(written(&import, "ha.toml").contains("[mail]"));
    let (fate, why) = said(&text, &import, "smtp_alert no");
    assert_eq!((fate, why.as_str()), (Fate::Dropped, "[mail] is about every instance: this one is mailed about too"));
    let text = instance("B", 2, "smtp_alert no");
    assert_eq!(said(&text, &imported(&text), "smtp_alert no"), (Fate::Mapped, "nobody is mailed".to_owned()));
}

#[test]
fn what_keepalived_tells_apart_and_ha_does_not_is_no_error_of_the_file() {
    let refused = |one: &str, other: &str| {
        let other = instance("B", 1, other).replace("10.0.0.1/24", "10.0.0.9/24");
        imported(&format!("{}{other}", instance("A", 1, one))).refusals()
    };
    let limit = "this is its limit, no error of the file";
    assert!(refused("mcast_dst_ip 224.0.0.99", "").contains(limit));
    assert!(refused("unicast_peer {\n10.0.0.2\n}", "unicast_peer {\n10.0.0.3\n}").contains(limit));
    let same = refused("", "");
    assert!(same.contains("give one of them another on every node") && !same.contains(limit), "{same}");
}

#[test]
fn words_behind_a_program_are_a_user_and_a_group() {
    let text = instance("A", 1, "notify /etc/n.sh arg1 arg2");
    let import = imported(&text);
    assert!(written(&import, "ha.toml").contains("notify.user = \"arg1:arg2\""));
    let why = said(&text, &import, "notify").1;
    assert!(why.contains("notify.user = \"arg1:arg2\": what stands behind the program is a user and a group"), "{why}");
    let global = "global_defs {\nscript_user nobody nogroup\n}\n";
    let text = format!("{global}{}", instance("A", 1, "notify /etc/n.sh"));
    let why = said(&text, &imported(&text), "notify").1;
    assert!(why.contains("notify.user = \"nobody:nogroup\", of script_user"), "{why}");
}

#[test]
fn a_check_runs_as_its_user_and_its_group() {
    let block = |user: &str| format!("vrrp_script chk {{\nscript \"/usr/bin/thing\"\n{user}\n}}\n");
    let tracked = instance("A", 1, "track_script {\nchk\n}");
    let global = "global_defs {\nscript_user nobody nogroup\n}\n";
    for text in [block("user nobody nogroup") + tracked.as_str(), format!("{global}{}{tracked}", block(""))] {
        let policy = written(&imported(&text), "policies/chk.rhai");
        assert!(policy.contains("user: \"nobody:nogroup\""), "{policy}");
    }
}

#[test]
fn a_password_in_a_command_is_read_by_the_owner_only_and_never_said() {
    let text = format!(
        "vrrp_script chk {{\nscript \"/usr/bin/mysqladmin -uroot -pgeheim123 ping\"\n}}\n{}",
        instance("A", 1, "track_script {\nchk\n}")
    );
    let import = imported(&text);
    let policy = import.outputs.iter().find(|output| output.path == "policies/chk.rhai").unwrap();
    assert!(policy.private && policy.text.contains("\"-pgeheim123\""), "{}", policy.text);
    assert!(policy.text.starts_with("// The check chk of keepalived: /usr/bin/mysqladmin -uroot -p**** ping\n"));
    assert!(!import.explanation().contains("geheim123"), "{}", import.explanation());
    assert!(import.explanation().contains("only its owner may read that file"));
}

/// Three of the ways in which somebody's password goes on behind a comment.
#[test]
fn what_is_left_of_a_password_behind_its_comment_is_nowhere() {
    let auth =
        |password: &str| instance("A", 1, &format!("authentication {{\nauth_type PASS\nauth_pass {password}\n}}"));
    for text in [auth("se!cretword"), auth("se#cretword"), format!("$PW=se!cretword\n{}", auth("$PW"))] {
        let import = imported(&text);
        assert!(!written(&import, "ha.toml").contains("cretword"), "{text}");
        assert!(!import.explanation().contains("cretword"), "{}", import.explanation());
        let said = import.explanation();
        assert!(said.contains("only what stands before it counts, in keepalived too"), "{said}");
        assert!(import.outputs.iter().any(|output| output.private && output.text == "se"));
    }
    // What stands apart is a comment like any other.
    assert!(written(&imported(&auth("secret ! as on the other node")), "ha.toml").contains("as on the other node"));
}
