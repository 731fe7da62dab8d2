//! The bounded script engine, one per process.

use std::{fmt, sync::Arc};

/// The script engine with every function a policy may call. One per process; a clone is the same engine.
#[derive(Clone)]
pub struct Engine(Arc<rhai::Engine>);

impl Engine {
    /// Builds the engine: about a millisecond, once.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(rhai::Engine::new_raw()))
    }

    /// The engine underneath.
    pub(super) fn rhai(&self) -> &rhai::Engine {
        &self.0
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}
