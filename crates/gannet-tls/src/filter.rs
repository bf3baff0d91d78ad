//! One connection: records in, plain text out, and the way back (RFC 8446 §5, RFC 5246 §6.2). Called on the thread of the
//! connection's reactor.

use std::any::Any;
use std::ops::Deref;

use gannet::{Description, Filter, FilterError, FilterOutput, FilterProgress};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedConnectionCommon, UnbufferedStatus,
};
use rustls::{CommonState, Error, Side};

use crate::resolver::asked_for;
use crate::{ConnectionError, TlsInfo, TlsVersion};

/// Content type, version and length: RFC 8446 §5.1.
const RECORD_HEADER: usize = 5;
/// Plain text of one record, at most: RFC 8446 §5.1.
const RECORD_PLAIN: usize = 1 << 14;
/// What a record adds to its plain text, at most: the header, then a nonce of 8 bytes in TLS 1.2 or the byte of the
/// inner content type in TLS 1.3, then a tag of 16 bytes.
const RECORD_OVERHEAD: usize = RECORD_HEADER + 8 + 16;
/// What an alert takes, at most.
const ALERT_RECORD: usize = RECORD_OVERHEAD + 2;
/// The records of a handshake message are shown again until it is whole. rustls accepts messages of up to 64 KiB; cut
/// into records of a byte each they would hold many times that.
const MAX_HELD: usize = 96 * 1024;

const FAILED: &str = "the TLS connection has failed before";
/// TLS 1.3 changes them.
const USED_UP: &str = "the keys are used up, and TLS 1.2 cannot change them: the peer has to connect anew";

pub(crate) enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl Connection {
    pub(crate) fn state(&self) -> &CommonState {
        match self {
            Self::Server(connection) => connection,
            Self::Client(connection) => connection,
        }
    }

    pub(crate) fn side(&self) -> Side {
        match self {
            Self::Server(_) => Side::Server,
            Self::Client(_) => Side::Client,
        }
    }
}

/// A connection of rustls as a filter of the engine.
pub(crate) struct TlsFilter {
    info: TlsInfo,
    /// Bytes at the front of what will be shown next that are whole records, already taken: parts of a handshake
    /// message of which more is to come.
    held: usize,
    /// A record of the peer was accepted.
    heard: bool,
    /// The peer said that it sends no more.
    ended: bool,
    /// It came to an error; nothing more goes in or out.
    failed: bool,
}

impl TlsFilter {
    pub(crate) fn new(info: TlsInfo) -> Self {
        Self { info, held: 0, heard: false, ended: false, failed: false }
    }

    fn fail(&mut self, cause: Error, begin: &[u8]) -> FilterError {
        self.failed = true;
        let begin = if self.heard { &[] } else { begin };
        FilterError::new(ConnectionError::new(cause, &self.info.connection, begin))
    }

    fn send_words(&mut self, words: Words<'_>, wire: &mut Vec<u8>) -> Result<(), FilterError> {
        if self.failed {
            return Err(FilterError::new(FAILED));
        }
        match &mut self.info.connection {
            Connection::Server(connection) => send(&mut **connection, words, self.held, wire),
            Connection::Client(connection) => send(&mut **connection, words, self.held, wire),
        }
        .map_err(|cause| self.fail(cause, &[]))
    }
}

impl Filter for TlsFilter {
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), FilterError> {
        self.receive(&mut [], &mut FilterOutput::new(&mut Vec::new(), wire)).map(|_| ())
    }

    fn receive(&mut self, received: &mut [u8], out: &mut FilterOutput<'_>) -> Result<FilterProgress, FilterError> {
        if self.failed {
            return Err(FilterError::new(FAILED));
        }
        // They are changed in place, headers too.
        let whole = whole_records(received, self.held);
        let begin = first_bytes(received);
        let taken = match &mut self.info.connection {
            Connection::Server(connection) => {
                let taken = take(&mut **connection, received, out);
                if let Some(name) = asked_for() {
                    self.info.server_name = Some(name);
                }
                taken
            }
            Connection::Client(connection) => take(&mut **connection, received, out),
        };
        let mut taken = taken.map_err(|cause| self.fail(cause, &begin))?;
        self.heard |= whole > 0;
        self.ended |= taken.ended;
        if self.ended {
            // What comes after close_notify is ignored: RFC 8446 §6.1.
            taken.consumed = received.len();
            taken.ended = true;
        }
        self.held = whole.saturating_sub(taken.consumed);
        if self.held > MAX_HELD {
            return Err(self.fail(Error::InvalidMessage(rustls::InvalidMessage::HandshakePayloadTooLarge), &[]));
        }
        Ok(taken)
    }

    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), FilterError> {
        if plain.is_empty() {
            return Ok(());
        }
        self.send_words(Words::Plain(plain), wire)
    }

    fn end(&mut self, wire: &mut Vec<u8>) {
        // What cannot be said any more goes unsaid.
        if !self.failed && !self.info.connection.state().is_handshaking() {
            let _ = self.send_words(Words::CloseNotify, wire);
        }
    }

    fn info(&self) -> Option<&dyn Any> {
        (!self.info.connection.state().is_handshaking()).then_some(&self.info)
    }

    fn describe(&self, into: &mut Description) {
        if !self.info.connection.state().is_handshaking() {
            into.security(match self.info.version() {
                TlsVersion::V1_2 => "TLS 1.2",
                TlsVersion::V1_3 => "TLS 1.3",
            });
        }
    }
}

/// How far whole records reach, by their headers. `from` is where one begins.
fn whole_records(received: &[u8], from: usize) -> usize {
    let mut end = from;
    while let Some(&[_, _, _, high, low]) = received.get(end..end + RECORD_HEADER) {
        let next = end + RECORD_HEADER + usize::from(u16::from_be_bytes([high, low]));
        if next > received.len() {
            break;
        }
        end = next;
    }
    end
}

/// The bytes by which other protocols are told; none in their place are zero.
fn first_bytes(received: &[u8]) -> [u8; 8] {
    let mut begin = [0; 8];
    for (to, from) in begin.iter_mut().zip(received) {
        *to = *from;
    }
    begin
}

/// What both sides of rustls have, each for itself, beside the state that they share.
trait Records: Deref<Target = CommonState> {
    type Data;

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Records for UnbufferedConnectionCommon<ServerConnectionData> {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
}

impl Records for UnbufferedConnectionCommon<ClientConnectionData> {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
}

/// Takes what was received, until there is nothing more to take.
fn take<R: Records>(records: &mut R, received: &mut [u8], out: &mut FilterOutput<'_>) -> Result<FilterProgress, Error> {
    let FilterOutput { plain, wire, .. } = out;
    let mut taken = FilterProgress::default();
    loop {
        let UnbufferedStatus { mut discard, state } = records.process(&mut received[taken.consumed..]);
        let mut waits = false;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    plain.extend_from_slice(record.payload);
                    discard += record.discard;
                }
            }
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, wire)?,
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => taken.ended = true,
            Ok(ConnectionState::Closed) => {
                taken.ended = true;
                waits = true;
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => waits = true,
            Ok(_) => return Err(Error::General("early data was sent, though it was not offered".into())),
            Err(error) => {
                taken.consumed += discard;
                // The alert, and what was to be said before it. It does not look at what was received.
                while records.wants_write() {
                    match records.process(&mut received[taken.consumed..]).state {
                        Ok(ConnectionState::EncodeTlsData(data)) => encode(data, wire)?,
                        _ => break,
                    }
                }
                return Err(error);
            }
        }
        taken.consumed += discard;
        if waits {
            break;
        }
    }
    taken.ready = !records.is_handshaking();
    Ok(taken)
}

/// Appends a record that is already encoded.
fn encode<Data>(mut data: EncodeTlsData<'_, Data>, wire: &mut Vec<u8>) -> Result<(), Error> {
    let begin = wire.len();
    let mut room = 0;
    loop {
        wire.resize(begin + room, 0);
        match data.encode(&mut wire[begin..]) {
            Ok(length) => {
                wire.truncate(begin + length);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if size.required_size > room => room = size.required_size,
            Err(error) => {
                wire.truncate(begin);
                return Err(Error::General(error.to_string()));
            }
        }
    }
}

/// What is sent once the handshake is done.
#[derive(Clone, Copy)]
enum Words<'a> {
    Plain(&'a [u8]),
    CloseNotify,
}

/// Appends `words`, after all that rustls has to send first. `held` is how many bytes it was shown and did not let go:
/// it looks for what comes after them.
fn send<R: Records>(records: &mut R, words: Words<'_>, held: usize, wire: &mut Vec<u8>) -> Result<(), Error> {
    let mut shown = vec![0; held];
    let mut room = match words {
        Words::Plain(plain) => plain.len() + plain.len().div_ceil(RECORD_PLAIN) * RECORD_OVERHEAD,
        Words::CloseNotify => ALERT_RECORD,
    };
    loop {
        match records.process(&mut shown).state? {
            ConnectionState::EncodeTlsData(data) => encode(data, wire)?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::WriteTraffic(mut traffic) => {
                let begin = wire.len();
                wire.resize(begin + room, 0);
                let written = match words {
                    Words::Plain(plain) => traffic.encrypt(plain, &mut wire[begin..]),
                    Words::CloseNotify => traffic.queue_close_notify(&mut wire[begin..]),
                };
                wire.truncate(begin + *written.as_ref().unwrap_or(&0));
                match written {
                    Ok(_) => return Ok(()),
                    // An answer to a key update goes first: RFC 8446 §4.6.3.
                    Err(EncryptError::InsufficientSize(size)) if size.required_size > room => room = size.required_size,
                    Err(EncryptError::EncryptExhausted) => return Err(Error::General(USED_UP.into())),
                    Err(error) => return Err(Error::General(error.to_string())),
                }
            }
            ConnectionState::PeerClosed => (),
            ConnectionState::Closed => return Err(Error::General("both sides have closed".into())),
            _ => return Err(Error::HandshakeNotComplete),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
    use rustls::{
        CipherSuite, CipherSuiteCommon, ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite,
        SupportedProtocolVersion, Tls12CipherSuite, Tls13CipherSuite,
    };

    use super::*;

    /// As many records as keys may be used for here; it is 2^23 at least in truth.
    const LIMIT: u64 = 10;

    /// What is agreed on with each version, with keys that are soon used up.
    fn provider() -> CryptoProvider {
        let few = |common: CipherSuiteCommon| CipherSuiteCommon { confidentiality_limit: LIMIT, ..common };
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| {
            let named = [CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
            named.contains(&suite.suite())
        });
        for suite in &mut provider.cipher_suites {
            *suite = match *suite {
                SupportedCipherSuite::Tls13(suite) => {
                    SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                        common: few(CipherSuiteCommon { ..suite.common }),
                        ..*suite
                    })))
                }
                SupportedCipherSuite::Tls12(suite) => {
                    SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                        common: few(CipherSuiteCommon { ..suite.common }),
                        ..*suite
                    })))
                }
            };
        }
        provider
    }

    fn ends(version: &'static SupportedProtocolVersion) -> [TlsFilter; 2] {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let der = CertificateDer::from_pem_slice(certificate.pem().as_bytes()).expect("it was just made");
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).expect("it was just made");
        let provider = Arc::new(provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(vec![der], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())));
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = UnbufferedServerConnection::new(Arc::new(server.expect("they fit"))).expect("settings");
        let name = ServerName::try_from("localhost").expect("a name");
        let client = UnbufferedClientConnection::new(Arc::new(client), name).expect("settings");
        [Connection::Client(client), Connection::Server(server)]
            .map(|connection| TlsFilter::new(TlsInfo { connection, server_name: None }))
    }

    /// Lets both talk until they have said all; gives what each of them got.
    fn run(ends: &mut [TlsFilter; 2], mut wires: [Vec<u8>; 2]) -> [Vec<u8>; 2] {
        let mut plain = [Vec::new(), Vec::new()];
        while wires.iter().any(|wire| !wire.is_empty()) {
            for from in [0, 1] {
                let (mut received, mut said) = (std::mem::take(&mut wires[from]), Vec::new());
                let filtered =
                    ends[1 - from].receive(&mut received, &mut FilterOutput::new(&mut plain[1 - from], &mut said));
                assert_eq!(filtered.expect("nobody does wrong").consumed, received.len());
                wires[1 - from].extend(said);
            }
        }
        plain
    }

    fn connected(version: &'static SupportedProtocolVersion) -> [TlsFilter; 2] {
        let mut ends = ends(version);
        let mut hello = Vec::new();
        ends[0].start(&mut hello).expect("it begins");
        run(&mut ends, [hello, Vec::new()]);
        assert!(ends.iter().all(|end| end.info().is_some()));
        ends
    }

    #[test]
    fn a_connection_of_tls_1_3_changes_keys_that_are_used_up_and_goes_on() {
        let mut ends = connected(&rustls::version::TLS13);
        for round in 0..10 * LIMIT {
            let sent = [vec![round as u8; 5], vec![round as u8; 40_000]];
            let mut wires = [Vec::new(), Vec::new()];
            for (end, (plain, wire)) in ends.iter_mut().zip(sent.iter().zip(&mut wires)) {
                end.send(plain, wire).expect("it goes on");
            }
            let got = run(&mut ends, wires);
            assert!(got[0] == sent[1] && got[1] == sent[0], "{round}");
        }
    }

    #[test]
    fn a_connection_of_tls_1_2_ends_when_its_keys_are_used_up() {
        let mut ends = connected(&rustls::version::TLS12);
        let mut wire = Vec::new();
        let mut sent = 0;
        let error = loop {
            match ends[1].send(b"hello", &mut wire) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        // The handshake's last record was one of them.
        assert_eq!((sent, error.to_string()), (LIMIT as usize - 1, format!("TLS failed: {USED_UP}")));
        let mut plain = Vec::new();
        let filtered = ends[0]
            .receive(&mut wire, &mut FilterOutput::new(&mut plain, &mut Vec::new()))
            .expect("nothing of it is wrong");
        assert_eq!((plain, filtered.ended), (b"hello".repeat(sent), false), "it was not all that there was to say");
    }
}
