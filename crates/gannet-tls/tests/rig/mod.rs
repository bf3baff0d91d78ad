//! Two filters that talk to each other in memory, and certificates made for the occasion.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod buffered;

use std::error::Error;

use gannet::{Filter, FilterError, FilterFactory, FilterOutput};
pub use gannet_testing::certificates::{Ca, Issued};
use gannet_tls::{ConnectionError, Identity, TlsClient, TlsClientConfig, TlsConfig, TlsInfo, TlsServer, TlsVersion};

/// What an authority issued, as this crate takes it.
pub trait Identified {
    fn identity(&self) -> Identity;
}

impl Identified for Issued {
    fn identity(&self) -> Identity {
        Identity::from_pem(self.certificate.as_bytes(), self.key.as_bytes()).expect("it was just made")
    }
}

/// What trusts servers that an authority vouches for.
pub trait Trusted {
    fn trusted(&self) -> TlsClientConfig;
}

impl Trusted for Ca {
    fn trusted(&self) -> TlsClientConfig {
        TlsClientConfig::new().ca(self.pem().as_bytes()).expect("it is a certificate")
    }
}

/// A server for `localhost` and a client that trusts it.
pub fn pair(version: TlsVersion) -> (TlsServer, TlsClient) {
    let ca = Ca::new("the CA");
    let server = TlsServer::new(TlsConfig::new(ca.server(&["localhost"]).identity())).expect("settings");
    let client = ca.trusted();
    let client = match version {
        TlsVersion::V1_3 => client.min_version(TlsVersion::V1_3),
        _ => client.max_version(TlsVersion::V1_2),
    };
    (server, client.build("localhost").expect("settings"))
}

/// One side, with what it was given and what it has to give.
pub struct End {
    pub filter: Box<dyn Filter>,
    /// Received and not consumed.
    pub carry: Vec<u8>,
    pub plain: Vec<u8>,
    pub wire: Vec<u8>,
    pub ready: bool,
    pub ended: bool,
    pub error: Option<FilterError>,
}

impl End {
    pub fn new(filters: &dyn FilterFactory) -> Self {
        let filter = filters.filter().expect("a filter");
        let (carry, plain, wire) = (Vec::new(), Vec::new(), Vec::new());
        let mut end = Self { filter, carry, plain, wire, ready: false, ended: false, error: None };
        end.filter.start(&mut end.wire).expect("it begins");
        end
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.carry.extend_from_slice(bytes);
        match self.filter.receive(&mut self.carry, &mut FilterOutput::new(&mut self.plain, &mut self.wire)) {
            Ok(filtered) => {
                assert!(filtered.consumed <= self.carry.len());
                assert!(filtered.ready || !self.ready, "once ready, always ready");
                self.carry.drain(..filtered.consumed);
                self.ready = filtered.ready;
                self.ended |= filtered.ended;
            }
            Err(error) => self.error = Some(error),
        }
    }

    pub fn send(&mut self, plain: &[u8]) {
        self.filter.send(plain, &mut self.wire).expect("it is ready");
    }

    pub fn take_wire(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.wire)
    }

    pub fn info(&self) -> &TlsInfo {
        self.filter.info().and_then(|info| info.downcast_ref()).expect("it is ready")
    }

    /// What went wrong, in words.
    pub fn why(&self) -> String {
        let error = self.error.as_ref().expect("it failed");
        assert!(error.source().is_some_and(|source| source.is::<ConnectionError>()), "{error:?}");
        error.to_string()
    }
}

/// The two ends of one connection.
pub struct Pair {
    pub client: End,
    pub server: End,
}

impl Pair {
    pub fn new(server: &dyn FilterFactory, client: &dyn FilterFactory) -> Self {
        Self { client: End::new(client), server: End::new(server) }
    }

    /// Both ready, or one of them failed.
    pub fn connected(server: &dyn FilterFactory, client: &dyn FilterFactory) -> Self {
        let mut pair = Self::new(server, client);
        pair.run(usize::MAX);
        pair
    }

    /// Until neither has anything to say, in pieces of at most so many bytes.
    pub fn run(&mut self, piece: usize) {
        loop {
            let (up, down) = (self.client.take_wire(), self.server.take_wire());
            if up.is_empty() && down.is_empty() {
                break;
            }
            up.chunks(piece).for_each(|bytes| self.server.receive(bytes));
            down.chunks(piece).for_each(|bytes| self.client.receive(bytes));
        }
    }

    pub fn assert_ready(&self) {
        assert!(
            self.client.error.is_none() && self.server.error.is_none(),
            "{:?} {:?}",
            self.client.error,
            self.server.error
        );
        assert!(self.client.ready && self.server.ready);
    }

    /// Both ways, and says whether it arrived.
    pub fn assert_echo(&mut self) {
        self.client.send(b"to the server");
        self.server.send(b"to the client");
        self.run(usize::MAX);
        assert_eq!(std::mem::take(&mut self.server.plain), b"to the server");
        assert_eq!(std::mem::take(&mut self.client.plain), b"to the client");
    }
}
