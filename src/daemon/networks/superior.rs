//! The other end: who works in another network watches for the end of the daemon that started it.

use std::{fs::File, io, os::fd::AsFd};

use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

use crate::daemon::origin::Origin;

/// The pipe of the daemon that started this process, if one did.
#[derive(Debug)]
pub(in crate::daemon) struct Superior(Option<Receiver>);

impl Superior {
    /// Of this process. Must be called inside the runtime.
    ///
    /// # Errors
    /// It was not started by a daemon: its standard input is no pipe.
    pub(in crate::daemon) fn of(origin: &Origin) -> io::Result<Self> {
        if origin.network().is_none() {
            return Ok(Self(None));
        }
        let pipe = io::stdin().as_fd().try_clone_to_owned()?;
        Receiver::from_file(File::from(pipe)).map(|receiver| Self(Some(receiver)))
    }

    /// Returns once, when that daemon has ended or wants this process to stop.
    pub(in crate::daemon) async fn ended(&mut self) {
        let Some(pipe) = &mut self.0 else { return std::future::pending().await };
        let mut nothing = [0; 16];
        while pipe.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
        self.0 = None;
    }
}
