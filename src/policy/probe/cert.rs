//! `cert`: a certificate in a file of this machine.

use std::{convert::identity, path::PathBuf, time::Duration};

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    file::absolute,
    kind::{Kind, Reach, text},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, choice, fact},
    options::Options,
};

const USUAL_DAYS: i64 = 90;

/// Options of [`ProbeKind::Cert`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertRequest {
    /// Absolute; PEM.
    pub path: PathBuf,
    /// For how many days it must still be valid.
    pub min_days: i64,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "cert",
        group: Group::Probe,
        forms: &["path: text", "path: text, options: map"],
        returns: "probe",
        summary: "The first certificate of a PEM file. Ok: valid now, and for `min_days` to come.",
        options: &[choice("min_days", "number", "0", "For how many days it must still be valid.")],
        fields: &[
            fact("subject", "text", "Whose it is, \"CN=www.example.org\"."),
            fact("days", "number", "Days until it ends; negative once it has."),
        ],
        privilege: "read permission on the file",
        example: "watch(\"certificate\", cert(\"/etc/ssl/certs/web.pem\", #{ min_days: 14 }));",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let min_days = options.number("min_days", 0, 0, 36_500)?;
    Ok(ProbeKind::Cert(CertRequest { path: absolute(&text(target))?, min_days }))
}

impl CertRequest {
    /// Whether this many days are enough, and what is said of them.
    ///
    /// # Errors
    ///
    /// They are not.
    pub fn verdict(&self, days: i64) -> Result<String, String> {
        match days {
            days if days < 0 => Err(format!("expired {} days ago", -days)),
            days if days < self.min_days => Err(format!("{days} days left, wanted {}", self.min_days)),
            days => Ok(format!("{days} days left")),
        }
    }
}

impl Asked for CertRequest {
    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn usual(&self) -> Fields {
        Fields::from([
            ("subject", Field::text("CN=www.example.org")),
            ("days", Field::Int(self.min_days.max(USUAL_DAYS))),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let verdict = self.verdict(Field::number_in(fields, "days"));
        (verdict.is_ok(), verdict.unwrap_or_else(identity))
    }

    fn not_ok(&self, _: Duration) -> String {
        "does not exist".to_owned()
    }
}
