//! What is spoken on a client's connection: HTTP until the server has switched, then WebSocket.

use gannet::proto::http::{Reply, Responses, ResponsesState};
use gannet::proto::ws::{self, Opcode, WebSocket, write_frame};
use gannet::proto::{Codec, DecodeError, Decoded, EncodeError, Sink};

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

/// What came.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// An answer to the handshake.
    Http(Reply<'a>),
    /// A message of the conversation.
    WebSocket(ws::Message<'a>),
}

/// What is spoken, with what the codec knows of it.
#[derive(Debug)]
pub enum Spoken {
    /// The handshake is not done.
    Http(ResponsesState),
    /// The server has switched.
    WebSocket(ws::State),
}

impl Default for Spoken {
    fn default() -> Self {
        Self::Http(ResponsesState::default())
    }
}

/// What a frame begins with, for [`Conversation`] to encode: its opcode and its key.
#[must_use]
pub(super) fn head(opcode: Opcode, key: [u8; 4]) -> [u8; 5] {
    [opcode as u8, key[0], key[1], key[2], key[3]]
}

impl Codec for Conversation {
    type Message<'a> = Incoming<'a>;
    type State = Spoken;

    fn decode<'a>(&self, state: &mut Spoken, input: &'a mut [u8]) -> Result<Decoded<Incoming<'a>>, DecodeError> {
        Ok(match state {
            Spoken::Http(responses) => match self.responses.decode(responses, input)? {
                Decoded::Message { message, consumed } => {
                    if message.status == 101 {
                        *state = Spoken::WebSocket(ws::State::default());
                    }
                    Decoded::Message { message: Incoming::Http(message), consumed }
                }
                Decoded::Taken { consumed } => Decoded::Taken { consumed },
                Decoded::Partial { need } => Decoded::Partial { need },
            },
            Spoken::WebSocket(state) => match self.websocket.decode(state, input)? {
                Decoded::Message { message, consumed } => {
                    Decoded::Message { message: Incoming::WebSocket(message), consumed }
                }
                Decoded::Taken { consumed } => Decoded::Taken { consumed },
                Decoded::Partial { need } => Decoded::Partial { need },
            },
        })
    }

    /// The answer without a length that was ended by the end of the connection.
    fn finish<'a>(&self, state: &mut Spoken, rest: &'a mut [u8]) -> Result<Option<Incoming<'a>>, DecodeError> {
        match state {
            Spoken::Http(state) => Ok(self.responses.finish(state, rest)?.map(Incoming::Http)),
            Spoken::WebSocket(_) => Err(DecodeError::Truncated { have: rest.len() }),
        }
    }

    /// Writes a frame: the first part is `head`, the others are its payload. Nothing of it is kept in between, so that
    /// it is masked on its way into the outbox.
    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), EncodeError> {
        let Some((&[opcode, a, b, c, d], payload)) = parts.split_first().map(|(head, rest)| (*head, rest)) else {
            return Err(EncodeError::NoMask);
        };
        let opcode = match opcode {
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            _ => Opcode::Pong,
        };
        write_frame(out, opcode, payload, Some([a, b, c, d]))
    }
}
