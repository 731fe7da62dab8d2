//! The http probe: one request, one answer, no memory.
//!
//! No proxy from the environment, no pooled connection, no redirect unless asked for; a status is an answer, not an
//! error. HTTP/1.1 (RFC 9112), TLS 1.2 and 1.3.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    time::Duration,
};

use ureq::{
    Agent, Body, Error,
    http::{HeaderMap, Request, Response, Uri, uri::Scheme},
    unversioned::transport::Connector,
};

use super::{
    Shared,
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    dial::{Arrived, Dial, Instead, Ours, Phase, Route, port_of},
    names::Names,
    tls::Trust,
    way::Exit,
};
use crate::policy::probe::{ErrorKind, Field, HttpRequest, ProbeRequest};

/// The client ends by the deadline itself; beyond this it has broken its word and is left behind.
const GRACE: Duration = Duration::from_millis(50);

/// `ok`: answered in time with a wanted status, and the body holds the wanted text. Fields: `status` (a number),
/// `headers` (names in lower case, repeated ones joined by `, `), `body` (text, at most `max_body` bytes), `phase` (how
/// far it came: `resolve`, `connect`, `tls`, `answer`, `body`, `done`).
pub(super) async fn probe(shared: &Shared, request: &ProbeRequest, http: &HttpRequest, deadline: Deadline) -> Answer {
    let phase = Phase::new();
    let exchange = match Exchange::new(shared, request, http, deadline, phase.clone()) {
        Ok(exchange) => exchange,
        Err(failure) => return Seen::default().into_answer(Err(failure), &phase),
    };
    let work = move || exchange.perform();
    match shared.exchanges.run(deadline.later(GRACE), work).await {
        Ok(answer) => answer,
        Err(Failure { error: ErrorKind::Timeout, .. }) => Seen::default().into_answer(Err(deadline.passed()), &phase),
        Err(failure) => Seen::default().into_answer(Err(failure), &phase),
    }
}

/// One exchange, ready to be performed on a thread that may block.
struct Exchange {
    http: HttpRequest,
    uri: Uri,
    dial: Dial,
    route: Route,
    trust: Trust,
    deadline: Deadline,
    phase: Phase,
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
    fn read(&mut self, response: Response<Body>, http: &HttpRequest, phase: &Phase) -> Result<(), Box<Error>> {
        phase.set(Phase::BODY);
        let status = response.status().as_u16();
        self.status = Some(status);
        self.headers = texts(response.headers());
        let limit = u64::try_from(http.max_body).unwrap_or(u64::MAX);
        let end = response.into_body().into_reader().take(limit).read_to_end(&mut self.body);
        match end {
            Err(error) if is_wanted(http, status) => Err(Box::new(error.into())),
            Err(_) => Ok(()),
            Ok(_) => {
                phase.set(Phase::DONE);
                Ok(())
            }
        }
    }

    fn judge(&self, http: &HttpRequest) -> Result<String, Failure> {
        let status = self.status.unwrap_or_default();
        let body = String::from_utf8_lossy(&self.body);
        if !is_wanted(http, status) {
            return Err(Failure::new(ErrorKind::Mismatch, format!("status {status}")));
        }
        match &http.body {
            Some(text) if !body.contains(text) => {
                Err(Failure::new(ErrorKind::Mismatch, format!("{status}, no {text:?} in the body")))
            }
            Some(_) | None => Ok(status.to_string()),
        }
    }

    fn into_answer(self, verdict: Result<String, Failure>, phase: &Phase) -> Answer {
        let fields = Fields::from([
            ("status", self.status.map_or(Field::Unit, |status| Field::Int(status.into()))),
            ("headers", Field::Texts(self.headers)),
            ("body", Field::Text(String::from_utf8_lossy(&self.body).into_owned())),
            ("phase", Field::Text(phase.get().to_owned())),
        ]);
        Answer { verdict, fields }
    }
}

impl Exchange {
    fn new(
        shared: &Shared,
        request: &ProbeRequest,
        http: &HttpRequest,
        deadline: Deadline,
        phase: Phase,
    ) -> Result<Self, Failure> {
        let url = absolute(&http.url)?;
        let (uri, instead) = named(url, http.host.as_deref())?;
        let dial = Dial { deadline, phase: phase.clone(), exit: Exit::of(request), unix: http.unix.clone() };
        let names: Names = shared.names.clone();
        let family = request.family();
        let route = Route { names, deadline, phase: phase.clone(), family, instead, unix: http.unix.is_some() };
        Ok(Self { trust: shared.roots.trust(http)?, http: http.clone(), uri, dial, route, deadline, phase })
    }

    fn perform(self) -> Answer {
        let mut seen = Seen::default();
        let (http, phase, deadline) = (self.http.clone(), self.phase.clone(), self.deadline);
        let verdict = self.send().map_err(Box::new).and_then(|response| seen.read(response, &http, &phase));
        let verdict = verdict.map_err(|error| failure(*error, deadline)).and_then(|()| seen.judge(&http));
        seen.into_answer(verdict, &phase)
    }

    fn send(self) -> Result<Response<Body>, Error> {
        let mut request = Request::builder().method(self.http.method.as_str()).uri(self.uri);
        for (name, value) in &self.http.headers {
            request = request.header(name, value);
        }
        let request = request.header("connection", "close").body(())?;
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(self.http.follow)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .timeout_global(Some(self.deadline.left().max(Duration::from_millis(1))))
            .user_agent(concat!("ha/", env!("CARGO_PKG_VERSION")))
            .tls_config(self.trust.config)
            .build();
        let connector = ().chain(self.dial).chain(self.trust.connector).chain(Arrived(self.phase));
        Agent::with_parts(config, connector, self.route).run(request)
    }
}

fn is_wanted(http: &HttpRequest, status: u16) -> bool {
    http.status.iter().any(|&(from, to)| (from..=to).contains(&status))
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
        // This is how the TLS layer reports a bad certificate or a bad record.
        Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            Failure::new(ErrorKind::Tls, error.to_string())
        }
        Error::Io(error) => Failure::of_socket(&error),
        Error::Tls(_) | Error::Pem(_) | Error::Rustls(_) => Failure::new(ErrorKind::Tls, text),
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
