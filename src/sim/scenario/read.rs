//! From the text of a scenario to the scenario. Everything that is wrong is found at once, with its line.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Claim, Expectation, File, Happening, Node, Problem, Scenario, Step,
    words::{Words, duration, one_of, percent},
};
use crate::{
    node::Role,
    policy::{Policy, Simulation},
    sim::{Act, Found, Hangs, Kind, Mishap, Release, Reload, Setup},
    wire::Priority,
};

/// How long a scenario goes on after its last step, unless it says when it ends.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// Longer ones are a slip of the pen.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// More machines than a virtual router has.
const MOST_NODES: usize = 16;

/// How late kernels are unless the scenario says so.
const KERNEL_LATE: Duration = Duration::from_millis(20);

const STATEMENTS: &str = "seed, late, two, node, keepalived, at, end";
const VERBS: [(&str, Verb); 27] = [
    ("pull", Verb::Pull),
    ("plug", Verb::Plug),
    ("cut", Verb::Cut),
    ("filter", Verb::Filter),
    ("partition", Verb::Partition),
    ("heal", Verb::Heal),
    ("loss", Verb::Loss),
    ("duplicate", Verb::Duplicate),
    ("delay", Verb::Delay),
    ("freeze", Verb::Freeze),
    ("thaw", Verb::Thaw),
    ("kill", Verb::Kill),
    ("stop", Verb::Stop),
    ("poweroff", Verb::PowerOff),
    ("start", Verb::Start),
    ("slow", Verb::Slow),
    ("clock", Verb::Clock),
    ("mute", Verb::Mute),
    ("delete", Verb::Delete),
    ("misplace", Verb::Misplace),
    ("probe", Verb::Probe),
    ("rule", Verb::Rule),
    ("policy", Verb::Policy),
    ("reload", Verb::Reload),
    ("forge", Verb::Forge),
    ("witness", Verb::Witness),
    ("calm", Verb::Calm),
];
const FOUND: [(&str, Found); 3] = [("up", Found::Up), ("down", Found::Down), ("blind", Found::Blind)];
const ROLES: [(&str, Role); 3] = [("master", Role::Master), ("backup", Role::Backup), ("fault", Role::Fault)];

#[derive(Clone, Copy)]
enum Verb {
    Pull,
    Plug,
    Cut,
    Filter,
    Partition,
    Heal,
    Loss,
    Duplicate,
    Delay,
    Freeze,
    Thaw,
    Kill,
    Stop,
    PowerOff,
    Start,
    Slow,
    Clock,
    Mute,
    Delete,
    Misplace,
    Probe,
    Rule,
    Policy,
    Reload,
    Forge,
    Witness,
    Calm,
}

/// Reads a scenario. `load` reads a file that it names.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(
    text: &str,
    engine: &crate::policy::Engine,
    load: &mut dyn FnMut(&str) -> Result<File, String>,
) -> Result<Scenario, Vec<Problem>> {
    let scenario = Scenario {
        seed: 1,
        nodes: Vec::new(),
        steps: Vec::new(),
        end: Duration::ZERO,
        kernel_late: KERNEL_LATE,
        two_at_most: None,
    };
    let mut reader = Reader { scenario, engine, load, end: None, last: Duration::ZERO };
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let statement = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = statement.split_whitespace().collect();
        let line = number + 1;
        if let Err(what) = reader.statement(&words, line) {
            problems.push(Problem { line, what });
        }
    }
    if reader.scenario.nodes.is_empty() && problems.is_empty() {
        let what = "there is no node; write: node a node1.toml".to_owned();
        problems.push(Problem { line: text.lines().count().max(1), what });
    }
    let mut scenario = reader.scenario;
    scenario.end = reader.end.unwrap_or(reader.last + AFTERWARDS);
    if problems.is_empty() { Ok(scenario) } else { Err(problems) }
}

struct Reader<'a> {
    scenario: Scenario,
    engine: &'a crate::policy::Engine,
    load: &'a mut dyn FnMut(&str) -> Result<File, String>,
    end: Option<Duration>,
    /// When the last step was.
    last: Duration,
}

impl Reader<'_> {
    fn statement(&mut self, words: &[&str], line: usize) -> Result<(), String> {
        let mut words = Words::new(words);
        let Some(word) = words.maybe() else { return Ok(()) };
        match word {
            "seed" => {
                let number = words.next("the number")?;
                self.scenario.seed = number.parse().map_err(|_| format!("\"{number}\" is no number"))?;
                words.end()
            }
            "late" => {
                self.scenario.kernel_late = duration(words.next("the time, 20ms,")?)?;
                words.end()
            }
            "two" => {
                self.scenario.two_at_most = Some(duration(words.next("the time, 30ms,")?)?);
                words.end()
            }
            "node" => self.node(Kind::Ha, &mut words),
            "keepalived" => self.node(Kind::Keepalived, &mut words),
            "end" => {
                let at = self.moment(words.next("the time, 60s,")?)?;
                self.end = Some(at);
                words.end()
            }
            "at" => self.at(&mut words, line),
            _ => Err(format!("\"{word}\" begins no statement; known: {STATEMENTS}")),
        }
    }

    fn node(&mut self, kind: Kind, words: &mut Words<'_>) -> Result<(), String> {
        let name = words.next("the node's name")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !name.chars().all(plain) || matches!(name, "nobody" | "all" | "well") {
            return Err(format!("\"{name}\" cannot be the name of a node; write letters, digits, - and _"));
        }
        if self.scenario.names().iter().any(|known| known == name) {
            return Err(format!("there is a node {name} already"));
        }
        if self.scenario.nodes.len() >= MOST_NODES {
            return Err(format!("there are {MOST_NODES} nodes already, which is the most"));
        }
        if !self.scenario.steps.is_empty() {
            return Err("nodes come before the first step".to_owned());
        }
        let file = words.next("the node's configuration file")?;
        let mut release = Release::default();
        for known in [Release::Two, Release::Four] {
            if kind == Kind::Keepalived && words.take(known.word()) {
                release = known;
            }
        }
        let mut addresses: BTreeMap<_, Vec<_>> = BTreeMap::new();
        while let Some(word) = words.maybe() {
            let wrong = || format!("\"{word}\" is no address of an interface; write eth0=192.168.0.20/24");
            let (interface, address) = word.split_once('=').ok_or_else(wrong)?;
            let interface = interface.parse().map_err(|_| wrong())?;
            addresses.entry(interface).or_default().push(address.parse().map_err(|_| wrong())?);
        }
        let File { config, policies } = (self.load)(file)?;
        let setup = Setup { name: name.to_owned(), kind, release, config, addresses, policies };
        self.scenario.nodes.push(Node { file: file.to_owned(), setup });
        Ok(())
    }

    /// A moment after the last, or at the same time; `+2s` counts from the last.
    fn moment(&self, word: &str) -> Result<Duration, String> {
        let at = match word.strip_prefix('+') {
            Some(later) => self.last + duration(later)?,
            None => duration(word)?,
        };
        if at < self.last {
            return Err(format!("{word} is before the step above it; steps stand in the order of time"));
        }
        if at > LONGEST { Err(format!("{word} is too late; a week is the longest")) } else { Ok(at) }
    }

    fn at(&mut self, words: &mut Words<'_>, line: usize) -> Result<(), String> {
        let at = self.moment(words.next("the time")?)?;
        let verb = words.next("what happens")?;
        let what = if verb == "expect" {
            Happening::Expect(self.expectation(words)?)
        } else {
            let mut known = VERBS.to_vec();
            known.push(("expect", Verb::Calm));
            Happening::Do(self.act(one_of("verb", verb, &known)?, words)?)
        };
        words.end()?;
        self.last = at;
        self.scenario.steps.push(Step { at, line, what });
        Ok(())
    }

    fn act(&mut self, verb: Verb, words: &mut Words<'_>) -> Result<Act, String> {
        Ok(match verb {
            Verb::Heal => Act::Heal,
            Verb::Calm => Act::Calm,
            Verb::Loss => Act::Loss(percent(words.next("the share, 30%,")?)?),
            Verb::Duplicate => Act::Duplicates(percent(words.next("the share, 10%,")?)?),
            Verb::Delay => {
                let word = words.next("the time, 1ms..20ms,")?;
                let (least, most) = word.split_once("..").unwrap_or((word, word));
                let (least, most) = (duration(least)?, duration(most)?);
                if most < least {
                    return Err(format!("{word} ends before it begins"));
                }
                Act::Delay(least, most)
            }
            Verb::Pull => Act::Pull(self.machine(words)?, interface(words)?),
            Verb::Plug => Act::Plug(self.machine(words)?, interface(words)?),
            Verb::Cut => {
                let from = self.machine(words)?;
                if words.take("->") { Act::Cut(from, self.machine(words)?) } else { Act::Isolate(from) }
            }
            Verb::Filter => {
                let from = self.machine(words)?;
                if !words.take("->") {
                    return Err("which way? write: filter a -> b".to_owned());
                }
                Act::Filter(from, self.machine(words)?)
            }
            Verb::Partition => {
                let mut side = vec![self.machine(words)?];
                while let Some(word) = words.maybe() {
                    side.push(self.named(word)?);
                }
                Act::Partition(side)
            }
            Verb::Freeze => Act::Freeze(self.machine(words)?),
            Verb::Thaw => Act::Thaw(self.machine(words)?),
            Verb::Kill => {
                let machine = self.machine(words)?;
                if words.take("all") { Act::KillAll(machine) } else { Act::Kill(machine) }
            }
            Verb::Stop => Act::Stop(self.machine(words)?),
            Verb::PowerOff => Act::PowerOff(self.machine(words)?),
            Verb::Start => Act::Start(self.machine(words)?),
            Verb::Slow => Act::Slow(self.machine(words)?, duration(words.next("how late it is, 300ms or 0s,")?)?),
            Verb::Clock => Act::Clock(self.machine(words)?, clock_step(words.next("the step, +1h or -90s,")?)?),
            Verb::Mute => {
                let machine = self.machine(words)?;
                Act::Mute(machine, one_of("state", words.next("on or off")?, &[("on", true), ("off", false)])?)
            }
            Verb::Delete => Act::Delete(self.machine(words)?),
            Verb::Misplace => Act::Misplace(self.machine(words)?),
            Verb::Probe => self.probe(words)?,
            Verb::Rule => self.rule(words)?,
            Verb::Policy => self.policy(words)?,
            Verb::Reload => self.reload(words)?,
            Verb::Witness => Act::Witness(self.witness(words)?),
            Verb::Forge => {
                let to = self.machine(words)?;
                let number = if words.take("priority") { words.next("the number")? } else { "0" };
                Act::Forge {
                    to,
                    priority: number.parse().map_err(|_| format!("\"{number}\" is no priority; 0 to 255"))?,
                }
            }
        })
    }

    fn machine(&self, words: &mut Words<'_>) -> Result<usize, String> {
        self.named(words.next("the node's name")?)
    }

    fn named(&self, word: &str) -> Result<usize, String> {
        let names = self.scenario.names();
        let known = || if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let found = names.iter().position(|name| name == word);
        found.ok_or_else(|| format!("there is no node {word}; known: {}", known()))
    }

    fn policy_of(&self, machine: usize, words: &mut Words<'_>) -> Result<&Policy, String> {
        let name = words.next("the policy's name")?;
        let node = self.scenario.nodes.get(machine);
        let policies = node.map(|node| &node.setup.policies);
        let found = policies.and_then(|policies| policies.get(name));
        found.ok_or_else(|| {
            let known: Vec<&str> = policies.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let node = node.map_or("it", |node| node.setup.name.as_str());
            format!("{node} has no policy {name}; known: {known}")
        })
    }

    fn probe(&self, words: &mut Words<'_>) -> Result<Act, String> {
        let machine = self.machine(words)?;
        let policy = self.policy_of(machine, words)?;
        let probe = words.next("the probe, http or ping:192.168.0.1,")?.to_owned();
        let key = if probe.contains(':') || probe == "*" { probe.clone() } else { format!("{probe}:*") };
        Simulation::new(self.engine, policy, crate::policy::Context::default()).fail(&key, false)?;
        let policy = policy.name().to_owned();
        let found = one_of("result", words.next("what it finds")?, &FOUND)?;
        Ok(Act::Probe { machine, policy, probe, found })
    }

    fn rule(&self, words: &mut Words<'_>) -> Result<Act, String> {
        let machine = self.machine(words)?;
        let policy = self.policy_of(machine, words)?;
        let rule = words.next("the rule's name")?.to_owned();
        let known: Vec<&str> = policy.rules_named().iter().map(|rule| rule.name.as_str()).collect();
        if !known.contains(&rule.as_str()) {
            return Err(format!("policy {} has no rule {rule}; known: {}", policy.name(), known.join(", ")));
        }
        let policy = policy.name().to_owned();
        let found = one_of("result", words.next("what it finds")?, &FOUND)?;
        Ok(Act::Rule { machine, policy, rule, found })
    }

    fn policy(&self, words: &mut Words<'_>) -> Result<Act, String> {
        let machine = self.machine(words)?;
        let policy = self.policy_of(machine, words)?.name().to_owned();
        Ok(match words.next("takes, hangs, silent or returns")? {
            "takes" => Act::Takes { machine, policy, time: duration(words.next("the time, 800ms,")?)? },
            "hangs" => Act::Hangs { machine, policy, hangs: Hangs::Told },
            "silent" => Act::Hangs { machine, policy, hangs: Hangs::Untold },
            "returns" => Act::Hangs { machine, policy, hangs: Hangs::No },
            other => {
                return Err(format!("\"{other}\" is nothing that a policy does; known: takes, hangs, silent, returns"));
            }
        })
    }

    fn witness(&self, words: &mut Words<'_>) -> Result<Mishap, String> {
        if self.scenario.nodes.iter().all(|node| node.setup.config.witness.is_none()) {
            return Err("no node has a witness: there is no [witness] in their configurations".to_owned());
        }
        Ok(match words.next("down, up, slow, unreachable, unheard or forgets")? {
            "down" => Mishap::Down,
            "up" => Mishap::Up,
            "forgets" => Mishap::Forgets,
            "slow" => Mishap::Slow(duration(words.next("how long an answer takes, 2s,")?)?),
            "unreachable" if words.take("from") => Mishap::Unreachable(self.machine(words)?),
            "unheard" if words.take("by") => Mishap::Unheard(self.machine(words)?),
            "unreachable" => return Err("from where? write: witness unreachable from a".to_owned()),
            "unheard" => return Err("by whom? write: witness unheard by a".to_owned()),
            other => {
                let known = "down, up, slow, unreachable, unheard, forgets";
                return Err(format!("\"{other}\" is nothing that befalls a witness; known: {known}"));
            }
        })
    }

    fn reload(&mut self, words: &mut Words<'_>) -> Result<Act, String> {
        let machine = self.machine(words)?;
        let reload = match words.maybe() {
            None => Reload::Same,
            Some("priority") => {
                let number = words.next("the number")?;
                let priority = number.parse().ok().and_then(Priority::new);
                Reload::Priority(priority.ok_or_else(|| format!("\"{number}\" is no priority; 1 to 255"))?)
            }
            Some(file) => {
                let File { config, policies } = (self.load)(file)?;
                Reload::File(file.to_owned(), Box::new(config), policies)
            }
        };
        Ok(Act::Reload(machine, reload))
    }

    fn expectation(&self, words: &mut Words<'_>) -> Result<Expectation, String> {
        let who = words.next("who, or nobody, or well,")?;
        if who == "well" {
            return Ok(Expectation { instance: None, claim: Claim::Well });
        }
        if who == "nobody" {
            let verb = words.next("leads")?;
            one_of("expectation", verb, &[("leads", ())])?;
            return Ok(Expectation { instance: self.instance(words)?, claim: Claim::NobodyLeads });
        }
        let machine = self.named(who)?;
        let verb = words.next("what is expected")?;
        let claim = match one_of("expectation", verb, &[("leads", 0), ("is", 1), ("has", 2)])? {
            0 => Claim::Leads(machine),
            1 => Claim::Is(machine, one_of("role", words.next("the role")?, &ROLES)?),
            _ => {
                let present = !words.take("no");
                Claim::Has { machine, condition: words.next("the condition's name")?.to_owned(), present }
            }
        };
        Ok(Expectation { instance: self.instance(words)?, claim })
    }

    /// Which instance is meant, if one is.
    fn instance(&self, words: &mut Words<'_>) -> Result<Option<String>, String> {
        let Some(word) = words.maybe() else { return Ok(None) };
        let all = self.scenario.nodes.iter().flat_map(|node| &node.setup.config.instances);
        let known: std::collections::BTreeSet<&str> = all.map(|instance| instance.name.as_str()).collect();
        if known.contains(word) {
            return Ok(Some(word.to_owned()));
        }
        Err(format!("there is no instance {word}; known: {}", known.into_iter().collect::<Vec<_>>().join(", ")))
    }
}

fn interface(words: &mut Words<'_>) -> Result<Option<crate::words::InterfaceName>, String> {
    let Some(word) = words.maybe() else { return Ok(None) };
    word.parse().map(Some).map_err(|_| format!("\"{word}\" cannot be the name of an interface"))
}

fn clock_step(word: &str) -> Result<i64, String> {
    let (sign, rest) = match (word.strip_prefix('-'), word.strip_prefix('+')) {
        (Some(rest), _) => (-1, rest),
        (None, Some(rest)) => (1, rest),
        (None, None) => return Err(format!("\"{word}\" is no step of a clock; write +1h or -90s")),
    };
    let seconds = i64::try_from(duration(rest)?.as_secs()).unwrap_or(i64::MAX);
    Ok(sign * seconds)
}
