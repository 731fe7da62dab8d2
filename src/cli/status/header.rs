//! What `ha status` shows first: the node, its networks, and its configuration if something is to be said of it.

use super::{alarm, judged};
use crate::{
    cli::paint::Paint,
    control::protocol::{Network, Status},
};

pub(super) fn header(status: &Status, paint: Paint) -> String {
    let configuration = &status.configuration;
    let mut text = format!(
        "{} · ha {} · process {} · up {} · {}\n",
        paint.strong(&format!("node {}", status.node)),
        status.version,
        status.pid,
        judged::ago(status.uptime_ms),
        configuration.path,
    );
    if let Some(netns) = &status.netns {
        text += &format!("  in the network namespace {netns}\n");
    }
    text += &status.networks.iter().map(|network| network_text(network, paint)).collect::<String>();
    if configuration.last_good {
        text += &alarm("the file was broken at the start: the last good configuration runs", 0, paint);
    }
    if let Some(why) = &configuration.unread {
        let why = format!("the file {why}: whether it says something else than what runs is not known");
        text += &alarm(&why, 0, paint);
    }
    if configuration.differs {
        text += &alarm("the file says something else than what runs: `ha check` it, then `ha reload`", 0, paint);
    }
    text
}

fn network_text(network: &Network, paint: Paint) -> String {
    let name = &network.name;
    match (&network.trouble, network.pid) {
        (Some(why), _) => alarm(&format!("nobody serves in the network namespace {name}: {why}"), 0, paint),
        (None, pid) => {
            let pid = pid.map(|pid| format!("process {pid} ")).unwrap_or_default();
            format!("  {pid}for the network namespace {name}\n")
        }
    }
}
