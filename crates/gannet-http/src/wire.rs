//! What is spoken on a connection: HTTP, nothing for as long as a response is being made, or WebSocket.

use gannet::proto::http::{Event, Requests, RequestsState};
use gannet::proto::ws::{self, WebSocket};
use gannet::proto::{Codec, DecodeError, Decoded, EncodeError, Raw, Sink};

/// Bytes that a client may send ahead while it waits for a response that takes its time.
const MOST_AHEAD: usize = 64 << 10;

/// The codec of a connection that begins with HTTP.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    pub(crate) requests: Requests,
    pub(crate) websocket: WebSocket,
}

/// A message of what is spoken.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'a> {
    /// A request, or a part of one.
    Http(Event<'a>),
    /// A WebSocket message.
    WebSocket(ws::Message<'a>),
}

/// What is spoken, with what the codec knows of it. Set by the service.
#[derive(Debug)]
pub enum Spoken {
    /// Requests and responses.
    Http(RequestsState),
    /// A response is under way that more requests have to wait for. The connection is read all the same, so that its
    /// end is seen.
    Held(RequestsState),
    /// A response comes later, and more requests wait for it, up to as much as the largest one takes. The connection is
    /// read all the same, so that its end is seen.
    Awaited(RequestsState),
    /// WebSocket, for the rest of the connection.
    WebSocket(ws::State),
}

impl Spoken {
    /// Has the next request wait for a response that comes later.
    pub(crate) fn await_response(&mut self) {
        if let Self::Http(state) = self {
            *self = Self::Awaited(std::mem::take(state));
        }
    }

    /// The response has come.
    pub(crate) fn go_on(&mut self) {
        if let Self::Awaited(state) = self {
            *self = Self::Http(std::mem::take(state));
        }
    }
}

impl Default for Spoken {
    fn default() -> Self {
        Self::Http(RequestsState::default())
    }
}

impl Codec for Wire {
    type Message<'a> = Incoming<'a>;
    type State = Spoken;

    const TRANSPARENT: bool = true;

    #[inline]
    fn decode<'a>(&self, state: &mut Spoken, input: &'a mut [u8]) -> Result<Decoded<Incoming<'a>>, DecodeError> {
        Ok(match state {
            Spoken::Http(state) => match self.requests.decode(state, input)? {
                Decoded::Message { message, consumed } => {
                    Decoded::Message { message: Incoming::Http(message), consumed }
                }
                Decoded::Taken { consumed } => Decoded::Taken { consumed },
                Decoded::Partial { need } => Decoded::Partial { need },
            },
            Spoken::Held(_) if input.len() > MOST_AHEAD => {
                return Err(DecodeError::TooLarge { length: input.len() as u64, limit: MOST_AHEAD });
            }
            Spoken::Awaited(_) if input.len() > self.requests.largest() => {
                return Err(DecodeError::TooLarge { length: input.len() as u64, limit: self.requests.largest() });
            }
            Spoken::Held(_) | Spoken::Awaited(_) => Decoded::Partial { need: input.len() + 1 },
            Spoken::WebSocket(state) => match self.websocket.decode(state, input)? {
                Decoded::Message { message, consumed } => {
                    Decoded::Message { message: Incoming::WebSocket(message), consumed }
                }
                Decoded::Taken { consumed } => Decoded::Taken { consumed },
                Decoded::Partial { need } => Decoded::Partial { need },
            },
        })
    }

    /// Writes bytes as they are: responses and frames are written by the service.
    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), EncodeError> {
        Raw.encode(parts, out)
    }
}
