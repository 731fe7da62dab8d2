//! A network namespace, by its name or its path.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{error::Findings, table::Written};

/// Where `ip netns add` puts them.
const NAMED: &str = "/run/netns";

/// A network namespace: a name, or the absolute path of what stands for one that has no name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Netns(String);

impl Netns {
    /// Reads it, whatever else is wrong with the text of a configuration. `None` if there is none to be found.
    #[must_use]
    pub fn named_in(text: &str) -> Option<Self> {
        let table: toml::Table = text.parse().ok()?;
        Self::of(table.get("netns")?.as_str()?)
    }

    /// What a command line or a key names; `None` if it cannot be one. One with a name is called by it, however it is written.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let named = ["/run/netns/", "/var/run/netns/"].iter().find_map(|place| text.strip_prefix(place));
        let text = named.filter(|name| !name.contains('/')).unwrap_or(text);
        let is_name = !text.is_empty() && text.len() <= 255 && ![".", ".."].contains(&text);
        let plain = !text.contains(|letter: char| letter.is_control());
        let fits = if text.starts_with('/') { text.len() < 4096 } else { is_name && !text.contains('/') };
        (fits && plain).then(|| Self(text.to_owned()))
    }

    /// Its name as a part of the name of a file: no two are the same.
    #[must_use]
    pub fn file_name(&self) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let byte = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        self.0.bytes().map(byte).collect()
    }

    /// The network that has this [`file_name`](Self::file_name).
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(name.len());
        let mut rest = name.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => u8::from_str_radix(str::from_utf8(&[rest.next()?, rest.next()?]).ok()?, 16).ok()?,
                byte => byte,
            });
        }
        Self::of(&String::from_utf8(bytes).ok()?)
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
        assert_eq!(Netns::of("/run/netns/blue"), Netns::of("blue"), "one place, one name");
        assert_eq!(Netns::of("/var/run/netns/blue"), Netns::of("blue"));
        for no in ["", ".", "..", "a/b", "../x", "a\nb", "a\0", "/run/netns/", "/run/netns/.."] {
            assert_eq!(path(no), None, "{no:?}");
        }
    }

    #[test]
    fn no_two_have_the_same_file() {
        let name = |text| Netns::of(text).unwrap().file_name();
        assert_eq!(name("blue-1.x"), "blue-1.x");
        assert_eq!(name("/proc/1/ns/net"), "%2Fproc%2F1%2Fns%2Fnet");
        assert_ne!(name("%2Fproc%2F1%2Fns%2Fnet"), name("/proc/1/ns/net"));
        assert_ne!(name("a b"), name("a_b"));
        for text in ["blue", "/proc/1/ns/net", "a b", "%2F", "grün"] {
            assert_eq!(Netns::of_file_name(&name(text)), Netns::of(text), "{text}");
        }
        for no in ["%", "%2", "%zz", "%FF", "..", ""] {
            assert_eq!(Netns::of_file_name(no), None, "{no}");
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
