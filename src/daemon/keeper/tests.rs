//! The daemon's end of the pipe, with shell scripts as keepers.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::*;
use crate::node::Transmit;

/// A keeper that is this shell script.
fn keeper(script: &str) -> Keeper {
    let mut program = Command::new("/bin/sh");
    program.args(["-c", script]);
    // Never this program: it is the test.
    let listens = || {
        let mut program = Command::new("/bin/sh");
        program.args(["-c", "exec cat > /dev/null"]);
        start(program)
    };
    Keeper::of(Some(start(program).unwrap()), listens)
}

/// What there is to do for an instance; another number, another thing.
fn will(number: usize) -> Option<Will> {
    let interface: InterfaceName = "eth0".parse().unwrap();
    let resignation = Transmit {
        instance: "VI".to_owned(),
        path: None,
        interface: interface.clone(),
        mac: None,
        source: [192, 168, 0, 20].into(),
        destinations: vec![[224, 0, 0, 18].into()],
        payloads: vec![number.to_be_bytes().to_vec()],
    };
    let hold = Hold {
        instance: "VI".to_owned(),
        interface,
        addresses: vec![],
        manners: BTreeMap::new(),
        configured: vec!["192.168.0.60/24".parse().unwrap(); 20],
        lifetime: Lifetime::Forever,
        not_after: None,
    };
    let (instance, resignations) = (hold.instance.clone(), vec![resignation]);
    Some(Will { instance, releases: vec![hold], resignations, seal: None })
}

fn told(keeper: &mut Keeper, round: usize) -> Vec<String> {
    let wills = (0..200).map(|number| (format!("VI_{number}"), will(round * 1000 + number)));
    wills.filter_map(|will| keeper.entrust(std::iter::once(will), Estate::default())).collect()
}

#[test]
fn a_keeper_that_ends_at_once_is_not_started_again_and_again() {
    let mut keeper = keeper("exit 1");
    let at = |millis| crate::words::Instant::from_epoch(Duration::from_millis(millis));
    keeper.ended_at = Some(at(500));
    let told = keeper.ended(at(900));
    assert!(told.contains("ends as soon as it is started"), "{told}");
    assert!(keeper.pipe().is_none(), "nothing to wait for");
    assert_eq!((keeper.next_try(), keeper.try_again(at(10_899))), (Some(at(10_900)), None));
    assert!(keeper.try_again(at(10_900)).is_some_and(|told| told.contains("again")));
    assert!(keeper.pipe().is_some() && keeper.next_try().is_none());
    // It ends as soon again; then none can be started at all.
    assert!(keeper.ended(at(11_000)).contains("ends as soon as it is started"));
    keeper.spawn = || Err(io::ErrorKind::OutOfMemory.into());
    assert_eq!(keeper.try_again(at(21_000)), None);
    assert!(keeper.next_try().is_some(), "it is tried again");
}

#[test]
fn while_none_can_be_started_nobody_tries_at_every_turn() {
    let mut keeper = keeper("exit 0");
    keeper.spawn = || Err(io::ErrorKind::OutOfMemory.into());
    keeper.bury();
    let entrust =
        |keeper: &mut Keeper, number| keeper.entrust([("VI".to_owned(), will(number))].into_iter(), Estate::default());
    let said = entrust(&mut keeper, 1);
    assert!(said.is_some_and(|said| said.contains("no keeper process: out of memory")));
    let at = keeper.next_try().unwrap();
    for number in 2..5 {
        assert_eq!((keeper.go_on(), entrust(&mut keeper, number)), (None, None), "said once");
    }
    assert_eq!(keeper.next_try(), Some(at), "and not put off");
    keeper.spawn = || {
        let mut program = Command::new("/bin/sh");
        program.args(["-c", "exec cat > /dev/null"]);
        start(program)
    };
    assert!(keeper.try_again(at).is_some_and(|told| told.contains("again")));
    assert_eq!(keeper.next_try(), None);
    assert_eq!(entrust(&mut keeper, 5), None);
}

#[test]
fn a_keeper_that_is_stopped_makes_nobody_wait_and_knows_the_latest_once_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (go, heard) = (directory.path().join("go"), directory.path().join("heard"));
    let script = format!(
        "while [ ! -e {} ]; do sleep 0.01; [ -d {} ] || exit; done; exec cat > {}",
        go.display(),
        directory.path().display(),
        heard.display()
    );
    let mut keeper = keeper(&script);
    let begin = Instant::now();
    let said: Vec<String> = (0..5).flat_map(|round| told(&mut keeper, round)).collect();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(said, [STALLED], "said once");
    assert!(keeper.news.len() <= 200, "the latest of each");
    fs::write(&go, "").unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while !(keeper.begun.is_empty() && keeper.news.is_empty()) {
        assert!(Instant::now() < until, "it takes what waits");
        assert_eq!(keeper.go_on(), None);
        std::thread::sleep(Duration::from_millis(5));
    }
    let (mut child, pipe) = keeper.process.take().unwrap();
    drop(pipe);
    child.wait().unwrap();
    let mut duties = Duties::new();
    for line in fs::read_to_string(&heard).unwrap().lines() {
        let Line { news, .. } = serde_json::from_str(line).unwrap();
        note(&mut duties, news);
    }
    assert_eq!(duties, keeper.entrusted);
    assert_eq!(duties["VI_7"].letters[0].payloads, [4007_usize.to_be_bytes()]);
}
