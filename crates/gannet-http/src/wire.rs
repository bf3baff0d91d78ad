//! The codec of a connection that begins with HTTP and may switch to WebSocket.

use gannet::proto::http::{self, Event, Requests, RequestsState};
use gannet::proto::ws::{self, WebSocket};
use gannet::proto::{Codec, Decoded, FrameError, Sink};
use thiserror::Error;

/// Bytes that a client may send ahead while it receives a stream.
const MOST_AHEAD: usize = 64 << 10;

/// Decodes HTTP requests, and WebSocket messages after an upgrade: the codec of [`HttpService`](crate::HttpService).
#[derive(Clone, Debug, Default)]
pub struct Wire {
    pub(crate) requests: Requests,
    pub(crate) websocket: WebSocket,
}

/// A received message of a connection, in the protocol that it speaks now.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'a> {
    /// A request, or a part of one.
    Http(Event<'a>),
    /// A WebSocket message.
    WebSocket(ws::Message<'a>),
}

/// A message that the service encodes with its codec. Whole responses bypass it: the service writes and bounds them.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outgoing<'a> {
    /// A piece of a response's body in parts, with its framing.
    Http(&'a [&'a [u8]]),
    /// A frame of a WebSocket conversation.
    WebSocket(ws::Frame<'a>),
}

/// Says what is wrong with received bytes, or with a frame that cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// A message is too large, or the stream ended inside one.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The request is malformed or over a limit.
    #[error("{0}")]
    Http(#[from] http::Error),
    /// A received frame is malformed or over a limit, or a frame cannot be sent.
    #[error("{0}")]
    WebSocket(#[from] ws::Error),
}

/// The protocol that a connection speaks now, with the codec's progress in it. The service switches it.
#[derive(Debug)]
pub enum Protocol {
    /// Requests and responses.
    Http(RequestsState),
    /// HTTP, while a response of open length is streamed. Further requests wait, up to 64 KiB; the connection is read so
    /// that its end is noticed.
    Held(RequestsState),
    /// HTTP, while a deferred response is awaited. Further requests wait, up to the size of the largest one; the
    /// connection is read so that its end is noticed.
    Awaited(RequestsState),
    /// WebSocket, for the rest of the connection.
    WebSocket(ws::State),
}

impl Protocol {
    /// Has further requests wait for a deferred response.
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

impl Default for Protocol {
    fn default() -> Self {
        Self::Http(RequestsState::default())
    }
}

impl Codec for Wire {
    type Message<'a> = Incoming<'a>;
    type Outgoing<'a> = Outgoing<'a>;
    type Error = WireError;
    type State = Protocol;

    const TRANSPARENT: bool = true;

    #[inline]
    fn decode<'a>(&self, state: &mut Protocol, input: &'a mut [u8]) -> Result<Decoded<Incoming<'a>>, WireError> {
        Ok(match state {
            Protocol::Http(state) => self.requests.decode(state, input)?.map(Incoming::Http),
            Protocol::Held(_) if input.len() > MOST_AHEAD => {
                return Err(FrameError::TooLarge { length: input.len() as u64, limit: MOST_AHEAD }.into());
            }
            Protocol::Awaited(_) if input.len() > self.requests.largest() => {
                return Err(FrameError::TooLarge { length: input.len() as u64, limit: self.requests.largest() }.into());
            }
            Protocol::Held(_) | Protocol::Awaited(_) => Decoded::Partial { need: input.len() + 1 },
            Protocol::WebSocket(state) => self.websocket.decode(state, input)?.map(Incoming::WebSocket),
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
