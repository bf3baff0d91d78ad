//! The codec of a client's connection: HTTP until the server has switched, then WebSocket.

use gannet::proto::http::{self, Reply, Responses, ResponsesState};
use gannet::proto::ws::{self, Frame, WebSocket};
use gannet::proto::{Codec, Decoded, FrameError, Sink};
use thiserror::Error;

/// The largest body of an answer that does not switch.
const LARGEST_BODY_BYTES: usize = 1 << 20;

/// A client's codec, from its handshake on.
#[derive(Clone, Debug)]
pub struct Conversation {
    responses: Responses,
    websocket: WebSocket,
}

impl Conversation {
    /// With messages of at most so many bytes.
    #[must_use]
    pub fn new(largest: usize) -> Self {
        Self {
            responses: Responses::new().max_body(LARGEST_BODY_BYTES),
            websocket: WebSocket::client().max_frame(largest).max_message(largest),
        }
    }
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new(WebSocket::DEFAULT_LIMIT)
    }
}

/// A received message.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// An answer to the handshake.
    Http(Reply<'a>),
    /// A message of the conversation.
    WebSocket(ws::Message<'a>),
}

/// Holds the protocol that a connection speaks now, with the decoding progress in it.
#[derive(Debug)]
pub enum ConversationState {
    /// The handshake is not done.
    Http(ResponsesState),
    /// The server has switched.
    WebSocket(ws::State),
}

impl Default for ConversationState {
    fn default() -> Self {
        Self::Http(ResponsesState::default())
    }
}

/// Says why what a server sent makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// A message is over a limit, or not whole when the stream ended.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The bytes are no answer to a handshake.
    #[error("{0}")]
    Http(#[from] http::Error),
    /// The bytes are no frames, or a frame cannot be sent.
    #[error("{0}")]
    WebSocket(#[from] ws::Error),
}

impl Codec for Conversation {
    type Message<'a> = Incoming<'a>;
    type Outgoing<'a> = Frame<'a>;
    type Error = Error;
    type State = ConversationState;

    fn decode<'a>(&self, state: &mut ConversationState, input: &'a mut [u8]) -> Result<Decoded<Incoming<'a>>, Error> {
        Ok(match state {
            ConversationState::Http(responses) => self.responses.decode(responses, input)?.map(|message| {
                if message.status == 101 {
                    *state = ConversationState::WebSocket(ws::State::default());
                }
                Incoming::Http(message)
            }),
            ConversationState::WebSocket(state) => self.websocket.decode(state, input)?.map(Incoming::WebSocket),
        })
    }

    /// The answer without a length that was ended by the end of the connection.
    fn finish<'a>(&self, state: &mut ConversationState, rest: &'a mut [u8]) -> Result<Option<Incoming<'a>>, Error> {
        match state {
            ConversationState::Http(state) => Ok(self.responses.finish(state, rest)?.map(Incoming::Http)),
            ConversationState::WebSocket(_) => Err(FrameError::Truncated { have: rest.len() }.into()),
        }
    }

    fn encode(&self, frame: Frame<'_>, out: &mut impl Sink) -> Result<(), Error> {
        Ok(self.websocket.encode(frame, out)?)
    }
}
