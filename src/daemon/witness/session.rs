//! One lease in etcd and the keys on it: a round renews the lease, looks who has which key, gives back what is not wanted and
//! takes what is. Knows what is said to etcd and what its answers mean, not how they travel.
//!
//! The renewal alone proves nothing: a member that has lost its leader may still renew. The look after it is answered by the
//! whole cluster, and only both together are a word of the witness.
//!
//! Where nothing was heard the last time, what is not kept any more is given back before anything else. Otherwise a node whose questions
//! arrive and whose answers are lost would hold for ever, by every renewal, what it has long let go of.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    node::{Seat, Wish, WitnessSays},
    words::Instant,
};

/// Why there is no answer to go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody answered, or nobody who can.
    Silent(String),
    /// Etcd does not do it.
    Refused { code: i64, message: String },
}

/// Whoever answers.
pub(super) trait Etcd {
    /// One request: the path below `/v3/`, and what is sent.
    fn ask(&mut self, path: &str, body: &Value) -> Result<Value, Trouble>;
}

/// Who a node is to etcd: the value of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its name, for people.
    pub(super) node: String,
    /// What nobody else has.
    pub(super) id: String,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything is as it was wanted.
    Met,
    /// Another node has something of it.
    Unmet,
    /// There was no answer to go by.
    Silent,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    identity: Identity,
    /// What all its keys begin with.
    prefix: String,
    ttl: Duration,
    lease: Option<i64>,
    /// What may be on it: what was seen there, and what was asked for.
    held: BTreeSet<String>,
    /// There was no answer to go by the last time.
    unheard: bool,
}

/// A key that is there.
#[derive(Clone, Debug)]
struct Found {
    value: String,
    lease: i64,
}

impl Identity {
    fn value(&self) -> String {
        json!({ "node": self.node, "id": self.id }).to_string()
    }
}

impl Session {
    pub(super) const fn new_at(identity: Identity, prefix: String, ttl: Duration) -> Self {
        Self { identity, prefix, ttl, lease: None, held: BTreeSet::new(), unheard: false }
    }

    pub(super) fn new(identity: Identity, key: &str, ttl: Duration) -> Self {
        Self::new_at(identity, prefix(key), ttl)
    }

    /// One round. `say` gets what it comes to, a loss before anything else.
    pub(super) fn round(
        &mut self,
        etcd: &mut dyn Etcd,
        wish: &Wish,
        now: &dyn Fn() -> Instant,
        say: &dyn Fn(WitnessSays),
    ) -> Outcome {
        let asked = self.ask_all(etcd, wish, now, say);
        self.unheard = asked.is_err();
        match asked {
            Ok(true) => Outcome::Met,
            Ok(false) => Outcome::Unmet,
            Err(trouble) => {
                let why = match trouble {
                    Trouble::Silent(why) => why,
                    Trouble::Refused { message, .. } => {
                        if is_gone(&message) {
                            self.lease = None;
                            say(WitnessSays::Lost { why: message.clone() });
                        }
                        message
                    }
                };
                say(WitnessSays::Silent { why });
                Outcome::Silent
            }
        }
    }

    fn ask_all(
        &mut self,
        etcd: &mut dyn Etcd,
        wish: &Wish,
        now: &dyn Fn() -> Instant,
        say: &dyn Fn(WitnessSays),
    ) -> Result<bool, Trouble> {
        if let Some(lease) = self.lease.filter(|_| self.unheard) {
            let let_go: Vec<String> = self.held.difference(&wish.keep).cloned().collect();
            self.give_back(etcd, lease, &let_go)?;
        }
        let (lease, asked_at, ttl) = self.renew(etcd, now, say)?;
        let found = look_at(etcd, &self.prefix)?;
        let mut seats: BTreeMap<String, Seat> =
            found.iter().filter_map(|(key, found)| Some((key.clone(), self.seat(lease, key, found)?))).collect();
        let spare = |(key, seat): &(&String, &Seat)| **seat == Seat::Ours && !wish.keep.contains(*key);
        let spare: Vec<String> = seats.iter().filter(spare).map(|(key, _)| key.clone()).collect();
        let ours = seats.iter().filter(|(_, seat)| **seat == Seat::Ours);
        self.held = ours.map(|(key, _)| key.clone()).collect();
        self.give_back(etcd, lease, &spare)?;
        seats.retain(|key, _| !spare.contains(key));
        let mut met = true;
        for set in &wish.take {
            if set.iter().all(|key| seats.get(key) == Some(&Seat::Ours)) {
                continue;
            }
            let is_anothers =
                set.iter().any(|key| matches!(seats.get(key), Some(Seat::Another(_) | Seat::Unleased(_))));
            if !is_anothers {
                self.held.extend(set.iter().cloned());
            }
            if is_anothers || !self.take(etcd, lease, set, &found)? {
                met = false;
                continue;
            }
            seats.extend(set.iter().map(|key| (key.clone(), Seat::Ours)));
        }
        say(WitnessSays::Answered { asked_at, ttl, seats });
        Ok(met)
    }

    /// The lease, the moment from which it counts, and how long. A dead one is told and followed by another.
    fn renew(
        &mut self,
        etcd: &mut dyn Etcd,
        now: &dyn Fn() -> Instant,
        say: &dyn Fn(WitnessSays),
    ) -> Result<(i64, Instant, Duration), Trouble> {
        if let Some(lease) = self.lease {
            let asked_at = now();
            let said = etcd.ask("lease/keepalive", &json!({ "ID": lease.to_string() }))?;
            let of_it = said.get("result").filter(|result| number(result, "ID") == Some(lease));
            let Some(of_it) = of_it else {
                return Err(Trouble::Silent("its answer to a renewal is none".to_owned()));
            };
            if let Some(ttl) = self.believed(number(of_it, "TTL").unwrap_or(0)) {
                return Ok((lease, asked_at, ttl));
            }
            self.lease = None;
            say(WitnessSays::Lost { why: "its lease has ended in etcd".to_owned() });
        }
        let asked_at = now();
        let said = etcd.ask("lease/grant", &json!({ "TTL": self.ttl.as_secs().to_string() }))?;
        let granted = number(&said, "ID").zip(number(&said, "TTL").and_then(|ttl| self.believed(ttl)));
        let Some((lease, ttl)) = granted else {
            return Err(Trouble::Silent("a lease was asked for, and the answer has none".to_owned()));
        };
        self.lease = Some(lease);
        Ok((lease, asked_at, ttl))
    }

    /// How long a lease of so many seconds goes on: what was asked for, or less. `None`: it has ended.
    fn believed(&self, seconds: i64) -> Option<Duration> {
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
        Some(Duration::from_secs(seconds).min(self.ttl))
    }

    /// Whose a key is. One that a process before this one left is nobody's until it is taken.
    fn seat(&self, lease: i64, key: &str, found: &Found) -> Option<Seat> {
        if found.lease == lease {
            Some(Seat::Ours)
        } else if found.value == self.identity.value() {
            None
        } else if found.lease == 0 {
            Some(Seat::Unleased(format!("{}{key}", self.prefix)))
        } else {
            Some(Seat::Another(name_in(&found.value)))
        }
    }

    /// All of them at once, or none: those that nobody has, and those that a process before this one left.
    fn take(
        &self,
        etcd: &mut dyn Etcd,
        lease: i64,
        set: &BTreeSet<String>,
        found: &BTreeMap<String, Found>,
    ) -> Result<bool, Trouble> {
        let value = self.identity.value();
        let compare = |key: &String| {
            if found.contains_key(key) {
                json!({ "key": self.coded(key), "target": "VALUE", "result": "EQUAL", "value": coded(&value) })
            } else {
                json!({ "key": self.coded(key), "target": "VERSION", "result": "EQUAL", "version": "0" })
            }
        };
        let put = |key: &String| json!({ "requestPut": { "key": self.coded(key), "value": coded(&value), "lease": lease.to_string() } });
        let body = json!({
            "compare": set.iter().map(compare).collect::<Vec<_>>(),
            "success": set.iter().map(put).collect::<Vec<_>>(),
        });
        let said = etcd.ask("kv/txn", &body)?;
        Ok(said.get("succeeded").and_then(Value::as_bool) == Some(true))
    }

    /// Nobody has to wait for the end of the lease. What is on another one is another process's by now.
    fn give_back(&mut self, etcd: &mut dyn Etcd, lease: i64, keys: &[String]) -> Result<(), Trouble> {
        let value = self.identity.value();
        for key in keys {
            let compare = [
                json!({ "key": self.coded(key), "target": "VALUE", "result": "EQUAL", "value": coded(&value) }),
                json!({ "key": self.coded(key), "target": "LEASE", "result": "EQUAL", "lease": lease.to_string() }),
            ];
            let delete = json!({ "requestDeleteRange": { "key": self.coded(key) } });
            etcd.ask("kv/txn", &json!({ "compare": compare, "success": [delete] }))?;
            self.held.remove(key);
        }
        Ok(())
    }

    /// The end: everything is given back at once.
    pub(super) fn finish(&mut self, etcd: &mut dyn Etcd) {
        if let Some(lease) = self.lease.take()
            && let Err(Trouble::Silent(why) | Trouble::Refused { message: why, .. }) =
                etcd.ask("lease/revoke", &json!({ "ID": lease.to_string() }))
            && !is_gone(&why)
        {
            tracing::warn!("the witness was not told that this node goes ({why}): what it holds ends by itself");
        }
    }

    fn coded(&self, key: &str) -> String {
        coded(&format!("{}{key}", self.prefix))
    }
}

fn prefix(key: &str) -> String {
    format!("{key}/")
}

fn coded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

fn decoded(value: &Value, name: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(value.get(name)?.as_str()?).ok()?).ok()
}

/// Numbers of 64 bits are texts in the gateway's JSON; a zero may be left out.
fn number(value: &Value, name: &str) -> Option<i64> {
    let number = value.get(name)?;
    number.as_i64().or_else(|| number.as_str()?.parse().ok())
}

/// A refusal that says that the lease is dead.
pub(super) fn is_gone(message: &str) -> bool {
    message.contains("lease not found")
}

/// The node that a value names, for people.
fn name_in(value: &str) -> String {
    let node = serde_json::from_str::<Value>(value).ok();
    let node = node.as_ref().and_then(|value| value.get("node")).and_then(Value::as_str);
    node.unwrap_or("somebody who is no node of ha").to_owned()
}

/// Every key below a prefix, by what follows it. Answered by the whole cluster.
fn look_at(etcd: &mut dyn Etcd, prefix: &str) -> Result<BTreeMap<String, Found>, Trouble> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let said = etcd.ask("kv/range", &json!({ "key": coded(prefix), "rangeEnd": BASE64_STANDARD.encode(end) }))?;
    if said.get("header").is_none() {
        return Err(Trouble::Silent("its answer to a question about keys is none".to_owned()));
    }
    let all = said.get("kvs").and_then(Value::as_array).into_iter().flatten();
    let one = |kv: &Value| {
        let key = decoded(kv, "key")?.strip_prefix(prefix)?.to_owned();
        let found = Found { value: decoded(kv, "value").unwrap_or_default(), lease: number(kv, "lease").unwrap_or(0) };
        Some((key, found))
    };
    Ok(all.filter_map(one).collect())
}

/// Who has which key, as a sentence.
///
/// # Errors
/// Why nobody says so.
pub(super) fn look(etcd: &mut dyn Etcd, key: &str) -> Result<String, String> {
    let found = look_at(etcd, &prefix(key)).map_err(|trouble| match trouble {
        Trouble::Silent(why) | Trouble::Refused { message: why, .. } => why,
    })?;
    let one = |(key, found): (&String, &Found)| {
        let rest = if found.lease == 0 { ", on no lease: it never ends" } else { "" };
        format!("{key} by {}{rest}", name_in(&found.value))
    };
    let held: Vec<String> = found.iter().map(one).collect();
    Ok(if held.is_empty() {
        "answers; nobody holds it".to_owned()
    } else {
        format!("answers; held: {}", held.join(", "))
    })
}

#[cfg(test)]
mod tests;
