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
        let mut text = format!("\n{}: in virtual time, all else being well; no probe is made\n", paint.strong(&what));
        text += &lines(&self.course, paint);
        if self.course.is_empty() {
            text += &format!("{:INDENT$}nothing changes\n", "");
        }
        text += "once it is so no more\n";
        text += &lines(&self.recovery, paint);
        if self.recovery.is_empty() {
            text += &format!("{:INDENT$}nothing changes\n", "");
        }
        for rule in &self.stuck {
            text += &format!("{:INDENT$}{}\n", "", paint.bad(&format!("{rule} does not come back by itself")));
        }
        text
    }
}

/// One for each moment; the time where it is another.
fn lines(moments: &[Moment], paint: Paint) -> String {
    let before = std::iter::once(None).chain(moments.iter().map(|moment| Some(moment.at)));
    moments.iter().zip(before).map(|(moment, before)| line(moment, before != Some(moment.at), paint)).collect()
}

fn line(moment: &Moment, is_later: bool, paint: Paint) -> String {
    let at = judged::seconds(moment.at);
    match &moment.change {
        Change::Rule(rule) => format!("{at:>8}  {}\n", wrap(&rule_text(rule, paint), INDENT)),
        Change::Verdict(verdict) => {
            let (word, why) = text::verdict(verdict, paint);
            let why = if why.is_empty() { why } else { format!(": {why}") };
            let policy = moment.policy.as_deref().unwrap_or_default();
            format!("{at:>8}  {}\n", wrap(&format!("{policy}: verdict {word}{why}"), INDENT))
        }
        Change::Tracked { name, why } => {
            let text = why.clone().unwrap_or_else(|| format!("{name} is {}", paint.good("well")));
            format!("{at:>8}  {}\n", wrap(&text, INDENT))
        }
        Change::Would(would) => {
            let mut at = if is_later { at } else { String::new() };
            let mut one = |sentence: String| {
                let at = std::mem::take(&mut at);
                format!("{at:>8}  → {}\n", wrap(&sentence, INDENT + 2))
            };
            would.sentences().into_iter().map(&mut one).collect()
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
