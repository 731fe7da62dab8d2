//! The kernel's packet filter, as little of it as `ha` needs: one table at a time, put there whole or taken away whole
//! (`linux/netfilter/nf_tables.h`, nfnetlink).
//!
//! The messages are written here byte by byte: a dozen attributes in one transaction. The crates for it bring a C library,
//! a generator of bindings, or the program `nft`.

use std::{io, time::Duration};

use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

/// The kernel works a transaction off inside `send`: an answer that is not there by then is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(50);
/// The kernel never puts more into one datagram.
const DATAGRAM: usize = 64 * 1024;

/// `NFNL_SUBSYS_NFTABLES`, as the upper byte of a type and as what a batch is for.
const NFTABLES: u8 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// Lengths of `struct nlmsghdr` and of `struct nfgenmsg` behind it.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;

/// Message types.
pub(super) const NEW_TABLE: u8 = 0;
pub(super) const DELETE_TABLE: u8 = 2;
pub(super) const NEW_CHAIN: u8 = 3;
pub(super) const NEW_RULE: u8 = 6;
pub(super) const GET_RULES: u8 = 7;
pub(super) const GET_TABLE: u8 = 1;
pub(super) const NEW_SET: u8 = 9;
pub(super) const NEW_ELEMENT: u8 = 12;
pub(super) const DELETE_ELEMENT: u8 = 14;

/// `enum nft_*_attributes`.
pub(super) const TABLE_NAME: u16 = 1;
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const HOOK_NUMBER: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;
pub(super) const HOOK_DEVICE: u16 = 3;
pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
pub(super) const SET_TABLE: u16 = 1;
pub(super) const SET_NAME: u16 = 2;
pub(super) const SET_FLAGS: u16 = 3;
pub(super) const SET_KEY_TYPE: u16 = 4;
pub(super) const SET_KEY_LENGTH: u16 = 5;
pub(super) const SET_ID: u16 = 10;
pub(super) const ELEMENTS_TABLE: u16 = 1;
pub(super) const ELEMENTS_SET: u16 = 2;
pub(super) const ELEMENTS: u16 = 3;
pub(super) const ELEMENT_KEY: u16 = 1;
pub(super) const ELEMENT_TIMEOUT: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// `NLM_F_*`.
const REQUEST: u16 = 0x001;
const ACK: u16 = 0x004;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
/// `NLMSG_ERROR`, `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// A socket to the packet filter of the network namespace it was made in.
#[derive(Debug)]
pub(super) struct Nftables {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Attributes one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(Vec<u8>);

/// One message of a transaction: what, of which family (`NFPROTO_IPV4`, `NFPROTO_IPV6`), and about what.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) what: u8,
    pub(super) family: u8,
    pub(super) attributes: Attributes,
}

impl Nftables {
    /// Opens the socket.
    pub(super) fn open() -> io::Result<Self> {
        let protocol = Some(netlink::NETFILTER);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    /// Carries out all steps, or none of them.
    ///
    /// # Errors
    /// What the kernel said of the first step it refused. No packet filter in the kernel: `EOPNOTSUPP`, `EINVAL` or
    /// `EPROTONOSUPPORT`.
    pub(super) fn transact(&mut self, steps: &[Step]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut sequence = self.sequence;
        let mut add = |kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]| {
            sequence = sequence.wrapping_add(1);
            message(&mut bytes, Head { kind, flags, sequence, family, resource }, attributes);
        };
        add(BATCH_BEGIN, REQUEST, 0, u16::from(NFTABLES), &[]);
        for step in steps {
            let create =
                if matches!(step.what, NEW_TABLE | NEW_CHAIN | NEW_RULE | NEW_SET | NEW_ELEMENT) { CREATE } else { 0 };
            let append = if step.what == NEW_RULE { APPEND } else { 0 };
            add(of_nftables(step.what), REQUEST | ACK | create | append, step.family, 0, &step.attributes.0);
        }
        add(BATCH_END, REQUEST, 0, u16::from(NFTABLES), &[]);
        let first = self.sequence.wrapping_add(1);
        self.sequence = sequence;
        send(&self.socket, &bytes, SendFlags::empty())?;
        let mut waiting = steps.len();
        while waiting > 0 {
            for answer in self.receive()? {
                // An answer to an older request, which nobody waits for any more.
                if answer.kind != ERROR || answer.sequence.wrapping_sub(first) > sequence.wrapping_sub(first) {
                    continue;
                }
                if answer.error != 0 {
                    return Err(io::Error::from_raw_os_error(answer.error));
                }
                waiting = waiting.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// How many objects the kernel lists: rules of a chain ([`GET_RULES`]).
    pub(super) fn count(&mut self, step: &Step) -> io::Result<usize> {
        let sequence = self.ask(step, DUMP)?;
        let mut count = 0;
        loop {
            for answer in self.receive()?.into_iter().filter(|answer| answer.sequence == sequence) {
                match answer.kind {
                    DONE => return Ok(count),
                    ERROR if answer.error != 0 => return Err(io::Error::from_raw_os_error(answer.error)),
                    kind if kind == of_nftables(NEW_RULE) => count += 1,
                    _ => {}
                }
            }
        }
    }

    /// Whether there is such an object ([`GET_TABLE`]).
    pub(super) fn exists(&mut self, step: &Step) -> io::Result<bool> {
        let sequence = self.ask(step, 0)?;
        loop {
            let Some(answer) = self.receive()?.into_iter().find(|answer| answer.sequence == sequence) else { continue };
            return match (answer.kind, answer.error) {
                (ERROR, libc::ENOENT) => Ok(false),
                (ERROR, error) if error != 0 => Err(io::Error::from_raw_os_error(error)),
                _ => Ok(true),
            };
        }
    }

    fn ask(&mut self, step: &Step, flags: u16) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        let (kind, sequence) = (of_nftables(step.what), self.sequence);
        let mut bytes = Vec::new();
        let head = Head { kind, flags: REQUEST | flags, sequence, family: step.family, resource: 0 };
        message(&mut bytes, head, &step.attributes.0);
        send(&self.socket, &bytes, SendFlags::empty())?;
        Ok(sequence)
    }

    /// All messages of one datagram.
    fn receive(&mut self) -> io::Result<Vec<Answer>> {
        let length = loop {
            match recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                received => break received?.0,
            }
        };
        Ok(answers(self.buffer.get(..length).unwrap_or_default()))
    }
}

/// What the kernel says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    kind: u16,
    sequence: u32,
    /// Of an error; 0 is an acknowledgement.
    error: i32,
}

/// Takes a datagram apart; what does not fit ends it.
pub(super) fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while let Some((header, body)) = bytes.split_first_chunk::<HEADER>() {
        let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, ..] = *header;
        let error = body.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code).wrapping_neg());
        let kind = u16::from_ne_bytes([k0, k1]);
        let error = if kind == ERROR { error } else { 0 };
        found.push(Answer { kind, sequence: u32::from_ne_bytes([s0, s1, s2, s3]), error });
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        bytes = bytes.get(length.max(HEADER).saturating_add(3) & !3..).unwrap_or_default();
    }
    found
}

const fn of_nftables(what: u8) -> u16 {
    u16::from_be_bytes([NFTABLES, what])
}

struct Head {
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
}

fn message(bytes: &mut Vec<u8>, head: Head, attributes: &[u8]) {
    let length = u32::try_from(HEADER + FAMILY_HEADER + attributes.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(head.kind.to_ne_bytes());
    bytes.extend(head.flags.to_ne_bytes());
    bytes.extend(head.sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([head.family, 0]);
    bytes.extend(head.resource.to_be_bytes());
    bytes.extend(attributes);
}

impl Attributes {
    /// A name, with the zero that ends it.
    pub(super) fn text(self, kind: u16, text: &str) -> Self {
        self.bytes(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// A number, as the packet filter has all of them: big endian.
    pub(super) fn number(self, kind: u16, number: u32) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    /// A long number.
    pub(super) fn long(self, kind: u16, number: u64) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    /// A value that is compared with others.
    pub(super) fn data(self, kind: u16, value: &[u8]) -> Self {
        self.nested(kind, &Self::default().bytes(DATA_VALUE, value))
    }

    /// One entry of a list.
    pub(super) fn listed(self, entry: &Self) -> Self {
        self.nested(LIST_ELEMENT, entry)
    }

    /// Others within.
    pub(super) fn nested(self, kind: u16, inner: &Self) -> Self {
        /// `NLA_F_NESTED`.
        const NESTED: u16 = 0x8000;
        self.bytes(kind | NESTED, &inner.0)
    }

    /// The expressions of a rule.
    pub(super) fn expressions(self, list: &[Expression]) -> Self {
        let inner = list.iter().fold(Self::default(), |all, one| all.nested(LIST_ELEMENT, &one.attributes()));
        self.nested(RULE_EXPRESSIONS, &inner)
    }

    fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

/// A part of a rule. What follows it is looked at only if it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    name: &'static str,
    data: Attributes,
}

impl Expression {
    fn attributes(&self) -> Attributes {
        Attributes::default().text(EXPRESSION_NAME, self.name).nested(EXPRESSION_DATA, &self.data)
    }
}

/// How two values are compared (`enum nft_cmp_ops`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Equal = 0,
    AtMost = 3,
    AtLeast = 5,
}

/// Which header of a packet (`enum nft_payload_bases`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Network = 1,
    Transport = 2,
}

/// What becomes of a packet (`NF_DROP`, `NF_ACCEPT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Drop = 0,
    Accept = 1,
}

/// `NFT_REG_1`.
const REGISTER: u32 = 1;

/// Bytes of a header are so.
pub(super) fn packet_has(header: Header, offset: u32, compared: Compared, bytes: &[u8]) -> [Expression; 2] {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let load = Attributes::default().number(1, REGISTER).number(2, header as u32).number(3, offset).number(4, length);
    [Expression { name: "payload", data: load }, compare(compared, bytes)]
}

/// The protocol above the network header, extension headers passed over, is this.
pub(super) fn protocol_is(number: u8) -> [Expression; 2] {
    const NFT_META_L4PROTO: u32 = 16;
    let load = Attributes::default().number(1, REGISTER).number(2, NFT_META_L4PROTO);
    [Expression { name: "meta", data: load }, compare(Compared::Equal, &[number])]
}

/// The protocol above the link is this.
pub(super) fn ether_type_is(number: u16) -> [Expression; 2] {
    const NFT_META_PROTOCOL: u32 = 1;
    let load = Attributes::default().number(1, REGISTER).number(2, NFT_META_PROTOCOL);
    [Expression { name: "meta", data: load }, compare(Compared::Equal, &number.to_be_bytes())]
}

/// A set does not have this element.
pub(super) fn is_not_in(set: &str, element: &[u8]) -> [Expression; 2] {
    const NFT_LOOKUP_F_INV: u32 = 1;
    let load = Attributes::default().number(1, REGISTER).data(2, element);
    let look = Attributes::default().text(1, set).number(2, REGISTER).number(5, NFT_LOOKUP_F_INV);
    [Expression { name: "immediate", data: load }, Expression { name: "lookup", data: look }]
}

/// The end of a rule.
pub(super) fn verdict(verdict: Verdict) -> Expression {
    const NFT_REG_VERDICT: u32 = 0;
    let code = Attributes::default().number(1, verdict as u32);
    let data = Attributes::default().nested(DATA_VERDICT, &code);
    Expression { name: "immediate", data: Attributes::default().number(1, NFT_REG_VERDICT).nested(2, &data) }
}

fn compare(compared: Compared, bytes: &[u8]) -> Expression {
    let value = Attributes::default().bytes(DATA_VALUE, bytes);
    let data = Attributes::default().number(1, REGISTER).number(2, compared as u32).nested(3, &value);
    Expression { name: "cmp", data }
}
