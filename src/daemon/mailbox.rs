//! Where other threads put what they have for the protocol thread. Nothing is lost; whoever finds it full waits.

use std::sync::mpsc::{SyncSender, TrySendError};

use super::protocol::Message;
use crate::linux::Waker;

/// Where messages are put in.
#[derive(Clone, Debug)]
pub struct Mailbox {
    pub(super) sender: SyncSender<Message>,
    pub(super) waker: Waker,
}

impl Mailbox {
    /// Puts a message in and wakes the thread. Waits while the box is full; a thread that has ended takes nothing.
    pub fn post(&self, message: Message) {
        match self.sender.try_send(message) {
            Ok(()) => self.waker.wake(),
            Err(TrySendError::Full(message)) => {
                self.waker.wake();
                let _ = self.sender.send(message);
                self.waker.wake();
            }
            Err(TrySendError::Disconnected(_)) => (),
        }
    }

    /// Puts a message in for the thread's next turn, whatever that is made for; there is one every few seconds at least
    /// (`WATCHDOG_AT_LEAST`), and none acts before it has read its messages.
    pub fn leave(&self, message: Message) {
        if let Err(TrySendError::Full(message)) = self.sender.try_send(message) {
            self.post(message);
        }
    }
}
