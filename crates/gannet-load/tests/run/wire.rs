//! The codec of a server's connection: HTTP until it switches, then WebSocket.

use gannet::proto::http::{self, Event, Requests, RequestsState};
use gannet::proto::ws::{self, Message, WebSocket};
use gannet::proto::{Codec, Decoded, FrameError, Sink};

/// HTTP, then WebSocket.
#[derive(Default)]
pub struct Wire {
    requests: Requests,
    websocket: WebSocket,
}

pub enum Protocol {
    Http(RequestsState),
    WebSocket(ws::State),
}

impl Default for Protocol {
    fn default() -> Self {
        Self::Http(RequestsState::default())
    }
}

pub enum Incoming<'a> {
    Http(Event<'a>),
    WebSocket(Message<'a>),
}

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Http(#[from] http::Error),
    #[error("{0}")]
    WebSocket(#[from] ws::Error),
}

impl Codec for Wire {
    type Message<'a> = Incoming<'a>;
    type Outgoing<'a> = &'a [u8];
    type Error = WireError;
    type State = Protocol;

    fn decode<'a>(&self, state: &mut Protocol, input: &'a mut [u8]) -> Result<Decoded<Incoming<'a>>, WireError> {
        match state {
            Protocol::Http(state) => Ok(self.requests.decode(state, input)?.map(Incoming::Http)),
            Protocol::WebSocket(state) => Ok(self.websocket.decode(state, input)?.map(Incoming::WebSocket)),
        }
    }

    /// Bytes as they are: the service writes responses and frames.
    fn encode(&self, bytes: &[u8], out: &mut impl Sink) -> Result<(), WireError> {
        out.put(bytes);
        Ok(())
    }
}
