//! The routes and rules that an instance sets while it holds its addresses: after them, and gone before them.
//!
//! They have no lease: who looks after them when this process dies are the keeper, the next daemon, and `ha release`.

use super::{
    Output,
    instance::{Instance, Outbox},
    output::Routes,
};
use crate::{config::Routing, words::Instant};

/// The condition that they are not as they should be.
const CONDITION: &str = "routes";

impl Instance {
    /// They are there from now on, or still.
    pub(super) fn set_routes(&self, now: Instant, out: &mut Outbox) {
        if !self.config.routing.is_empty() {
            let wanted = self.config.routing.clone();
            out.push_back(self.routes(wanted, Some(now + self.interval())));
        }
    }

    /// None of them is there any more.
    pub(super) fn drop_routes(&self, out: &mut Outbox) {
        if !self.config.routing.is_empty() {
            out.push_back(self.routes(Routing::default(), None));
        }
    }

    /// What was left behind where the interface, and with it the question who serves, is not there: it waits for nobody.
    pub(super) fn let_go_of_routes_at_start(&mut self, out: &mut Outbox) {
        if std::mem::take(&mut self.is_new) && !self.knows_all_places() {
            self.drop_routes(out);
        }
    }

    /// Others than those that are there.
    pub(super) fn exchange_routes(&self, now: Instant, out: &mut Outbox) {
        out.push_back(self.routes(self.config.routing.clone(), Some(now + self.interval())));
    }

    fn routes(&self, wanted: Routing, not_after: Option<Instant>) -> Output {
        Output::Routes(Routes {
            instance: self.config.name.clone(),
            wanted,
            configured: self.config.routing.keys(),
            not_after,
        })
    }

    /// What became of them.
    pub(super) fn on_routed(&mut self, now: Instant, restored: &[String], failed: &[String], out: &mut Outbox) {
        if !restored.is_empty() {
            self.note(now, format!("somebody removed {}: it is put back", restored.join(", ")), out);
        }
        let why = (!failed.is_empty()).then(|| failed.join("; "));
        let again = if self.router.holds() {
            "; tried again after each advertisement"
        } else {
            "; tried again when this node serves again: remove it by hand"
        };
        self.condition(now, CONDITION, why.map(|why| why + again), out);
    }
}
