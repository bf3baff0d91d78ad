//! A client on the buffered half of rustls: another way through the same protocol.

use std::any::Any;
use std::io::{Read, Write};
use std::sync::Arc;

use gannet::{Filter, FilterError, FilterFactory, FilterOutput, FilterProgress};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::Ca;

/// Connects to `localhost`.
pub struct Buffered(pub Arc<ClientConfig>);

impl Buffered {
    pub fn new(ca: &Ca, provider: CryptoProvider, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("a certificate")).expect("a CA");
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        change(&mut config);
        Self(Arc::new(config))
    }
}

impl FilterFactory for Buffered {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        let name = ServerName::try_from("localhost").expect("a name");
        Ok(Box::new(Client(ClientConnection::new(self.0.clone(), name).map_err(FilterError::new)?)))
    }
}

pub struct Client(pub ClientConnection);

impl Client {
    fn flush(&mut self, wire: &mut Vec<u8>) {
        while self.0.wants_write() {
            self.0.write_tls(wire).expect("memory takes it");
        }
    }
}

impl Filter for Client {
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), FilterError> {
        self.flush(wire);
        Ok(())
    }

    fn receive(&mut self, received: &mut [u8], out: &mut FilterOutput<'_>) -> Result<FilterProgress, FilterError> {
        let FilterOutput { plain, wire, .. } = out;
        let mut rest = &received[..];
        let mut ended = false;
        while !rest.is_empty() && !ended {
            self.0.read_tls(&mut rest).map_err(FilterError::new)?;
            let state = self.0.process_new_packets();
            self.flush(wire);
            let state = state.map_err(FilterError::new)?;
            let begin = plain.len();
            plain.resize(begin + state.plaintext_bytes_to_read(), 0);
            self.0.reader().read_exact(&mut plain[begin..]).map_err(FilterError::new)?;
            ended = state.peer_has_closed();
        }
        Ok(FilterProgress::new(received.len()).ready(!self.0.is_handshaking()).ended(ended))
    }

    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), FilterError> {
        self.0.writer().write_all(plain).map_err(FilterError::new)?;
        self.flush(wire);
        Ok(())
    }

    fn end(&mut self, wire: &mut Vec<u8>) {
        self.0.send_close_notify();
        self.flush(wire);
    }

    fn info(&self) -> Option<&dyn Any> {
        Some(&self.0)
    }
}
