//! What is asked of the network without a protocol: `nc`, `ping`.

use super::{Translated, duration, flags, probe};
use crate::import::{outline::quoted, reading::micros};

/// `nc -z HOST PORT`.
pub(super) fn nc(arguments: &[String], timeout: u64) -> Option<Translated> {
    let flags = flags::read(arguments, &["-w", "-s", "-i", "-G"]);
    let known = |(name, _): &(String, Option<String>)| {
        matches!(name.as_str(), "-z" | "-v" | "-n" | "-w" | "-s" | "-4" | "-6" | "-i" | "-G")
    };
    let [host, port] = flags.words.as_slice() else { return None };
    if !flags.options.iter().all(known) || port.parse::<u16>().is_err() {
        return None;
    }
    let given =
        |name: &str| flags.options.iter().find(|(option, _)| option == name).and_then(|(_, value)| value.clone());
    let wait = given("-w").and_then(|text| micros(&text)).map_or(timeout, |wait| wait.min(timeout));
    let mut options = vec![("timeout", duration(wait))];
    options.extend(given("-s").map(|source| ("bind", quoted(&source))));
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    Some(Translated::of(probe("tcp", &quoted(&format!("{host}:{port}")), &options)))
}

/// `ping -c N HOST`: one answer is enough; with `-w` all N have to come, ping(8).
pub(super) fn ping(arguments: &[String], six: bool, timeout: u64) -> Option<Translated> {
    let flags = flags::read(arguments, &["-c", "-W", "-w", "-i", "-I", "-s", "-t", "-m"]);
    let [host] = flags.words.as_slice() else { return None };
    let mut options = Vec::new();
    let (mut wait, mut gap, mut count, mut deadline) = (timeout, None, None, None);
    for (name, value) in &flags.options {
        let number = value.as_deref().and_then(micros);
        match name.as_str() {
            "-c" => {
                count =
                    value.as_deref().and_then(|text| text.parse::<u64>().ok()).filter(|count| (1..=100).contains(count))
            }
            "-W" => wait = wait.min(number.filter(|wait| *wait > 0)?),
            "-w" => {
                deadline = Some(number.filter(|wait| *wait > 0)?);
                wait = wait.min(number?);
            }
            "-i" => gap = Some(number?),
            "-I" => {
                let given = value.clone()?;
                let key = if given.parse::<std::net::IpAddr>().is_ok() { "bind" } else { "iface" };
                options.push((key, quoted(&given)));
            }
            "-s" => options.push((
                "size",
                value.as_deref()?.parse::<u64>().ok().filter(|size| (8..=1400).contains(size))?.to_string(),
            )),
            "-4" => options.push(("family", "4".to_owned())),
            "-6" => options.push(("family", "6".to_owned())),
            "-q" | "-n" | "-A" => {}
            _ => return None,
        }
    }
    if six {
        options.push(("family", "6".to_owned()));
    }
    // Until the deadline one goes out each second.
    let until = deadline.map(|deadline| (deadline / 1_000_000).clamp(1, 100));
    let min = if deadline.is_some() { count.unwrap_or(1) } else { 1 };
    let endless = count.or(until).is_none();
    let count = count.or(until).unwrap_or(1);
    let mut all = vec![("timeout", duration(wait))];
    if count > 1 {
        all.push(("count", count.to_string()));
        if min > 1 {
            all.push(("min", min.to_string()));
        }
        all.extend(gap.map(|gap| ("gap", duration(gap))));
    }
    all.extend(options);
    let translated = Translated::of(probe("ping", &quoted(host), &all));
    let takes = (count - 1).saturating_mul(gap.unwrap_or(1_000_000));
    Some(if endless {
        translated.noting(
            "without -c ping never ends, and keepalived counts that as failure; ha takes one answer for a success",
        )
    } else if takes >= timeout {
        translated.noting(format!(
            "ping sends for {takes}, and after {limit} keepalived counts it as failure, whatever was answered; ha takes {min} for a success",
            takes = duration(takes).trim_matches('"'),
            limit = duration(timeout).trim_matches('"'),
            min = if min == 1 { "one answer".to_owned() } else { format!("{min} answers") },
        ))
    } else {
        translated
    })
}
