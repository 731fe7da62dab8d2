//! `policies`: each a name, or a table with a weight, so that its fault moves the priority instead.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{
    error::{Findings, Span},
    instance::check_name,
    table::{Table, Written},
    track::{self, Effect},
};

const WEIGHT_MAX: i64 = 253;

/// One entry as written.
#[derive(Debug)]
pub(super) struct RawPolicy {
    place: Span,
    policy: Written<String>,
    weight: Written<i64>,
}

impl RawPolicy {
    /// Reads the list; `tables` gets the tables of its entries.
    pub(super) fn read_list<'d>(
        table: &mut Table<'d>,
        tables: &mut Vec<Table<'d>>,
        out: &mut Findings,
    ) -> Written<Vec<Self>> {
        let plain =
            |text: Spanned<String>| Self { place: text.span(), policy: Written::Given(text), weight: Written::Absent };
        track::list("policies", table, tables, plain, Self::read, out)
    }

    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self { place: table.header(), policy: table.text("policy", out), weight: table.number("weight", out) }
    }
}

/// The names, and the weights of those that have one.
pub(super) fn resolve(
    raw: &Written<Vec<RawPolicy>>,
    owner: bool,
    out: &mut Findings,
) -> (Vec<String>, BTreeMap<String, i16>) {
    let mut list: Vec<String> = Vec::new();
    let mut weights = BTreeMap::new();
    for raw in raw.given().into_iter().flat_map(|(list, _)| list) {
        if raw.policy.is_absent() {
            let todo = "write \"check_local\", or { policy = \"check_local\", weight = -20 }";
            out.error(raw.place.clone(), "an entry of policies does not say which", todo);
        }
        let effect = track::effect(&raw.weight, WEIGHT_MAX, owner, out);
        let Some((name, span)) = raw.policy.given() else { continue };
        if let Some(stem) = name.strip_suffix(".rhai") {
            out.error(span, format!("policies are named without .rhai: \"{name}\""), format!("write \"{stem}\""));
        } else if list.contains(name) {
            out.error(span, format!("the policy {name} is listed twice"), "remove one of the two");
        } else {
            check_name("a policy", name, span, out);
            list.push(name.clone());
            if let Effect::Weight(weight) = effect {
                weights.insert(name.clone(), weight);
            }
        }
    }
    (list, weights)
}
