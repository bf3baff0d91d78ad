//! What is spoken on a connection: HTTP, nothing for as long as a response is being made, or WebSocket.

use gannet::proto::http::{self, Event, Requests, RequestsState};
use gannet::proto::ws::{self, WebSocket};
use gannet::proto::{Codec, Decoded, FrameError, Sink};
use thiserror::Error;

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

/// What the service sends through the codec. Responses, which the service bounds itself, go past it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outgoing<'a> {
    /// A piece of a response's body in parts, with its framing.
    Http(&'a [&'a [u8]]),
    /// A frame of a WebSocket conversation.
    WebSocket(ws::Frame<'a>),
}

/// Says why what a client sent is not accepted, or what is to be sent is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// The client sends too much, or its stream ended inside a message.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The bytes are no request that is accepted.
    #[error("{0}")]
    Http(#[from] http::Error),
    /// The bytes are no frames that are accepted, or a frame cannot be sent.
    #[error("{0}")]
    WebSocket(#[from] ws::Error),
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
    type Outgoing<'a> = Outgoing<'a>;
    type Error = WireError;
    type State = Spoken;

    const TRANSPARENT: bool = true;

    #[inline]
    fn decode<'a>(&self, state: &mut Spoken, input: &'a mut [u8]) -> Result<Decoded<Incoming<'a>>, WireError> {
        Ok(match state {
            Spoken::Http(state) => self.requests.decode(state, input)?.map(Incoming::Http),
            Spoken::Held(_) if input.len() > MOST_AHEAD => {
                return Err(FrameError::TooLarge { length: input.len() as u64, limit: MOST_AHEAD }.into());
            }
            Spoken::Awaited(_) if input.len() > self.requests.largest() => {
                return Err(FrameError::TooLarge { length: input.len() as u64, limit: self.requests.largest() }.into());
            }
            Spoken::Held(_) | Spoken::Awaited(_) => Decoded::Partial { need: input.len() + 1 },
            Spoken::WebSocket(state) => self.websocket.decode(state, input)?.map(Incoming::WebSocket),
        })
    }

    #[inline]
    fn encode(&self, outgoing: Outgoing<'_>, out: &mut impl Sink) -> Result<(), WireError> {
        match outgoing {
            Outgoing::Http(parts) => parts.iter().for_each(|part| out.put(part)),
            Outgoing::WebSocket(frame) => self.websocket.encode(frame, out)?,
        }
        Ok(())
    }

    /// Writes bytes as they are: they come from the service, which has encoded them.
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), WireError> {
        out.put(payload);
        Ok(())
    }
}
