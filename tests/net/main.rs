//! Tests in a real kernel: each in namespaces of its own, with real daemons, real packets and real addresses.
//!
//! Every story runs in a process of its own, this program again, because only a process without threads can enter a user
//! namespace. The stories mostly wait, so several run at a time. What is missing on this machine makes a story ignored,
//! with the reason; where `CI=true` or `HA_TEST_REQUIRE_KEEPALIVED=1`, a missing keepalived is a failure.
//!
//! `HA_TEST_KEEPALIVED` names another keepalived, `HA_NET_REPEAT` is how often the stories repeat what depends on a phase;
//! `HA_NET_TIMES` names a file that gets the seconds each of them took.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may stop where it stands"
)]

mod accept;
mod announce;
mod auth_hmac;
mod crash;
mod devices;
mod founding;
mod group;
mod hooks;
mod hostile;
mod imports;
mod mail;
mod misplaced;
mod mixed;
mod netns;
mod networks;
mod notify;
mod own_interface;
mod paths;
mod privileges;
mod reload;
mod reload_hangs;
mod reload_steps;
mod restart;
mod routes;
mod runner;
mod scenario;
mod stage;
mod state_hangs;
mod straight;
mod tour;
mod tracks;
mod unit;
mod vmac;
mod wires;
mod witness;
mod world;

/// What a story needs beside namespaces and `ha` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The daemon of the other half.
    Keepalived,
    /// One that knows `auth_hmac` as `ha` speaks it: 2.4.2 or later.
    KeepalivedSigns,
    /// To filter protocol 112 on the switch.
    Nft,
    /// A mail server.
    Msmtpd,
    /// A witness.
    Etcd,
    /// Control groups with bounded memory.
    Memory,
    /// A file system of which nobody answers anything.
    Fuse,
}

/// A test.
struct Story {
    name: &'static str,
    needs: &'static [Need],
    /// It is stopped after so many seconds.
    seconds: u64,
    tell: fn(&stage::Stage),
}

/// The longest first: what ends last should not have begun last.
fn stories() -> Vec<Story> {
    let mut all = Vec::from(tour::STORIES);
    all.extend(witness::STORIES);
    all.extend(auth_hmac::STORIES);
    all.extend(paths::STORIES);
    all.extend(misplaced::STORIES);
    all.extend(own_interface::STORIES);
    all.extend(crash::STORIES);
    all.extend(founding::STORIES);
    all.extend(imports::STORIES);
    all.extend(mixed::stories());
    all.extend(devices::STORIES);
    all.extend(routes::STORIES);
    all.extend(reload::STORIES);
    all.extend(reload_steps::STORIES);
    all.extend(reload_hangs::STORIES);
    all.extend(state_hangs::STORIES);
    all.extend(restart::STORIES);
    all.extend(scenario::STORIES);
    all.extend(vmac::STORIES);
    all.extend(wires::STORIES);
    all.extend(networks::STORIES);
    all.extend(netns::STORIES);
    all.extend(hostile::STORIES);
    all.extend(privileges::STORIES);
    all.extend(straight::STORIES);
    all.extend(world::STORIES);
    all.extend(accept::STORIES);
    all.extend(announce::STORIES);
    all.extend(hooks::STORIES);
    all.extend(mail::STORIES);
    all.extend(notify::STORIES);
    all.extend(group::STORIES);
    all.extend(tracks::STORIES);
    all
}

/// Set in the environment of a process that is only there, under a name that checks look for.
const PROP: &str = "HA_NET_PROP";

fn main() -> std::process::ExitCode {
    ha::lab::become_program();
    if std::env::var_os(PROP).is_some() {
        std::thread::sleep(std::time::Duration::from_secs(300));
        return std::process::ExitCode::SUCCESS;
    }
    match std::env::var(runner::TELL) {
        Ok(name) => runner::tell(&name),
        Err(_) => runner::run_all(),
    }
}
