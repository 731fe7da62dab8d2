//! A value of a script as JSON (RFC 8259), to be sent.

use rhai::{Array, Dynamic, Map};

use crate::policy::text as texts;

/// The value, written down. What JSON has no word for is an error, and so is what is too long to be sent.
pub(in crate::policy) fn json(value: &Dynamic) -> Result<String, String> {
    match texts::weight(value) {
        weight if weight > texts::LONGEST => Err(format!("more than {} KiB are not sent", texts::LONGEST / 1024)),
        _ => written(value),
    }
}

fn written(value: &Dynamic) -> Result<String, String> {
    if value.is_unit() {
        return Ok("null".to_owned());
    }
    if let Ok(truth) = value.as_bool() {
        return Ok(truth.to_string());
    }
    if let Ok(number) = value.as_int() {
        return Ok(number.to_string());
    }
    if let Ok(number) = value.as_float() {
        return if number.is_finite() { Ok(number.to_string()) } else { Err(format!("{number} is no number of JSON")) };
    }
    if let Ok(string) = value.clone().into_immutable_string() {
        return Ok(text(&string));
    }
    if let Some(list) = value.clone().try_cast::<Array>() {
        return Ok(format!("[{}]", list.iter().map(written).collect::<Result<Vec<_>, _>>()?.join(",")));
    }
    if let Some(map) = value.clone().try_cast::<Map>() {
        let entry = |(key, value): (&rhai::Identifier, &Dynamic)| Ok(format!("{}:{}", text(key), written(value)?));
        return Ok(format!("{{{}}}", map.iter().map(entry).collect::<Result<Vec<_>, String>>()?.join(",")));
    }
    Err(format!("{} cannot be sent: write a text, a number, a truth, a list or a map", crate::policy::kind::of(value)))
}

pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_json_has_it() {
        let list: Array = vec![1_i64.into(), 1.5.into(), true.into(), Dynamic::UNIT, "a\"b\\c\nd".into()];
        let map = Map::from([("list".into(), list.into()), ("é".into(), "ü".into())]);
        assert_eq!(json(&map.into()).unwrap(), "{\"list\":[1,1.5,true,null,\"a\\\"b\\\\c\\u000ad\"],\"é\":\"ü\"}");
        assert!(json(&f64::NAN.into()).is_err());
        let shared = Dynamic::from("x".repeat(1000));
        assert!(json(&Dynamic::from_array(vec![shared; 500])).unwrap_err().contains("128 KiB"));
        assert!(json(&Dynamic::from(std::time::Duration::ZERO)).is_err());
    }
}
