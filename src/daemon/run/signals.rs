//! The signals that people send to a daemon. One that nobody takes ends a process: they are taken before anything else is done.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::daemon::refusal::Refusal;

/// See the module.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: [Signal; 2],
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1 or SIGUSR2, by its name: what keepalived writes its state for.
    Nothing(&'static str),
}

impl Signals {
    /// From now on none of them ends the process. Inside the runtime.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn take() -> Result<Self, Refusal> {
        let take = |kind| signal(kind).map_err(|error| Refusal::machine("signals cannot be had", &error));
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hangup: take(SignalKind::hangup())?,
            user: [take(SignalKind::user_defined1())?, take(SignalKind::user_defined2())?],
        })
    }

    /// The next one; what ends the daemon first.
    pub(super) async fn next(&mut self) -> Wanted {
        let [one, two] = &mut self.user;
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wanted::Terminate,
            _ = self.interrupt.recv() => Wanted::Stop,
            _ = self.hangup.recv() => Wanted::Reload,
            _ = one.recv() => Wanted::Nothing("SIGUSR1"),
            _ = two.recv() => Wanted::Nothing("SIGUSR2"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that is not taken ends this process.
    #[tokio::test]
    async fn what_operators_of_keepalived_send_ends_nothing() {
        let Ok(mut signals) = Signals::take() else { panic!("signals can be had") };
        for (sent, wanted) in [
            (rustix::process::Signal::USR1, Wanted::Nothing("SIGUSR1")),
            (rustix::process::Signal::USR2, Wanted::Nothing("SIGUSR2")),
            (rustix::process::Signal::HUP, Wanted::Reload),
        ] {
            rustix::process::kill_process(rustix::process::getpid(), sent).unwrap();
            assert_eq!(signals.next().await, wanted);
        }
    }
}
