//! What would follow, for people.

use super::{Change, Moment, WhatIf};
use crate::{
    cli::{check::text, judged, output::wrap, paint::Paint},
    policy::{RuleReport, RuleState},
};

/// Where what happens begins.
const INDENT: usize = 10;

impl WhatIf {
    pub(in crate::cli::check) fn text(&self, paint: Paint) -> String {
        let what = format!("what if {} in {}", self.assumption.shown(), self.instance);
        let mut text =
            format!("\n{}: the rules in virtual time, all else being well; no probe is made\n", paint.strong(&what));
        text += &self.course.iter().map(|moment| line(moment, paint)).collect::<String>();
        if self.course.is_empty() {
            text += &format!("{:INDENT$}nothing changes\n", "");
        }
        text += "once it is so no more\n";
        text += &self.recovery.iter().map(|moment| line(moment, paint)).collect::<String>();
        if self.recovery.is_empty() {
            text += &format!("{:INDENT$}nothing changes\n", "");
        }
        for rule in &self.stuck {
            text += &format!("{:INDENT$}{}\n", "", paint.bad(&format!("{rule} does not come back by itself")));
        }
        text
    }
}

fn line(moment: &Moment, paint: Paint) -> String {
    let at = judged::seconds(moment.at);
    let indent = " ".repeat(INDENT);
    match &moment.change {
        Change::Rule(rule) => format!("{at:>8}  {}\n", wrap(&rule_text(rule, paint), INDENT)),
        Change::Verdict(verdict) => {
            let (word, why) = text::verdict(verdict, paint);
            let why = if why.is_empty() { why } else { format!(": {why}") };
            format!("{at:>8}  {}\n", wrap(&format!("{}: verdict {word}{why}", moment.policy), INDENT))
        }
        Change::Would(would) => {
            let sentences = would.sentences().into_iter();
            sentences.map(|sentence| format!("{indent}→ {}\n", wrap(&sentence, INDENT + 2))).collect()
        }
    }
}

fn rule_text(rule: &RuleReport, paint: Paint) -> String {
    let name = &rule.name;
    match rule.state() {
        RuleState::Failing => format!("{name} fails, {}/{}", rule.gate.fails(), rule.hysteresis.fall),
        RuleState::Down => format!("{name} is {}", paint.bad("down")),
        RuleState::Up => format!("{name} is {}", paint.good("up")),
        RuleState::Unknown => format!("{name} is not known"),
    }
}
