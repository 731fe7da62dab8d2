//! What `tcp`, `udp` and `unix_socket` have in common: something is said, and something is expected of what comes back.
//!
//! The answer is judged as the text that a policy reads in `data`, by the real probes and by a test's fakes alike.

use rhai::Dynamic;

use super::{Field, Fields, pattern::Pattern};
use crate::policy::{
    language::{Choice, Fact, choice, fact},
    options::Options,
};

pub(super) const SEND: Choice = choice("send", "text", "", "What to send.");
pub(super) const EXPECT: Choice = choice("expect", "text", "", "Text that the answer must contain.");
pub(super) const EXPECT_RE: Choice =
    choice("expect_re", "text", "", "Regular expression that must be found in the answer.");
pub(super) const DATA: Fact = fact("data", "text", "What was received, up to 64 KiB.");

/// One side of a conversation, and what the other side should say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// What to send; nothing if empty.
    pub send: Vec<u8>,
    /// What the answer, as it is shown, must contain.
    pub expect: Option<String>,
    /// What must be found in the answer, as it is shown.
    pub expect_re: Option<Pattern>,
    /// Bytes are written and shown as hexadecimal digits.
    pub hex: bool,
}

impl Talk {
    /// A conversation in plain text.
    pub(super) fn text(options: &Options<'_>) -> Result<Self, String> {
        Ok(Self {
            send: options.text("send")?.unwrap_or_default().into_bytes(),
            expect: options.text("expect")?,
            expect_re: Pattern::read(options, "expect_re")?,
            hex: false,
        })
    }

    /// A conversation in hexadecimal digits.
    pub(super) fn hex(options: &Options<'_>) -> Result<Self, String> {
        let digits = |option: &str| -> Result<Option<Vec<u8>>, String> {
            let Some(text) = options.text(option)? else { return Ok(None) };
            let bytes = bytes(&text).ok_or_else(|| format!("{option}: \"{text}\" is not hexadecimal, as \"00 1f\" is"));
            bytes.map(Some)
        };
        Ok(Self {
            send: digits("send")?.unwrap_or_default(),
            expect: digits("expect")?.map(|bytes| digits_of(&bytes)),
            expect_re: Pattern::read(options, "expect_re")?,
            hex: true,
        })
    }

    /// Something is expected of the answer.
    #[must_use]
    pub const fn expects(&self) -> bool {
        self.expect.is_some() || self.expect_re.is_some()
    }

    /// What was received, as a policy reads it.
    #[must_use]
    pub fn show(&self, data: &[u8]) -> String {
        if self.hex { digits_of(data) } else { String::from_utf8_lossy(data).into_owned() }
    }

    /// Whether an answer, as it is shown, is the expected one.
    ///
    /// # Errors
    ///
    /// What it lacks.
    pub fn judge(&self, shown: &str) -> Result<(), String> {
        if let Some(wanted) = self.expect.as_ref().filter(|wanted| !self.contains(shown, wanted)) {
            return Err(format!("no {wanted:?} in the answer"));
        }
        match self.expect_re.as_ref().filter(|pattern| !pattern.is_in(shown)) {
            Some(pattern) => Err(format!("nothing like {:?} in the answer", pattern.as_str())),
            None => Ok(()),
        }
    }

    /// Half of one byte and half of the next are no byte.
    fn contains(&self, shown: &str, wanted: &str) -> bool {
        if !self.hex {
            return shown.contains(wanted);
        }
        (0..=shown.len()).step_by(2).any(|at| shown.get(at..).is_some_and(|rest| rest.starts_with(wanted)))
    }

    /// The answer of a server of which a test says nothing; not known where only an expression describes it.
    pub(super) fn usual(&self) -> Option<(&'static str, Field)> {
        let data = self.expect.as_deref().unwrap_or_default();
        self.expect_re.is_none().then(|| ("data", Field::text(data)))
    }

    /// What a test's answer means: one that is not told is as it should be.
    pub(super) fn judge_fields(&self, fields: &Fields, good: &str) -> (bool, String) {
        let verdict = if fields.contains_key("data") { self.judge(Field::text_in(fields, "data")) } else { Ok(()) };
        (verdict.is_ok(), verdict.err().unwrap_or_else(|| good.to_owned()))
    }
}

/// `"00 1f"`, `"001F"`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_whole = rest.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    is_whole.then(|| pairs.iter().map(byte).collect::<Option<Vec<_>>>())?
}

fn digits_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `HOST:PORT`, as it was written.
pub(super) fn endpoint(target: &Dynamic) -> Result<String, String> {
    let target = target.to_string();
    let port = target.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0) {
        Some(_) => Ok(target),
        None => Err(format!("\"{target}\" has no port; write \"192.168.0.22:25\" or \"[fd00::1]:25\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_bytes_and_back() {
        assert_eq!(bytes("00 1F ff"), Some(vec![0, 31, 255]));
        assert_eq!(bytes(""), Some(Vec::new()));
        for bad in ["0", "0g", "+1", "0x1f"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        assert_eq!(digits_of(&[0, 31, 255]), "001fff");
    }

    #[test]
    fn a_byte_is_not_found_between_two_others() {
        let talk = Talk { expect: Some("01".to_owned()), hex: true, ..Talk::default() };
        assert!(talk.judge("ff01").is_ok());
        assert_eq!(talk.judge("f01f"), Err("no \"01\" in the answer".to_owned()));
    }

    #[test]
    fn an_endpoint_has_a_host_and_a_port() {
        assert!(endpoint(&"[fd00::1]:25".into()).is_ok());
        for bad in ["192.168.0.22", ":25", "h:", "h:0", "h:70000"] {
            assert!(endpoint(&bad.into()).is_err(), "{bad}");
        }
    }
}
