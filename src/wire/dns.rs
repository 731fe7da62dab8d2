//! DNS messages (RFC 1035): one question, and the answers to it. No cache, no zone transfer, no updates.
//!
//! Extension records (RFC 6891) are sent only with a question for validated answers (RFC 4035, RFC 6840): old servers
//! refuse what has one.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// The size of a header, in bytes.
const HEADER: usize = 12;
const INTERNET: u16 = 1;
/// An answer over UDP may be this long; what is longer would be sent in fragments (RFC 6891 section 6.2.5).
const PAYLOAD: u16 = 1232;
/// No name has more labels (RFC 1035 section 3.1); whoever follows more is led in a circle.
const LABELS_MAX: usize = 128;
const NAME_MAX: usize = 255;

/// Kinds of records that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name.
    Cname,
    /// A mail server, with its preference.
    Mx,
    /// A name server.
    Ns,
    /// The name of an address.
    Ptr,
    /// The start of a zone.
    Soa,
    /// A service: priority, weight, port, host.
    Srv,
    /// A text.
    Txt,
}

impl RecordType {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::A, Self::Aaaa, Self::Cname, Self::Mx, Self::Ns, Self::Ptr, Self::Soa, Self::Srv, Self::Txt];

    /// As zone files have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Soa => "SOA",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }

    const fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Soa => 6,
            Self::Ptr => 12,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// Names of response codes, by number.
const RCODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
];

/// How a server judges a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(u8);

impl Rcode {
    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let code = RCODES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        u8::try_from(code).ok().map(Self)
    }

    /// There was nothing wrong with it.
    #[must_use]
    pub const fn is_good(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match RCODES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}

/// A domain name, without the dot at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Vec<Vec<u8>>);

impl Name {
    /// Reads `www.example.org`; `.` is the root.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let labels: Vec<Vec<u8>> = text.split('.').map(|label| label.as_bytes().to_vec()).collect();
        let is_label = |label: &Vec<u8>| (1..=63).contains(&label.len()) && label.iter().all(u8::is_ascii_graphic);
        let length: usize = labels.iter().map(|label| label.len() + 1).sum();
        (labels.iter().all(is_label) && length < NAME_MAX).then_some(Self(labels))
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        for label in &self.0 {
            // A label has 63 bytes at most.
            bytes.push(u8::try_from(label.len()).unwrap_or_default());
            bytes.extend(label);
        }
        bytes.push(0);
    }

    fn is(&self, other: &Self) -> bool {
        let same = |(one, other): (&Vec<u8>, &Vec<u8>)| one.eq_ignore_ascii_case(other);
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        for (index, label) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{}", label.escape_ascii())?;
        }
        Ok(())
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Tells this question from others.
    pub id: u16,
    /// About what.
    pub name: Name,
    /// For what.
    pub kind: RecordType,
    /// For a validated answer.
    pub dnssec: bool,
}

impl Question {
    /// As it is sent, by UDP; by TCP its length goes before it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Recursion desired, authentic data understood.
        let flags: u16 = if self.dnssec { 0x0120 } else { 0x0100 };
        let mut bytes = Vec::new();
        for word in [self.id, flags, 1, 0, 0, u16::from(self.dnssec)] {
            bytes.extend(word.to_be_bytes());
        }
        self.name.write(&mut bytes);
        bytes.extend(self.kind.code().to_be_bytes());
        bytes.extend(INTERNET.to_be_bytes());
        if self.dnssec {
            // The root's name, OPT, the payload we take, no extended code, version 0, "DNSSEC answer OK", no options.
            bytes.extend([0, 0, 41]);
            bytes.extend(PAYLOAD.to_be_bytes());
            bytes.extend([0, 0, 0x80, 0, 0, 0]);
        }
        bytes
    }

    /// What a message says to this question.
    ///
    /// # Errors
    ///
    /// It says nothing to it.
    pub fn decode(&self, message: &[u8]) -> Result<Response, NoResponse> {
        let mut reader = Reader { message, at: 0 };
        // Whatever does not even bear our number is not about us, and so not a bad answer either.
        if reader.word() != Some(self.id) {
            return Err(NoResponse::Foreign);
        }
        self.read(&mut reader).ok_or(NoResponse::Malformed)?
    }

    fn read(&self, reader: &mut Reader<'_>) -> Option<Result<Response, NoResponse>> {
        let flags = reader.word()?;
        let (questions, answers) = (reader.word()?, reader.word()?);
        reader.at = HEADER;
        let rcode = Rcode(u8::try_from(flags & 0x000f).ok()?);
        let is_ours = match questions {
            1 => reader.name()?.is(&self.name) && reader.word()? == self.kind.code() && reader.word()? == INTERNET,
            // Some refuse without repeating the question.
            0 => !rcode.is_good(),
            _ => return None,
        };
        if flags & 0x8000 == 0 || !is_ours {
            return Some(Err(NoResponse::Foreign));
        }
        let truncated = flags & 0x0200 != 0;
        let mut records = Vec::new();
        for _ in 0..answers {
            match reader.record(self.kind) {
                Some(record) => records.extend(record),
                None if truncated => break,
                None => return None,
            }
        }
        let (authoritative, validated) = (flags & 0x0400 != 0, flags & 0x0020 != 0);
        Some(Ok(Response { rcode, authoritative, truncated, validated, records }))
    }
}

/// Why a message is no answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoResponse {
    /// It answers another one.
    Foreign,
    /// It makes no sense.
    Malformed,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How it judges the question.
    pub rcode: Rcode,
    /// It knows by itself.
    pub authoritative: bool,
    /// There is more; to be asked for by TCP.
    pub truncated: bool,
    /// It has validated the answer (RFC 4035 section 3.2.3).
    pub validated: bool,
    /// Those of the kind that was asked for.
    pub records: Vec<Record>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// As zone files have it, without the dot at the end of names and without quotes.
    pub data: String,
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.message.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn word(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A name, which may go on elsewhere (RFC 1035 section 4.1.4).
    fn name(&mut self) -> Option<Name> {
        let (mut labels, mut length, mut back) = (Vec::new(), 0, None);
        loop {
            let lead = self.byte()?;
            match lead >> 6 {
                0b00 if lead == 0 => break,
                0b00 => {
                    let label = self.bytes(usize::from(lead))?;
                    length += label.len() + 1;
                    labels.push(label.to_vec());
                }
                0b11 => {
                    let target = usize::from(u16::from_be_bytes([lead & 0x3f, self.byte()?]));
                    back.get_or_insert(self.at);
                    // Only ever backwards, so that it ends.
                    let here = self.at.checked_sub(2)?;
                    self.at = Some(target).filter(|target| *target < here)?;
                }
                _ => return None,
            }
            if labels.len() > LABELS_MAX || length > NAME_MAX {
                return None;
            }
        }
        self.at = back.unwrap_or(self.at);
        Some(Name(labels))
    }

    /// A record, if it is of the wanted kind; any other is passed over.
    fn record(&mut self, wanted: RecordType) -> Option<Option<Record>> {
        self.name()?;
        let (kind, class, ttl) = (self.word()?, self.word()?, self.long()?);
        let end = usize::from(self.word()?).checked_add(self.at)?;
        self.message.get(..end)?;
        let is_wanted = kind == wanted.code() && class == INTERNET;
        let data = if is_wanted { Some(self.data(wanted, end)?) } else { None };
        self.at = end;
        Some(data.map(|data| Record { ttl, data }))
    }

    fn data(&mut self, kind: RecordType, end: usize) -> Option<String> {
        Some(match kind {
            RecordType::A => Ipv4Addr::from(self.array::<4>()?).to_string(),
            RecordType::Aaaa => Ipv6Addr::from(self.array::<16>()?).to_string(),
            RecordType::Cname | RecordType::Ns | RecordType::Ptr => self.name()?.to_string(),
            RecordType::Mx => format!("{} {}", self.word()?, self.name()?),
            RecordType::Srv => format!("{} {} {} {}", self.word()?, self.word()?, self.word()?, self.name()?),
            RecordType::Soa => {
                let (primary, mailbox) = (self.name()?, self.name()?);
                let numbers: Option<Vec<_>> = (0..5).map(|_| self.long().map(|number| number.to_string())).collect();
                format!("{primary} {mailbox} {}", numbers?.join(" "))
            }
            RecordType::Txt => {
                let mut text = Vec::new();
                while self.at < end {
                    let length = usize::from(self.byte()?);
                    text.extend(self.bytes(length)?);
                }
                String::from_utf8_lossy(&text).into_owned()
            }
        })
        .filter(|_| self.at <= end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(kind: RecordType) -> Question {
        Question { id: 7, name: Name::new("www.example.org").unwrap(), kind, dnssec: false }
    }

    /// The head of an answer with so many records, and the question of `question(kind)`.
    fn answer(kind: RecordType, flags: u16, records: &[&[u8]]) -> Vec<u8> {
        let mut message = question(kind).encode();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[7] = u8::try_from(records.len()).unwrap();
        records.iter().for_each(|record| message.extend(*record));
        message
    }

    /// A record about the name in the question, one minute to live.
    fn record(code: u8, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).unwrap();
        [&[0xc0, 12, 0, code, 0, 1, 0, 0, 0, 60, 0, length], data].concat()
    }

    fn data(kind: RecordType, data: &[u8]) -> Option<String> {
        let code = u8::try_from(kind.code()).unwrap();
        let response = question(kind).decode(&answer(kind, 0x8180, &[&record(code, data)]));
        response.ok().map(|response| response.records.first().unwrap().data.clone())
    }

    #[test]
    fn a_question_as_the_standard_has_it() {
        let plain = question(RecordType::Aaaa).encode();
        assert_eq!(plain[..12], [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&plain[12..], b"\x03www\x07example\x03org\x00\x00\x1c\x00\x01");
        let validated = Question { dnssec: true, ..question(RecordType::A) }.encode();
        assert_eq!((validated[3], validated[11]), (0x20, 1));
        assert_eq!(validated[33..], [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    }

    #[test]
    fn records_as_zone_files_have_them() {
        assert_eq!(data(RecordType::A, &[192, 0, 2, 1]).unwrap(), "192.0.2.1");
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(data(RecordType::Aaaa, &v6).unwrap(), "2001:db8::1");
        assert_eq!(data(RecordType::Cname, b"\x03web\xc0\x10").unwrap(), "web.example.org");
        assert_eq!(data(RecordType::Mx, b"\x00\x0a\x04mail\xc0\x10").unwrap(), "10 mail.example.org");
        assert_eq!(data(RecordType::Srv, b"\0\x01\0\x02\x01\xbb\xc0\x0c").unwrap(), "1 2 443 www.example.org");
        assert_eq!(data(RecordType::Txt, b"\x02a \x01b").unwrap(), "a b");
        let soa = [&b"\x02ns\xc0\x10\x00"[..], &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]].concat();
        assert_eq!(data(RecordType::Soa, &soa).unwrap(), "ns.example.org . 1 2 3 4 5");
        for (kind, bad) in [(RecordType::A, &[1, 2, 3][..]), (RecordType::Mx, b"\0"), (RecordType::Txt, b"\x05a")] {
            assert_eq!(data(kind, bad), None, "{kind:?}");
        }
    }

    #[test]
    fn an_alias_on_the_way_is_passed_over() {
        let alias = record(5, b"\x03web\xc0\x10");
        let response =
            question(RecordType::A).decode(&answer(RecordType::A, 0x85a0, &[&alias, &record(1, &[192, 0, 2, 1])]));
        let records = vec![Record { ttl: 60, data: "192.0.2.1".to_owned() }];
        let (rcode, truncated) = (Rcode(0), false);
        assert_eq!(response, Ok(Response { rcode, authoritative: true, truncated, validated: true, records }));
    }

    #[test]
    fn what_answers_another_question_is_foreign() {
        let good = answer(RecordType::A, 0x8180, &[]);
        assert!(question(RecordType::A).decode(&good).is_ok());
        let foreign = |question: Question, message: &[u8]| {
            assert_eq!(question.decode(message), Err(NoResponse::Foreign), "{message:?}");
        };
        foreign(Question { id: 8, ..question(RecordType::A) }, &good);
        foreign(question(RecordType::Aaaa), &good);
        foreign(Question { name: Name::new("example.org").unwrap(), ..question(RecordType::A) }, &good);
        // Our own question, come back.
        foreign(question(RecordType::A), &question(RecordType::A).encode());
        assert!(
            Question { name: Name::new("WWW.Example.ORG.").unwrap(), ..question(RecordType::A) }.decode(&good).is_ok()
        );
    }

    #[test]
    fn what_is_cut_short_or_goes_in_a_circle_is_malformed() {
        let whole = answer(RecordType::A, 0x8180, &[&record(1, &[192, 0, 2, 1])]);
        for length in 2..whole.len() {
            assert_eq!(question(RecordType::A).decode(&whole[..length]), Err(NoResponse::Malformed), "{length}");
        }
        let mut circle = whole.clone();
        // The record's name points to itself.
        circle[34] = 33;
        assert_eq!(question(RecordType::A).decode(&circle), Err(NoResponse::Malformed));
        // Cut short and saying so: what is there counts.
        let truncated = answer(RecordType::A, 0x8380, &[&record(1, &[192, 0, 2, 1]), &[0]]);
        let response = question(RecordType::A).decode(&truncated).unwrap();
        assert_eq!((response.truncated, response.records.len()), (true, 1));
    }

    #[test]
    fn names_and_codes() {
        for bad in ["a..b", "a b", "ä", &"x".repeat(64), &["x".repeat(60).as_str(); 5].join(".")] {
            assert_eq!(Name::new(bad), None, "{bad}");
        }
        assert_eq!(Name::new(".").unwrap().to_string(), ".");
        assert_eq!(Rcode::named("nxdomain").unwrap().to_string(), "NXDOMAIN");
        assert_eq!((Rcode::named("nosuch"), Rcode(12).to_string()), (None, "RCODE12".to_owned()));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_in_panics(mut message in prop::collection::vec(any::<u8>(), 2..200), kind in 0..9_usize) {
            message[..2].copy_from_slice(&[0, 7]);
            let _ = question(RecordType::ALL[kind]).decode(&message);
        }
    }
}
