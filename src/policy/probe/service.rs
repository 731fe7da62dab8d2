//! `service`: a systemd unit.

use std::time::Duration;

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, text},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, fact},
    options::Options,
};

/// Options of [`ProbeKind::Service`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRequest {
    /// The unit; `.service` unless it says otherwise.
    pub unit: String,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "service",
        group: Group::Probe,
        forms: &["unit: text", "unit: text, options: map"],
        returns: "probe",
        summary: "A systemd unit, asked on the system bus without starting a process. Ok: active.",
        options: &[],
        fields: &[
            fact("active", "truth", "It is active."),
            fact("state", "text", "ActiveState, such as active, inactive, failed or activating."),
            fact("sub", "text", "SubState, such as running, dead or exited."),
            fact("restarts", "number", "How often systemd restarted it."),
            fact("since", "number", "Seconds since its state changed."),
        ],
        privilege: "",
        example: "require(\"nginx unit\", service(\"nginx\"), #{ fall: 2 });",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, _: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Service(ServiceRequest { unit: text(target) }))
}

impl Asked for ServiceRequest {
    fn target(&self) -> String {
        self.unit.clone()
    }

    fn usual(&self) -> Fields {
        Fields::from([("active", Field::Bool(true)), ("state", Field::text("active")), ("sub", Field::text("running"))])
    }

    fn silence(&self) -> Fields {
        Fields::from([("active", Field::Bool(false)), ("state", Field::text("inactive")), ("sub", Field::text("dead"))])
    }

    /// A test that tells only the state means that the unit is as active as that.
    fn follow(&self, told: &Fields, fields: &mut Fields) {
        if let (Some(Field::Text(state)), None) = (told.get("state"), told.get("active")) {
            fields.insert("active", Field::Bool(state == "active"));
        }
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let state = Field::text_in(fields, "state");
        (state == "active" && Field::is_true_in(fields, "active"), state.to_owned())
    }

    fn not_ok(&self, _: Duration) -> String {
        "not active".to_owned()
    }
}
