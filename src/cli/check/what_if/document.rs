//! What would follow, for `ha.check/1`.

use serde_json::{Value, json};

use super::{Change, Moment, WhatIf, assumption::word};
use crate::{
    control::protocol::{Verdict, millis},
    policy::RuleState,
};

impl WhatIf {
    pub(in crate::cli::check) fn document(&self) -> Value {
        let rules = self.assumption.rules.iter().map(|(rule, forced)| (rule.clone(), json!(word(*forced))));
        let verdicts = self.during.iter().map(|(policy, verdict)| (policy.clone(), json!(Verdict::from(verdict))));
        json!({
            "instance": self.instance,
            "assumed": {
                "rules": rules.collect::<serde_json::Map<_, _>>(),
                "peer": if self.assumption.peer_is_dead { "dead" } else { "alive" },
            },
            "before": self.before.document(),
            "timeline": self.course.iter().map(moment).collect::<Vec<_>>(),
            "verdicts": verdicts.collect::<serde_json::Map<_, _>>(),
            "observed_ok": self.observed_ok,
            "tracked_well": self.tracked_well,
            "would": self.then.document(),
            "recovery": self.recovery.iter().map(moment).collect::<Vec<_>>(),
            "after": self.after.document(),
            "stuck": self.stuck,
        })
    }
}

fn moment(moment: &Moment) -> Value {
    let (what, value) = match &moment.change {
        Change::Rule(rule) => (
            "rule",
            json!({
                "name": rule.name,
                "state": state(rule.state()),
                "fails": rule.gate.fails(),
                "fall": rule.hysteresis.fall,
                "oks": rule.gate.oks(),
                "rise": rule.hysteresis.rise,
            }),
        ),
        Change::Tracked { name, why } => ("tracked", json!({ "name": name, "well": why.is_none(), "why": why })),
        Change::Verdict(verdict) => ("verdict", json!(Verdict::from(verdict))),
        Change::Would(would) => ("would", would.document()),
    };
    json!({ "at_ms": millis(moment.at), "policy": moment.policy, what: value })
}

const fn state(state: RuleState) -> &'static str {
    match state {
        RuleState::Unknown => "unknown",
        RuleState::Up => "up",
        RuleState::Failing => "failing",
        RuleState::Down => "down",
    }
}
