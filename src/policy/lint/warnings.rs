//! Warnings: the policy works; its author should look.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use rhai::Dynamic;

use super::{Linter, Literal, Outline, Part, Place, Surroundings, is_probe, outline::Call, rule_function};
use crate::policy::{
    Hook, Problem, duration,
    probe::{self, Reach},
};

/// How many of a hundred echo requests a network loses on a bad day.
const LOSS: f64 = 0.02;

/// The text with what is known besides it.
pub(in crate::policy) struct Known<'a> {
    pub(in crate::policy) outline: &'a Outline,
    pub(in crate::policy) constants: &'a BTreeMap<String, Dynamic>,
    pub(in crate::policy) interval: Duration,
    pub(in crate::policy) deadline: Duration,
    /// Empty where nothing is known but the text.
    pub(in crate::policy) around: &'a [Surroundings],
    /// Which file it is.
    pub(in crate::policy) part: Part,
}

/// A rule and the probes written inside it.
pub(super) struct Rule<'a> {
    pub(super) call: &'a Call,
    pub(super) function: &'static str,
    pub(super) probes: Vec<&'a Call>,
}

impl Linter<'_> {
    /// What is not wise.
    pub(in crate::policy) fn warnings(&self, known: &Known<'_>) -> Vec<Problem> {
        let outline = known.outline;
        let mut problems = Vec::new();
        for call in outline.calls.iter().filter(|call| is_probe(&call.name) && !is_of_test(call)) {
            problems.extend(self.probe(known, call));
        }
        for call in outline.calls.iter().filter(|call| !is_of_test(call)) {
            problems.extend(self.not_allowed(known, call));
        }
        for rule in known.rules() {
            problems.extend(self.rule(known, &rule));
        }
        if known.part == Part::Policy && !outline.functions.iter().any(|function| function.name.starts_with("test_")) {
            let judges = outline.functions.iter().any(|function| function.name == "check");
            let hook = outline.functions.iter().find(|function| Hook::named(&function.name).is_some());
            let test = match hook.filter(|_| !judges) {
                Some(hook) => format!("fire(\"{}\"); assert_eq(actions(), [\"…\"]);", hook.name),
                None => "tick(3); assert_verdict(\"healthy\");".to_owned(),
            };
            let hint = format!("write `fn test_…() {{ {test} }}`; `ha test` runs it without a network");
            problems.push(self.warning("W208", Place::default(), "the policy has no test".to_owned(), &hint));
        }
        problems
    }

    fn probe(&self, known: &Known<'_>, call: &Call) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(host) = known.host(call).filter(|host| is_name(host)) {
            let place = call.arguments.first().map_or(call.place, Literal::place);
            let message = format!("`{host}` is a name: the resolver becomes part of what is judged");
            problems.push(self.warning("W205", place, message, "write its address"));
        }
        problems.extend(self.standby_asks_the_master(known, call));
        if let Some(insecure) = Outline::option(call, "insecure").filter(|value| value.is_true()) {
            let message = "any certificate is accepted: whoever answers is healthy".to_owned();
            problems.push(self.warning(
                "W206",
                insecure.place(),
                message,
                "name the authority instead: ca: \"/etc/…/ca.crt\"",
            ));
        }
        problems
    }

    fn rule(&self, known: &Known<'_>, rule: &Rule<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let fall = count(rule.call, "fall", 3.0);
        if let (Some(value), true) = (Outline::option(rule.call, "fall"), fall <= 1.0) {
            let message = "one failure is enough: a single hiccup moves the address".to_owned();
            problems.push(self.warning("W210", value.place(), message, "fall: 3 tolerates two"));
        }
        problems.extend(self.weight(known, rule));
        for probe in &rule.probes {
            problems.extend(self.slow(known, probe, fall));
        }
        if rule.function == "require" {
            problems.extend(self.single_ping(known, rule, fall));
            problems.extend(self.common_cause(known, rule));
            problems.extend(self.role_trap(rule));
        }
        problems
    }

    /// A hung probe would fill the whole time in which it is judged.
    fn slow(&self, known: &Known<'_>, probe: &Call, fall: f64) -> Option<Problem> {
        let value = Outline::option(probe, "timeout")?;
        let timeout = value.duration()?;
        let (limit, what) = if timeout > known.deadline {
            (known.deadline, "DEADLINE")
        } else if timeout >= known.interval.mul_f64(fall) {
            (known.interval.mul_f64(fall), "INTERVAL · fall")
        } else {
            return None;
        };
        let message =
            format!("a timeout of {} is not less than {what}, {}", duration::show(timeout), duration::show(limit));
        Some(self.warning("W203", value.place(), message, "a hung probe is noticed late: shorten the timeout"))
    }

    fn single_ping(&self, known: &Known<'_>, rule: &Rule<'_>, fall: f64) -> Option<Problem> {
        let mut alone = rule.probes.iter().filter(|probe| !known.is_one_of_several(probe));
        let ping = alone.find(|probe| probe.name == "ping" && count(probe, "count", 1.0) < 2.0)?;
        let seconds = known.interval.as_secs_f64() / LOSS.powf(fall);
        let message = format!("one ping per check: 2 % packet loss gives a false alarm about every {}", rough(seconds));
        Some(self.warning("W204", ping.place, message, "count: 3 avoids it"))
    }

    /// A rule that only one role evaluates: what it found is forgotten with the role, unless it lingers.
    fn role_trap(&self, rule: &Rule<'_>) -> Option<Problem> {
        if !rule.call.in_one_role || Outline::option(rule.call, "linger").is_some() {
            return None;
        }
        let place = rule.call.arguments.first().map_or(rule.call.place, Literal::place);
        let message =
            "only one role evaluates this rule: it gives the role up, is not seen any more, and 60 s later the \
                       node is fit again"
                .to_owned();
        Some(self.warning("W201", place, message, "evaluate it in every role, or say how long it stays down: linger"))
    }
}

impl<'a> Known<'a> {
    pub(super) fn rules(&self) -> Vec<Rule<'a>> {
        let rule =
            |call: &'a Call| Some(Rule { call, function: rule_function(&call.name)?, probes: self.probes_of(call) });
        self.outline.calls.iter().filter(|call| !is_of_test(call)).filter_map(rule).collect()
    }

    /// The probes written in its arguments, or in the value of a variable that is its condition.
    fn probes_of(&self, rule: &Call) -> Vec<&'a Call> {
        let variable = match rule.arguments.get(1) {
            Some(Literal::Name(name, _)) => Some(name),
            _ => None,
        };
        let is_behind = |call: &&Call| {
            call.around.contains(&rule.place)
                || variable.is_some() && call.binds.as_ref() == variable && call.function == rule.function
        };
        self.outline.calls.iter().filter(|call| is_probe(&call.name)).filter(is_behind).collect()
    }

    /// It stands in `any` or `at_least`.
    fn is_one_of_several(&self, probe: &Call) -> bool {
        let mut around = self.outline.calls.iter().filter(|call| probe.around.contains(&call.place));
        around.any(|call| matches!(call.name.as_str(), "any" | "at_least"))
    }

    /// The host a probe asks, if it is written there or in a constant.
    pub(super) fn host(&self, probe: &Call) -> Option<String> {
        match probe::kind(&probe.name)?.reach {
            // Whoever asks a socket of this machine asks this machine.
            Reach::Network(_) if Outline::option(probe, "unix").is_some() => None,
            Reach::Network(host) => host(&self.text(probe.arguments.first()?)?),
            Reach::Server(option, host) => host(&self.text(Outline::option(probe, option)?)?),
            Reach::Machine => None,
        }
    }

    /// A text, if it is written there or in a constant.
    fn text(&self, value: &Literal) -> Option<String> {
        match value {
            Literal::Text(text, _) => Some(text.clone()),
            Literal::Name(name, _) => self.constants.get(name)?.clone().into_string().ok(),
            Literal::Number(..)
            | Literal::Truth(..)
            | Literal::Time(..)
            | Literal::List(..)
            | Literal::Map(..)
            | Literal::Computed(_) => None,
        }
    }
}

pub(super) fn is_of_test(call: &Call) -> bool {
    call.function.as_deref().is_some_and(|function| function.starts_with("test_"))
}

fn count(call: &Call, option: &str, default: f64) -> f64 {
    Outline::option(call, option).and_then(Literal::number).unwrap_or(default)
}

fn is_name(host: &str) -> bool {
    host.parse::<IpAddr>().is_err() && host != "localhost"
}

fn rough(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 2.0 * 3600.0 => format!("{:.0} min", s / 60.0),
        s if s < 72.0 * 3600.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}
