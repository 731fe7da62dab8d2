//! What is asked by HTTP: `curl`, `wget`.

use super::{Asked, Translated, duration, flags, probe};
use crate::import::{
    outline::{plain_name, quoted},
    reading::micros,
};

/// Redirects that `ha` follows at most.
const FOLLOW_MAX: &str = "10";

const CURL_VALUES: [&str; 34] = [
    "-o",
    "--output",
    "-m",
    "--max-time",
    "--connect-timeout",
    "-H",
    "--header",
    "-X",
    "--request",
    "-u",
    "--user",
    "--cacert",
    "--cert",
    "-E",
    "--key",
    "--unix-socket",
    "-w",
    "--write-out",
    "-x",
    "--proxy",
    "-d",
    "--data",
    "-A",
    "--user-agent",
    "--interface",
    "--resolve",
    "--retry",
    "--retry-delay",
    "-T",
    "-F",
    "-e",
    "-b",
    "--max-redirs",
    "--data-raw",
];

/// `curl … URL`. Ok is what curl's exit code says: any answer, or with `-f` one below 400.
pub(super) fn curl(arguments: &[String], asked: Asked<'_>) -> Option<Translated> {
    let flags = flags::read(arguments, &CURL_VALUES);
    let [url] = flags.words.as_slice() else { return None };
    if !(url.starts_with("http://") || url.starts_with("https://") || !url.contains("://")) || url.contains(['$', '`'])
    {
        return None;
    }
    let url = if url.contains("://") { url.clone() } else { format!("http://{url}") };
    let mut status = "100-599";
    let mut wait = asked.timeout;
    let mut options = Vec::new();
    let (mut headers, mut notes, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
    for (name, value) in &flags.options {
        let text = || value.as_deref().map(quoted);
        match name.as_str() {
            "-f" | "--fail" => status = "100-399",
            "-m" | "--max-time" => wait = wait.min(value.as_deref().and_then(micros).filter(|wait| *wait > 0)?),
            "-H" | "--header" => headers.push(value.clone()?),
            "-A" | "--user-agent" => headers.push(format!("User-Agent: {}", value.as_deref()?)),
            "-X" | "--request" => options.push(("method", text()?)),
            "-I" | "--head" => options.push(("method", quoted("HEAD"))),
            "-k" | "--insecure" => options.push(("insecure", "true".to_owned())),
            "-L" | "--location" => options.push(("follow", FOLLOW_MAX.to_owned())),
            "--cacert" => options.push(("ca", text()?)),
            "--cert" | "-E" => options.push(("cert", text()?)),
            "--key" => options.push(("key", text()?)),
            "--unix-socket" => options.push(("unix", text()?)),
            "--interface" => options.push(("iface", text()?)),
            "-x" | "--proxy" => options.push(("proxy", text()?)),
            // Curl joins several of them.
            "-d" | "--data" | "--data-raw" if options.iter().any(|(key, _)| *key == "data") => return None,
            "-d" | "--data" | "--data-raw" => options.push(("data", text()?)),
            "-0" | "--http1.0" => options.push(("http_version", quoted("1.0"))),
            "-4" | "--ipv4" => options.push(("family", "4".to_owned())),
            "-6" | "--ipv6" => options.push(("family", "6".to_owned())),
            "-u" | "--user" => {
                let secret = format!("{}_password", plain_name(asked.name));
                options.push(("basic", format!("secret({})", quoted(&secret))));
                secrets.retain(|(name, _)| *name != secret);
                secrets.push((secret, value.clone()?));
            }
            "-s" | "--silent" | "-S" | "--show-error" | "-o" | "--output" | "-v" | "--verbose" | "-i" | "--include"
            | "-N" | "-q" | "--connect-timeout" | "-w" | "--write-out" | "--http1.1" | "-g" | "--globoff" => {}
            "--retry" | "--retry-delay" => {
                notes.push("ha does not ask again: fall says how many failures are tolerated".to_owned())
            }
            _ => return None,
        }
    }
    if status == "100-599" {
        notes.push("without -f curl takes every answer for a success, an error 500 too, and so does this: set status to \"200-399\"".to_owned());
    }
    let others = with_headers(headers, asked, &mut options, &mut secrets)?;
    let mut all = vec![("timeout", duration(wait)), ("status", quoted(status))];
    all.append(&mut options);
    all.extend(others);
    let mut translated = Translated::of(probe("http", &quoted(&url), &all));
    translated.notes = notes;
    translated.secrets = secrets;
    Some(translated)
}

/// `Host` has an option of its own; what authorises is a secret.
fn with_headers(
    headers: Vec<String>,
    asked: Asked<'_>,
    options: &mut Vec<(&'static str, String)>,
    secrets: &mut Vec<(String, String)>,
) -> Option<Option<(&'static str, String)>> {
    let mut map = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for header in headers {
        let (name, value) = header.split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        // Curl sends both.
        if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return None;
        }
        seen.push(name.to_owned());
        if name.eq_ignore_ascii_case("host") {
            options.push(("host", quoted(value)));
        } else if ["authorization", "x-api-key", "x-auth-token", "cookie"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        {
            let secret = format!("{}_{}", plain_name(asked.name), plain_name(&name.to_ascii_lowercase()));
            map.push(format!("{}: secret({})", quoted(name), quoted(&secret)));
            secrets.push((secret, value.to_owned()));
        } else {
            map.push(format!("{}: {}", quoted(name), quoted(value)));
        }
    }
    Some((!map.is_empty()).then(|| ("headers", format!("#{{ {} }}", map.join(", ")))))
}

/// `wget -q --spider URL`. Ok: an answer below 400, after redirects.
pub(super) fn wget(arguments: &[String], timeout: u64) -> Option<Translated> {
    let flags = flags::read(arguments, &["-O", "-T", "-t", "--timeout", "--tries", "--output-document"]);
    let [url] = flags.words.as_slice() else { return None };
    if url.contains("://") && !url.starts_with("http") || url.contains(['$', '`']) {
        return None;
    }
    let url = if url.contains("://") { url.clone() } else { format!("http://{url}") };
    let mut wait = timeout;
    let mut options = Vec::new();
    for (name, value) in &flags.options {
        match name.as_str() {
            "-T" | "--timeout" => wait = wait.min(value.as_deref().and_then(micros).filter(|wait| *wait > 0)?),
            "--spider" => options.push(("method", quoted("HEAD"))),
            "--no-check-certificate" => options.push(("insecure", "true".to_owned())),
            "-q" | "--quiet" | "-O" | "--output-document" | "-t" | "--tries" => {}
            _ => return None,
        }
    }
    let mut all = vec![("timeout", duration(wait)), ("status", quoted("200-299")), ("follow", FOLLOW_MAX.to_owned())];
    all.append(&mut options);
    Some(Translated::of(probe("http", &quoted(&url), &all)))
}
