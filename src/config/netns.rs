//! The network namespace that the whole daemon works in.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{error::Findings, table::Written};

/// Where `ip netns add` puts them.
const NAMED: &str = "/run/netns";

/// A network namespace: a name, or the absolute path of what stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns(String);

impl Netns {
    /// Reads it, whatever else is wrong with the text of a configuration. `None` if there is none to be found.
    #[must_use]
    pub fn named_in(text: &str) -> Option<Self> {
        let table: toml::Table = text.parse().ok()?;
        Self::of(table.get("netns")?.as_str()?)
    }

    fn of(text: &str) -> Option<Self> {
        let is_name = !text.is_empty() && text.len() <= 255 && ![".", ".."].contains(&text);
        let plain = !text.contains(|letter: char| letter.is_control());
        let fits = if text.starts_with('/') { text.len() < 4096 } else { is_name && !text.contains('/') };
        (fits && plain).then(|| Self(text.to_owned()))
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(NAMED).join(&self.0)
    }
}

impl fmt::Display for Netns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

pub(super) fn resolve(written: &Written<String>, out: &mut Findings) -> Option<Netns> {
    let (text, span) = written.given()?;
    let netns = Netns::of(text);
    if netns.is_none() {
        let what = format!("{} cannot be the name of a network namespace", out.text(&span));
        out.error(span, what, "write the name that `ip netns list` shows, or the absolute path of one");
    }
    netns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lies_where_ip_puts_it_and_a_path_where_it_is() {
        let path = |text| Netns::of(text).map(|netns| netns.path());
        assert_eq!(path("blue").as_deref(), Some(Path::new("/run/netns/blue")));
        assert_eq!(path("/proc/1/ns/net").as_deref(), Some(Path::new("/proc/1/ns/net")));
        for no in ["", ".", "..", "a/b", "../x", "a\nb", "a\0"] {
            assert_eq!(path(no), None, "{no:?}");
        }
    }

    #[test]
    fn it_is_found_in_a_text_that_is_wrong_otherwise() {
        assert_eq!(Netns::named_in("nonsense = 1\nnetns = \"blue\"\n"), Netns::of("blue"));
        assert_eq!(Netns::named_in("[instance.A]\nnetns = \"blue\"\n"), None);
        assert_eq!(Netns::named_in("netns = 1\n"), None);
        assert_eq!(Netns::named_in("netns = "), None);
    }
}
