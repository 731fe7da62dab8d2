//! From the options in a policy to a request.

use std::path::PathBuf;

use rhai::{Dynamic, Map};

use super::{
    super::{
        ProbeKind,
        json::{self, JsonExpectation},
        kind::text,
        pattern::Pattern,
        tls::{Identity, TlsRequest},
    },
    Authorization, Data, HttpRequest, HttpVersion, MOST_BODY,
};
use crate::policy::{SecretOrText, options::Options};

/// Where a request leaves this machine.
const NEAR_END: [&str; 3] = ["bind", "iface", "family"];

pub(super) fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let url = text(target);
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(format!("\"{url}\" is not an address that http can ask; write \"http://…\" or \"https://…\""));
    }
    let data = data(options)?;
    let usual_method = if data.is_some() { "POST" } else { "GET" };
    let request = HttpRequest {
        method: options.text("method")?.unwrap_or_else(|| usual_method.to_owned()),
        version: version(options)?,
        status: options.get("status").map_or_else(|| Ok(vec![(200, 200)]), statuses)?,
        host: options.text("host")?,
        headers: headers(options)?,
        authorization: authorization(options)?,
        data,
        header: header(options)?,
        body: options.text("body")?,
        body_re: Pattern::read(options, "body_re")?,
        json: expectation(options)?,
        follow: options.number("follow", 0, 0, 10)?,
        unix: options.text("unix")?.map(PathBuf::from),
        proxy: options.text("proxy")?,
        tls: TlsRequest { identity: Identity::read(options)?, ..TlsRequest::read(options)? },
        min_cert_days: options
            .get("min_cert_days")
            .map(|_| options.number("min_cert_days", 0, 0, 36_500))
            .transpose()?,
        max_body: size(options)?,
        url,
    };
    consistent(&request, options).map(|()| ProbeKind::Http(request))
}

/// What cannot be kept together is not half kept.
fn consistent(request: &HttpRequest, options: &Options<'_>) -> Result<(), String> {
    if let (Some(_), Some(option)) = (&request.unix, NEAR_END.iter().find(|option| options.get(option).is_some())) {
        return Err(format!("{option}: a Unix socket is reached without a network"));
    }
    if request.min_cert_days.is_some() && !request.is_https() {
        return Err("min_cert_days: only an https address has a certificate".to_owned());
    }
    let Some(proxy) = &request.proxy else { return Ok(()) };
    if !proxy.starts_with("http://") {
        return Err(format!("proxy: \"{proxy}\" is no proxy; write \"http://192.168.0.1:3128\""));
    }
    if request.unix.is_some() || request.host.is_some() {
        return Err("proxy: it goes where the address says, so `host` and `unix` have no place beside it".to_owned());
    }
    Ok(())
}

fn version(options: &Options<'_>) -> Result<HttpVersion, String> {
    match options.get("http_version").map(ToString::to_string).as_deref() {
        Some("1.0") => Ok(HttpVersion::Http10),
        Some("1.1") | None => Ok(HttpVersion::Http11),
        Some(_) => Err("http_version: write \"1.0\" or \"1.1\"".to_owned()),
    }
}

fn authorization(options: &Options<'_>) -> Result<Option<Authorization>, String> {
    match (options.secret_or_text("basic")?, options.secret_or_text("bearer")?) {
        (Some(_), Some(_)) => Err("basic and bearer: a request has one authorization".to_owned()),
        (Some(SecretOrText::Text(basic)), None) if !basic.contains(':') => {
            Err("basic: write \"user:password\"".to_owned())
        }
        (Some(basic), None) => Ok(Some(Authorization::Basic(basic))),
        (None, bearer) => Ok(bearer.map(Authorization::Bearer)),
    }
}

/// A text as it is, a map or a list as JSON.
fn data(options: &Options<'_>) -> Result<Option<Data>, String> {
    let Some(value) = options.get("data") else { return Ok(None) };
    if value.is_map() || value.is_array() {
        let text = json::of_script(value).map_err(|why| format!("data: {why}"))?.to_string();
        return Ok(Some(Data { text: SecretOrText::Text(text), content_type: Some("application/json") }));
    }
    Ok(options.secret_or_text("data")?.map(|text| Data { text, content_type: None }))
}

fn expectation(options: &Options<'_>) -> Result<Option<JsonExpectation>, String> {
    let text = options.text("json")?;
    text.map(|text| JsonExpectation::new(&text).map_err(|why| format!("json: {why}"))).transpose()
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

fn headers(options: &Options<'_>) -> Result<Vec<(String, SecretOrText)>, String> {
    let value = |(name, value): (String, Dynamic)| Ok((name, options.is_secret_or_text("headers", &value)?));
    map(options, "headers")?.into_iter().map(value).collect()
}

/// Names in lower case, as the answer's are.
fn header(options: &Options<'_>) -> Result<Vec<(String, String)>, String> {
    Ok(map(options, "header")?.into_iter().map(|(name, value)| (name.to_lowercase(), value.to_string())).collect())
}

fn map(options: &Options<'_>, option: &str) -> Result<Vec<(String, Dynamic)>, String> {
    let Some(value) = options.get(option) else { return Ok(Vec::new()) };
    let Some(map) = value.clone().try_cast::<Map>() else {
        return Err(format!("{option} takes a map, #{{ \"content-type\": \"text/html\" }}"));
    };
    Ok(map.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
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
