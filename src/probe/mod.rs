//! The real probes behind [`crate::policy::probe::Prober`]: one file per probe, each with a hard deadline, each answering exactly once.
//!
//! What they share: a probe never fails as a program, it comes to an `Answer`; trouble of this machine (no privilege,
//! no file descriptor, no resolver, no bus) is *blind*, anything the other side did or did not do is not. Nothing here
//! knows a script, a rule or a role.

mod answer;
mod arping;
mod cert;
mod certificate;
mod deadline;
mod dial;
mod dns;
mod encrypt;
mod file;
mod http;
mod links;
mod names;
mod ping;
mod secrets;
mod service;
mod talk;
mod tcp;
mod tls;
mod trust;
mod udp;
mod unix_socket;
mod way;
mod workers;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, mpsc},
};

use tokio::runtime::Handle;

use self::{
    answer::Answer,
    deadline::Deadline,
    names::Names,
    ping::Pings,
    service::{Bus, Units},
    tls::Roots,
    workers::Workers,
};
use crate::{
    config::Permits,
    policy::probe::{Pending, ProbeKind, ProbeOutcome, ProbeRequest, Prober},
};

pub use self::{
    secrets::{Revealed, Secrets, Unreadable},
    trust::{Trust, trail},
};

/// Performs probes on a runtime. A clone is another handle to the same sockets and connections.
#[derive(Clone)]
pub struct RealProber {
    shared: Arc<Shared>,
}

/// What outlives one probe.
struct Shared {
    handle: Handle,
    names: Names,
    pings: Pings,
    units: Units,
    roots: Roots,
    exchanges: Workers,
    files: Workers,
    secrets: RwLock<Secrets>,
}

impl RealProber {
    /// Probes run on `handle`'s runtime, units are asked for on the system bus. Opens nothing yet.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self::on(handle, Bus::System)
    }

    /// The same, with systemd on the bus at `address`, a D-Bus address such as `unix:path=/run/dbus/system_bus_socket`.
    #[must_use]
    pub fn with_bus(handle: Handle, address: &str) -> Self {
        Self::on(handle, Bus::At(address.to_owned()))
    }

    fn on(handle: Handle, bus: Bus) -> Self {
        let shared = Shared {
            names: Names::new(handle.clone()),
            pings: Pings::new(),
            units: Units::new(bus),
            roots: Roots::new(),
            exchanges: Workers::new(handle.clone(), "http and arping probes", 256),
            files: Workers::new(handle.clone(), "file, cert and tls probes", 16),
            secrets: RwLock::new(Secrets::of(Permits::default().secrets_dir)),
            handle,
        };
        Self { shared: Arc::new(shared) }
    }

    /// From now on probes may use this of the machine.
    pub fn permit(&self, permits: &Permits) {
        *self.shared.secrets.write().unwrap_or_else(PoisonError::into_inner) = Secrets::of(permits.secrets_dir.clone());
    }

    /// Where probes find secrets now; for the actions, which need them too.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        self.shared.secrets()
    }
}

impl fmt::Debug for RealProber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealProber").finish_non_exhaustive()
    }
}

impl Prober for RealProber {
    fn start(&self, request: &ProbeRequest) -> Pending {
        let (sender, pending) = mpsc::sync_channel(1);
        let (shared, request) = (Arc::clone(&self.shared), request.clone());
        self.shared.handle.spawn(async move {
            let outcome = shared.perform(&request).await;
            // Nobody waits any more if the evaluation is over.
            let _ = sender.try_send(outcome);
        });
        pending
    }
}

impl Shared {
    fn secrets(&self) -> Secrets {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn perform(&self, request: &ProbeRequest) -> ProbeOutcome {
        let deadline = Deadline::after(request.timeout);
        self.answer(request, deadline).await.into_outcome(deadline.elapsed())
    }

    async fn answer(&self, request: &ProbeRequest, deadline: Deadline) -> Answer {
        match &request.kind {
            ProbeKind::Http(http) => http::probe(self, request, http, deadline).await,
            ProbeKind::Ping(ping) => self.pings.probe(&self.names, request, ping, deadline).await,
            ProbeKind::Arping(arping) => arping::probe(self, request, arping, deadline).await,
            ProbeKind::Tcp(tcp) => tcp::probe(self, request, tcp, deadline).await,
            ProbeKind::Udp(udp) => udp::probe(&self.names, request, udp, deadline).await,
            ProbeKind::UnixSocket(socket) => unix_socket::probe(socket, deadline).await,
            ProbeKind::Dns(dns) => dns::probe(self, request, dns, deadline).await,
            ProbeKind::Cert(cert) => cert::probe(&self.files, cert, deadline).await,
            ProbeKind::Service(service) => self.units.probe(&service.unit, deadline).await,
            ProbeKind::File(file) => file::probe(&self.files, &file.path, deadline).await,
        }
    }
}
