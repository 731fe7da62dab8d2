//! A node of a scenario at work: its machine, its daemon, and what runs beside it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Files, Needs, Said, late::Pace, missing, standin, unfit, witness};
use crate::{
    config::{Config, Instance},
    lab::{
        daemon::{Daemon, write_private},
        process::on_path,
        service::{Mailbox, Mood, Web, start_echo},
        trouble::{Result, Trouble},
        world::{Host, World},
    },
    sim::{Kind, Node},
};

/// How long a daemon may take to stop in order.
pub(super) const STOPS: Duration = Duration::from_secs(20);

/// See the module.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) name: String,
    pub(super) host: Host,
    pub(super) kind: Kind,
    /// What its daemon was told last.
    pub(super) config: Config,
    files: Files,
    /// Which of its policies are played by stand-ins.
    stand_ins: Vec<(String, bool)>,
    pub(super) pace: Pace,
    daemon: Option<Daemon>,
    webs: Vec<Web>,
    _mailbox: Mailbox,
    pub(super) mute: bool,
    /// The machine has power.
    pub(super) powered: bool,
    /// The interfaces whose cables are out.
    pub(super) pulled: Vec<String>,
    /// Its daemon was told to stop.
    pub(super) stopping: bool,
    started_at: Option<Instant>,
}

impl Actor {
    /// The machine and its services; no daemon runs yet.
    pub(super) fn new(
        world: &World,
        host: Host,
        index: usize,
        node: &Node,
        files: &Files,
        needs: &Needs,
    ) -> Result<Self> {
        start_echo(world, host)?;
        let setup = &node.setup;
        let mine = needs.stand_ins.iter().filter(|(of, _)| *of == index);
        let has_check = |name: &String| setup.policies.get(name).is_none_or(crate::policy::Policy::has_check);
        Ok(Self {
            name: setup.name.clone(),
            host,
            kind: setup.kind,
            config: setup.config.clone(),
            files: files.clone(),
            stand_ins: mine.map(|(_, name)| (name.clone(), has_check(name))).collect(),
            pace: Pace::default(),
            daemon: None,
            webs: needs.ports.iter().map(|port| Web::start_at(world, host, *port)).collect::<Result<_>>()?,
            _mailbox: Mailbox::start(world, host)?,
            mute: false,
            powered: true,
            pulled: Vec::new(),
            stopping: false,
            started_at: None,
        })
    }

    /// Its daemon does not run and does not know, or goes on.
    pub(super) fn freeze(&mut self, frozen: bool) -> Result<()> {
        self.pace.hurry();
        self.pace.frozen = frozen;
        if frozen {
            self.daemon()?.freeze();
            return Ok(());
        }
        self.daemon()?.thaw();
        self.keep_pace()
    }

    /// From now on its daemon is late, up to so long.
    pub(super) fn slow_down(&mut self, most: Duration) -> Result<()> {
        self.pace.hurry();
        self.pace.slow = most;
        self.keep_pace()
    }

    fn keep_pace(&mut self) -> Result<()> {
        if self.runs()? {
            let pid = self.daemon()?.process().pid();
            self.pace.keep(pid)?;
        }
        Ok(())
    }

    pub(super) fn daemon(&mut self) -> Result<&mut Daemon> {
        self.daemon.as_mut().ok_or(Trouble::Gone("a daemon"))
    }

    /// Whether its daemon runs.
    pub(super) fn runs(&mut self) -> Result<bool> {
        self.daemon.as_mut().map_or(Ok(false), |daemon| daemon.process().exited().map(|ended| ended.is_none()))
    }

    /// How long ago its daemon was started.
    pub(super) fn age(&self) -> Option<Duration> {
        Some(self.started_at?.elapsed())
    }

    /// What its daemon wrote.
    pub(super) fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// A policy is played by a stand-in.
    pub(super) fn is_played(&self, policy: &str) -> bool {
        self.stand_ins.iter().any(|(known, _)| known == policy)
    }

    /// Its web servers answer, or fail.
    pub(super) fn serve(&self, mood: Mood) {
        self.webs.iter().for_each(|web| web.set(mood));
    }

    /// Starts its daemon, which does not run.
    pub(super) fn start(&mut self, world: &World, program: &Path) -> Result<()> {
        (self.stopping, self.started_at) = (false, Some(Instant::now()));
        let directory = world.directory(self.host)?;
        self.daemon = Some(match self.kind {
            Kind::Keepalived => {
                let keepalived = on_path("keepalived").ok_or_else(|| missing("keepalived"))?;
                Daemon::keepalived(world, self.host, &keepalived, &self.files.config)?
            }
            Kind::Ha => {
                let config = self.dressed(&directory)?;
                let policies = self.policies(&directory);
                let policies: Vec<(&str, &str)> =
                    policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
                Daemon::ha(world, self.host, program, &config, &policies)?
            }
        });
        self.pace.frozen = false;
        self.keep_pace()
    }

    /// Its daemon is to read these files, or the same again.
    pub(super) fn reload(&mut self, world: &World, files: Option<(Files, Config)>) -> Result<()> {
        let directory = world.directory(self.host)?;
        if let Some((files, config)) = files {
            (self.files, self.config) = (files, config);
        }
        // One that does not run reads its files when it starts.
        if !self.runs()? {
            return Ok(());
        }
        match self.kind {
            Kind::Keepalived => {
                write_private(&directory.join("keepalived.conf"), &self.files.config)?;
                self.daemon()?.process().signal(Signal::SIGHUP).map(drop)
            }
            Kind::Ha => {
                let (config, policies) = (self.dressed(&directory)?, self.policies(&directory));
                let daemon = self.daemon()?;
                daemon.write_config(&config)?;
                policies.iter().try_for_each(|(name, text)| daemon.write_policy(name, text).map(drop))?;
                daemon.command(world, &["reload"]).map(drop)
            }
        }
    }

    /// Every instance has this priority.
    pub(super) fn files_with(&self, priority: crate::wire::Priority) -> Result<(Files, Config)> {
        let (mut files, mut config) = (self.files.clone(), self.config.clone());
        let mut table = table_of(&files.config)?;
        let instances = table.get_mut("instance").and_then(toml::Value::as_table_mut);
        for (_, instance) in instances.into_iter().flatten() {
            if let Some(instance) = instance.as_table_mut() {
                instance.insert("priority".to_owned(), toml::Value::Integer(priority.get().into()));
            }
        }
        files.config = text_of(&table)?;
        config.instances.iter_mut().for_each(|instance| instance.priority = priority);
        Ok((files, config))
    }

    /// A stand-in says something else from now on.
    pub(super) fn say(&self, world: &World, said: &Said) -> Result<()> {
        let file = standin::file_of(&world.directory(self.host)?, &said.instance, &said.policy);
        let new = file.with_extension("new");
        write_private(&new, &said.said)?;
        fs::rename(new, file).map_err(Trouble::kernel("tell a stand-in what to say"))
    }

    /// Its policies as its daemon is given them.
    fn policies(&self, directory: &Path) -> Vec<(String, String)> {
        let mut policies = self.files.policies.clone();
        for (name, text) in &mut policies {
            if let Some((_, has_check)) = self.stand_ins.iter().find(|(known, _)| known == name) {
                *text = standin::text(directory, name, *has_check);
            }
        }
        policies
    }

    /// Its configuration for a machine of the lab: secrets lie in its directory, and nothing is asked of the kernel that an
    /// ordinary user's namespaces refuse.
    fn dressed(&self, directory: &Path) -> Result<String> {
        let secrets = directory.join("secrets");
        fs::create_dir_all(&secrets).map_err(Trouble::kernel("make the directory of the secrets"))?;
        for (name, text) in &self.files.secrets {
            write_private(&secrets.join(name), text)?;
        }
        let mut table = table_of(&self.files.config)?;
        table.remove("realtime_priority");
        table.remove("lock_memory");
        table.insert("secrets_dir".to_owned(), toml::Value::String(secrets.display().to_string()));
        witness::dress(&mut table, &self.config)?;
        text_of(&table)
    }

    /// What its daemon says of an instance; `None`: nothing.
    pub(super) fn instance(&self, world: &World, name: &str) -> Option<Value> {
        let status = self.daemon.as_ref()?.status(world)?;
        let instances = status.get("instances")?.as_array()?;
        instances.iter().find(|instance| instance.get("name").and_then(Value::as_str) == Some(name)).cloned()
    }

    /// Its role, as its daemon says: `master`, `backup` or `fault`.
    pub(super) fn role(&self, world: &World, instance: &str) -> Option<String> {
        match self.kind {
            Kind::Ha => self.instance(world, instance)?.get("state")?.as_str().map(str::to_owned),
            Kind::Keepalived => entered(&self.log(), instance),
        }
    }

    /// What it bids.
    pub(super) fn priority(&self, world: &World, instance: &Instance) -> u64 {
        let said = || self.instance(world, &instance.name)?.get("effective_priority")?.as_u64();
        said().unwrap_or_else(|| instance.priority.get().into())
    }
}

/// The role that keepalived has entered last, by its log.
fn entered(log: &str, instance: &str) -> Option<String> {
    let entered = format!("({instance}) Entering ");
    let role =
        |line: &str| line.split_once(&entered)?.1.split_once(" STATE").map(|(role, _)| role.to_ascii_lowercase());
    log.lines().rev().find_map(role)
}

fn table_of(config: &str) -> Result<toml::Table> {
    config.parse().map_err(|error: toml::de::Error| unfit(&error.to_string()))
}

fn text_of(table: &toml::Table) -> Result<String> {
    toml::to_string(table).map_err(|error| unfit(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_keepalived_has_its_role() {
        let log =
            "x: (VI_1) Entering BACKUP STATE (init)\nx: (VI_2) Entering FAULT STATE\nx: (VI_1) Entering MASTER STATE\n";
        assert_eq!(entered(log, "VI_1").as_deref(), Some("master"));
        assert_eq!(entered(log, "VI_2").as_deref(), Some("fault"));
        assert_eq!(entered(log, "VI_3"), None);
    }
}
