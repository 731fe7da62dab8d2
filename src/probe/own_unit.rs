//! Whether the service manager stops this process to start it again: the job of its unit is a restart.
//!
//! Interfaces `org.freedesktop.systemd1.Manager`, `.Unit` and `.Job`, see org.freedesktop.systemd1(5).

use std::time::Duration;

use zbus::{Connection, OwnedObjectPath};

use super::service::{Bus, JOB, MANAGER, MANAGER_PATH, UNIT, call, get};

/// Whether this process is being restarted. Whatever cannot be known within `limit` is no.
pub async fn is_being_restarted(limit: Duration) -> bool {
    is_being_restarted_on(&Bus::System, std::process::id(), limit).await
}

/// The same of any process and bus.
pub(super) async fn is_being_restarted_on(bus: &Bus, pid: u32, limit: Duration) -> bool {
    let asked = async { job(&bus.connect().await?, pid).await };
    matches!(tokio::time::timeout(limit, asked).await, Ok(Ok(kind)) if kind == "restart")
}

/// What is being done to the unit of a process; empty: nothing.
async fn job(connection: &Connection, pid: u32) -> zbus::Result<String> {
    let unit = call(connection, MANAGER_PATH, MANAGER, "GetUnitByPID", &(pid,)).await?;
    let unit: OwnedObjectPath = unit.body().deserialize()?;
    let (id, job): (u32, OwnedObjectPath) = get(connection, &unit, UNIT, "Job").await?.try_into()?;
    if id == 0 {
        return Ok(String::new());
    }
    String::try_from(get(connection, &job, JOB, "JobType").await?)
}
