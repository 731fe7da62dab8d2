//! A prober that hears what another one is asked and answers.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use crate::policy::probe::{Pending, ProbeOutcome, ProbeRequest, Prober};

/// What was asked, and what was answered if anything was.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) request: ProbeRequest,
    pub(super) outcome: Option<ProbeOutcome>,
}

/// Hears everything that goes through it.
pub(super) struct Listening<P> {
    inner: P,
    heard: Arc<Mutex<Vec<Exchange>>>,
}

impl<P> Listening<P> {
    pub(super) fn to(inner: P) -> Self {
        Self { inner, heard: Arc::default() }
    }

    /// In the order of the questions.
    pub(super) fn heard(&self) -> Vec<Exchange> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<P: Prober> Prober for Listening<P> {
    fn start(&self, request: &ProbeRequest) -> Pending {
        let inner = self.inner.start(request);
        let number = {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push(Exchange { request: request.clone(), outcome: None });
            heard.len() - 1
        };
        let (sender, pending) = mpsc::sync_channel(1);
        let heard = Arc::clone(&self.heard);
        thread::spawn(move || {
            let Ok(outcome) = inner.recv() else { return };
            if let Some(exchange) = heard.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
                exchange.outcome = Some(outcome.clone());
            }
            // Nobody waits any more if the evaluation is over.
            let _ = sender.send(outcome);
        });
        pending
    }
}
