//! Version 2's authentication (RFC 2338 section 5.3.6): none, or eight bytes of clear text. It keeps two routers apart
//! that were given the same number by mistake; it protects against nobody who can listen.

use std::fmt;

use super::Rejection;

/// The authentication an advertisement carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AuthField {
    /// Type 0, and everything in version 3. The eight bytes mean nothing.
    None,
    /// Type 1: simple text, padded with zeros.
    Pass([u8; 8]),
    /// Any other type; its data is not looked at.
    Other(u8),
}

impl AuthField {
    /// Whether a node with this password (or none) may believe the sender. Compares in constant time.
    ///
    /// # Errors
    /// [`Rejection::AuthType`] if only one of the two has a password or the type is unknown, [`Rejection::AuthData`]
    /// if the passwords differ.
    pub fn admit(self, ours: Option<&[u8; 8]>) -> Result<(), Rejection> {
        match (self, ours) {
            (Self::None, None) => Ok(()),
            (Self::Pass(theirs), Some(ours)) if same(&theirs, ours) => Ok(()),
            (Self::Pass(_), Some(_)) => Err(Rejection::AuthData),
            (Self::None, Some(_)) | (Self::Pass(_), None) | (Self::Other(_), _) => Err(Rejection::AuthType),
        }
    }
}

/// A password does not belong into a log, not even one that travels in clear text.
impl fmt::Debug for AuthField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Pass(_) => f.write_str("Pass(..)"),
            Self::Other(number) => write!(f, "Other({number})"),
        }
    }
}

/// The field for a password: its first eight bytes, padded with zeros.
#[must_use]
pub fn auth_data(password: &str) -> [u8; 8] {
    let mut data = [0; 8];
    for (to, from) in data.iter_mut().zip(password.bytes()) {
        *to = from;
    }
    data
}

fn same(a: &[u8; 8], b: &[u8; 8]) -> bool {
    std::hint::black_box(u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)) == 0
}

#[cfg(test)]
mod tests {
    use super::{AuthField, Rejection, auth_data};

    const OURS: [u8; 8] = *b"secret\0\0";

    #[test]
    fn the_same_on_both_sides_is_admitted() {
        assert_eq!(AuthField::None.admit(None), Ok(()));
        assert_eq!(AuthField::Pass(OURS).admit(Some(&OURS)), Ok(()));
    }

    /// RFC 3768, 7.1: a packet whose type is not the configured one MUST be discarded; so too without a password here.
    #[test]
    fn another_type_is_rejected_as_type() {
        assert_eq!(AuthField::None.admit(Some(&OURS)), Err(Rejection::AuthType));
        assert_eq!(AuthField::Pass(OURS).admit(None), Err(Rejection::AuthType));
        assert_eq!(AuthField::Other(2).admit(None), Err(Rejection::AuthType));
        assert_eq!(AuthField::Other(2).admit(Some(&OURS)), Err(Rejection::AuthType));
    }

    #[test]
    fn a_password_wrong_in_any_byte_is_rejected_as_data() {
        for byte in 0..8 {
            let mut theirs = OURS;
            theirs[byte] ^= 1;
            assert_eq!(AuthField::Pass(theirs).admit(Some(&OURS)), Err(Rejection::AuthData));
        }
    }

    #[test]
    fn a_password_is_padded_with_zeros_and_cut_at_eight_bytes() {
        assert_eq!(auth_data(""), [0; 8]);
        assert_eq!(auth_data("secret"), OURS);
        assert_eq!(auth_data("supersecret123"), *b"supersec");
    }

    #[test]
    fn a_password_is_not_printed() {
        assert_eq!(format!("{:?}", AuthField::Pass(OURS)), "Pass(..)");
    }
}
