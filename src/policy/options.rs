//! The options a policy gives in a map: each function knows its own, an unknown one is an error.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use rhai::{Array, Dynamic, Map};

use super::{
    duration, kind,
    language::{self, Choice},
    secret::{Secret, SecretOrText},
    suggest, text,
};

/// The options a function takes in its map; none if it takes no map.
pub(super) fn of(function: &str) -> impl Iterator<Item = &'static str> {
    language::function(function).into_iter().flat_map(language::Function::choices).map(|Choice { name, .. }| *name)
}

/// The options that the map of this option has in turn; none if it takes no map.
pub(super) fn within(function: &str, option: &str) -> &'static [Choice] {
    let choice =
        language::function(function).and_then(|function| function.choices().find(|known| known.name == option));
    choice.map_or(&[], |choice| choice.within)
}

/// That `option` is none of the options of `function`, with the one that was meant.
pub(super) fn unknown(function: &str, option: &str) -> (String, String) {
    unknown_of(function, option, &of(function).collect::<Vec<_>>())
}

/// The same, of the map that an option takes.
pub(super) fn unknown_within(outer: &str, option: &str, choices: &[Choice]) -> (String, String) {
    unknown_of(outer, option, &choices.iter().map(|choice| choice.name).collect::<Vec<_>>())
}

fn unknown_of(what: &str, option: &str, known: &[&'static str]) -> (String, String) {
    let hint = match suggest::closest(option, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("{what} has {}", known.join(", ")),
    };
    (format!("unknown option `{option}` of {what}"), hint)
}

/// The options of one call, or those in the map of one option.
pub(super) struct Options<'a> {
    function: &'a str,
    map: Cow<'a, Map>,
}

impl<'a> Options<'a> {
    /// Takes a map as the options of `function`.
    ///
    /// # Errors
    ///
    /// It has an option that the function does not know, or is too large.
    pub(super) fn new(function: &'a str, map: &'a Map) -> Result<Self, String> {
        if text::weight_of_map(map) > text::LONGEST {
            return Err(format!("the options of {function} are longer than {} KiB", text::LONGEST / 1024));
        }
        match map.keys().find(|key| !of(function).any(|known| known == key.as_str())) {
            None => Ok(Self { function, map: Cow::Borrowed(map) }),
            Some(stranger) => Err(said(unknown(function, stranger))),
        }
    }

    /// The options in the map of this option.
    ///
    /// # Errors
    ///
    /// It is no map, or has an option that nobody knows.
    pub(super) fn map<'b>(&self, option: &'b str) -> Result<Option<Options<'b>>, String> {
        let Some(value) = self.get(option) else { return Ok(None) };
        let wrong = || format!("{option} of {} takes a map, not {}", self.function, kind::of(value));
        let map = value.clone().try_cast::<Map>().ok_or_else(wrong)?;
        let known = within(self.function, option);
        match map.keys().find(|key| !known.iter().any(|known| known.name == key.as_str())) {
            None => Ok(Some(Options { function: option, map: Cow::Owned(map) })),
            Some(stranger) => Err(said(unknown_within(option, stranger, known))),
        }
    }

    /// The option as it was given; `()` counts as not given.
    pub(super) fn get(&self, option: &str) -> Option<&Dynamic> {
        self.map.get(option).filter(|value| !value.is_unit())
    }

    pub(super) fn duration(&self, option: &str, default: Duration) -> Result<Duration, String> {
        let Some(value) = self.get(option) else { return Ok(default) };
        duration::from_script(value).map_err(|why| format!("{option}: {why}"))
    }

    /// A whole number between `least` and `most`.
    pub(super) fn number<T>(&self, option: &str, default: T, least: T, most: T) -> Result<T, String>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let Some(value) = self.get(option) else { return Ok(default) };
        let number = value.as_int().ok().and_then(|number| T::try_from(number).ok());
        match number {
            Some(number) if number >= least && number <= most => Ok(number),
            Some(_) | None => Err(format!("{option}: {value} is not a whole number from {least} to {most}")),
        }
    }

    /// A limit: a number from 0 to `most`, whole or not.
    pub(super) fn limit(&self, option: &str, most: f64) -> Result<Option<f64>, String> {
        let Some(value) = self.get(option) else { return Ok(None) };
        let whole = value.as_int().ok().and_then(|number| i32::try_from(number).ok()).map(f64::from);
        match whole.or_else(|| value.as_float().ok()).filter(|number| (0.0..=most).contains(number)) {
            Some(limit) => Ok(Some(limit)),
            None => Err(format!("{option}: {value} is not a number from 0 to {most}")),
        }
    }

    pub(super) fn truth(&self, option: &str) -> Result<bool, String> {
        let Some(value) = self.get(option) else { return Ok(false) };
        value
            .as_bool()
            .map_err(|_| format!("{option} of {} takes true or false, not {}", self.function, kind::of(value)))
    }

    /// A list of texts, so many at most, of so many characters each.
    pub(super) fn texts(&self, option: &str, most: usize, longest: usize) -> Result<Vec<String>, String> {
        let Some(value) = self.get(option) else { return Ok(Vec::new()) };
        let wrong =
            || format!("{option} of {} takes a list of texts, up to {most} of {longest} letters", self.function);
        let list = value.clone().try_cast::<Array>().filter(|list| list.len() <= most).ok_or_else(wrong)?;
        let text =
            |item: Dynamic| item.into_string().ok().filter(|text| text.chars().count() <= longest).ok_or_else(wrong);
        list.into_iter().map(text).collect()
    }

    pub(super) fn text(&self, option: &str) -> Result<Option<String>, String> {
        let Some(value) = self.get(option) else { return Ok(None) };
        match value.clone().into_string() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(format!("{option} of {} takes a text, not {}", self.function, kind::of(value))),
        }
    }

    /// A text, or a secret.
    pub(super) fn secret_or_text(&self, option: &str) -> Result<Option<SecretOrText>, String> {
        self.get(option).map(|value| self.is_secret_or_text(option, value)).transpose()
    }

    /// The same of a value inside an option: an entry of a map.
    pub(super) fn is_secret_or_text(&self, option: &str, value: &Dynamic) -> Result<SecretOrText, String> {
        if let Some(secret) = value.clone().try_cast::<Secret>() {
            return Ok(SecretOrText::Secret(secret));
        }
        let text = value.clone().into_immutable_string();
        text.map(|text| SecretOrText::Text(text.to_string())).map_err(|_| {
            format!("{option} of {} takes a text or secret(\"NAME\"), not {}", self.function, kind::of(value))
        })
    }
}

fn said((message, hint): (String, String)) -> String {
    format!("{message}: {hint}")
}

/// An IP address.
pub(super) fn address(what: &str, text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{what}: \"{text}\" is not an IP address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, Dynamic)]) -> Map {
        pairs.iter().map(|(key, value)| ((*key).into(), value.clone())).collect()
    }

    #[test]
    fn an_unknown_option_names_the_one_that_was_meant() {
        let slip = map(&[("timout", "2s".into())]);
        let error = Options::new("http", &slip).err().unwrap();
        assert_eq!(error, "unknown option `timout` of http: did you mean `timeout`?");
        let stranger = map(&[("retries", 2_i64.into())]);
        let error = Options::new("service", &stranger).err().unwrap();
        assert_eq!(error, "unknown option `retries` of service: service has timeout, name");
    }

    #[test]
    fn external_belongs_to_require_only() {
        let external = map(&[("external", true.into())]);
        assert!(Options::new("require", &external).is_ok());
        for other in ["prefer", "watch", "gate"] {
            assert!(Options::new(other, &external).is_err(), "{other}");
        }
    }

    #[test]
    fn values_have_a_range_and_a_kind() {
        let given = map(&[("fall", 0_i64.into()), ("rise", "two".into()), ("external", 1_i64.into())]);
        let options = Options::new("require", &given).unwrap();
        assert_eq!(
            options.number("fall", 3_u32, 1, 1000),
            Err("fall: 0 is not a whole number from 1 to 1000".to_owned())
        );
        assert!(options.number("rise", 2_u32, 1, 1000).is_err());
        assert!(options.truth("external").is_err());
        assert_eq!(options.duration("linger", Duration::from_secs(60)), Ok(Duration::from_secs(60)));
    }
}
