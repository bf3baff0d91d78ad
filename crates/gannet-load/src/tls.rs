//! TLS on the clients' connections, with the time and the kind of each handshake.

use std::any::Any;
use std::time::Instant;

use gannet::{Filter, FilterError, FilterFactory, FilterOutput, FilterProgress};
use gannet_tls::{TlsClient, TlsInfo};

/// Makes the filters of a run's connections.
pub(crate) struct Handshakes {
    client: TlsClient,
    began: Instant,
}

impl Handshakes {
    /// For a run that began then.
    pub(crate) fn new(client: TlsClient, began: Instant) -> Self {
        Self { client, began }
    }
}

impl FilterFactory for Handshakes {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        Ok(Box::new(Handshake { filter: self.client.filter()?, run_began: self.began, began_ns: 0 }))
    }
}

/// The filter of a connection, and when its handshake began: what [`Filter::info`] of a client is.
pub(crate) struct Handshake {
    filter: Box<dyn Filter>,
    run_began: Instant,
    /// On the run's clock.
    began_ns: u64,
}

impl Handshake {
    /// When the connection was there and the handshake began, on the run's clock.
    pub(crate) fn began_ns(&self) -> u64 {
        self.began_ns
    }

    /// Whether it took up an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        let info = self.filter.info().and_then(|info| info.downcast_ref::<TlsInfo>());
        info.is_some_and(TlsInfo::resumed)
    }
}

impl Filter for Handshake {
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), FilterError> {
        self.began_ns = self.run_began.elapsed().as_nanos() as u64;
        self.filter.start(wire)
    }

    fn receive(&mut self, received: &mut [u8], out: &mut FilterOutput<'_>) -> Result<FilterProgress, FilterError> {
        self.filter.receive(received, out)
    }

    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), FilterError> {
        self.filter.send(plain, wire)
    }

    fn end(&mut self, wire: &mut Vec<u8>) {
        self.filter.end(wire);
    }

    fn info(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
