//! What an instance tracks, looked at once on this machine, and what follows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::would::Would;
use crate::{
    cli::{Code, output::wrap, paint::Paint},
    config::{Config, Instance},
    daemon, linux,
    node::Tracked,
};

/// What is tracked, by the name of the instance.
#[derive(Debug)]
pub(super) struct AllTracked(BTreeMap<String, Tracked>);

impl AllTracked {
    /// As it is on this machine now.
    pub(super) fn look(config: &Config) -> Self {
        let links =
            linux::snapshot().unwrap_or_default().into_iter().map(|(link, _)| (link.name.clone(), link)).collect();
        let facts = daemon::look_at_tracked(config);
        let of = |instance: &Instance| (instance.name.clone(), Tracked::seen(&instance.tracks, &links, &facts));
        Self(config.instances.iter().map(of).collect())
    }

    /// By an instance. One that the configuration does not have tracks nothing.
    pub(super) fn by(&self, instance: &str) -> &Tracked {
        static NOTHING: Tracked = Tracked::nothing();
        self.0.get(instance).unwrap_or(&NOTHING)
    }
}

/// What an instance tracks, for whoever reads it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) instance: String,
    pub(super) tracked: Tracked,
    /// What the node would do, where no policy of the instance says so already.
    would: Option<Would>,
}

impl Watched {
    /// `None` if it tracks nothing.
    pub(super) fn of(instance: &Instance, tracked: &Tracked, would: &Would) -> Option<Self> {
        tracked.findings().next()?;
        let would = instance.policies.is_empty().then(|| would.clone());
        Some(Self { instance: instance.name.clone(), tracked: tracked.clone(), would })
    }

    /// 0 while everything is well, 2 while it is not.
    pub(super) fn code(&self) -> Code {
        if self.tracked.is_well() { Code::OK } else { Code(2) }
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let mut text = format!("\n{} by {}\n", paint.strong("tracked"), self.instance);
        for (name, why) in self.tracked.findings() {
            text += &match why {
                None => format!("{} {name}\n", paint.good("✔")),
                Some(why) => format!("{} {}\n", paint.bad("✘"), wrap(why, 2)),
            };
        }
        let sentences = self.would.iter().flat_map(Would::sentences);
        let sentences: String = sentences.map(|sentence| format!("  → {}\n", wrap(&sentence, 4))).collect();
        text + sentences.as_str()
    }

    pub(super) fn document(&self) -> Value {
        let findings =
            self.tracked.findings().map(|(name, why)| json!({ "name": name, "well": why.is_none(), "why": why }));
        json!({
            "instance": self.instance,
            "tracked": findings.collect::<Vec<_>>(),
            "would": self.would.as_ref().map(Would::document),
        })
    }
}
