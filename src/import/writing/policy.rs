//! A check as a policy.

use crate::import::{
    check::{Expr, Translated, duration},
    outline::{PolicyText, quoted},
    reading::{INTERVAL_MIN, Script, Weight},
};

/// The other way around. Where a probe could not look, nothing is known, and that is no success.
const IS_NOT: &str = "
/// It is not so. What cannot be seen is not known to be so either, and does not count.
fn is_not(asked) {
    expect(!asked.ok && !asked.blind, if asked.blind { asked.why } else { `it is so: ${asked.why}` })
}
";

/// One file: the check and what it does.
pub(in crate::import) fn policy(
    name: &str,
    script: &Script,
    weight: Weight,
    translated: &Translated,
    command: &str,
) -> PolicyText {
    let mut text = format!("// The check {} of keepalived: {}\n", plain(&script.name), plain(command));
    for comment in &script.comments {
        text += &format!("// {}\n", plain(comment.trim_start_matches(['#', '!']).trim()));
    }
    for note in &translated.notes {
        text += &format!("// Note: {}.\n", plain(note));
    }
    text += &format!("const INTERVAL = {};\n", duration(script.interval.max(INTERVAL_MIN)));
    text += &format!("\nfn check() {{\n    {};\n}}\n", rule(script, weight, &translated.expr));
    if text.contains("is_not(") {
        text += IS_NOT;
    }
    // With every probe well, what is asked the other way around is not.
    if !weight.reverse && is_straight(&translated.expr) {
        let ticks = script.rise + 1;
        text += &format!(
            "\nfn test_it_is_healthy_while_the_check_is_well() {{\n    tick({ticks});\n    assert_verdict(\"healthy\");\n}}\n"
        );
    }
    PolicyText { name: name.to_owned(), text, private: false }
}

fn rule(script: &Script, weight: Weight, expr: &Expr) -> String {
    // Turned around, a failure of the check is a success of the rule.
    let (condition, fall, rise) = if weight.reverse {
        (Expr::Not(Box::new(expr.clone())).text(), script.rise, script.fall)
    } else {
        (expr.text(), script.fall, script.rise)
    };
    let name = quoted(&script.name);
    match weight.number.abs() {
        0 => format!("require({name}, {condition}, #{{ fall: {fall}, rise: {rise} }})"),
        number => format!("prefer({name}, {condition}, #{{ weight: {number}, fall: {fall}, rise: {rise} }})"),
    }
}

fn is_straight(expr: &Expr) -> bool {
    match expr {
        Expr::Probe(_) => true,
        Expr::Not(_) => false,
        Expr::All(parts) | Expr::Any(parts) => parts.iter().all(is_straight),
    }
}

/// For a comment of one line.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
