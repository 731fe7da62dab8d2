//! What the daemon is put together of.

use std::sync::{Arc, OnceLock};

use crate::{
    config::Config,
    daemon::{
        events::Events,
        hooks::{self, Hooks, RealPerformer},
        keeper::Keeper,
        mail::Mailer,
        policies::{DriverClock, Keeping, Library, Policies, Said, Surroundings},
        protocol::{Mailbox, Message, Protocol},
        refusal::Refusal,
        store::{Record, Store},
        witness::Wishes,
    },
    linux::realtime,
    policy::{Clock, Engine, action::Performer},
    probe::RealProber,
};

pub(super) fn start_protocol(
    config: &Config,
    keeper: Keeper,
    wishes: Wishes,
    before: &[Record],
) -> Result<Protocol, Refusal> {
    let priority = config.realtime_priority;
    let prepare = move || {
        if let Some(why) = priority.and_then(|priority| realtime(priority).err()) {
            tracing::warn!("{why}");
        }
    };
    Protocol::start(config, keeper, wishes, before, prepare)
        .map_err(|error| Refusal::machine("the protocol thread cannot be started", &error))
}

/// Mail on transitions, if it is wanted. Without it the daemon serves all the same.
pub(super) fn mailer(config: &Config) -> Option<Mailer> {
    match Mailer::start(config.mail.as_ref()?) {
        Ok(mailer) => Some(mailer),
        Err(error) => {
            tracing::error!("no mail on transitions: {error}; look at [mail] in the configuration");
            None
        }
    }
}

pub(super) fn start_hooks(
    config: &Config,
    performer: &Arc<RealPerformer>,
    library: &Arc<OnceLock<Arc<Library>>>,
    protocol: &Protocol,
) -> Hooks {
    let (mailbox, library) = (protocol.mailbox.clone(), Arc::clone(library));
    let clock = DriverClock::default();
    let bench = hooks::Bench {
        engine: Engine::new(),
        performer: Arc::clone(performer) as Arc<dyn Performer>,
        run: Arc::new(hooks::run),
        events: Events::of_daemon(&config.events, protocol.mailbox.clone()),
        started: clock.now(),
        clock: Arc::new(clock),
        status: protocol.status.clone(),
        find: Arc::new(move |name| library.get()?.running(name)),
        say: Arc::new(move |said| match said {
            hooks::Said::Journal(entry) => mailbox.post(Message::Journal(entry)),
            hooks::Said::Release { instance, release } => mailbox.post(Message::Hooks { instance, release }),
        }),
    };
    Hooks::start(bench, config)
}

pub(super) fn start_policies(
    config: &Config,
    prober: &RealProber,
    store: &Store,
    keeping: Keeping,
    protocol: &Protocol,
    hooks: &Hooks,
) -> Result<Policies, Refusal> {
    let hooks = hooks.clone();
    let mailbox: Mailbox = protocol.mailbox.clone();
    let say = move |said| match said {
        Said::Judged { instance, report, news } => {
            hooks.judged(&instance, &report);
            let message = Message::Judged { instance, report };
            if news { mailbox.post(message) } else { mailbox.leave(message) }
        }
        Said::Heal { instance, policy, healing } => hooks.heal(&instance, &policy, healing),
        Said::NeverLoaded { instance, policy, why } => mailbox.post(Message::NeverLoaded { instance, policy, why }),
        Said::Journal(entry) => mailbox.post(Message::Journal(entry)),
    };
    let surroundings = Surroundings {
        clock: Arc::new(DriverClock::default()),
        prober: Arc::new(prober.clone()),
        store: store.clone(),
        keeping,
        status: protocol.status.clone(),
        say: Arc::new(say),
    };
    Policies::start(config, surroundings).map_err(|error| Refusal::machine("the policies cannot be watched", &error))
}
