//! The real probes behind [`crate::policy::probe::Prober`]: one file per probe, each with a hard deadline, each answering exactly once.
//!
//! What they share: a probe never fails as a program, it comes to an `Answer`; trouble of this machine (no privilege,
//! no file descriptor, no resolver, no bus) is *blind*, anything the other side did or did not do is not. Nothing here
//! knows a script, a rule or a role.

mod addr;
mod answer;
mod arping;
mod cert;
mod certificate;
mod deadline;
mod dial;
mod disk;
mod dns;
mod encrypt;
mod errand;
mod exec;
mod file;
mod http;
mod iface;
mod links;
mod listening;
mod looks;
mod names;
mod neigh;
mod netlink;
mod own_unit;
mod ping;
mod process;
mod route;
mod secrets;
mod service;
mod talk;
mod tcp;
mod tls;
mod trust;
mod udp;
mod unix_socket;
mod vitals;
mod way;
mod workers;

use std::{
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock, mpsc},
    time::Duration,
};

use tokio::runtime::Handle;

use self::{
    answer::{Answer, Fields},
    deadline::Deadline,
    exec::Programs,
    iface::Errors,
    listening::Owners,
    looks::Looks,
    names::Names,
    ping::Pings,
    service::{Bus, Units},
    tls::Roots,
    vitals::Processors,
    workers::Workers,
};
use crate::{
    config::Permits,
    policy::action::{Performed, ServiceVerb},
    policy::probe::{ExecRequest, Pending, ProbeKind, ProbeOutcome, ProbeRequest, Prober},
};

pub use self::own_unit::is_being_restarted;
pub use self::process::{find as find_processes, is as is_process};
pub use self::{
    exec::{program_objection, run_program, user_objection},
    secrets::{Revealed, Secrets, Unreadable},
    trust::{Trust, trail},
    vitals::TimeStatus,
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
    looks: Looks,
    machine: Workers,
    owners: Owners,
    errors: Errors,
    processors: Processors,
    time_status: OnceLock<TimeStatus>,
    runs: Workers,
    programs: RwLock<Programs>,
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
            looks: Looks::new(handle.clone()),
            machine: Workers::new(handle.clone(), "probes of this machine", 16),
            owners: Owners::default(),
            errors: Errors::default(),
            processors: Processors::default(),
            time_status: OnceLock::new(),
            runs: Workers::new(handle.clone(), "programs", 32),
            programs: RwLock::new(Programs::of(&Permits::default())),
            handle,
        };
        Self { shared: Arc::new(shared) }
    }

    /// From now on probes may use this of the machine.
    pub fn permit(&self, permits: &Permits) {
        *self.shared.programs.write().unwrap_or_else(PoisonError::into_inner) = Programs::of(permits);
    }

    /// Who asks the kernel for its clock; without, `time_sync` is blind.
    pub fn read_time_by(&self, status: TimeStatus) {
        // Whoever came first asks the same.
        let _ = self.shared.time_status.set(status);
    }

    /// Has systemd do something with a unit; blocks until that is done, at most for so long. Not to be called on the
    /// runtime's own thread.
    #[must_use]
    pub fn act_on_unit(&self, verb: ServiceVerb, unit: &str, within: Duration) -> Performed {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (shared, unit) = (Arc::clone(&self.shared), unit.to_owned());
        self.shared.handle.spawn(async move {
            let performed = shared.units.act(verb, &unit, Deadline::after(within)).await;
            // Nobody waits any more if it took too long.
            let _ = sender.try_send(performed);
        });
        let late = || Performed::failed("systemd does not answer");
        receiver.recv_timeout(within + Duration::from_millis(250)).unwrap_or_else(|_| late())
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

    fn only_blocks(&self, request: &ProbeRequest) -> bool {
        matches!(&request.kind, ProbeKind::Http(http) if http.is_safe())
    }

    fn perform(&self, request: &ProbeRequest) -> ProbeOutcome {
        let ProbeKind::Http(http) = &request.kind else {
            return self.shared.handle.block_on(self.shared.perform(request));
        };
        let deadline = Deadline::after(request.timeout);
        http::perform(&self.shared, request, http, deadline).into_outcome(deadline.elapsed())
    }
}

impl Shared {
    fn secrets(&self) -> Secrets {
        self.programs().secrets
    }

    async fn perform(self: &Arc<Self>, request: &ProbeRequest) -> ProbeOutcome {
        let deadline = Deadline::after(request.timeout);
        self.answer(request, deadline).await.into_outcome(deadline.elapsed())
    }

    /// Looks at something of this machine, on a thread that may block.
    async fn look(self: &Arc<Self>, deadline: Deadline, work: impl FnOnce(&Self) -> Answer + Send + 'static) -> Answer {
        let shared = Arc::clone(self);
        let looked = self.machine.run(deadline, move || work(&shared)).await;
        looked.unwrap_or_else(|failure| Answer { verdict: Err(failure), fields: Fields::new() })
    }

    fn programs(&self) -> Programs {
        self.programs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn run(&self, wanted: &ExecRequest, deadline: Deadline) -> Answer {
        let (programs, wanted) = (self.programs(), wanted.clone());
        let run = self.runs.run(deadline.later(exec::GRACE), move || programs.run(&wanted, deadline)).await;
        run.unwrap_or_else(|failure| Answer { verdict: Err(failure), fields: Fields::new() })
    }

    async fn answer(self: &Arc<Self>, request: &ProbeRequest, deadline: Deadline) -> Answer {
        match &request.kind {
            ProbeKind::Http(http) => http::probe(self, request, http, deadline).await,
            ProbeKind::Ping(ping) => self.pings.probe(&self.names, request, ping, deadline).await,
            ProbeKind::Arping(arping) => arping::probe(self, request, arping, deadline).await,
            ProbeKind::Tcp(tcp) => tcp::probe(self, request, tcp, deadline).await,
            ProbeKind::Udp(udp) => udp::probe(&self.names, request, udp, deadline).await,
            ProbeKind::UnixSocket(socket) => unix_socket::probe(socket, deadline).await,
            ProbeKind::Dns(dns) => dns::probe(self, request, dns, deadline).await,
            ProbeKind::Cert(cert) => cert::probe(&self.looks, cert, deadline).await,
            ProbeKind::Service(service) => self.units.probe(&service.unit, deadline).await,
            ProbeKind::File(file) => file::probe(&self.looks, &file.path, deadline).await,
            &ProbeKind::Listening(wanted) => {
                self.look(deadline, move |shared| listening::look(&shared.owners, &wanted)).await
            }
            ProbeKind::Process(wanted) => {
                let wanted = wanted.clone();
                self.look(deadline, move |_| process::look(&wanted)).await
            }
            ProbeKind::Disk(wanted) => disk::probe(&self.looks, wanted, deadline).await,
            &ProbeKind::Memory(wanted) => self.look(deadline, move |_| vitals::memory(&wanted)).await,
            &ProbeKind::Load(wanted) => self.look(deadline, move |_| vitals::load(&wanted)).await,
            ProbeKind::Cpu(_) => self.processors.probe(deadline.left()).await,
            &ProbeKind::Pressure(wanted) => self.look(deadline, move |_| vitals::pressure(&wanted)).await,
            ProbeKind::Iface(wanted) => {
                let wanted = wanted.clone();
                self.look(deadline, move |shared| iface::look(&shared.errors, &wanted)).await
            }
            ProbeKind::Route(wanted) => {
                let wanted = wanted.clone();
                self.look(deadline, move |_| route::look(&wanted)).await
            }
            ProbeKind::Addr(wanted) => {
                let wanted = wanted.clone();
                self.look(deadline, move |_| addr::look(&wanted)).await
            }
            &ProbeKind::Neigh(wanted) => self.look(deadline, move |_| neigh::look(&wanted)).await,
            ProbeKind::Exec(wanted) => self.run(wanted, deadline).await,
            ProbeKind::TimeSync(_) => vitals::time_sync(&self.time_status),
        }
    }
}
