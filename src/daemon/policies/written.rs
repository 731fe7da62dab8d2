//! What policies remember, as it is written to the state directory: JSON, with ages as they were at one moment, which the
//! file names on both clocks. Within one boot the driver's clock says how long ago that was; over a reboot the time of day
//! does, as well as it can.

use std::{collections::BTreeMap, io, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    control::protocol::millis,
    health::Falls,
    policy::{Kept, KeptAverage, KeptRate, KeptRule, Note, RuleEffect},
};

/// The name and version of the file's form.
const SCHEMA: &str = "ha.memory/1";

/// An instance and a policy.
pub type Pair = (String, String);

/// A moment on both clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which boot of the machine.
    pub boot: String,
    /// Since then, on the driver's clock.
    pub since_boot_ms: u64,
    /// The time of day.
    pub unix_s: i64,
}

impl Moment {
    /// How long it is from here to `later`; zero if the clocks make no sense of it.
    #[must_use]
    pub fn until(&self, later: &Self) -> Duration {
        if self.boot == later.boot && !self.boot.is_empty() {
            return Duration::from_millis(later.since_boot_ms.saturating_sub(self.since_boot_ms));
        }
        Duration::from_secs(u64::try_from(later.unix_s.saturating_sub(self.unix_s)).unwrap_or(0))
    }
}

/// As text.
///
/// # Errors
/// It cannot be written as JSON.
pub fn write(at: Moment, pairs: &BTreeMap<Pair, Kept>) -> io::Result<Vec<u8>> {
    let pairs = pairs.iter().map(|((instance, policy), kept)| Entry::new(instance, policy, kept)).collect();
    Ok(serde_json::to_vec(&File { schema: SCHEMA.to_owned(), at, pairs })?)
}

/// From text: as it was at the moment that comes with it.
///
/// # Errors
/// It is damaged, or of another version of this program.
pub fn read(text: &str) -> io::Result<(Moment, BTreeMap<Pair, Kept>)> {
    let foreign = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let schema = serde_json::from_str::<Value>(text)?;
    if schema.get("schema").and_then(Value::as_str) != Some(SCHEMA) {
        return Err(foreign("another version of this program wrote it"));
    }
    let file: File = serde_json::from_str(text)?;
    let kept = file.pairs.into_iter().map(Entry::into_kept).collect::<Option<_>>();
    Ok((file.at, kept.ok_or_else(|| foreign("a value in it makes no sense"))?))
}

#[derive(Serialize, Deserialize)]
struct File {
    schema: String,
    at: Moment,
    pairs: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    instance: String,
    policy: String,
    rules: BTreeMap<String, Rule>,
    notes: BTreeMap<String, Value>,
    changed: BTreeMap<String, Value>,
    windows: BTreeMap<String, u64>,
    averages: BTreeMap<String, Average>,
    rates: BTreeMap<String, Rate>,
    once_ms: BTreeMap<String, Vec<u64>>,
    heals_ms: BTreeMap<String, Vec<u64>>,
}

#[derive(Serialize, Deserialize)]
struct Rule {
    latched: bool,
    falls: u32,
    held_ms: u64,
    quiet_ms: Option<u64>,
    effect: Effect,
    external: bool,
    why: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Effect {
    Require,
    Prefer(i32),
    Watch,
    Gate,
}

#[derive(Serialize, Deserialize)]
struct Average {
    value: f64,
    age_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Rate {
    count: f64,
    per_second: Option<f64>,
    age_ms: u64,
}

impl Entry {
    fn new(instance: &str, policy: &str, kept: &Kept) -> Self {
        let average = |kept: &KeptAverage| Average { value: kept.value, age_ms: millis(kept.age) };
        let rate = |kept: &KeptRate| Rate { count: kept.count, per_second: kept.per_second, age_ms: millis(kept.age) };
        let ages = |ages: &Vec<Duration>| ages.iter().map(|age| millis(*age)).collect();
        Self {
            instance: instance.to_owned(),
            policy: policy.to_owned(),
            rules: each(&kept.rules, Rule::new),
            notes: each(&kept.notes, to_json),
            changed: each(&kept.lasts, to_json),
            windows: kept.windows.clone(),
            averages: each(&kept.averages, average),
            rates: each(&kept.rates, rate),
            once_ms: each(&kept.once, ages),
            heals_ms: each(&kept.heals, ages),
        }
    }

    fn into_kept(self) -> Option<(Pair, Kept)> {
        let time = Duration::from_millis;
        let ages = |ages: &Vec<u64>| ages.iter().map(|age| time(*age)).collect();
        let kept = Kept {
            rules: each(&self.rules, Rule::kept),
            notes: notes(&self.notes)?,
            lasts: notes(&self.changed)?,
            windows: self.windows,
            averages: each(&self.averages, |it| KeptAverage { value: it.value, age: time(it.age_ms) }),
            rates: each(&self.rates, |it| KeptRate {
                count: it.count,
                per_second: it.per_second,
                age: time(it.age_ms),
            }),
            once: each(&self.once_ms, ages),
            heals: each(&self.heals_ms, ages),
        };
        Some(((self.instance, self.policy), kept))
    }
}

impl Rule {
    fn new(kept: &KeptRule) -> Self {
        Self {
            latched: kept.falls.latched,
            falls: kept.falls.count,
            held_ms: millis(kept.falls.held),
            quiet_ms: kept.falls.quiet.map(millis),
            effect: match kept.effect {
                RuleEffect::Require => Effect::Require,
                RuleEffect::Prefer(weight) => Effect::Prefer(weight),
                RuleEffect::Watch => Effect::Watch,
                RuleEffect::Gate => Effect::Gate,
            },
            external: kept.external,
            why: kept.why.clone(),
        }
    }

    fn kept(&self) -> KeptRule {
        let time = Duration::from_millis;
        let falls = Falls {
            latched: self.latched,
            count: self.falls,
            held: time(self.held_ms),
            quiet: self.quiet_ms.map(time),
        };
        let effect = match self.effect {
            Effect::Require => RuleEffect::Require,
            Effect::Prefer(weight) => RuleEffect::Prefer(weight),
            Effect::Watch => RuleEffect::Watch,
            Effect::Gate => RuleEffect::Gate,
        };
        KeptRule { falls, effect, external: self.external, why: self.why.clone() }
    }
}

fn each<A, B>(map: &BTreeMap<String, A>, as_other: impl Fn(&A) -> B) -> BTreeMap<String, B> {
    map.iter().map(|(name, value)| (name.clone(), as_other(value))).collect()
}

fn to_json(note: &Note) -> Value {
    match note {
        Note::Nothing => Value::Null,
        Note::Truth(truth) => (*truth).into(),
        Note::Whole(whole) => (*whole).into(),
        Note::Number(number) => (*number).into(),
        Note::Text(text) => text.as_str().into(),
    }
}

fn notes(values: &BTreeMap<String, Value>) -> Option<BTreeMap<String, Note>> {
    let note = |value: &Value| {
        Some(match value {
            Value::Null => Note::Nothing,
            Value::Bool(truth) => Note::Truth(*truth),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => Note::Whole(whole),
                None => Note::Number(number.as_f64()?),
            },
            Value::String(text) => Note::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => return None,
        })
    };
    values.iter().map(|(name, value)| Some((name.clone(), note(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(boot: &str, since_boot_ms: u64, unix_s: i64) -> Moment {
        Moment { boot: boot.into(), since_boot_ms, unix_s }
    }

    fn kept() -> Kept {
        let falls = Falls { latched: true, count: 3, held: Duration::from_secs(12), quiet: None };
        let rule = |effect| KeptRule { falls, effect, external: true, why: "status 500".into() };
        let second = Duration::from_secs(1);
        Kept {
            rules: BTreeMap::from([
                ("web".into(), rule(RuleEffect::Require)),
                ("disk".into(), rule(RuleEffect::Prefer(10))),
                ("look".into(), rule(RuleEffect::Watch)),
                ("own".into(), rule(RuleEffect::Gate)),
            ]),
            notes: BTreeMap::from([
                ("nothing".into(), Note::Nothing),
                ("truth".into(), Note::Truth(true)),
                ("whole".into(), Note::Whole(-7)),
                ("number".into(), Note::Number(1.0)),
                ("text".into(), Note::Text("é".into())),
            ]),
            lasts: BTreeMap::from([("version".into(), Note::Text("2".into()))]),
            windows: BTreeMap::from([("link".into(), u64::MAX)]),
            averages: BTreeMap::from([("rtt".into(), KeptAverage { value: 0.25, age: second })]),
            rates: BTreeMap::from([("log".into(), KeptRate { count: 1e9, per_second: None, age: second })]),
            once: BTreeMap::from([("warn".into(), vec![second, 2 * second])]),
            heals: BTreeMap::from([("web".into(), vec![3 * second])]),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let pairs = BTreeMap::from([(("VI_1".to_owned(), "check".to_owned()), kept())]);
        let at = moment("b", 5, 7);
        let text = String::from_utf8(write(at.clone(), &pairs).unwrap()).unwrap();
        assert_eq!(read(&text).unwrap(), (at, pairs));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let text = String::from_utf8(write(moment("b", 5, 7), &BTreeMap::new()).unwrap()).unwrap();
        for broken in ["", "{}", "[]", &text.replace("ha.memory/1", "ha.memory/2"), &text[..text.len() / 2]] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_time_between_is_that_of_the_clock_that_knows() {
        let before = moment("a", 1_000, 100);
        assert_eq!(before.until(&moment("a", 4_500, 0)), Duration::from_millis(3_500), "the time of day was set back");
        assert_eq!(before.until(&moment("b", 10, 160)), Duration::from_secs(60), "a reboot");
        assert_eq!(before.until(&moment("b", 10, 50)), Duration::ZERO);
    }
}
