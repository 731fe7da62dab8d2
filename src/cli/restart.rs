//! `ha restart`: another process, the same address. 0 the next process runs, 69 no daemon, 71 no next process came, 75 the
//! address cannot be left to it now; nothing was done.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use super::{Code, Daemon, output, status};
use crate::control::{Client, Unanswered, protocol::State};

/// How long the next process is waited for: longer than a service manager waits before it starts one.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let client = arguments.daemon.client();
    let before = match client.status() {
        Ok(status) => status.pid,
        Err(unanswered) => return status::unanswered(&unanswered),
    };
    match client.restart() {
        Ok(told) => output::print(&format!("{}\n", output::wrap(&format!("process {before}: {told}"), 2))),
        Err(Unanswered::Refused(_, why)) => {
            output::complain(&format!(
                "the address cannot be left to the next process: {why}. Nothing was done; `systemctl restart ha` restarts it all \
                 the same, and the peer takes the address meanwhile"
            ));
            return Code::TRY_AGAIN;
        }
        Err(unanswered) => return status::unanswered(&unanswered),
    }
    if let Some(text) = next(&client, before) {
        output::print(&text);
        return Code::OK;
    }
    output::complain(&format!(
        "nobody has started the next process within {PATIENCE:?}: this node serves nothing now, and the peer takes over. Start it \
         (`systemctl start ha`); outside of a service manager `ha restart` only ends the daemon"
    ));
    Code::SYSTEM
}

/// What the next process does.
fn next(client: &Client, before: u32) -> Option<String> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        thread::sleep(LOOK_EVERY);
        let Ok(status) = client.status() else { continue };
        if status.pid != before {
            let masters = status.instances.iter().filter(|instance| instance.state == State::Master);
            let names: Vec<&str> = masters.map(|instance| instance.name.as_str()).collect();
            let leads =
                if names.is_empty() { "leads nothing".to_owned() } else { format!("leads {}", names.join(", ")) };
            return Some(format!("process {} runs and {leads}\n", status.pid));
        }
    }
    None
}
