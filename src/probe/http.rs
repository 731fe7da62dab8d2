//! The http probe: one request, one answer, no memory.
//!
//! No proxy from the environment, no pooled connection, no redirect unless asked for; a status is an answer, not an
//! error. HTTP/1.1 (RFC 9112), TLS 1.2 and 1.3.

use std::{collections::BTreeMap, io::Read, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use ureq::{
    Agent, Body, Error, Proxy,
    http::{HeaderMap, Request, Response, Uri, Version, uri::Scheme},
    unversioned::transport::{ConnectProxyConnector, Connector},
};

use super::{
    Shared,
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    dial::{Arrived, Dial, Instead, Met, Ours, Phase, Progress, Route, port_of},
    encrypt::Encrypt,
    secrets::Secrets,
    tls::{self, Roots},
    way::Exit,
};
use crate::policy::{
    SecretOrText,
    probe::{Authorization, ErrorKind, Field, HttpRequest, HttpVersion, ProbeRequest},
};

/// As much as the client takes for the head of an answer. Twice 128 KiB, as it has them by itself, would be cleared for
/// each probe, and the heap grown and trimmed again.
const INPUT: usize = 64 * 1024;
/// No server takes longer heads of requests.
const OUTPUT: usize = 16 * 1024;
/// The client ends by the deadline itself; beyond this it has broken its word and is left behind.
const GRACE: Duration = Duration::from_millis(50);

/// `ok`: what [`HttpRequest::verdict`] says of the answer. Fields: `status` (a number), `headers` (names in lower case,
/// repeated ones joined by `, `), `body` (text, at most `max_body` bytes), `json` (the body as a document), `cert_days`,
/// `remote`, `phase` (how far it came).
pub(super) async fn probe(shared: &Shared, request: &ProbeRequest, http: &HttpRequest, deadline: Deadline) -> Answer {
    let progress = Progress::default();
    let exchange = match Exchange::new(shared, request, http, deadline, progress.clone()) {
        Ok(exchange) => exchange,
        Err(failure) => return Seen::default().into_answer(Err(failure), &progress),
    };
    let work = move || exchange.perform();
    match shared.exchanges.run(deadline.later(GRACE), work).await {
        Ok(answer) => answer,
        Err(Failure { error: ErrorKind::Timeout, .. }) => {
            Seen::default().into_answer(Err(deadline.passed()), &progress)
        }
        Err(failure) => Seen::default().into_answer(Err(failure), &progress),
    }
}

/// The same on the calling thread, which must be one that may block. The client alone ends it in time.
pub(super) fn perform(shared: &Shared, request: &ProbeRequest, http: &HttpRequest, deadline: Deadline) -> Answer {
    let progress = Progress::default();
    match Exchange::new(shared, request, http, deadline, progress.clone()) {
        Ok(exchange) => exchange.perform(),
        Err(failure) => Seen::default().into_answer(Err(failure), &progress),
    }
}

/// One exchange, ready to be performed on a thread that may block.
struct Exchange {
    http: HttpRequest,
    uri: Uri,
    dial: Dial,
    route: Route,
    roots: Roots,
    secrets: Secrets,
    deadline: Deadline,
    progress: Progress,
}

/// What is known of the answer so far.
#[derive(Default)]
struct Seen {
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Seen {
    /// Headers always, the body as far as it comes. Of an answer with the wrong status the body is a courtesy: what
    /// stops it is not an error.
    fn read(&mut self, response: Response<Body>, http: &HttpRequest, progress: &Progress) -> Result<(), Box<Error>> {
        progress.reach(Phase::Body);
        let status = response.status().as_u16();
        self.status = Some(status);
        self.headers = texts(response.headers());
        let limit = u64::try_from(http.max_body).unwrap_or(u64::MAX);
        let end = response.into_body().into_reader().take(limit).read_to_end(&mut self.body);
        match end {
            Err(error) if http.wants(status.into()) => Err(Box::new(error.into())),
            Err(_) => Ok(()),
            Ok(_) => {
                progress.reach(Phase::Done);
                Ok(())
            }
        }
    }

    fn fields(self, met: &Met) -> Fields {
        let body = String::from_utf8_lossy(&self.body).into_owned();
        let certificate = met.certificate.as_ref();
        Fields::from([
            ("status", self.status.map_or(Field::Unit, |status| Field::Int(status.into()))),
            ("headers", Field::Texts(self.headers)),
            ("json", HttpRequest::document(&body)),
            ("body", Field::Text(body)),
            ("cert_days", certificate.map_or(Field::Unit, |shown| Field::Int(shown.days(Timestamp::now())))),
            ("remote", met.remote.map_or(Field::Unit, |remote| Field::Text(remote.to_string()))),
            ("phase", Field::text(met.phase.as_str())),
        ])
    }

    /// An answer that came is judged by what it says.
    fn into_answer(self, came: Result<&HttpRequest, Failure>, progress: &Progress) -> Answer {
        let fields = self.fields(&progress.so_far());
        let mismatch = |why| Failure::new(ErrorKind::Mismatch, why);
        Answer { verdict: came.and_then(|http| http.verdict(&fields).map_err(mismatch)), fields }
    }
}

impl Exchange {
    fn new(
        shared: &Shared,
        request: &ProbeRequest,
        http: &HttpRequest,
        deadline: Deadline,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let url = absolute(&http.url)?;
        let (uri, instead) = named(url, http.host.as_deref())?;
        let (names, family) = (shared.names.clone(), request.family());
        let exit = Exit::of(request);
        let dial = Dial { deadline, progress: progress.clone(), exit, unix: http.unix.clone() };
        let unix = http.unix.is_some();
        let route = Route { names, deadline, progress: progress.clone(), family, instead, unix };
        let (roots, secrets) = (shared.roots.clone(), shared.secrets());
        Ok(Self { roots, secrets, http: http.clone(), uri, dial, route, deadline, progress })
    }

    fn perform(self) -> Answer {
        let mut seen = Seen::default();
        let (http, progress, deadline) = (self.http.clone(), self.progress.clone(), self.deadline);
        let request = request(&http, self.uri.clone(), &self.secrets);
        let came = request.and_then(|request| {
            let exchanged = send(&self.client()?, request).map_err(Box::new);
            let read = exchanged.and_then(|response| seen.read(response, &http, &progress));
            read.map_err(|error| failure(*error, deadline))
        });
        seen.into_answer(came.map(|()| &http), &progress)
    }

    /// The client, which knows the way.
    fn client(self) -> Result<Agent, Failure> {
        let proxy = self.http.proxy.as_deref().map(Proxy::new).transpose();
        let config = Agent::config_builder()
            .proxy(proxy.map_err(|error| Failure::internal(format!("proxy: {error}")))?)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(self.http.follow)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .input_buffer_size(INPUT)
            .output_buffer_size(OUTPUT)
            .timeout_global(Some(self.deadline.left().max(Duration::from_millis(1))))
            .user_agent(concat!("ha/", env!("CARGO_PKG_VERSION")))
            .build();
        let way = ().chain(ConnectProxyConnector::default()).chain(self.dial);
        // A plain request must not pay for what https needs.
        let is_plain = !self.http.is_https() && self.http.follow == 0;
        let tls = if is_plain { None } else { Some(self.roots.config(&self.http.tls)?) };
        let encrypt = Encrypt { config: tls, sni: self.http.tls.sni.clone(), progress: self.progress.clone() };
        Ok(Agent::with_parts(config, way.chain(encrypt).chain(Arrived(self.progress)), self.route))
    }
}

/// The client would announce an empty body as well.
fn send(agent: &Agent, request: Request<Option<Vec<u8>>>) -> Result<Response<Body>, Error> {
    let (parts, body) = request.into_parts();
    match body {
        Some(body) => agent.run(Request::from_parts(parts, body)),
        None => agent.run(Request::from_parts(parts, ())),
    }
}

/// What is sent.
fn request(http: &HttpRequest, uri: Uri, secrets: &Secrets) -> Result<Request<Option<Vec<u8>>>, Failure> {
    let reveal = |text: &SecretOrText| secrets.reveal(text).map_err(|error| Failure::internal(error.to_string()));
    let version = match http.version {
        HttpVersion::Http10 => Version::HTTP_10,
        HttpVersion::Http11 => Version::HTTP_11,
    };
    let mut request = Request::builder().method(http.method.as_str()).uri(uri).version(version);
    for (name, value) in &http.headers {
        request = request.header(name, reveal(value)?.as_str());
    }
    // RFC 7617, RFC 6750.
    request = match &http.authorization {
        Some(Authorization::Basic(basic)) => {
            request.header("authorization", format!("Basic {}", BASE64_STANDARD.encode(reveal(basic)?.as_str())))
        }
        Some(Authorization::Bearer(bearer)) => {
            request.header("authorization", format!("Bearer {}", reveal(bearer)?.as_str()))
        }
        None => request,
    };
    let is_typed = http.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = http.data.as_ref().and_then(|data| data.content_type).filter(|_| !is_typed);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let data = http.data.as_ref().map(|data| reveal(&data.text)).transpose()?;
    let body = data.map(|data| data.as_str().as_bytes().to_vec());
    request.header("connection", "close").body(body).map_err(|error| Failure::internal(error.to_string()))
}

/// The URL, if it is one that can be probed. A policy's check before it runs finds most of these.
fn absolute(url: &str) -> Result<Uri, Failure> {
    let parsed = url.parse::<Uri>().ok();
    let web = |uri: &Uri| [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
    let usable = parsed.filter(|uri| web(uri) && uri.host().is_some_and(|host| !host.is_empty()));
    usable.ok_or_else(|| Failure::internal(format!("{url} is not an absolute http or https URL")))
}

/// The URL with `host` in the place of its authority, so that the `Host` header, the server name of TLS and redirects
/// agree; and where that authority really is.
fn named(url: Uri, host: Option<&str>) -> Result<(Uri, Option<Instead>), Failure> {
    let Some(host) = host else { return Ok((url, None)) };
    let place = |uri: &Uri| Some((uri.host()?.to_owned(), port_of(uri)?));
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let scheme = if url.scheme() == Some(&Scheme::HTTPS) { Scheme::HTTPS } else { Scheme::HTTP };
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build().ok();
    let renamed = uri.and_then(|uri| Some((Instead { named: place(&uri)?, real: place(&url)? }, uri)));
    let (instead, uri) = renamed.ok_or_else(|| Failure::internal(format!("{host} is not a host name")))?;
    Ok((uri, Some(instead)))
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let joined = texts.entry(name.as_str().to_owned()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(&value);
    }
    texts
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the client's errors are open-ended")]
fn failure(error: Error, deadline: Deadline) -> Failure {
    let text = error.to_string();
    match error {
        Error::Timeout(_) => deadline.passed(),
        Error::Other(error) => match error.downcast::<Ours>() {
            Ok(ours) => ours.0,
            Err(error) => Failure::internal(error.to_string()),
        },
        Error::Io(error) => tls::failure(&error),
        Error::HostNotFound => Failure::new(ErrorKind::Dns, text),
        Error::Http(_) => Failure::internal(text),
        _ => Failure::new(ErrorKind::Protocol, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_web_urls_are_probed() {
        assert!(absolute("http://192.168.0.20/").is_ok());
        assert!(absolute("HTTPS://[::1]:8443/x?y").is_ok());
        for bad in ["/index.html", "localhost:80", "ftp://localhost/", "http://", "http:///x", "http://a b/"] {
            assert_eq!(absolute(bad).unwrap_err().error, ErrorKind::Internal, "{bad}");
        }
    }

    #[test]
    fn another_host_is_named_but_the_way_stays() {
        let url = absolute("https://192.168.0.20:8443/health?deep").unwrap();
        let (uri, instead) = named(url, Some("www.example.org")).unwrap();
        assert_eq!(uri.to_string(), "https://www.example.org/health?deep");
        let instead = instead.unwrap();
        assert_eq!(instead.named, ("www.example.org".to_owned(), 443));
        assert_eq!(instead.real, ("192.168.0.20".to_owned(), 8443));
    }

    #[test]
    fn repeated_headers_are_joined() {
        let mut headers = HeaderMap::new();
        headers.append("Via", "a".parse().unwrap());
        headers.append("via", "b".parse().unwrap());
        assert_eq!(texts(&headers), BTreeMap::from([("via".to_owned(), "a, b".to_owned())]));
    }
}
