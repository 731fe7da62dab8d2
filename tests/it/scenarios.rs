//! Scenarios as files: those that come along end as they expect, the same seed tells the same story, and what is wrong with one
//! is said with its line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own machinery")]

use std::{fs, path::PathBuf, process::Command};

use crate::cli::Desk;

/// `tests/scenarios/` and what lies beside the examples.
fn scenarios() -> Vec<PathBuf> {
    let root = crate::sources::root();
    let examples = fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let directories = examples.filter(|path| path.is_dir()).chain([root.join("tests/scenarios")]);
    let files = directories.flat_map(|directory| fs::read_dir(directory).unwrap()).map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    files
}

fn played(file: &PathBuf, more: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ha")).arg("sim").arg(file).args(more).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn every_scenario_that_comes_along_ends_as_it_expects() {
    for file in scenarios() {
        let (well, said) = played(&file, &[]);
        assert!(well, "{}:\n{said}", file.display());
    }
}

/// Both models of keepalived; where a pair sees the difference, that of 2.4. A pair that does not understand each other has in the end
/// whoever does not listen.
#[test]
fn storms_beside_either_keepalived_break_nothing() {
    for story in ["mixed", "mixed_routers", "other_addresses_2_4", "signed_2_4"] {
        let file = crate::sources::root().join(format!("tests/scenarios/{story}.txt"));
        let (well, said) = played(&file, &["--storm", "8"]);
        assert!(well, "{story}:\n{said}");
    }
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_one_another() {
    let file = crate::sources::root().join("tests/scenarios/one_way.txt");
    let story = |seed| played(&file, &["--json", "--packets", "--seed", seed]).1;
    assert_eq!(story("5"), story("5"));
    assert_ne!(story("5"), story("6").replace("\"seed\": 6", "\"seed\": 5"));
}

#[test]
fn a_scenario_without_an_end_is_not_read_to_the_end() {
    let desk = Desk::new();
    desk.write("story.txt", &"# long\n".repeat((1 << 20) / 7 + 1));
    for arguments in [["sim", "story.txt"].as_slice(), &["lab", "--scenario", "story.txt"]] {
        let said = desk.ha(arguments);
        let text = "story.txt cannot be read: it is longer than 1048576 bytes";
        assert!(said.code == 66 && said.err.contains(text), "{} {}", said.code, said.err);
    }
}

#[test]
fn what_is_not_as_expected_is_said() {
    let desk = Desk::new();
    desk.write("story.txt", "node a ha.toml\nat 1s expect a leads\nat 10s expect a leads\nend 11s\n");
    let said = desk.ha(&["sim", "story.txt"]);
    assert_eq!(said.code, 1);
    let text = "NOT as expected: a leads; a is backup in VI_1 and does not hold the addresses, nobody else does";
    assert!(said.out.split_whitespace().collect::<Vec<_>>().join(" ").contains(text), "{}", said.out);
    assert!(said.out.ends_with("1 not as expected (seed 1).\n"), "{}", said.out);
}

#[test]
fn everything_that_is_wrong_with_a_scenario_is_said_with_its_line() {
    let desk = Desk::new();
    let lines = [
        "node a ha.toml",
        "node a ha.toml",
        "node b nowhere.toml",
        "node all ha.toml",
        "nodes c ha.toml",
        "seed x",
        "at 5s ct a",
        "at 5 cut a",
        "at 5s cut z",
        "at 5s cut a now",
        "at 5s cut",
        "at 5s filter a",
        "at 5s loss 130%",
        "at 5s delay 5ms..1ms",
        "at 5s kill a twice",
        "at 5s mute a maybe",
        "at 5s clock a 1h",
        "at 5s probe a web http broken",
        "at 5s probe a web htp down",
        "at 5s probe a www http down",
        "at 5s rule a web disk down",
        "at 5s policy a web sleeps",
        "at 5s reload a priority 0",
        "at 5s forge a priority 256",
        "at 5s witness down",
        "at 5s expect a wins",
        "at 5s expect a is leader",
        "at 5s expect a leads VI_2",
        "at 5s expect nobody is master",
        "at 6s heal # well again",
        "at 5s heal",
        "end 5s",
        "node c ha.toml",
    ];
    desk.write("story.txt", &lines.join("\n"));
    let said = desk.ha(&["sim", "story.txt"]);
    assert_eq!((said.code, said.out.as_str()), (65, ""));
    insta::assert_snapshot!(said.err.replace(&desk.path().display().to_string(), "DIR"));
    desk.write("empty.txt", "# nothing\n");
    assert!(desk.ha(&["sim", "empty.txt"]).err.contains("line 1: there is no node"));
    assert_eq!(desk.ha(&["sim", "nowhere.txt"]).code, 66);
}

/// The page has every verb that the program knows, and the help does.
#[test]
fn the_language_is_described() {
    let desk = Desk::new();
    desk.write("story.txt", "node a ha.toml\nat 1s nonsense\n");
    let known = desk.ha(&["sim", "story.txt"]).err;
    let verbs = known.split("known: ").nth(1).unwrap().trim();
    let page = crate::sources::read("config/scenarios.md");
    let help = desk.ha(&["sim", "--help"]).out;
    for verb in verbs.split(", ") {
        assert!(page.contains(&format!("`{verb}")), "config/scenarios.md does not have {verb}");
        assert!(help.contains(verb), "the help does not have {verb}");
    }
    assert!(verbs.split(", ").count() > 20);
}

/// A delay too: whoever hears nothing for so long would take over.
#[test]
fn calm_ends_everything_that_was_done_to_the_network() {
    let desk = Desk::new();
    let nodes = ["a", "b"].into_iter().zip(["node1", "node2"]);
    let node = |(name, file)| {
        format!("node {name} {}\n", crate::sources::root().join(format!("config/{file}.toml")).display())
    };
    let nodes: String = nodes.map(node).collect();
    desk.write(
        "story.txt",
        &format!(
            "{nodes}at 6s delay 20s\nat 6s loss 50%\nat 6s duplicate 50%\nat 7s calm\nat 20s expect b is backup\n"
        ),
    );
    let said = desk.ha(&["sim", "story.txt"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

/// Before any namespace is made.
#[test]
fn what_the_lab_cannot_play_is_refused_by_its_line() {
    let desk = Desk::new();
    desk.write(
        "story.txt",
        "node a ha.toml\nkeepalived b ha.toml\nat 1s kill a\nat 2s clock a +1h\nat 3s forge a priority 0\n\
         at 4s expect b has no conflict\nat 5s reload b priority 3\nat 6s rule a web web down\n\
         at 7s delay 1ms..20ms\nat 8s slow b 300ms\n",
    );
    let said = desk.ha(&["lab", "--scenario", "story.txt"]);
    assert_eq!((said.code, said.out.as_str()), (65, ""), "{}", said.err);
    for line in [
        "node b: keepalived with a configuration of ha",
        "line 4: only in a simulation a machine has a wall clock of its own",
        "line 6: b runs keepalived, which tells no conditions",
        "line 7: only in a simulation keepalived gets another priority",
    ] {
        assert!(said.err.contains(line), "{line}: {}", said.err);
    }
    for fits in ["line 3", "line 5", "line 8", "line 9", "line 10"] {
        assert!(!said.err.contains(fits), "{fits}: {}", said.err);
    }
}

/// Where its addresses are no machine's here, where it is another one after a reload, where there is no etcd, and in chaos.
#[test]
fn a_witness_that_the_lab_cannot_be_is_refused() {
    let desk = Desk::new();
    let file = |name: &str| crate::sources::read(&format!("tests/scenarios/witness/{name}.toml"));
    let elsewhere = |name: &str, place: &str| file(name).replace("192.168.0.22:2379", place);
    desk.write("a.toml", &elsewhere("strict1", "etcd1:2379"));
    desk.write("b.toml", &elsewhere("strict2", "192.168.0.21:2379"));
    desk.write("c.toml", &elsewhere("strict2", "192.168.0.22:2380"));
    desk.write("d.toml", &file("strict2"));
    desk.write("story.txt", "node a a.toml\nnode b b.toml\nat 1s witness down\nat 2s reload b c.toml\n");
    let lab = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ha"));
        command.current_dir(desk.path()).args(["lab", "--scenario", "story.txt"]).args(more).env("PATH", "");
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(65), &b""[..]));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = lab(&[]);
    for line in [
        "node a: its witness at http://etcd1:2379 is a name, which the lab cannot look up; write its address",
        "node b: its witness at http://192.168.0.21:2379 is on a node itself, and here it has a machine of its own",
        "line 4: only in a simulation a daemon loads a configuration whose witness is where no node had one before",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("line 3"), "{said}");
    desk.write("story.txt", "node b d.toml\nat 2s reload b d.toml\n");
    let said = lab(&[]);
    assert!(
        said.contains("node b: it has a witness, and etcd is not installed (Debian: apt install etcd-server)"),
        "{said}"
    );
    assert!(!said.contains("line 2"), "{said}");
    let said = lab(&["--chaos", "5"]);
    assert!(said.contains("node b: it has a witness") || said.contains("there are too few nodes"), "{said}");
}

/// Each is played by itself, from a file of its own.
#[test]
fn several_networks_are_played_one_at_a_time() {
    let desk = Desk::new();
    let config = fs::read_to_string(desk.path().join("ha.toml")).unwrap();
    let other = "\n[instance.OTHER]\nnetns = \"blue\"\ninterface = \"eth0\"\nvirtual_router_id = 51\naddresses = [\"10.0.0.1/24\"]\n";
    desk.write("two.toml", &format!("{config}{other}"));
    desk.write("story.txt", "node a two.toml\n");
    let said = desk.ha(&["sim", "story.txt"]);
    assert_eq!((said.code, said.out.as_str()), (65, ""), "{}", said.err);
    let why = "its instances are in several networks: VI_1 in the daemon's own; OTHER in the network namespace blue. Nothing passes";
    assert!(said.err.contains(why) && said.err.contains("write a copy of this file for each"), "{}", said.err);
}

/// Its client asks for one address, on one network.
#[test]
fn chaos_wants_the_founding_network() {
    let desk = Desk::new();
    desk.write("story.txt", "node a ha.toml\nnode b ha.toml eth0=10.0.0.2/24\n");
    let said = desk.ha(&["lab", "--scenario", "story.txt", "--chaos", "5"]);
    assert_eq!((said.code, said.out.as_str()), (65, ""), "{}", said.err);
    assert!(
        said.err.contains("the nodes have other addresses, interfaces or peers; chaos has two nodes"),
        "{}",
        said.err
    );
}
