//! `http`: one request, and what is expected of the answer.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use rhai::{Dynamic, Map};

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, text, unbracketed},
    target::Target,
};
use crate::policy::{
    duration,
    language::{Function, Group, choice, fact},
    options::Options,
};

const MOST_BODY: usize = 64 * 1024;

/// Options of [`ProbeKind::Http`].
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// Absolute, `http` or `https`.
    pub url: String,
    /// `GET` unless told.
    pub method: String,
    /// Wanted status codes, as inclusive ranges; 200 unless told.
    pub status: Vec<(u16, u16)>,
    /// `Host` header (and, for https, the server name), if not the URL's.
    pub host: Option<String>,
    /// Additional request headers.
    pub headers: Vec<(String, String)>,
    /// Text the body must contain.
    pub body: Option<String>,
    /// How many redirects to follow; 0 unless told.
    pub follow: u32,
    /// Unix socket to connect to instead of the URL's authority.
    pub unix: Option<PathBuf>,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Accept any certificate.
    pub insecure: bool,
    /// How much of the body is read.
    pub max_body: usize,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "http",
        group: Group::Probe,
        forms: &["url: text", "url: text, options: map"],
        returns: "probe",
        summary: "One HTTP request. Ok: answered in time, with a wanted status (exactly 200 unless told), and every \
                  expectation holds. No proxy from the environment, no redirect unless told.",
        options: &[
            choice("method", "text", "\"GET\"", "Request method."),
            choice("status", "number, list or text", "200", "Wanted status: 200, [200, 204] or \"200-399\"."),
            choice("host", "text", "", "Host header and, for https, the server's name."),
            choice("headers", "map", "", "Further request headers."),
            choice("body", "text", "", "Text that the body must contain."),
            choice("follow", "number", "0", "How many redirects to follow, up to 10."),
            choice("unix", "text", "", "Unix socket to connect to instead of the host."),
            choice("ca", "text", "", "PEM file of the authorities to trust instead of the system's."),
            choice("insecure", "truth", "false", "Accept any certificate."),
            choice("max_body", "number or text", "\"64K\"", "How much of the body is read, up to 64K."),
        ],
        fields: &[
            fact("status", "number", "Status code."),
            fact("body", "text", "The body, as far as it was read."),
            fact("headers", "map", "Response headers, names in lower case."),
            fact("phase", "text", "How far it came: resolve, connect, tls, answer, body, done."),
        ],
        privilege: "",
        example: "require(\"web\", http(`http://${node.addr}/`, #{ timeout: \"2s\", status: \"200-399\" }));",
    },
    target: Target::Text,
    reach: Reach::Network(host),
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let url = text(target);
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(format!("\"{url}\" is not an address that http can ask; write \"http://…\" or \"https://…\""));
    }
    Ok(ProbeKind::Http(HttpRequest {
        method: options.text("method")?.unwrap_or_else(|| "GET".to_owned()),
        status: options.get("status").map_or_else(|| Ok(vec![(200, 200)]), statuses)?,
        host: options.text("host")?,
        headers: headers(options)?,
        body: options.text("body")?,
        follow: options.number("follow", 0, 0, 10)?,
        unix: options.text("unix")?.map(PathBuf::from),
        ca: options.text("ca")?.map(PathBuf::from),
        insecure: options.truth("insecure")?,
        max_body: size(options)?,
        ..HttpRequest::get(url)
    }))
}

impl HttpRequest {
    /// A plain request: GET, exactly 200, no redirect, 64 KiB of the body.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "GET".to_owned(),
            status: vec![(200, 200)],
            host: None,
            headers: Vec::new(),
            body: None,
            follow: 0,
            unix: None,
            ca: None,
            insecure: false,
            max_body: MOST_BODY,
        }
    }
}

impl Asked for HttpRequest {
    fn target(&self) -> String {
        self.url.clone()
    }

    fn usual(&self) -> Fields {
        Fields::from([
            ("status", Field::Int(self.status.first().map_or(200, |(first, _)| i64::from(*first)))),
            ("body", Field::text(self.body.as_deref().unwrap_or_default())),
            ("headers", Field::Texts(BTreeMap::new())),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let status = Field::number_in(fields, "status");
        let is_wanted = |(first, last): &(u16, u16)| (i64::from(*first)..=i64::from(*last)).contains(&status);
        if !self.status.iter().any(is_wanted) {
            return (false, format!("status {status}"));
        }
        if self.body.as_ref().is_some_and(|wanted| !Field::text_in(fields, "body").contains(wanted)) {
            return (false, "the body lacks the wanted text".to_owned());
        }
        (true, status.to_string())
    }

    fn not_ok(&self, timeout: Duration) -> String {
        format!("timeout after {}", duration::show(timeout))
    }
}

fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = host.rsplit_once(':').filter(|(_, port)| port.chars().all(|c| c.is_ascii_digit()));
    Some(unbracketed(port.map_or(host, |(host, _)| host)))
}

/// `200`, `[200, 204]`, `"200-399"`, and lists of these.
fn statuses(value: &Dynamic) -> Result<Vec<(u16, u16)>, String> {
    if let Ok(list) = value.clone().into_typed_array::<Dynamic>() {
        return list.iter().map(statuses).collect::<Result<Vec<_>, _>>().map(|lists| lists.concat());
    }
    let text = value.to_string();
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok(vec![(first, last)]),
        _ => Err(format!("status: {text} is no HTTP status; write 200, [200, 204] or \"200-399\"")),
    }
}

fn code(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|code| (100..=599).contains(code))
}

fn headers(options: &Options<'_>) -> Result<Vec<(String, String)>, String> {
    let Some(value) = options.get("headers") else { return Ok(Vec::new()) };
    let Some(map) = value.clone().try_cast::<Map>() else {
        return Err("headers takes a map, #{ \"accept\": \"text/html\" }".to_owned());
    };
    Ok(map.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

/// `4096`, `"64K"`.
fn size(options: &Options<'_>) -> Result<usize, String> {
    let Some(value) = options.get("max_body") else { return Ok(MOST_BODY) };
    let text = value.to_string();
    let bytes = match text.strip_suffix(['K', 'k']) {
        Some(kilobytes) => kilobytes.parse::<usize>().ok().and_then(|kilobytes| kilobytes.checked_mul(1024)),
        None => text.parse().ok(),
    };
    bytes
        .filter(|bytes| (1..=MOST_BODY).contains(bytes))
        .ok_or_else(|| format!("max_body: {text} is no size up to 64K; write 4096 or \"64K\""))
}
