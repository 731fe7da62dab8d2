//! `auth.password`: the password of version 2, or the name of the secret that has it.

use super::{Auth, Config, Protocol, error::Findings, table::Written};
use crate::policy::Secret;

/// The longest password, in bytes (RFC 2338, 5.3.10).
const PASSWORD_MAX: usize = 8;
/// What stands before the name of a secret.
const SECRET: &str = "secret:";

/// What is written.
pub(super) fn auth(written: &Written<String>, out: &mut Findings) -> Auth {
    let Some((password, span)) = written.given() else { return Auth::None };
    if let Some(name) = password.strip_prefix(SECRET) {
        return Secret::named(name).map(Auth::Secret).unwrap_or_else(|why| {
            out.error(
                span,
                why,
                "write auth.password = \"secret:vrrp\", and the password into that file of secrets_dir",
            );
            Auth::Pass([0; PASSWORD_MAX])
        });
    }
    if password.is_empty() || password.contains('\0') {
        let todo = "write up to eight letters and digits, or remove auth.password to send none";
        out.error(
            span,
            "auth.password is empty or contains a zero byte: on the wire it could not be told from none",
            todo,
        );
    } else if password.len() > PASSWORD_MAX {
        let kept = String::from_utf8_lossy(password.as_bytes().get(..PASSWORD_MAX).unwrap_or_default()).into_owned();
        out.error(
            span,
            format!("auth.password is longer than {PASSWORD_MAX} bytes, which is all that version 2 carries"),
            format!(
                "a keepalived peer with the same password truncates it and sends \"{kept}\": write that, on every node"
            ),
        );
    }
    Auth::Pass(padded(password))
}

/// As it is on the wire.
fn padded(password: &str) -> [u8; PASSWORD_MAX] {
    let mut padded = [0; PASSWORD_MAX];
    for (to, from) in padded.iter_mut().zip(password.bytes()) {
        *to = from;
    }
    padded
}

/// A password that was read.
///
/// # Errors
/// It is none; the sentence does not show it.
fn password_of_text(text: &str) -> Result<[u8; PASSWORD_MAX], String> {
    if text.is_empty() || text.len() > PASSWORD_MAX || text.contains('\0') {
        return Err(format!(
            "a password of version 2 has 1 to {PASSWORD_MAX} bytes, none of them zero, and this has {}",
            text.len()
        ));
    }
    Ok(padded(text))
}

impl Config {
    /// Every password that is a secret, for whoever can read it: `read` has its text, or says why not.
    ///
    /// # Errors
    /// One sentence for each that cannot be read or is none; the others are known now.
    pub fn read_passwords(&mut self, read: impl Fn(&Secret) -> Result<String, String>) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        for instance in &mut self.instances {
            let Protocol::V2(Auth::Secret(secret)) = &instance.protocol else { continue };
            match read(secret)
                .and_then(|text| password_of_text(&text).map_err(|why| format!("{}: {why}", secret.name())))
            {
                Ok(password) => instance.protocol = Protocol::V2(Auth::Pass(password)),
                Err(why) => errors.push(format!("{}: auth.password: {why}", instance.name)),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::config::fixture;

    #[test]
    fn a_password_that_is_a_secret_is_read_once_and_never_shown() {
        let (mut config, _) = fixture::pair();
        let secret = Auth::Secret(Secret::named("vrrp").unwrap());
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        config.instances[0].protocol = Protocol::V2(secret);
        let of = |text: &str| {
            let mut config = config.clone();
            let read = |secret: &Secret| (secret.name() == "vrrp").then(|| text.to_owned()).ok_or_else(String::new);
            let done = config.read_passwords(read);
            (done, config.instances[0].protocol.clone())
        };
        assert_eq!(of("2222"), (Ok(()), Protocol::V2(Auth::Pass(*b"2222\0\0\0\0"))));
        for bad in ["ninebytes", "", "a\0b"] {
            let (done, protocol) = of(bad);
            let why = done.unwrap_err().concat();
            assert!(why.starts_with("VI_1: auth.password: vrrp: a password of version 2 has 1 to 8 bytes"), "{why}");
            assert!(bad.is_empty() || !why.contains(bad));
            assert!(matches!(protocol, Protocol::V2(Auth::Secret(_))), "still not known");
        }
    }
}
