//! `http`, `ping`, `arping`, `tcp`, `service`, `file`: each starts a probe and returns it at once.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use rhai::{Dynamic, Engine, Map, NativeCallContext};

use super::{Outcome, evaluation, failed};
use crate::policy::{
    condition::Condition,
    options::Options,
    probe::{ArpingRequest, HttpRequest, PingRequest, ProbeKind, ProbeRequest, TcpRequest},
    script::TIMEOUT,
};

const MOST_BODY: usize = 64 * 1024;

/// Reads what only this kind of probe takes.
type Reader = fn(&str, &Options<'_>) -> Result<ProbeKind, String>;

pub(super) fn register(engine: &mut Engine) {
    let probes: [(&'static str, Reader); 6] =
        [("http", http), ("ping", ping), ("arping", arping), ("tcp", tcp), ("service", service), ("file", file)];
    engine.register_type_with_name::<Condition>("probe");
    for (name, reader) in probes {
        engine.register_fn(name, move |call: NativeCallContext<'_>, target: &str| {
            start(&call, name, reader, target, &Map::new())
        });
        engine.register_fn(name, move |call: NativeCallContext<'_>, target: &str, options: Map| {
            start(&call, name, reader, target, &options)
        });
    }
}

fn start(call: &NativeCallContext<'_>, name: &str, reader: Reader, target: &str, options: &Map) -> Outcome<Condition> {
    let evaluation = evaluation(call)?;
    let job = request(name, reader, target, options).and_then(|request| evaluation.probe(request));
    job.map(Condition::Probe).map_err(|why| failed(call, why))
}

fn request(name: &str, reader: Reader, target: &str, options: &Map) -> Result<ProbeRequest, String> {
    if target.trim().is_empty() {
        return Err(format!("{name} has nothing to probe: its target is an empty text"));
    }
    let options = Options::new(name, options)?;
    let timeout = options.duration("timeout", TIMEOUT)?;
    if timeout.is_zero() {
        return Err("timeout: a probe needs more than no time".to_owned());
    }
    let bind = options.text("bind")?.map(|text| address("bind", &text)).transpose()?;
    Ok(ProbeRequest { kind: reader(target, &options)?, timeout, bind, iface: options.text("iface")? })
}

fn http(url: &str, options: &Options<'_>) -> Result<ProbeKind, String> {
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(format!("\"{url}\" is not an address that http can ask; write \"http://…\" or \"https://…\""));
    }
    Ok(ProbeKind::Http(HttpRequest {
        url: url.to_owned(),
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
    }))
}

fn ping(host: &str, options: &Options<'_>) -> Result<ProbeKind, String> {
    let count = options.number("count", 1_u16, 1, 100)?;
    Ok(ProbeKind::Ping(PingRequest {
        host: host.to_owned(),
        count,
        gap: options.duration("gap", Duration::from_millis(200))?,
        min: options.number("min", 1, 1, count)?,
        size: options.number("size", 16_usize, 8, 1400)?,
    }))
}

fn arping(target: &str, options: &Options<'_>) -> Result<ProbeKind, String> {
    let count = options.number("count", 1_u16, 1, 100)?;
    let min = options.number("min", 1, 1, count)?;
    Ok(ProbeKind::Arping(ArpingRequest { target: address("arping", target)?, count, min }))
}

fn tcp(target: &str, options: &Options<'_>) -> Result<ProbeKind, String> {
    let port = target.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none() {
        return Err(format!("\"{target}\" has no port; write \"192.168.0.22:25\" or \"[fd00::1]:25\""));
    }
    let (send, expect) = (options.text("send")?, options.text("expect")?);
    Ok(ProbeKind::Tcp(TcpRequest { target: target.to_owned(), send, expect }))
}

fn service(unit: &str, _: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Service(unit.to_owned()))
}

fn file(path: &str, _: &Options<'_>) -> Result<ProbeKind, String> {
    if !path.starts_with('/') {
        return Err(format!("\"{path}\" is not an absolute path"));
    }
    Ok(ProbeKind::File(PathBuf::from(path)))
}

fn address(what: &str, text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{what}: \"{text}\" is not an IP address"))
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
