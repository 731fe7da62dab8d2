//! `http`: one request, and what is expected of the answer.

mod judge;
mod read;

use std::{convert::identity, path::PathBuf, time::Duration};

use super::{
    Asked, Field, Fields,
    json::{self, JsonExpectation},
    kind::{Kind, Reach, unbracketed},
    pattern::Pattern,
    target::Target,
    tls::{self, TlsRequest},
};
use crate::policy::{
    SecretOrText, duration,
    language::{Function, Group, choice, fact},
};

const MOST_BODY: usize = 64 * 1024;
/// What a test's https server has left, unless the test says otherwise.
const USUAL_CERT_DAYS: i64 = 90;

/// Options of [`super::ProbeKind::Http`].
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// Absolute, `http` or `https`.
    pub url: String,
    /// `GET` unless told, `POST` where there is something to send.
    pub method: String,
    /// The version of the request.
    pub version: HttpVersion,
    /// Wanted status codes, as inclusive ranges; 200 unless told.
    pub status: Vec<(u16, u16)>,
    /// `Host` header (and, for https, the server name), if not the URL's.
    pub host: Option<String>,
    /// Additional request headers.
    pub headers: Vec<(String, SecretOrText)>,
    /// Who asks.
    pub authorization: Option<Authorization>,
    /// What to send.
    pub data: Option<Data>,
    /// Response headers, by name in lower case, and the text each must contain.
    pub header: Vec<(String, String)>,
    /// Text the body must contain.
    pub body: Option<String>,
    /// What must be found in the body.
    pub body_re: Option<Pattern>,
    /// What must stand in the body, which is a JSON document.
    pub json: Option<JsonExpectation>,
    /// How many redirects to follow; 0 unless told.
    pub follow: u32,
    /// Unix socket to connect to instead of the URL's authority.
    pub unix: Option<PathBuf>,
    /// Proxy to tunnel through, an `http` URL.
    pub proxy: Option<String>,
    /// Of https.
    pub tls: TlsRequest,
    /// For how many days the server's certificate must still be valid.
    pub min_cert_days: Option<i64>,
    /// How much of the body is read.
    pub max_body: usize,
}

/// The version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// 1.0.
    Http10,
    /// 1.1.
    Http11,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// `user:password`.
    Basic(SecretOrText),
    /// A token.
    Bearer(SecretOrText),
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// As it is sent.
    pub text: SecretOrText,
    /// Its type, unless a header says otherwise.
    pub content_type: Option<&'static str>,
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
            choice("method", "text", "\"GET\"", "Request method; \"POST\" where there is `data`."),
            choice("status", "number, list or text", "200", "Wanted status: 200, [200, 204] or \"200-399\"."),
            choice("host", "text", "", "Host header and, for https, the server's name."),
            choice("headers", "map", "", "Further request headers: texts or secrets."),
            choice("basic", "text or secret", "", "\"user:password\" to ask with."),
            choice("bearer", "text or secret", "", "Token to ask with."),
            choice("data", "text, secret, map or list", "", "Body of the request; a map or a list is sent as JSON."),
            choice("http_version", "text", "\"1.1\"", "Version of the request, \"1.0\" or \"1.1\"."),
            choice("header", "map", "", "Text that each of these response headers must contain; \"\": it is there."),
            choice("body", "text", "", "Text that the body must contain."),
            choice("body_re", "text", "", "Regular expression that must be found in the body."),
            choice(
                "json",
                "text",
                "",
                "What must stand in the body: \"$.health == 'true'\", \"$.lag < 10\", \"$.ready\".",
            ),
            choice("follow", "number", "0", "How many redirects to follow, up to 10."),
            choice("unix", "text", "", "Unix socket to connect to instead of the host."),
            choice("proxy", "text", "", "Proxy to tunnel through, \"http://192.168.0.1:3128\"."),
            tls::CA,
            choice("cert", "text", "", "PEM file of the certificate to be known by."),
            choice("key", "text", "", "PEM file of its key, if that is not in the same file."),
            tls::SNI,
            tls::INSECURE,
            choice("min_cert_days", "number", "", "For how many days the server's certificate must still be valid."),
            choice("max_body", "number or text", "\"64K\"", "How much of the body is read, up to 64K."),
        ],
        fields: &[
            fact("status", "number", "Status code."),
            fact("body", "text", "The body, as far as it was read."),
            fact("headers", "map", "Response headers, names in lower case."),
            fact("json", "map or list", "The body as a document, if it is one; up to 1000 values can be read."),
            fact("cert_days", "number", "Days until the server's certificate ends."),
            fact("remote", "text", "Address and port of who answered."),
            fact("phase", "text", "How far it came: resolve, connect, tls, answer, body, done."),
        ],
        privilege: "",
        example: "require(\"web\", http(`http://${node.addr}/`, #{ timeout: \"2s\", status: \"200-399\" }));",
    },
    target: Target::Text,
    reach: Reach::Network(host),
    read: read::read,
};

impl HttpRequest {
    /// A plain request: GET, exactly 200, no redirect, 64 KiB of the body.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "GET".to_owned(),
            version: HttpVersion::Http11,
            status: vec![(200, 200)],
            host: None,
            headers: Vec::new(),
            authorization: None,
            data: None,
            header: Vec::new(),
            body: None,
            body_re: None,
            json: None,
            follow: 0,
            unix: None,
            proxy: None,
            tls: TlsRequest::default(),
            min_cert_days: None,
            max_body: MOST_BODY,
        }
    }

    /// It asks by https, to begin with.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }

    /// It asks for nothing to be changed (RFC 9110 9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        ["GET", "HEAD"].contains(&self.method.as_str())
    }

    /// A body as a document; only a map or a list is taken for one.
    #[must_use]
    pub fn document(body: &str) -> Field {
        let is_one = body.trim_start().starts_with(['{', '[']);
        is_one.then(|| json::document(body)).flatten().unwrap_or(Field::Unit)
    }
}

impl Asked for HttpRequest {
    fn target(&self) -> String {
        self.url.clone()
    }

    /// What only an expression or a place in a document describes is left out, and so held for good.
    fn usual(&self) -> Fields {
        let status = self.status.first().map_or(200, |(first, _)| i64::from(*first));
        let mut fields = Fields::from([
            ("status", Field::Int(status)),
            ("headers", Field::Texts(self.header.iter().cloned().collect())),
            ("remote", Field::text("192.0.2.1:80")),
            ("phase", Field::text("done")),
        ]);
        if self.body_re.is_none() && self.json.is_none() {
            fields.insert("body", Field::text(self.body.as_deref().unwrap_or_default()));
        }
        if self.is_https() {
            fields.insert("cert_days", Field::Int(self.min_cert_days.unwrap_or_default().max(USUAL_CERT_DAYS)));
        }
        fields
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn follow(&self, told: &Fields, fields: &mut Fields) {
        if let (Some(Field::Text(body)), None) = (told.get("body"), told.get("json")) {
            fields.insert("json", Self::document(body));
        }
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let verdict = self.verdict(fields);
        (verdict.is_ok(), verdict.unwrap_or_else(identity))
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
