//! From what a script wrote to an action: everything that can be wrong is found before anything is done.

use std::{net::IpAddr, time::Duration};

use rhai::{Array, Dynamic, Map};

use super::{
    Action, AddressChange, AlertLevel, ConntrackdCommand, HttpSend, Network, Route, RouteChange, ServiceVerb, Signal,
    json,
};
use crate::policy::{
    kind,
    options::{Options, address},
    probe::Authorization,
};

/// An action's own time, unless told.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A text that is written or sent.
const LONGEST_TEXT: usize = 64 * 1024;

/// What a script gave to the function of an action.
pub(in crate::policy) struct Giver<'a> {
    pub(in crate::policy) function: &'static str,
    /// The first argument.
    pub(in crate::policy) target: &'a Dynamic,
    /// The second one, where that is no map of options.
    pub(in crate::policy) second: Option<&'a Dynamic>,
    pub(in crate::policy) options: &'a Map,
    /// The interface of the instance.
    pub(in crate::policy) iface: &'a str,
}

/// The action that was asked for.
pub(in crate::policy) fn read(given: &Giver<'_>) -> Result<Action, String> {
    let options = Options::new(given.function, given.options)?;
    let service = |verb| Ok(Action::Service { verb, unit: given.text()? });
    match given.function {
        "service_start" => service(ServiceVerb::Start),
        "service_stop" => service(ServiceVerb::Stop),
        "service_restart" => service(ServiceVerb::Restart),
        "service_reload" => service(ServiceVerb::Reload),
        "http_send" => http_send(given, &options),
        "webhook" => Ok(Action::Webhook { name: given.text()?, data: json(given.second()?)? }),
        "alert" => Ok(Action::Alert { text: given.text()?, level: level(&options)? }),
        "run" => run(words(given)?, &options),
        "conntrackd" => {
            Ok(Action::Conntrackd(words(given)?.iter().map(|word| conntrackd(word)).collect::<Result<_, _>>()?))
        }
        "route_replace" => route(RouteChange::Replace, given, &options),
        "route_del" => route(RouteChange::Del, given, &options),
        "addr_add" => Ok(Action::Address {
            change: AddressChange::Add,
            network: network(&given.text()?)?,
            dev: dev(given, &options)?,
        }),
        "addr_del" => Ok(Action::Address {
            change: AddressChange::Del,
            network: network(&given.text()?)?,
            dev: dev(given, &options)?,
        }),
        "garp" => Ok(Action::Announce { address: address("garp", &given.text()?)?, dev: dev(given, &options)? }),
        "sysctl" => sysctl(given),
        "file_write" => file_write(given),
        "signal" => {
            Ok(Action::Signal { process: other_process(given)?, signal: signal(&given.second()?.to_string())? })
        }
        other => Err(format!("{other} is no action")),
    }
}

impl Giver<'_> {
    fn text(&self) -> Result<String, String> {
        let text = self.target.to_string();
        if text.trim().is_empty() {
            Err(format!("{} has nothing to act on: an empty text", self.function))
        } else {
            Ok(text)
        }
    }

    fn second(&self) -> Result<&Dynamic, String> {
        self.second.ok_or_else(|| format!("{} takes two arguments", self.function))
    }
}

fn http_send(given: &Giver<'_>, options: &Options<'_>) -> Result<Action, String> {
    let url = given.text()?;
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(format!("\"{url}\" is not an address that can be sent to; write \"http://…\" or \"https://…\""));
    }
    let (attempts, backoff) = retry(options)?;
    Ok(Action::HttpSend(HttpSend {
        url,
        method: options.text("method")?.unwrap_or_else(|| "POST".to_owned()),
        headers: headers(options)?,
        body: body(options)?,
        authorization: authorization(options)?,
        timeout: options.duration("timeout", TIMEOUT)?,
        attempts,
        backoff,
    }))
}

fn headers(options: &Options<'_>) -> Result<Vec<(String, String)>, String> {
    let Some(value) = options.get("headers") else { return Ok(Vec::new()) };
    let map = value.clone().try_cast::<Map>().ok_or("headers takes a map, #{ accept: \"application/json\" }")?;
    Ok(map.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

fn body(options: &Options<'_>) -> Result<Option<(String, &'static str)>, String> {
    let text = match (options.get("json"), options.text("body")?) {
        (Some(_), Some(_)) => return Err("json and body: a request has one body".to_owned()),
        (Some(value), None) => Some((json(value)?, "application/json")),
        (None, text) => text.map(|text| (text, "text/plain; charset=utf-8")),
    };
    match text {
        Some((text, _)) if text.len() > LONGEST_TEXT => Err("a body longer than 64 KiB is not sent".to_owned()),
        text => Ok(text),
    }
}

fn authorization(options: &Options<'_>) -> Result<Option<Authorization>, String> {
    match (options.secret_or_text("basic")?, options.secret_or_text("bearer")?) {
        (Some(_), Some(_)) => Err("basic and bearer: a request has one authorization".to_owned()),
        (Some(basic), None) => Ok(Some(Authorization::Basic(basic))),
        (None, bearer) => Ok(bearer.map(Authorization::Bearer)),
    }
}

/// `#{ attempts: 5, backoff: "1s" }`
fn retry(options: &Options<'_>) -> Result<(u32, Duration), String> {
    const BACKOFF: Duration = Duration::from_secs(1);
    let Some(inner) = options.map("retry")? else { return Ok((1, BACKOFF)) };
    Ok((inner.number("attempts", 3, 1, 20)?, inner.duration("backoff", BACKOFF)?))
}

fn level(options: &Options<'_>) -> Result<AlertLevel, String> {
    match options.text("level")?.as_deref() {
        Some("info") => Ok(AlertLevel::Info),
        None | Some("warning") => Ok(AlertLevel::Warning),
        Some("critical") => Ok(AlertLevel::Critical),
        Some(other) => Err(format!("level: \"{other}\" is none of info, warning, critical")),
    }
}

fn run(argv: Vec<String>, options: &Options<'_>) -> Result<Action, String> {
    if let Some(relative) = argv.first().filter(|program| !program.starts_with('/')) {
        return Err(format!("run takes the whole path of a program, as allow_exec has it, not \"{relative}\""));
    }
    Ok(Action::Run { argv, timeout: options.duration("timeout", TIMEOUT)? })
}

fn conntrackd(word: &str) -> Result<ConntrackdCommand, String> {
    let known = ConntrackdCommand::ALL;
    known.into_iter().find(|command| command.word() == word).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|command| command.word()).collect();
        format!("conntrackd: \"{word}\" is none of {}", words.join(", "))
    })
}

fn words(given: &Giver<'_>) -> Result<Vec<String>, String> {
    let list = given.target.clone().try_cast::<Array>().unwrap_or_default();
    if list.is_empty() {
        return Err(format!("{} takes a list with at least one text", given.function));
    }
    let word = |item: &Dynamic| {
        item.clone()
            .into_string()
            .map_err(|_| format!("{} takes a list of texts, not {}", given.function, kind::of(item)))
    };
    list.iter().map(word).collect()
}

fn route(change: RouteChange, given: &Giver<'_>, options: &Options<'_>) -> Result<Action, String> {
    let text = given.text()?;
    let to = if text == "default" { None } else { Some(network(&text)?) };
    let via = options.text("via")?.map(|via| address("via", &via)).transpose()?;
    let dev = options.text("dev")?;
    if change == RouteChange::Replace && via.is_none() && dev.is_none() {
        return Err("route_replace needs a way: #{ via: \"192.168.0.1\" }, #{ dev: \"eth1\" } or both".to_owned());
    }
    let number = |name: &str| options.get(name).map(|_| options.number(name, 0, 0, u32::MAX)).transpose();
    let route = Route { to, via, dev, table: number("table")?, metric: number("metric")? };
    Ok(Action::Route { change, route })
}

fn dev(given: &Giver<'_>, options: &Options<'_>) -> Result<String, String> {
    Ok(options.text("dev")?.unwrap_or_else(|| given.iface.to_owned()))
}

/// `192.168.0.61/24`; without a prefix the address alone.
fn network(text: &str) -> Result<Network, String> {
    let (bare, prefix) = text.split_once('/').map_or((text, None), |(bare, prefix)| (bare, Some(prefix)));
    let address: IpAddr = bare.parse().map_err(|_| format!("\"{text}\" is no address; write \"192.168.0.61/24\""))?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Ok(longest), str::parse::<u8>).ok().filter(|prefix| *prefix <= longest);
    let prefix = prefix.ok_or_else(|| format!("\"{text}\": the prefix is 0 to {longest}"))?;
    Ok(Network { address, prefix })
}

/// A key with dots or slashes, and nothing that leads out of `/proc/sys`.
fn sysctl(given: &Giver<'_>) -> Result<Action, String> {
    let key = given.text()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if !key.chars().all(plain) || key.contains("..") || key.starts_with(['/', '.']) {
        return Err(format!("\"{key}\" is no name of a setting; write \"net.ipv4.ip_forward\""));
    }
    Ok(Action::Sysctl { key, value: given.second()?.to_string() })
}

/// Where policies write, and nobody else: what is beside it in `/run/ha` is the daemon's own.
const FILES: &str = "/run/ha/files/";

fn file_write(given: &Giver<'_>) -> Result<Action, String> {
    let path = given.text()?;
    let below = path.strip_prefix(FILES).unwrap_or(&path);
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    if below.starts_with('/') || !below.split('/').all(plain) {
        return Err(format!("\"{path}\": file_write writes below {FILES} only, like \"{FILES}role\" or \"role\""));
    }
    let content = given.second()?.to_string();
    if content.len() > LONGEST_TEXT {
        return Err("a text longer than 64 KiB is not written".to_owned());
    }
    Ok(Action::FileWrite { path: format!("{FILES}{below}"), content })
}

/// Whoever wants this node to hand over says so with a verdict.
fn other_process(given: &Giver<'_>) -> Result<String, String> {
    let name = given.text()?;
    if name == "ha" {
        return Err(
            "signal: no policy sends signals to ha itself; check() says fault() or maintenance() instead".to_owned()
        );
    }
    Ok(name)
}

fn signal(text: &str) -> Result<Signal, String> {
    match text.strip_prefix("SIG").unwrap_or(text) {
        "HUP" => Ok(Signal::Hup),
        "USR1" => Ok(Signal::Usr1),
        "USR2" => Ok(Signal::Usr2),
        "INT" => Ok(Signal::Int),
        "TERM" => Ok(Signal::Term),
        _ => Err(format!("\"{text}\" is none of the signals that are sent: HUP, USR1, USR2, INT, TERM")),
    }
}
