//! A configuration of keepalived, whatever is in it: it is refused, or what comes of it loads, and its policies do too.

use std::sync::LazyLock;

use ha::{
    config::{self, Facts},
    import::{Files, Machine, import},
    policy::{Engine, Policy},
};

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);

struct Nothing;

impl Files for Nothing {
    fn list(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn exists(&self, _: &str) -> bool {
        false
    }

    fn read(&self, _: &str) -> Result<String, String> {
        Err("there are no files".to_owned())
    }
}

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let machine = Machine { name: "node1".to_owned(), id: "node1".to_owned() };
    let imported = import("keepalived.conf", text, &machine, &Nothing);
    let _ = imported.explanation();
    if imported.is_refused() {
        return;
    }
    for output in &imported.outputs {
        if output.path == "ha.toml" {
            let loaded = config::parse(&output.text, "/etc/ha/ha.toml".as_ref(), &Facts::default());
            assert!(loaded.is_ok(), "{}", output.text);
        } else if output.path.ends_with(".rhai") {
            assert!(Policy::load(&ENGINE, "imported", &output.path, &output.text).is_ok(), "{}", output.text);
        }
    }
}
