//! `healthy`, `adjust`, `fault`, `hold`, `maintenance`: verdicts that `check()` returns itself.

use rhai::{Engine, NativeCallContext};

use super::{Outcome, failed};
use crate::policy::{
    language::{Function, Group},
    text,
};

/// A verdict a script returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Explicit {
    Healthy(String),
    Adjust(i32, String),
    Fault(String),
    Hold(String),
    Maintenance(String),
}

/// Verdicts in the language.
pub(super) const LANGUAGE: &[Function] = &[
    Function {
        name: "healthy",
        group: Group::Verdict,
        forms: &["", "note: text"],
        returns: "verdict",
        summary: "Serve. What the rules say still counts.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "return healthy(\"all well\");",
    },
    Function {
        name: "adjust",
        group: Group::Verdict,
        forms: &["delta: number, why: text"],
        returns: "verdict",
        summary: "Serve, with the priority changed by `delta`, -253 to 253.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "if !peer.alive { return adjust(-50, \"alone\"); }",
    },
    Function {
        name: "fault",
        group: Group::Verdict,
        forms: &["why: text"],
        returns: "verdict",
        summary: "Give the address up, whatever the rules say.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "if !file(\"/srv/data\").exists { return fault(\"no data\"); }",
    },
    Function {
        name: "hold",
        group: Group::Verdict,
        forms: &["why: text"],
        returns: "verdict",
        summary: "Freeze the role: no take-over, no release.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "if file(\"/run/backup.lock\").exists { return hold(\"a backup runs\"); }",
    },
    Function {
        name: "maintenance",
        group: Group::Verdict,
        forms: &["why: text"],
        returns: "verdict",
        summary: "Stand down quietly, without alarm.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "if file(\"/etc/ha/maintenance\").exists { return maintenance(\"flag file\"); }",
    },
];

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Explicit>("verdict")
        .register_fn("healthy", || Explicit::Healthy(String::new()))
        .register_fn("healthy", |note: &str| Explicit::Healthy(text::cut(note)))
        .register_fn("adjust", |call: NativeCallContext<'_>, delta: i64, why: &str| -> Outcome<Explicit> {
            let delta = i32::try_from(delta).ok().filter(|delta| (-253..=253).contains(delta));
            let delta = delta.ok_or_else(|| failed(&call, "adjust takes a change from -253 to 253"))?;
            Ok(Explicit::Adjust(delta, text::cut(why)))
        })
        .register_fn("fault", |why: &str| Explicit::Fault(text::cut(why)))
        .register_fn("hold", |why: &str| Explicit::Hold(text::cut(why)))
        .register_fn("maintenance", |why: &str| Explicit::Maintenance(text::cut(why)));
}
