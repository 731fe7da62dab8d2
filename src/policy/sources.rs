//! The texts of one policy: its own and those of every module that it imports, by whatever way.
//!
//! This floor reads no file: whoever loads a policy says how a module's text is found. Modules named `std/…` come from
//! this program and have its version.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
};

use sha2::{Digest, Sha256};

use super::{Engine, lint::Outline, suggest};

/// Modules one policy may import, directly and by each other.
pub const MOST_MODULES: usize = 32;
/// The longest all texts of one policy may be together, in bytes.
pub const LONGEST_TOGETHER: usize = 1024 * 1024;
/// The longest name of a module.
const LONGEST_NAME: usize = 128;

/// What comes with this program.
const STANDARD: &[(&str, &str)] = &[
    ("std/alert", include_str!("std/alert.rhai")),
    ("std/conntrackd", include_str!("std/conntrackd.rhai")),
    ("std/dns", include_str!("std/dns.rhai")),
    ("std/docker", include_str!("std/docker.rhai")),
    ("std/haproxy", include_str!("std/haproxy.rhai")),
    ("std/k8s_apiserver", include_str!("std/k8s_apiserver.rhai")),
    ("std/patroni", include_str!("std/patroni.rhai")),
    ("std/router", include_str!("std/router.rhai")),
    ("std/web", include_str!("std/web.rhai")),
];

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What problems and reports call it.
    pub file: String,
    /// Its content.
    pub text: String,
}

/// Every text of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    main: Text,
    /// By the names in `import`; or why there is no such module.
    modules: BTreeMap<String, Result<Text, String>>,
}

impl Sources {
    /// Of a policy that may import `std/…` only.
    #[must_use]
    pub fn alone(engine: &Engine, file: &str, text: &str) -> Self {
        let main = Text { file: file.to_owned(), text: text.to_owned() };
        Self::gather(engine, main, |_| Err("only `std/…` can be imported here".to_owned()))
    }

    /// Of a policy and everything that it imports. `find` gives the text of a module whose name is beneath the policy
    /// directory (`lib/web`, without the ending), or says why there is none. It is asked once for each name, for at most
    /// [`MOST_MODULES`] names.
    pub fn gather(engine: &Engine, main: Text, mut find: impl FnMut(&str) -> Result<Text, String>) -> Self {
        let mut length = main.text.len();
        let mut modules: BTreeMap<String, Result<Text, String>> = BTreeMap::new();
        let mut ahead: VecDeque<String> = imported(engine, &main.text).into();
        while let Some(name) = ahead.pop_front() {
            if modules.contains_key(&name) {
                continue;
            }
            if modules.len() == MOST_MODULES {
                let why = format!("a policy and its modules import more than {MOST_MODULES} modules");
                modules.insert(name, Err(why));
                break;
            }
            let mut text = named(&name).and_then(|()| standard(&name).unwrap_or_else(|| find(&name)));
            if let Ok(found) = &text {
                length += found.text.len();
                if length > LONGEST_TOGETHER {
                    let kib = LONGEST_TOGETHER / 1024;
                    text = Err(format!("the texts of the policy have more than {kib} KiB together"));
                }
            }
            if let Ok(found) = &text {
                ahead.extend(imported(engine, &found.text));
            }
            modules.insert(name, text);
        }
        Self { main, modules }
    }

    /// The policy's own text.
    #[must_use]
    pub const fn main(&self) -> &Text {
        &self.main
    }

    /// Every module, by name; or why there is none.
    #[must_use]
    pub const fn modules(&self) -> &BTreeMap<String, Result<Text, String>> {
        &self.modules
    }

    /// Every text there is, the policy's own first.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        std::iter::once(&self.main).chain(self.modules.values().filter_map(|text| text.as_ref().ok()))
    }

    /// The text of a file as reports call it; empty if it is none of these.
    #[must_use]
    pub fn text_of(&self, file: &str) -> &str {
        self.texts().find(|text| text.file == file).map_or("", |text| text.text.as_str())
    }

    /// The identity of all texts together: SHA-256 in lower-case hexadecimal. Without imports it is the file's own.
    #[must_use]
    pub fn sha256(&self) -> String {
        let own = sha256_of(self.main.text.as_bytes());
        if self.modules.is_empty() {
            return own;
        }
        let list = self.modules.iter().fold(own, |mut list, (name, text)| {
            let sum = text.as_ref().map_or_else(|_| "-".to_owned(), |text| sha256_of(text.text.as_bytes()));
            // Writing into a String cannot fail.
            let _ = write!(list, "\n{sum}  {name}");
            list
        });
        sha256_of(list.as_bytes())
    }
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The modules of this program, by name.
pub fn standard_modules() -> impl Iterator<Item = (&'static str, &'static str)> {
    STANDARD.iter().copied()
}

/// Why there is no such module is said by lint, which also sees what does not parse.
fn imported(engine: &Engine, text: &str) -> Vec<String> {
    if text.len() > LONGEST_TOGETHER {
        return Vec::new();
    }
    let Ok(ast) = engine.parse(text) else { return Vec::new() };
    Outline::of(&ast).imports.into_iter().filter_map(|import| import.path).collect()
}

fn named(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_name = |segment: &str| !segment.is_empty() && segment.chars().all(plain);
    if name.len() <= LONGEST_NAME && name.split('/').all(is_name) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name of a module: write it as it lies beneath the policy directory, without the ending, as in \"lib/web\""
    ))
}

fn standard(name: &str) -> Option<Result<Text, String>> {
    name.strip_prefix("std/")?;
    let found = STANDARD.iter().find(|(known, _)| *known == name);
    Some(match found {
        Some((_, text)) => Ok(Text { file: name.to_owned(), text: (*text).to_owned() }),
        None => {
            let known = || STANDARD.iter().map(|(known, _)| *known);
            let hint = match (holder(name), suggest::closest(name, known())) {
                (Some((module, function)), _) => format!("`{function}` is a function of `{module}`: import that"),
                (None, Some(meant)) => format!("did you mean `{meant}`?"),
                (None, None) => format!("it has {}", known().collect::<Vec<_>>().join(", ")),
            };
            Err(format!("this version of ha has no module `{name}`; {hint}"))
        }
    })
}

/// The module with a function that is called as this module would be: services are looked for by their names.
fn holder(name: &str) -> Option<(&'static str, &str)> {
    let function = name.strip_prefix("std/")?;
    let begins = format!("fn {function}(");
    let has = |text: &str| text.lines().any(|line| line.starts_with(&begins));
    STANDARD.iter().find(|(_, text)| has(text)).map(|(module, _)| (*module, function))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(main: &str, modules: &[(&str, &str)]) -> Sources {
        let main = Text { file: "p.rhai".into(), text: main.into() };
        Sources::gather(&Engine::new(), main, |name| {
            let found = modules.iter().find(|(known, _)| *known == name);
            found
                .map(|(_, text)| Text { file: format!("{name}.rhai"), text: (*text).into() })
                .ok_or_else(|| format!("{name}.rhai does not exist"))
        })
    }

    #[test]
    fn what_modules_import_belongs_to_the_policy() {
        let sources = gather(
            "import \"lib/a\" as a; import \"lib/gone\" as g;",
            &[("lib/a", "import \"lib/b\" as b;"), ("lib/b", "import \"lib/a\" as a;")],
        );
        assert_eq!(sources.modules().keys().collect::<Vec<_>>(), ["lib/a", "lib/b", "lib/gone"]);
        assert_eq!(sources.modules()["lib/gone"], Err("lib/gone.rhai does not exist".to_owned()));
        assert_eq!(sources.text_of("lib/b.rhai"), "import \"lib/a\" as a;");
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["../secret", "/etc/passwd", "lib//a", "lib/./a", "", "a.rhai", "lib/a\\n"] {
            let sources = gather(&format!("import \"{name}\" as a;"), &[(name, "")]);
            assert!(sources.modules().values().all(Result::is_err), "{name}");
        }
    }

    #[test]
    fn a_module_that_is_not_there_is_guessed() {
        let said = |name: &str| standard(name).unwrap().unwrap_err();
        let nginx = "this version of ha has no module `std/nginx`; `nginx` is a function of `std/web`: import that";
        assert_eq!(said("std/nginx"), nginx);
        assert!(said("std/patronni").ends_with("did you mean `std/patroni`?"), "{}", said("std/patronni"));
        assert!(said("std/mysql").contains("it has std/alert, std/conntrackd"), "{}", said("std/mysql"));
    }

    #[test]
    fn the_identity_is_of_all_texts() {
        let with = |text| gather("import \"lib/a\" as a;", &[("lib/a", text)]).sha256();
        assert_eq!(with("1"), with("1"));
        assert_ne!(with("1"), with("2"));
        assert_eq!(gather("abc", &[]).sha256(), sha256_of(b"abc"));
    }

    #[test]
    fn so_many_and_no_more() {
        let names: Vec<String> = (0..40).map(|number| format!("lib/m{number}")).collect();
        let main: String =
            names.iter().enumerate().map(|(at, name)| format!("import \"{name}\" as m{at};\n")).collect();
        let modules: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "fn f() {}")).collect();
        let sources = gather(&main, &modules);
        assert_eq!(sources.modules().len(), MOST_MODULES + 1);
        assert_eq!(sources.modules().values().filter(|text| text.is_err()).count(), 1);
    }

    #[test]
    fn all_texts_together_are_bounded() {
        let long = format!("//{}", "x".repeat(LONGEST_TOGETHER / 2));
        let sources = gather("import \"lib/a\" as a; import \"lib/b\" as b;", &[("lib/a", &long), ("lib/b", &long)]);
        assert!(sources.modules()["lib/a"].is_ok());
        assert!(sources.modules()["lib/b"].as_ref().unwrap_err().contains("together"));
    }
}
