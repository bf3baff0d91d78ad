//! One connection: records in, plain text out, and the way back (RFC 8446 §5, RFC 5246 §6.2). Called on the thread of the
//! connection's reactor.

use std::any::Any;
use std::ops::Deref;

use gannet::{Filter, FilterError, Filtered};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedConnectionCommon, UnbufferedStatus,
};
use rustls::{CommonState, Error, Side};

use crate::resolver::asked_for;
use crate::{ConnectionError, TlsInfo};

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
        self.receive(&mut [], &mut Vec::new(), wire).map(|_| ())
    }

    fn receive(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Filtered, FilterError> {
        if self.failed {
            return Err(FilterError::new(FAILED));
        }
        // They are changed in place, headers too.
        let whole = whole_records(received, self.held);
        let begin = first_bytes(received);
        let taken = match &mut self.info.connection {
            Connection::Server(connection) => {
                let taken = take(&mut **connection, received, plain, wire);
                if let Some(name) = asked_for() {
                    self.info.server_name = Some(name);
                }
                taken
            }
            Connection::Client(connection) => take(&mut **connection, received, plain, wire),
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
fn take<R: Records>(
    records: &mut R,
    received: &mut [u8],
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> Result<Filtered, Error> {
    let mut taken = Filtered::default();
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
                    Err(error) => return Err(Error::General(error.to_string())),
                }
            }
            ConnectionState::PeerClosed => (),
            ConnectionState::Closed => return Err(Error::General("both sides have closed".into())),
            _ => return Err(Error::HandshakeNotComplete),
        }
    }
}
