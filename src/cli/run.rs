//! `ha run`: the daemon; its exit codes are with [`crate::daemon::run`].

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::CONFIG;
use crate::{
    config::{Control, Netns},
    daemon::{self, Keepalived, Origin},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// The same, as `ha check` takes it
    #[arg(value_name = "FILE", conflicts_with_all = ["config", "keepalived"])]
    file: Option<PathBuf>,
    /// Run straight from a configuration of keepalived, imported at the start and at each reload
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    keepalived: Option<PathBuf>,
    /// What lines that begin with @ID are for, as keepalived's own -i; else the short name of this machine
    #[arg(short = 'i', long, value_name = "ID", requires = "keepalived")]
    config_id: Option<String>,
    /// Where the imported files, the state and the control socket lie; else /var/lib/ha/keepalived, /var/lib/ha and
    /// /run/ha/ha.sock
    #[arg(long, value_name = "DIR", requires = "keepalived")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    part: Part,
}

/// What the daemon gives to the processes that it starts in other networks, and nobody else.
#[derive(Debug, Args)]
struct Part {
    #[arg(long, hide = true, conflicts_with = "keepalived", requires_all = ["network_socket", "network_state_dir"])]
    network: Option<String>,
    #[arg(long, hide = true, requires = "network")]
    network_socket: Option<PathBuf>,
    #[arg(long, hide = true, requires = "network")]
    network_state_dir: Option<PathBuf>,
}

impl Part {
    fn of(&self, file: &Path) -> Option<daemon::Part> {
        let network = Netns::of(self.network.as_deref()?)?;
        let (socket, state_dir) = (self.network_socket.clone()?, self.network_state_dir.clone()?);
        Some(daemon::Part { file: file.to_owned(), network, control: Control { socket, state_dir } })
    }
}

pub(super) fn perform(arguments: &Arguments) -> ExitCode {
    let Arguments { config, file, keepalived, config_id, directory, part } = arguments;
    let config = file.as_ref().unwrap_or(config);
    daemon::run(&match keepalived {
        Some(file) => {
            // What is written there names itself: relative to nothing.
            let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let directory = directory.as_ref().map(absolute);
            Origin::Keepalived(Keepalived { file: file.clone(), id: config_id.clone(), directory })
        }
        None => part.of(config).map_or_else(|| Origin::Own(config.clone()), Origin::Part),
    })
}
