//! `time_sync`: is this machine's clock held to a better one?

use std::time::Duration;

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, fact},
    options::Options,
};

/// [`ProbeKind::TimeSync`] takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSyncRequest;

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "time_sync",
        group: Group::Probe,
        forms: &["", "options: map"],
        returns: "probe",
        summary: "Asks the kernel whether something (chrony, ntpd, systemd-timesyncd) holds its clock to a better one. Ok: \
                  synchronised. Changes nothing.",
        options: &[],
        fields: &[
            fact("synced", "truth", "Synchronised (adjtimex(2) without STA_UNSYNC)."),
            fact("offset", "number", "Seconds that the kernel has yet to correct; chrony reports 0 here."),
        ],
        privilege: "",
        example: "watch(\"clock\", time_sync());",
    },
    target: Target::Nothing,
    reach: Reach::Machine,
    read,
};

fn read(_: &Dynamic, _: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::TimeSync(TimeSyncRequest))
}

impl Asked for TimeSyncRequest {
    fn target(&self) -> String {
        String::new()
    }

    fn usual(&self) -> Fields {
        Fields::from([("synced", Field::Bool(true)), ("offset", Field::Float(0.0))])
    }

    fn silence(&self) -> Fields {
        Fields::from([("synced", Field::Bool(false))])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let synced = Field::is_true_in(fields, "synced");
        (synced, if synced { "synchronised" } else { "not synchronised" }.to_owned())
    }

    fn not_ok(&self, _: Duration) -> String {
        "not synchronised".to_owned()
    }
}
