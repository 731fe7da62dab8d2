//! Fake probes for tests: answers by key, everything else is ok.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

use rhai::{Array, Dynamic, Map};

use super::{
    action::{Action, Performed, Performer},
    condition::further_fields,
    duration, kind as kinds,
    language::{self, Group},
    probe::{self, ErrorKind, Field, Fields, Pending, ProbeOutcome, ProbeRequest, Prober},
    suggest, text,
};

/// What a fake may say of any probe.
const COMMON: [&str; 5] = ["ok", "why", "error", "blind", "elapsed"];

/// What a fake may say of any action.
const ACTIONS: [&str; 2] = ["ok", "why"];

/// Answers what it was told to.
#[derive(Default)]
pub(super) struct FakeProber(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    /// Key or pattern, and the answers to give, in turn; the last one repeats.
    fakes: Vec<(String, Vec<Map>)>,
    probed: Vec<String>,
    ever_probed: BTreeSet<String>,
    ever_faked: BTreeSet<String>,
}

impl FakeProber {
    /// From now on, probes with this key (or matching it, where it has `*`) answer this, one after the other.
    pub(super) fn fake(&self, key: &str, answers: &[Dynamic]) -> Result<(), String> {
        let kind = key.split_once(':').map_or(key, |(kind, _)| kind);
        if kind != "*" && probe::kind(kind).is_none() && !is_action(kind) {
            return Err(format!(
                "\"{key}\" names no probe and no action; write \"http:URL\", \"ping:HOST\", \"service:UNIT\", …"
            ));
        }
        let mut maps = Vec::new();
        for answer in answers {
            let Some(map) = answer.clone().try_cast::<Map>() else {
                return Err(format!("a fake answers with a map, #{{ ok: false }}, not with {}", kinds::of(answer)));
            };
            if text::weight_of_map(&map) > text::LONGEST {
                return Err(format!("the answer of a fake is longer than {} KiB", text::LONGEST / 1024));
            }
            check_fields(kind, &map)?;
            maps.push(map);
        }
        if maps.is_empty() {
            return Err("a fake needs at least one answer".to_owned());
        }
        maps.reverse();
        let mut answers = self.answers();
        answers.fakes.retain(|(other, _)| other != key);
        answers.fakes.push((key.to_owned(), maps));
        Ok(())
    }

    /// Probes with this key are ok again.
    pub(super) fn unfake(&self, key: &str) -> Result<(), String> {
        let mut answers = self.answers();
        let before = answers.fakes.len();
        answers.fakes.retain(|(other, _)| other != key);
        if answers.fakes.len() == before { Err(format!("\"{key}\" is not faked")) } else { Ok(()) }
    }

    /// Every probe is ok again.
    pub(super) fn unfake_all(&self) {
        self.answers().fakes.clear();
    }

    /// The keys probed since the last call.
    pub(super) fn take_probed(&self) -> Vec<String> {
        std::mem::take(&mut self.answers().probed)
    }

    /// The keys that no fake ever answered, of all that were probed; and those that one did.
    pub(super) fn coverage(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let answers = self.answers();
        (answers.ever_probed.clone(), answers.ever_faked.clone())
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prober for FakeProber {
    fn start(&self, request: &ProbeRequest) -> Pending {
        let (sender, receiver) = mpsc::sync_channel(1);
        // The receiver is at hand and has room.
        let _ = sender.send(self.answers().answer(request));
        receiver
    }
}

/// An action is written down by whoever runs it; here it only comes to what it was told to.
impl Performer for FakeProber {
    fn perform(&self, action: &Action, _: Duration) -> Performed {
        let told = self.answers().told(&action.key()).unwrap_or_default();
        let ok = told.get("ok").and_then(|value| value.as_bool().ok()).unwrap_or(true);
        let why = told.get("why").map(ToString::to_string);
        Performed { ok, why: why.unwrap_or_else(|| if ok { "done" } else { "failed" }.to_owned()), refused: false }
    }
}

fn is_action(function: &str) -> bool {
    language::function(function).is_some_and(|function| function.group == Group::Action)
}

impl Answers {
    /// What this key was told to answer next.
    fn told(&mut self, key: &str) -> Option<Map> {
        let exact = self.fakes.iter().position(|(pattern, _)| pattern == key);
        let found = exact.or_else(|| self.fakes.iter().rposition(|(pattern, _)| matches(pattern, key)));
        let (_, maps) = found.and_then(|index| self.fakes.get_mut(index))?;
        if maps.len() > 1 { maps.pop() } else { maps.last().cloned() }
    }

    fn answer(&mut self, request: &ProbeRequest) -> ProbeOutcome {
        let key = request.key();
        self.probed.push(key.clone());
        self.ever_probed.insert(key.clone());
        let Some(map) = self.told(&key) else { return outcome(request, &Map::new()) };
        self.ever_faked.insert(key);
        outcome(request, &map)
    }
}

/// `*` stands for anything.
fn matches(pattern: &str, key: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == key,
        Some((start, rest)) => key.strip_prefix(start).is_some_and(|key| {
            let mut ends = key.char_indices().map(|(at, _)| at).chain([key.len()]);
            ends.any(|at| key.get(at..).is_some_and(|tail| matches(rest, tail)))
        }),
    }
}

fn check_fields(kind: &str, map: &Map) -> Result<(), String> {
    if kind == "*" {
        return Ok(());
    }
    let common: &[&str] = if is_action(kind) { &ACTIONS } else { &COMMON };
    let known = || common.iter().copied().chain(further_fields(kind));
    match map.keys().find(|key| !known().any(|field| field == key.as_str())) {
        None => Ok(()),
        Some(stranger) => Err(match suggest::closest(stranger, known()) {
            Some(meant) => format!("no field `{stranger}` of {kind}: did you mean `{meant}`?"),
            None => format!("no field `{stranger}` of {kind}: it has {}", known().collect::<Vec<_>>().join(", ")),
        }),
    }
}

/// What a real probe would say if this were so. What is not said follows from what is.
fn outcome(request: &ProbeRequest, told: &Map) -> ProbeOutcome {
    let kind = &request.kind;
    let truth = |name: &str| told.get(name).and_then(|value| value.as_bool().ok());
    let error = told.get("error").map(ToString::to_string).filter(|text| !text.is_empty());
    let blind = truth("blind").unwrap_or_default();
    let told_bad = truth("ok") == Some(false) || error.is_some() || blind;
    let own = told_fields(kind.name(), told);
    // "It is not ok" alone means that nobody answered; "status 500" means that somebody did.
    let answered = !told_bad || !own.is_empty();

    let asked = kind.asked();
    let mut fields = if told_bad { asked.silence() } else { asked.usual() };
    fields.extend(own.clone());
    asked.follow(&own, &mut fields);
    let (fits, judged) = asked.judge(&fields);
    let ok = truth("ok").unwrap_or(fits && !told_bad);
    let why = told.get("why").map(ToString::to_string).or_else(|| error.clone());
    let why = why.unwrap_or_else(|| if ok || !fits && answered { judged } else { asked.not_ok(request.timeout) });
    let error = match (ok, error) {
        (true, _) => ErrorKind::None,
        (false, Some(text)) => error_kind(&text),
        (false, None) if blind => ErrorKind::Denied,
        (false, None) if answered => ErrorKind::Mismatch,
        (false, None) => ErrorKind::Timeout,
    };
    let elapsed = told.get("elapsed").and_then(|value| duration::from_script(value).ok());
    ProbeOutcome { ok, why, error, blind, elapsed: elapsed.unwrap_or(Duration::from_millis(1)), fields }
}

fn told_fields(kind: &'static str, told: &Map) -> Fields {
    further_fields(kind).filter_map(|name| told.get(name).map(|value| (name, field(value)))).collect()
}

fn field(value: &Dynamic) -> Field {
    if value.is_unit() {
        Field::Unit
    } else if let Ok(truth) = value.as_bool() {
        Field::Bool(truth)
    } else if let Ok(number) = value.as_int() {
        Field::Int(number)
    } else if let Ok(number) = value.as_float() {
        Field::Float(number)
    } else if let Some(map) = value.clone().try_cast::<Map>() {
        Field::Map(map.iter().map(|(name, value)| (name.to_string(), field(value))).collect())
    } else if let Some(list) = value.clone().try_cast::<Array>() {
        Field::List(list.iter().map(field).collect())
    } else {
        Field::Text(value.to_string())
    }
}

/// A test says "connection refused"; a script looks for "refused".
fn error_kind(text: &str) -> ErrorKind {
    let kinds = [
        ErrorKind::Timeout,
        ErrorKind::Refused,
        ErrorKind::Unreachable,
        ErrorKind::Reset,
        ErrorKind::Dns,
        ErrorKind::Tls,
        ErrorKind::Protocol,
        ErrorKind::Mismatch,
        ErrorKind::Denied,
        ErrorKind::Deadline,
        ErrorKind::Internal,
    ];
    kinds.into_iter().find(|kind| text.contains(kind.as_str())).unwrap_or(ErrorKind::Mismatch)
}
