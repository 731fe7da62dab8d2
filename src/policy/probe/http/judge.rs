//! Whether an answer is the wanted one: for the real probe and for a test's fakes alike.
//!
//! A field that is not there at all was not told by a test, and is as it should be; the real probe has all of them. A field
//! that is there and empty is not known, and what is not known is not as it should be.

use super::{Field, Fields, HttpRequest};

impl HttpRequest {
    /// What an answer with these fields comes to.
    ///
    /// # Errors
    ///
    /// The first thing that is not as wanted.
    pub fn verdict(&self, fields: &Fields) -> Result<String, String> {
        let status = Field::number_in(fields, "status");
        if !self.wants(status) {
            return Err(format!("status {status}"));
        }
        let judged =
            self.headers_hold(fields).and_then(|()| self.body_holds(fields)).and_then(|()| self.cert_holds(fields));
        judged.map(|()| status.to_string()).map_err(|why| format!("{status}, {why}"))
    }

    /// Whether this status is a wanted one.
    #[must_use]
    pub fn wants(&self, status: i64) -> bool {
        self.status.iter().any(|&(first, last)| (i64::from(first)..=i64::from(last)).contains(&status))
    }

    fn headers_hold(&self, fields: &Fields) -> Result<(), String> {
        let Some(headers) = fields.get("headers") else { return Ok(()) };
        for (name, wanted) in &self.header {
            match text_of(headers, name) {
                Some(value) if value.contains(wanted) => {}
                Some(_) => return Err(format!("no {wanted:?} in the header {name}")),
                None => return Err(format!("no header {name}")),
            }
        }
        Ok(())
    }

    fn body_holds(&self, fields: &Fields) -> Result<(), String> {
        let body = fields.get("body").map(|_| Field::text_in(fields, "body"));
        if let (Some(body), Some(wanted)) = (body, &self.body)
            && !body.contains(wanted)
        {
            return Err(format!("no {wanted:?} in the body"));
        }
        if let (Some(body), Some(pattern)) = (body, &self.body_re)
            && !pattern.is_in(body)
        {
            return Err(format!("nothing like {:?} in the body", pattern.as_str()));
        }
        match (fields.get("json"), &self.json) {
            (Some(Field::Unit), Some(_)) => Err("the body is no JSON document".to_owned()),
            (Some(document), Some(expectation)) => expectation.judge(document),
            (Some(_) | None, None) | (None, Some(_)) => Ok(()),
        }
    }

    fn cert_holds(&self, fields: &Fields) -> Result<(), String> {
        let (Some(days), Some(least)) = (fields.get("cert_days"), self.min_cert_days) else { return Ok(()) };
        match days {
            Field::Int(days) if *days >= least => Ok(()),
            Field::Int(days) if *days < 0 => Err(format!("the certificate ended {} days ago", -days)),
            Field::Int(days) => Err(format!("the certificate ends in {days} days")),
            Field::Unit
            | Field::Bool(_)
            | Field::Float(_)
            | Field::Text(_)
            | Field::Texts(_)
            | Field::List(_)
            | Field::Map(_) => Err("when the certificate ends is not known".to_owned()),
        }
    }
}

/// The text of this name, in the headers of an answer or in a map that a test wrote.
fn text_of<'a>(headers: &'a Field, name: &str) -> Option<&'a str> {
    match headers {
        Field::Texts(texts) => texts.get(name).map(String::as_str),
        Field::Map(named) => named.iter().find_map(|(key, value)| {
            let Field::Text(text) = value else { return None };
            key.eq_ignore_ascii_case(name).then_some(text.as_str())
        }),
        Field::Unit | Field::Bool(_) | Field::Int(_) | Field::Float(_) | Field::Text(_) | Field::List(_) => None,
    }
}
