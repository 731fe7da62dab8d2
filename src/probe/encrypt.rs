//! TLS between the http probe's client and its socket.
//!
//! The client has a layer of its own for this, but it neither asks for another server name than the URL's nor tells what
//! certificate it was shown.

use std::{
    fmt,
    io::{Read, Write},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::{
    Error,
    unversioned::transport::{
        Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
    },
};

use super::{
    certificate::Certificate,
    dial::{Phase, Progress, ours},
    tls,
};

/// Wraps connections to https addresses.
#[derive(Debug)]
pub(super) struct Encrypt {
    /// None where no https address will be asked.
    pub(super) config: Option<Arc<ClientConfig>>,
    /// The server name to ask for, if not the URL's host.
    pub(super) sni: Option<String>,
    pub(super) progress: Progress,
}

impl<In: Transport> Connector<In> for Encrypt {
    type Out = Either<In, Encrypted>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        let config = self.config.as_ref().filter(|_| details.needs_tls() && !transport.is_tls());
        let Some(config) = config else { return Ok(Some(Either::A(transport))) };
        self.progress.reach(Phase::Tls);
        let host = details.uri.host().unwrap_or_default();
        let name = tls::server_name(self.sni.as_deref().unwrap_or(host)).map_err(ours)?;
        let connection = ClientConnection::new(Arc::clone(config), name);
        let mut connection = connection.map_err(|error| ours(tls::refused(&error)))?;
        let mut below = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        below.set_timeout(details.timeout);
        connection.complete_io(&mut below)?;
        let shown = connection.peer_certificates().and_then(|chain| Certificate::of(chain.first()?));
        self.progress.note(|met| met.certificate = shown);
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        let stream = StreamOwned::new(connection, below);
        Ok(Some(Either::B(Encrypted { stream, buffers: LazyBuffers::new(input, output) })))
    }
}

/// A connection with TLS on it.
pub(super) struct Encrypted {
    stream: StreamOwned<ClientConnection, TransportAdapter>,
    buffers: LazyBuffers,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted").finish_non_exhaustive()
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        true
    }
}
