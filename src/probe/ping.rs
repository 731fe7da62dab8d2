//! The ping probe: ICMP and ICMPv6 echo (RFC 792, RFC 4443).
//!
//! It is decided as soon as it can be: ok with the `min`-th reply, without waiting for the rest or even sending it; not
//! ok once too many requests were refused, else at the deadline, which is one for all requests. So the fields describe
//! the probe up to its decision; a policy that is after the loss asks for `min` equal to `count`.
//!
//! One socket for each family, source, interface and lifetime of packets, kept. Raw sockets where permitted, else the kernel's own ping
//! sockets. The round trip is measured here: the client's own stamps are late and may say zero.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    names::{Names, interface_index},
    way::Exit,
};
use crate::{
    policy::probe::{ErrorKind, Field, PingRequest, ProbeRequest},
    words::Family,
};

/// More sockets than any sane set of policies needs; beyond it all are opened anew.
const CLIENTS_MAX: usize = 64;
/// The longest payload of an IPv4 echo request.
const SIZE_MAX: usize = 65_507;
/// A router may answer an echo request with a better way instead of the reply; then it is asked again, this often.
const REDIRECTS_MAX: u32 = 3;

/// The sockets of all pings.
pub(super) struct Pings {
    clients: Mutex<BTreeMap<Local, Client>>,
    /// Keeps this process's pings apart from those of others on a raw socket.
    identifier: u16,
    /// Keeps the pings of this process apart from each other, whatever they ping.
    sequence: Arc<AtomicU16>,
}

/// The local end of a ping.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Local {
    family: Family,
    exit: Exit,
    ttl: Option<u8>,
}

impl Pings {
    pub(super) fn new() -> Self {
        let random = RandomState::new().build_hasher().finish().to_le_bytes();
        let [low, high, ..] = random;
        Self { clients: Mutex::default(), identifier: u16::from_le_bytes([low, high]), sequence: Arc::default() }
    }

    /// `ok`: `min` replies. Fields: `sent`, `received`, `loss` (share of `sent`, 0 to 1), `rtt` (mean, seconds),
    /// `rtt_max`.
    pub(super) async fn probe(
        &self,
        names: &Names,
        request: &ProbeRequest,
        ping: &PingRequest,
        deadline: Deadline,
    ) -> Answer {
        let mut tally = Tally::default();
        let verdict = match self.echo(names, request, ping, deadline).await {
            Ok(echo) => {
                let verdict = tally.run(&echo, ping, deadline).await;
                if tally.refused > 0 {
                    // The interface may be another one by now; the next ping opens its socket anew.
                    self.clients().remove(&echo.local);
                }
                verdict
            }
            Err(failure) => Err(failure),
        };
        Answer { verdict, fields: tally.fields() }
    }

    async fn echo(
        &self,
        names: &Names,
        request: &ProbeRequest,
        ping: &PingRequest,
        deadline: Deadline,
    ) -> Result<Echo, Failure> {
        let found = names.resolve(&ping.host, 0, request.family(), deadline).await?;
        let target = found.first().copied().ok_or_else(|| Failure::new(ErrorKind::Dns, "no address"))?;
        let local = Local { family: Family::of(target.ip()), exit: Exit::of(request), ttl: ping.ttl };
        Ok(Echo {
            client: self.client(&local)?,
            zone: zone(local.exit.zoned(target)?),
            target: target.ip(),
            identifier: PingIdentifier(self.identifier),
            sequence: Arc::clone(&self.sequence),
            payload: vec![0; ping.size.min(SIZE_MAX)].into(),
            local,
        })
    }

    /// Must be called on the runtime: a client listens in a task of its own.
    fn client(&self, local: &Local) -> Result<Client, Failure> {
        let mut clients = self.clients();
        if let Some(client) = clients.get(local) {
            return Ok(client.clone());
        }
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        let client = local.open()?;
        clients.insert(local.clone(), client.clone());
        Ok(client)
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, BTreeMap<Local, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local {
    fn open(&self) -> Result<Client, Failure> {
        let kind = match self.family {
            Family::V4 => ICMP::V4,
            Family::V6 => ICMP::V6,
        };
        let mut config = Config::builder().kind(kind).sock_type_hint(socket2::Type::RAW);
        if let Some(iface) = &self.exit.iface {
            interface_index(iface)?;
            config = config.interface(iface);
        }
        if let Some(source) = self.exit.bind {
            config = config.bind(self.exit.source(source)?);
        }
        if let Some(ttl) = self.ttl {
            config = config.ttl(ttl.into());
        }
        Client::new(&config.build()).map_err(|error| self.not_opened(&error))
    }

    fn not_opened(&self, error: &io::Error) -> Failure {
        let failure = Failure::of_socket(error);
        match (failure.error, self.exit.bind) {
            (ErrorKind::Denied, _) => Failure::new(
                ErrorKind::Denied,
                "this process may not ping: it needs CAP_NET_RAW, or its group in net.ipv4.ping_group_range",
            ),
            (ErrorKind::Unreachable, Some(source)) => failure.during(source),
            (_, _) => failure,
        }
    }
}

/// The interface number of a link-local address; zero for any other.
const fn zone(target: SocketAddr) -> u32 {
    match target {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    }
}

/// What all requests of one probe share.
#[derive(Clone)]
struct Echo {
    client: Client,
    local: Local,
    target: IpAddr,
    zone: u32,
    identifier: PingIdentifier,
    sequence: Arc<AtomicU16>,
    payload: Arc<[u8]>,
}

impl Echo {
    /// Sends one request and waits for its reply, at most `patience`.
    async fn request(self, patience: Duration) -> Result<Duration, Failure> {
        let mut pinger = self.client.pinger(self.target, self.identifier).await;
        pinger.timeout(patience).scope_id(self.zone);
        for _ in 0..REDIRECTS_MAX {
            let sequence = PingSequence(self.sequence.fetch_add(1, Ordering::Relaxed));
            let sent_at = Instant::now();
            let (packet, _) = pinger.ping(sequence, &self.payload).await.map_err(failure)?;
            match meaning(&packet) {
                Meaning::Reply => return Ok(sent_at.elapsed()),
                Meaning::Unreachable => return Err(Failure::new(ErrorKind::Unreachable, "no route to host")),
                Meaning::Expired => return Err(Failure::new(ErrorKind::Unreachable, "time to live exceeded")),
                Meaning::Aside => {}
            }
        }
        Err(Failure::new(ErrorKind::Unreachable, "redirected in a circle"))
    }
}

/// What a message about an echo request says.
enum Meaning {
    Reply,
    Unreachable,
    /// More routers on the way than its time to live allows.
    Expired,
    /// Redirect, source quench and the like: the reply may still come, or not.
    Aside,
}

/// RFC 792: 0 echo reply, 3 unreachable, 11 time exceeded. RFC 4443: 129 echo reply, 1 unreachable, 3 time exceeded.
fn meaning(packet: &IcmpPacket) -> Meaning {
    let (reply, unreachable, expired, code) = match packet {
        IcmpPacket::V4(packet) => (0, 3, 11, packet.get_icmp_type().0),
        IcmpPacket::V6(packet) => (129, 1, 3, packet.get_icmpv6_type().0),
    };
    match code {
        code if code == reply => Meaning::Reply,
        code if code == unreachable => Meaning::Unreachable,
        code if code == expired => Meaning::Expired,
        _ => Meaning::Aside,
    }
}

fn failure(error: SurgeError) -> Failure {
    match error {
        SurgeError::IOError(error) => Failure::of_socket(&error),
        SurgeError::Timeout { .. } => Failure::new(ErrorKind::Timeout, "timeout"),
        SurgeError::IncorrectBufferSize
        | SurgeError::MalformedPacket(_)
        | SurgeError::EchoRequestPacket
        | SurgeError::NetworkError
        | SurgeError::IdenticalRequests { .. }
        | SurgeError::ClientDestroyed => Failure::internal(error.to_string()),
    }
}

/// How one probe goes.
#[derive(Default)]
struct Tally {
    sent: u16,
    refused: u16,
    round_trips: Vec<Duration>,
    /// The last reason for a refusal.
    refusal: Option<Failure>,
}

impl Tally {
    async fn run(&mut self, echo: &Echo, ping: &PingRequest, deadline: Deadline) -> Result<String, Failure> {
        let mut waiting = JoinSet::new();
        let mut next_at = Instant::now();
        loop {
            // Not by the timer, which has whole milliseconds.
            if self.sent < ping.count && next_at <= Instant::now() {
                // The deadline is kept here, for all of them.
                waiting.spawn(echo.clone().request(deadline.left() + Duration::from_secs(1)));
                self.sent += 1;
                next_at += ping.gap;
            }
            tokio::select! {
                biased;
                Some(result) = waiting.join_next() => {
                    self.count(result.unwrap_or_else(|error| Err(Failure::internal(error.to_string()))));
                    if let Some(verdict) = self.decided(ping) {
                        return verdict;
                    }
                }
                () = sleep_until(deadline.at()) => return self.too_late(),
                () = sleep_until(next_at), if self.sent < ping.count => {}
            }
        }
    }

    fn count(&mut self, result: Result<Duration, Failure>) {
        match result {
            Ok(round_trip) => self.round_trips.push(round_trip),
            Err(failure) => {
                self.refused += 1;
                self.refusal = Some(failure);
            }
        }
    }

    /// Enough replies, or too many refusals for the rest to suffice.
    fn decided(&self, ping: &PingRequest) -> Option<Result<String, Failure>> {
        if self.round_trips.len() >= usize::from(ping.min) {
            return Some(Ok(self.replies()));
        }
        let refusal = self.refusal.clone()?;
        let hopeless = self.refused > ping.count.saturating_sub(ping.min);
        hopeless.then(|| Err(Failure { why: format!("{}, {}", refusal.why, self.replies()), ..refusal }))
    }

    fn too_late(&self) -> Result<String, Failure> {
        Err(Failure::new(ErrorKind::Timeout, format!("timeout, {}", self.replies())))
    }

    /// "1/3 replies"
    fn replies(&self) -> String {
        format!("{}/{} replies", self.round_trips.len(), self.sent)
    }

    fn fields(&self) -> Fields {
        let received = u16::try_from(self.round_trips.len()).unwrap_or(u16::MAX);
        let loss = match self.sent {
            0 => Field::Unit,
            sent => Field::Float(f64::from(sent.saturating_sub(received)) / f64::from(sent)),
        };
        let seconds = |time: Option<Duration>| time.map_or(Field::Unit, |time| Field::Float(time.as_secs_f64()));
        let mean = self.round_trips.iter().sum::<Duration>().checked_div(received.into());
        Fields::from([
            ("sent", Field::Int(self.sent.into())),
            ("received", Field::Int(received.into())),
            ("loss", loss),
            ("rtt", seconds(mean)),
            ("rtt_max", seconds(self.round_trips.iter().max().copied())),
        ])
    }
}
