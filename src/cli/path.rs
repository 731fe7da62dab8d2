//! The ways of an instance's advertisements as `ha status` shows them.

use super::{judged, paint::Paint};
use crate::control::protocol::Path;

/// One line for each.
pub(super) fn text(paths: &[Path], paint: Paint) -> String {
    paths.iter().map(|path| line(path, paint)).collect()
}

fn line(path: &Path, paint: Paint) -> String {
    let mark = if path.trouble.is_some() { "!" } else { " " };
    let mut words = vec![path.interface.clone()];
    words.extend(path.source.map(|source| format!("from {source}")));
    words.push(match path.last_heard_ms {
        Some(age) => format!("heard {} ago", judged::ago(age)),
        None => "nothing heard".to_owned(),
    });
    words.extend(path.trouble.clone());
    format!("  {} path {}  {}\n", paint.doubtful(mark), path.name, words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_a_line() {
        let path = |name: &str, heard, trouble: Option<&str>| Path {
            name: name.to_owned(),
            interface: "eth1".to_owned(),
            source: "10.9.0.1".parse().ok(),
            last_heard_ms: heard,
            trouble: trouble.map(str::to_owned),
        };
        let paths = [path("primary", None, None), path("second", Some(300), Some("interface eth1 has no carrier"))];
        let expected = "    path primary  eth1, from 10.9.0.1, nothing heard\n  \
                        ! path second  eth1, from 10.9.0.1, heard 0.3 s ago, interface eth1 has no carrier\n";
        assert_eq!(text(&paths, Paint::plain()), expected);
    }
}
