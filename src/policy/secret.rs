//! Secrets: a policy names them, and never has them.
//!
//! The value of `secret("db")` is the name alone. Whoever performs a probe or an action looks the secret up at the moment it
//! is used, so there is nothing here that a log, a report, an error or a state file could give away, and a secret that is
//! changed counts from its next use. A test's fake never sees one.

use std::fmt;

/// Characters a name may have: it becomes the name of a file.
const LONGEST_NAME: usize = 128;

/// A secret by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    name: String,
}

/// What an option takes that is often secret and need not be.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretOrText {
    /// Looked up when it is used.
    Secret(Secret),
    /// As it stands in the policy.
    Text(String),
}

impl Secret {
    /// The secret of that name.
    ///
    /// # Errors
    ///
    /// The name is empty, long, begins with a dot or has something else in it than letters, digits, `.`, `_` and `-`.
    pub fn named(name: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || name.starts_with('.') || !name.chars().all(plain) {
            return Err(format!(
                "\"{name}\" cannot be the name of a secret: it is the name of a file, of letters, digits, \".\", \"_\" \
                 and \"-\", up to {LONGEST_NAME}"
            ));
        }
        Ok(Self { name: name.to_owned() })
    }

    /// What it is called; no secret itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Where a policy shows it, nothing is told.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A text in its place is as secret.
impl fmt::Debug for SecretOrText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_name_of_a_file_and_leads_nowhere_else() {
        for good in ["db", "db.password", "API_TOKEN-2"] {
            assert_eq!(Secret::named(good).unwrap().name(), good);
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "../shadow", "a b", "a\0b", "é", &"x".repeat(129)] {
            assert!(Secret::named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn it_shows_as_stars_and_so_does_a_text_in_its_place() {
        let secret = Secret::named("db").unwrap();
        let text = SecretOrText::Text("hunter2".to_owned());
        assert_eq!(
            format!("{secret} {secret:?} {:?} {text:?}", SecretOrText::Secret(secret.clone())),
            "*** *** *** ***"
        );
    }
}
