//! A session against an etcd that is played: what it says, what it is told, and every bad answer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::cell::RefCell;

use super::*;

const LEASE: &str = "7587862066113543703";

/// Answers what it is told to, in order, and remembers what it was asked.
struct Played {
    answers: Vec<Result<Value, Trouble>>,
    asked: Vec<(String, Value)>,
}

impl Etcd for Played {
    fn ask(&mut self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.asked.push((path.to_owned(), body.clone()));
        if self.answers.is_empty() { Err(Trouble::Silent("nothing more".to_owned())) } else { self.answers.remove(0) }
    }
}

fn session() -> Session {
    let identity = Identity { node: "K1".to_owned(), id: "boot/1".to_owned() };
    Session::new(identity, "ha/web", Duration::from_secs(5))
}

fn wish(keys: &[&str]) -> Wish {
    let keys: BTreeSet<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let take = if keys.is_empty() { BTreeSet::new() } else { BTreeSet::from([keys.clone()]) };
    Wish { take, keep: keys }
}

fn granted() -> Result<Value, Trouble> {
    Ok(json!({ "header": {}, "ID": LEASE, "TTL": "5" }))
}

fn kept(ttl: &str) -> Result<Value, Trouble> {
    Ok(json!({ "result": { "header": {}, "ID": LEASE, "TTL": ttl } }))
}

fn keys(found: &[(&str, &str, &str)]) -> Result<Value, Trouble> {
    let kvs = found.iter().map(
        |(key, value, lease)| json!({ "key": coded(&format!("ha/web/{key}")), "value": coded(value), "lease": lease }),
    );
    Ok(json!({ "header": {}, "kvs": kvs.collect::<Vec<_>>() }))
}

fn done(succeeded: bool) -> Result<Value, Trouble> {
    Ok(if succeeded { json!({ "header": {}, "succeeded": true }) } else { json!({ "header": {} }) })
}

const OTHER: &str = "{\"node\":\"K2\",\"id\":\"boot/2\"}";

/// Rounds, one for each wish; what was said and asked.
fn rounds(
    session: &mut Session,
    answers: Vec<Result<Value, Trouble>>,
    wishes: &[Wish],
) -> (Vec<Outcome>, Vec<WitnessSays>, Vec<(String, Value)>) {
    let mut etcd = Played { answers, asked: Vec::new() };
    let said = RefCell::new(Vec::new());
    let now = RefCell::new(Duration::from_secs(100));
    let clock = || {
        *now.borrow_mut() += Duration::from_millis(1);
        Instant::from_epoch(*now.borrow())
    };
    let outcomes = wishes
        .iter()
        .map(|wish| session.round(&mut etcd, wish, &clock, &|says| said.borrow_mut().push(says)))
        .collect();
    (outcomes, said.into_inner(), etcd.asked)
}

fn answered(millis: u64, seats: &[(&str, Seat)]) -> WitnessSays {
    WitnessSays::Answered {
        asked_at: Instant::from_epoch(Duration::from_millis(millis)),
        ttl: Duration::from_secs(5),
        seats: seats.iter().map(|(key, seat)| ((*key).to_owned(), seat.clone())).collect(),
    }
}

#[test]
fn a_lease_is_asked_for_then_the_keys_are_looked_at_then_taken_all_or_none() {
    let wish = wish(&["ipv4-51", "ipv6-51"]);
    let (outcomes, said, asked) = rounds(&mut session(), vec![granted(), keys(&[]), done(true)], &[wish]);
    assert_eq!(outcomes, [Outcome::Met]);
    assert_eq!(said, [answered(100_001, &[("ipv4-51", Seat::Ours), ("ipv6-51", Seat::Ours)])]);
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["lease/grant", "kv/range", "kv/txn"]);
    let txn = &asked[2].1;
    assert_eq!(txn["compare"].as_array().unwrap().len(), 2);
    assert_eq!(txn["compare"][0]["target"], "VERSION");
    assert_eq!(txn["success"][1]["requestPut"]["lease"], LEASE);
    assert_eq!(txn["success"][0]["requestPut"]["key"], coded("ha/web/ipv4-51"));
}

#[test]
fn a_lease_alone_is_no_word_the_look_after_it_is() {
    let mut session = session();
    let silent = || Err(Trouble::Silent("timeout after 500ms".to_owned()));
    let (outcomes, said, _) = rounds(&mut session, vec![granted(), silent()], &[wish(&["ipv4-51"])]);
    assert_eq!(
        (outcomes, said),
        (vec![Outcome::Silent], vec![WitnessSays::Silent { why: "timeout after 500ms".to_owned() }])
    );
    let (outcomes, said, _) = rounds(&mut session, vec![kept("5"), silent()], &[wish(&["ipv4-51"])]);
    assert_eq!(outcomes, [Outcome::Silent]);
    assert!(matches!(said[..], [WitnessSays::Silent { .. }]), "{said:?}");
}

#[test]
fn a_key_of_another_is_refused_and_named() {
    let found = keys(&[("ipv4-51", OTHER, "5")]);
    let (outcomes, said, asked) = rounds(&mut session(), vec![granted(), found], &[wish(&["ipv4-51"])]);
    assert_eq!(outcomes, [Outcome::Unmet]);
    assert_eq!(said, [answered(100_001, &[("ipv4-51", Seat::Another("K2".to_owned()))])]);
    assert_eq!(asked.len(), 2, "nothing is tried: {asked:?}");
}

#[test]
fn who_is_a_moment_too_late_does_not_have_it() {
    let (outcomes, said, _) = rounds(&mut session(), vec![granted(), keys(&[]), done(false)], &[wish(&["ipv4-51"])]);
    assert_eq!((outcomes, said), (vec![Outcome::Unmet], vec![answered(100_001, &[])]));
}

#[test]
fn a_dead_lease_is_said_first_and_followed_by_another() {
    for dead in [Ok(json!({ "result": { "header": {}, "ID": LEASE } })), kept("0"), kept("-1")] {
        let mut session = session();
        let answers = vec![granted(), keys(&[]), done(true), dead, granted(), keys(&[]), done(true)];
        let (outcomes, said, _) = rounds(&mut session, answers, &[wish(&["ipv4-51"]), wish(&["ipv4-51"])]);
        assert_eq!(outcomes, [Outcome::Met, Outcome::Met]);
        assert!(matches!(said[1], WitnessSays::Lost { .. }), "{said:?}");
        assert_eq!(said[2], answered(100_003, &[("ipv4-51", Seat::Ours)]));
    }
}

#[test]
fn a_key_that_somebody_deleted_is_taken_again_and_one_that_was_taken_is_anothers() {
    for (found, expected) in
        [(keys(&[]), Seat::Ours), (keys(&[("ipv4-51", OTHER, "5")]), Seat::Another("K2".to_owned()))]
    {
        let mut session = session();
        let answers = vec![granted(), keys(&[]), done(true), kept("5"), found, done(true)];
        let (_, said, _) = rounds(&mut session, answers, &[wish(&["ipv4-51"]), wish(&["ipv4-51"])]);
        assert_eq!(said[1], answered(100_002, &[("ipv4-51", expected)]));
    }
}

#[test]
fn what_a_process_before_this_one_left_is_taken_over_and_never_deleted() {
    let mut session = session();
    let own = session.identity.value();
    let left = || keys(&[("ipv4-51", own.as_str(), "42")]);
    let (_, said, asked) = rounds(&mut session, vec![granted(), left()], &[wish(&[])]);
    assert_eq!((said, asked.len()), (vec![answered(100_001, &[])], 2));
    let (outcomes, said, asked) = rounds(&mut session, vec![kept("5"), left(), done(true)], &[wish(&["ipv4-51"])]);
    assert_eq!((outcomes, said), (vec![Outcome::Met], vec![answered(100_001, &[("ipv4-51", Seat::Ours)])]));
    let compare = &asked[2].1["compare"][0];
    assert_eq!((&compare["target"], &compare["value"]), (&json!("VALUE"), &json!(coded(&own))));
}

#[test]
fn what_is_not_wanted_any_more_is_given_back_and_the_end_revokes() {
    let mut session = session();
    let own = session.identity.value();
    let mine = keys(&[("ipv4-51", own.as_str(), LEASE)]);
    let answers = vec![granted(), keys(&[]), done(true), kept("5"), mine, done(true), Ok(json!({}))];
    let mut etcd = Played { answers, asked: Vec::new() };
    let (now, said) = (|| Instant::ZERO, RefCell::new(Vec::new()));
    let say = |says| said.borrow_mut().push(says);
    assert_eq!(session.round(&mut etcd, &wish(&["ipv4-51"]), &now, &say), Outcome::Met);
    assert_eq!(session.round(&mut etcd, &wish(&[]), &now, &say), Outcome::Met);
    session.finish(&mut etcd);
    let last: Vec<&str> = etcd.asked.iter().rev().take(2).map(|(path, _)| path.as_str()).collect();
    assert_eq!(last, ["lease/revoke", "kv/txn"]);
    assert_eq!(said.borrow()[1], answered(0, &[]));
}

/// Its questions arrive, and the answers are lost: the first thing that is asked is what frees the others.
#[test]
fn who_hears_nothing_gives_back_what_it_let_go_of_before_it_renews_anything() {
    let mut session = session();
    let silent = || Err(Trouble::Silent("timeout after 500ms".to_owned()));
    let mine = |found: &[(&str, &str, &str)]| [kept("5"), keys(found)];
    let own = session.identity.value();
    let mut answers = vec![granted(), keys(&[]), done(true), silent(), silent(), done(true)];
    answers.extend(mine(&[("ipv6-51", own.as_str(), LEASE)]));
    let (both, one) = (wish(&["ipv4-51", "ipv6-51"]), wish(&["ipv6-51"]));
    let (outcomes, said, asked) = rounds(&mut session, answers, &[both.clone(), both, one.clone(), one.clone()]);
    assert_eq!(outcomes, [Outcome::Met, Outcome::Silent, Outcome::Silent, Outcome::Met]);
    assert_eq!(said.last(), Some(&answered(100_003, &[("ipv6-51", Seat::Ours)])));
    let paths: Vec<&str> = asked.iter().skip(3).map(|(path, _)| path.as_str()).collect();
    // While it keeps both it renews; as soon as one is let go of, that comes first, until it is heard that it is done.
    assert_eq!(paths, ["lease/keepalive", "kv/txn", "kv/txn", "lease/keepalive", "kv/range"]);
    let back = &asked[4].1;
    assert_eq!(back["success"][0]["requestDeleteRange"]["key"], coded("ha/web/ipv4-51"));
    assert_eq!((&back["compare"][1]["target"], &back["compare"][1]["lease"]), (&json!("LEASE"), &json!(LEASE)));
    // What was heard is done with.
    let answers = mine(&[("ipv6-51", own.as_str(), LEASE)]).into_iter().collect();
    let (_, _, asked) = rounds(&mut session, answers, &[one]);
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[test]
fn nothing_follows_from_an_answer_that_is_none() {
    let refused = || Err(Trouble::Refused { code: 3, message: "etcdserver: user name is empty".to_owned() });
    let bad: [(Vec<Result<Value, Trouble>>, &str); 6] = [
        (vec![Ok(json!({}))], "a lease was asked for, and the answer has none"),
        (vec![Ok(json!({ "ID": LEASE, "TTL": "soon" }))], "a lease was asked for, and the answer has none"),
        (vec![Ok(json!({ "ID": LEASE, "TTL": "-5" }))], "a lease was asked for, and the answer has none"),
        (vec![granted(), Ok(json!({ "kvs": "many" }))], "its answer to a question about keys is none"),
        (vec![granted(), Ok(json!([]))], "its answer to a question about keys is none"),
        (vec![granted(), refused()], "etcdserver: user name is empty"),
    ];
    for (answers, why) in bad {
        let (outcomes, said, _) = rounds(&mut session(), answers, &[wish(&["ipv4-51"])]);
        assert_eq!((outcomes, said), (vec![Outcome::Silent], vec![WitnessSays::Silent { why: why.to_owned() }]));
    }
    // Keys that are no texts, or not below ours, are nobody's business.
    let odd =
        Ok(json!({ "header": {}, "kvs": [{ "key": "!" }, {}, { "key": coded("other/ipv4-51"), "lease": LEASE }] }));
    let (_, said, _) = rounds(&mut session(), vec![granted(), odd, done(true)], &[wish(&["ipv4-51"])]);
    assert_eq!(said, [answered(100_001, &[("ipv4-51", Seat::Ours)])]);
    // A lease that is gone between two questions.
    let gone = Err(Trouble::Refused { code: 5, message: "etcdserver: requested lease not found".to_owned() });
    let (_, said, _) = rounds(&mut session(), vec![granted(), keys(&[]), gone], &[wish(&["ipv4-51"])]);
    assert!(matches!(said[..], [WitnessSays::Lost { .. }, WitnessSays::Silent { .. }]), "{said:?}");
}

#[test]
fn what_is_no_answer_to_a_renewal_is_silence_and_not_the_end_of_the_lease() {
    let anothers = json!({ "result": { "header": {}, "ID": "42", "TTL": "5" } });
    for none in [json!({}), json!({ "result": {} }), json!({ "result": "yes" }), anothers] {
        let mut session = session();
        let answers = vec![granted(), keys(&[]), done(true), Ok(none), kept("5")];
        let (outcomes, said, asked) = rounds(&mut session, answers, &[wish(&["ipv4-51"]), wish(&["ipv4-51"])]);
        assert_eq!(outcomes, [Outcome::Met, Outcome::Silent]);
        assert_eq!(said[1], WitnessSays::Silent { why: "its answer to a renewal is none".to_owned() });
        assert_eq!(asked.len(), 4, "no other lease is asked for: {asked:?}");
    }
}

#[test]
fn no_lease_goes_on_for_longer_than_was_asked_for() {
    let grant = Ok(json!({ "header": {}, "ID": LEASE, "TTL": "3600" }));
    let answers =
        vec![grant, keys(&[]), done(true), kept("3600"), keys(&[]), done(true), kept("3"), keys(&[]), done(true)];
    let wishes = [0; 3].map(|_| wish(&["ipv4-51"]));
    let (_, said, _) = rounds(&mut session(), answers, &wishes);
    let ttls: Vec<u64> = said
        .iter()
        .map(|says| match says {
            WitnessSays::Answered { ttl, .. } => ttl.as_secs(),
            WitnessSays::Lost { .. } | WitnessSays::Silent { .. } => 0,
        })
        .collect();
    assert_eq!(ttls, [5, 5, 3]);
}

#[test]
fn a_key_on_no_lease_is_named_in_full_and_never_taken() {
    let found = || keys(&[("ipv4-51", "hello", "0")]);
    let (outcomes, said, asked) = rounds(&mut session(), vec![granted(), found()], &[wish(&["ipv4-51"])]);
    assert_eq!(outcomes, [Outcome::Unmet]);
    assert_eq!(said, [answered(100_001, &[("ipv4-51", Seat::Unleased("ha/web/ipv4-51".to_owned()))])]);
    assert_eq!(asked.len(), 2, "nothing is tried: {asked:?}");
    let mut etcd = Played { answers: vec![found()], asked: Vec::new() };
    let told = "answers; held: ipv4-51 by somebody who is no node of ha, on no lease: it never ends";
    assert_eq!(look(&mut etcd, "ha/web"), Ok(told.to_owned()));
}
