//! `dns`: a question to one name server, and what is expected of the answer.

use std::{convert::identity, net::IpAddr, time::Duration};

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, text, unbracketed},
    target::Target,
};
use crate::{
    policy::{
        duration,
        language::{Function, Group, choice, fact},
        options::Options,
    },
    wire::dns::{Name, Rcode, RecordType},
};

const PORT: u16 = 53;

/// Options of [`ProbeKind::Dns`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRequest {
    /// The name asked about, as written.
    pub target: String,
    /// The same.
    pub name: Name,
    /// Records of which kind.
    pub kind: RecordType,
    /// The server's address or name, and its port; the system's first one if not told.
    pub server: Option<(String, u16)>,
    /// The wanted response code.
    pub rcode: Rcode,
    /// How many records of this kind there must be.
    pub min: usize,
    /// One that must be among them.
    pub contains: Option<String>,
    /// Ask by TCP to begin with.
    pub tcp: bool,
    /// The server must have validated the answer.
    pub dnssec: bool,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "dns",
        group: Group::Probe,
        forms: &["domain: text", "domain: text, options: map"],
        returns: "probe",
        summary: "Asks a name server. Ok: it answers with the wanted code, and with enough records of the wanted type. An \
                  answer that does not fit into a datagram is asked for again by TCP.",
        options: &[
            choice("server", "text", "", "Address of the server, port 53 unless told; the first of /etc/resolv.conf."),
            choice("type", "text", "\"A\"", "A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT."),
            choice("rcode", "text", "\"NOERROR\"", "Wanted response code: NOERROR, NXDOMAIN, SERVFAIL, REFUSED, …."),
            choice(
                "min",
                "number",
                "1",
                "How many records there must be; 0 where another code than NOERROR is wanted.",
            ),
            choice(
                "contains",
                "text",
                "",
                "A record that must be among them, whole: \"192.168.0.60\", \"10 mail.example.org\".",
            ),
            choice("tcp", "truth", "false", "Ask by TCP to begin with."),
            choice("dnssec", "truth", "false", "The server must have validated the answer."),
        ],
        fields: &[
            fact("rcode", "text", "Response code."),
            fact("answers", "list", "Records of the wanted type, as texts."),
            fact("ttl", "number", "Seconds until the first of them must be asked for again."),
            fact("authoritative", "truth", "The server knows by itself."),
            fact("validated", "truth", "The server has validated the answer."),
        ],
        privilege: "",
        example: "require(\"resolver\", dns(\"www.example.org\", #{ server: \"127.0.0.1\", timeout: \"1s\" }));",
    },
    target: Target::Text,
    reach: Reach::Server("server", host_of_server),
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let target = text(target);
    let name = Name::new(&target).ok_or_else(|| format!("\"{target}\" is not a domain name"))?;
    let rcode = rcode(options)?;
    Ok(ProbeKind::Dns(DnsRequest {
        kind: kind(options)?,
        server: options.text("server")?.map(|text| server(&text)).transpose()?,
        rcode,
        min: options.number("min", usize::from(rcode.is_good()), 0, 100)?,
        contains: options.text("contains")?,
        tcp: options.truth("tcp")?,
        dnssec: options.truth("dnssec")?,
        target,
        name,
    }))
}

fn kind(options: &Options<'_>) -> Result<RecordType, String> {
    let Some(text) = options.text("type")? else { return Ok(RecordType::A) };
    let known = RecordType::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(&text));
    known.ok_or_else(|| {
        let names: Vec<_> = RecordType::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("type: \"{text}\" is none of {}", names.join(", "))
    })
}

fn rcode(options: &Options<'_>) -> Result<Rcode, String> {
    let text = options.text("rcode")?.unwrap_or_else(|| "NOERROR".to_owned());
    Rcode::named(&text).ok_or_else(|| format!("rcode: \"{text}\" is no response code; write NOERROR, NXDOMAIN, …"))
}

/// `127.0.0.1`, `fd00::1`, `[fd00::1]:5353`, `ns.example.org:5353`.
fn server(text: &str) -> Result<(String, u16), String> {
    let is_bare = text.parse::<std::net::Ipv6Addr>().is_ok();
    let port = if is_bare { None } else { text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) };
    let server = match port {
        None => Some((text.to_owned(), PORT)),
        Some((host, port)) => port.parse().ok().map(|port| (host.to_owned(), port)),
    };
    let usable = server.filter(|(host, port)| !host.is_empty() && *port > 0);
    usable.ok_or_else(|| format!("server: \"{text}\" is no address; write \"127.0.0.1\" or \"[fd00::1]:5353\""))
}

/// The host of the option.
fn host_of_server(text: &str) -> Option<String> {
    server(text).ok().map(|(host, _)| unbracketed(&host))
}

impl DnsRequest {
    /// What an answer with these fields comes to, for the real probe and for a test's fakes alike.
    ///
    /// # Errors
    ///
    /// The first thing that is not as wanted.
    pub fn verdict(&self, fields: &Fields) -> Result<String, String> {
        let rcode = Field::text_in(fields, "rcode");
        let wanted = self.rcode.to_string();
        if rcode != wanted {
            return Err(if self.rcode.is_good() { rcode.to_owned() } else { format!("{rcode}, wanted {wanted}") });
        }
        let answers = texts(fields.get("answers"));
        if answers.len() < self.min {
            let kind = self.kind.as_str();
            return Err(format!("{rcode}, {} records of type {kind}, wanted {}", answers.len(), self.min));
        }
        if let Some(wanted) = self.contains.as_ref().filter(|wanted| !answers.iter().any(|answer| is(answer, wanted))) {
            return Err(format!("{rcode}, {wanted} is not among the answers"));
        }
        if self.dnssec && !Field::is_true_in(fields, "validated") {
            return Err(format!("{rcode}, not validated"));
        }
        Ok(if answers.is_empty() { wanted } else { format!("{rcode}, {}", shown(&answers)) })
    }
}

/// A substring would take 192.168.0.60 for 192.168.0.6. An address is the same however it is written.
fn is(answer: &str, wanted: &str) -> bool {
    match (answer.parse::<IpAddr>(), wanted.parse::<IpAddr>()) {
        (Ok(answer), Ok(wanted)) => answer == wanted,
        (_, _) => answer.eq_ignore_ascii_case(wanted.strip_suffix('.').unwrap_or(wanted)),
    }
}

/// `192.0.2.1 and 2 more`
fn shown(answers: &[&str]) -> String {
    match answers {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}

fn texts(list: Option<&Field>) -> Vec<&str> {
    let Some(Field::List(items)) = list else { return Vec::new() };
    items.iter().filter_map(|item| if let Field::Text(text) = item { Some(text.as_str()) } else { None }).collect()
}

impl Asked for DnsRequest {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn usual(&self) -> Fields {
        let answer = self.contains.clone().unwrap_or_else(|| "192.0.2.1".to_owned());
        Fields::from([
            ("rcode", Field::text(self.rcode.to_string())),
            ("answers", Field::List(vec![Field::Text(answer); self.min])),
            ("ttl", Field::Int(300)),
            ("authoritative", Field::Bool(false)),
            ("validated", Field::Bool(self.dnssec)),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let verdict = self.verdict(fields);
        (verdict.is_ok(), verdict.unwrap_or_else(identity))
    }

    /// A server that refuses has no records.
    fn follow(&self, told: &Fields, fields: &mut Fields) {
        if told.contains_key("rcode") && !told.contains_key("answers") && Field::text_in(told, "rcode") != "NOERROR" {
            fields.insert("answers", Field::List(Vec::new()));
        }
    }

    fn not_ok(&self, timeout: Duration) -> String {
        format!("timeout after {}", duration::show(timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_in_every_form() {
        let at = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(server("127.0.0.1"), at("127.0.0.1", 53));
        assert_eq!(server("127.0.0.1:5353"), at("127.0.0.1", 5353));
        assert_eq!(server("fd00::1"), at("fd00::1", 53));
        assert_eq!(server("[fd00::1]"), at("[fd00::1]", 53));
        assert_eq!(server("[fd00::1]:5353"), at("[fd00::1]", 5353));
        assert_eq!(server("ns:54"), at("ns", 54));
        for bad in ["", ":53", "ns:", "ns:0", "ns:x"] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_record_is_compared_whole_and_by_what_it_means() {
        assert!(is("2001:db8::1", "2001:DB8:0::1") && is("mail.example.org", "Mail.Example.Org."));
        assert!(!is("192.168.0.60", "192.168.0.6") && !is("10 mail.example.org", "mail.example.org"));
    }
}
