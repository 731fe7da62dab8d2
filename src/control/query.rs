//! What a request says besides its path: `?rule=data%20disk&instance=VI_1` (RFC 3986, section 3.4).

/// As it is sent.
pub(super) fn encode(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    pairs.join("&")
}

/// As it was meant; `None` if that cannot be told.
pub(super) fn decode(query: &str) -> Option<Vec<(String, String)>> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=')?;
        Some((unescaped(name)?, unescaped(value)?))
    };
    query.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let byte = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sent_is_what_was_meant(rule in ".*", instance in ".*") {
            let sent = encode(&[("rule", &rule), ("instance", &instance)]);
            prop_assert!(sent.bytes().all(|byte| byte.is_ascii_graphic()));
            let pairs = vec![("rule".to_owned(), rule), ("instance".to_owned(), instance)];
            prop_assert_eq!(decode(&sent), Some(pairs));
        }

        #[test]
        fn whatever_is_sent_is_read_or_refused(text in ".*") {
            let _ = decode(&text);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(decode(""), Some(vec![]));
        assert_eq!(
            [decode("rule"), decode("rule=%4"), decode("rule=%zz"), decode("rule=%ff")],
            [None, None, None, None]
        );
    }
}
