//! The service probe: the state of a systemd unit, over D-Bus and without starting a process.
//!
//! Interfaces `org.freedesktop.systemd1.Manager` and `.Unit`, see org.freedesktop.systemd1(5). Nothing is subscribed to
//! and nothing cached: each probe asks. Whatever keeps us from asking says nothing about the unit, hence is blind.

use std::{
    fmt, io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use zbus::{Connection, DBusError, DynamicType, OwnedObjectPath, OwnedVariant, connection::Builder, fdo};

use super::{
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
};
use crate::policy::action::{Performed, ServiceVerb};
use crate::policy::probe::{ErrorKind, Field};

const SYSTEMD: &str = "org.freedesktop.systemd1";
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
pub(super) const JOB: &str = "org.freedesktop.systemd1.Job";
/// How often it is looked whether a job is done.
const JOB_POLL: Duration = Duration::from_millis(50);
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The suffixes of unit names, see systemd.unit(5); a name without one means a service.
const SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".slice",
    ".scope",
];

/// Where systemd is asked.
#[derive(Clone, Debug)]
pub(super) enum Bus {
    /// On the system bus: `DBUS_SYSTEM_BUS_ADDRESS`, else `/var/run/dbus/system_bus_socket`.
    System,
    /// On the bus at this D-Bus address: `unix:path=…`.
    At(String),
}

impl Bus {
    pub(super) async fn connect(&self) -> zbus::Result<Connection> {
        match self {
            Self::System => Builder::system().build().await,
            Self::At(address) => Builder::address(address.as_str()).build().await,
        }
    }
}

/// The connection to systemd, kept and re-made.
pub(super) struct Units {
    bus: Bus,
    connection: Mutex<Option<Connection>>,
}

/// What systemd says of a unit.
struct State {
    active: String,
    sub: String,
    loaded: String,
    /// Seconds since the last change.
    since: Field,
    restarts: Field,
}

impl Units {
    pub(super) fn new(bus: Bus) -> Self {
        Self { bus, connection: Mutex::default() }
    }

    /// `ok`: active (or reloading). Fields: `active`, `state` (`active`, `failed`, `inactive`, …), `sub` (`running`,
    /// …), `restarts` (automatic ones), `since` (seconds since the state changed).
    pub(super) async fn probe(&self, unit: &str, deadline: Deadline) -> Answer {
        let name = with_suffix(unit);
        match deadline.within(self.state(&name)).await {
            Ok(Ok(state)) => state.into_answer(&name),
            Ok(Err(failure)) => unknown(failure),
            Err(late) => {
                self.forget();
                unknown(Failure::internal(format!("systemd does not answer: {}", late.why)))
            }
        }
    }

    /// A connection that broke since the last probe is made anew once.
    async fn state(&self, unit: &str) -> Result<State, Failure> {
        if let Some(connection) = self.current() {
            match ask(&connection, unit).await {
                Err(error) if is_broken(&error) => self.forget(),
                result => return result.map_err(|error| refusal(unit, &error)),
            }
        }
        let connection = self.bus.connect().await.map_err(|error| no_bus(&self.bus, &error))?;
        self.keep(connection.clone());
        ask(&connection, unit).await.map_err(|error| refusal(unit, &error))
    }

    fn current(&self) -> Option<Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, connection: Connection) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    fn forget(&self) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Units {
    /// Has systemd do something with a unit, and waits until its job is done.
    pub(super) async fn act(&self, verb: ServiceVerb, unit: &str, deadline: Deadline) -> Performed {
        let name = with_suffix(unit);
        match deadline.within(self.carry_out(verb, &name)).await {
            Ok(Ok(state)) => done(verb, &state),
            Ok(Err(failure)) => Performed::failed(failure.why),
            Err(late) => {
                self.forget();
                Performed::failed(format!("{name} is not done yet: {}", late.why))
            }
        }
    }

    async fn carry_out(&self, verb: ServiceVerb, unit: &str) -> Result<State, Failure> {
        let refused = |error: zbus::Error| refusal(unit, &error);
        // A connection that broke since it was last used is noticed here, before anything is asked for.
        let before = self.state(unit).await?;
        if before.loaded == "not-found" {
            return Err(not_loaded(unit));
        }
        let connection = self.current().ok_or_else(|| Failure::internal("no way to systemd"))?;
        let method = match verb {
            ServiceVerb::Start => "StartUnit",
            ServiceVerb::Stop => "StopUnit",
            ServiceVerb::Restart => "RestartUnit",
            ServiceVerb::Reload => "ReloadUnit",
        };
        let reply = call(&connection, MANAGER_PATH, MANAGER, method, &(unit, "replace")).await.map_err(refused)?;
        let job: OwnedObjectPath = reply.body().deserialize().map_err(refused)?;
        // A job that is done is not there any more.
        while get(&connection, &job, JOB, "State").await.is_ok() {
            tokio::time::sleep(JOB_POLL).await;
        }
        ask(&connection, unit).await.map_err(refused)
    }
}

/// What a unit should be after that.
fn done(verb: ServiceVerb, state: &State) -> Performed {
    let ok = match verb {
        ServiceVerb::Start | ServiceVerb::Restart | ServiceVerb::Reload => state.is_active(),
        ServiceVerb::Stop => !state.is_active(),
    };
    Performed { ok, why: format!("{} ({})", state.active, state.sub), refused: false }
}

/// Loads the unit if need be (systemd forgets units that nobody uses) and reads its state.
async fn ask(connection: &Connection, unit: &str) -> zbus::Result<State> {
    let loaded = call(connection, MANAGER_PATH, MANAGER, "LoadUnit", &(unit,)).await?;
    let path: OwnedObjectPath = loaded.body().deserialize()?;
    let text = async |property| String::try_from(get(connection, &path, UNIT, property).await?);
    let (active, sub, loaded, since, restarts) = tokio::join!(
        text("ActiveState"),
        text("SubState"),
        text("LoadState"),
        get(connection, &path, UNIT, "StateChangeTimestampMonotonic"),
        get(connection, &path, SERVICE, "NRestarts"),
    );
    let since = since.ok().and_then(|at| u64::try_from(at).ok()).map_or(Field::Unit, age);
    // Only services count them.
    let restarts = restarts.ok().and_then(|count| u32::try_from(count).ok());
    let restarts = restarts.map_or(Field::Unit, |count| Field::Int(count.into()));
    Ok(State { active: active?, sub: sub?, loaded: loaded?, since, restarts })
}

pub(super) async fn get(
    connection: &Connection,
    path: &OwnedObjectPath,
    of: &str,
    property: &str,
) -> zbus::Result<OwnedVariant> {
    call(connection, path.as_str(), PROPERTIES, "Get", &(of, property)).await?.body().deserialize()
}

pub(super) async fn call<B>(
    connection: &Connection,
    path: &str,
    of: &str,
    method: &str,
    body: &B,
) -> zbus::Result<zbus::Message>
where
    B: serde::Serialize + DynamicType,
{
    connection.call_method(Some(SYSTEMD), path, Some(of), method, body).await
}

/// Microseconds of the monotonic clock, zero for never.
fn age(changed_at: u64) -> Field {
    let now = clock_gettime(ClockId::Monotonic);
    let now = u64::try_from(now.tv_sec).unwrap_or_default() * 1_000_000
        + u64::try_from(now.tv_nsec).unwrap_or_default() / 1000;
    if changed_at == 0 {
        return Field::Unit;
    }
    Field::Float(Duration::from_micros(now.saturating_sub(changed_at)).as_secs_f64())
}

impl State {
    fn is_active(&self) -> bool {
        ["active", "reloading", "refreshing"].contains(&self.active.as_str())
    }

    fn verdict(&self, unit: &str) -> Result<String, Failure> {
        let state = format!("{} ({})", self.active, self.sub);
        if self.is_active() {
            return Ok(state);
        }
        let why = match self.loaded.as_str() {
            "loaded" => state,
            "masked" => format!("unit {unit} is masked"),
            "not-found" => return Err(not_loaded(unit)),
            trouble => format!("unit {unit} is not loaded: {trouble}"),
        };
        Err(Failure::new(ErrorKind::Mismatch, why))
    }

    fn into_answer(self, unit: &str) -> Answer {
        let verdict = self.verdict(unit);
        let fields = Fields::from([
            ("active", Field::Bool(self.is_active())),
            ("state", Field::Text(self.active)),
            ("sub", Field::Text(self.sub)),
            ("restarts", self.restarts),
            ("since", self.since),
        ]);
        Answer { verdict, fields }
    }
}

fn unknown(failure: Failure) -> Answer {
    let fields = ["active", "state", "sub", "restarts", "since"].map(|name| (name, Field::Unit));
    Answer { verdict: Err(failure), fields: fields.into() }
}

fn with_suffix(unit: &str) -> String {
    if SUFFIXES.iter().any(|suffix| unit.ends_with(suffix)) { unit.to_owned() } else { format!("{unit}.service") }
}

fn is_broken(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::InputOutput(_))
}

/// systemd (or the bus) answered, and the answer is an error.
#[expect(clippy::wildcard_enum_match_arm, reason = "the bus's errors are open-ended")]
fn refusal(unit: &str, error: &zbus::Error) -> Failure {
    let no_such_unit = "org.freedesktop.systemd1.NoSuchUnit";
    match error {
        zbus::Error::MethodError(name, ..) if name.as_str() == no_such_unit => not_loaded(unit),
        zbus::Error::FDO(error) => match error.as_ref() {
            fdo::Error::AccessDenied(text) => Failure::new(ErrorKind::Denied, format!("systemd refuses: {text}")),
            fdo::Error::ServiceUnknown(_) => Failure::internal("systemd is not on the system bus"),
            error => Failure::internal(format!("systemd refuses: {}: {error}", error.name())),
        },
        error => Failure::internal(format!("systemd cannot be asked: {error}")),
    }
}

fn not_loaded(unit: &str) -> Failure {
    Failure::new(ErrorKind::Mismatch, format!("unit {unit} is not loaded"))
}

fn no_bus(bus: &Bus, error: &zbus::Error) -> Failure {
    let denied = matches!(
        error,
        zbus::Error::InputOutput(error) | zbus::Error::Connection(error, _) if error.kind() == io::ErrorKind::PermissionDenied
    );
    let kind = if denied { ErrorKind::Denied } else { ErrorKind::Internal };
    Failure::new(kind, format!("no way to systemd on {bus}: {error}"))
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("the system bus"),
            Self::At(address) => f.write_str(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_without_suffix_is_a_service() {
        assert_eq!(with_suffix("nginx"), "nginx.service");
        assert_eq!(with_suffix("php8.2-fpm"), "php8.2-fpm.service");
        assert_eq!(with_suffix("backup.timer"), "backup.timer");
    }
}
