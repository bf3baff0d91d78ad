//! WebSocket (RFC 6455), for servers and for clients, with permessage-deflate (RFC 7692) where the feature `deflate` is
//! on.
//!
//! A connection begins as HTTP/1.1. [`Handshake`] answers a client's request, [`ClientHandshake`] makes one and checks
//! the answer; both work on header names and values, whatever read them. From then on [`WebSocket`] turns frames into
//! [`Message`]s, and each [`Frame`] into bytes. Without the codec, frames are written by [`text`], [`binary`], [`ping`],
//! [`pong`], [`close`] and [`write_frame`].
//!
//! ```
//! use gannet_proto::ws::{self, Close, Message, WebSocket};
//! use gannet_proto::{Codec, Decoded};
//!
//! let (websocket, mut state) = (WebSocket::server(), Default::default());
//! let mut out = Vec::new();
//! // A text of one byte, which UTF-8 does not have.
//! let mut received = [0x81, 0x81, 0, 0, 0, 0, 0xff];
//! match websocket.decode(&mut state, &mut received) {
//!     Ok(Decoded::Message { message: Message::Ping(payload), .. }) => ws::pong(&mut out, payload, None)?,
//!     Ok(_) => {}
//!     Err(error) => ws::close(&mut out, Some(Close { code: error.close_code(), reason: "" }), None)?,
//! }
//! assert_eq!(out, [0x88, 2, 0x03, 0xef]); // 1007
//! # Ok::<(), gannet_proto::ws::Error>(())
//! ```

mod assembly;
mod close;
mod codec;
#[cfg(feature = "deflate")]
pub mod deflate;
mod error;
mod frame;
mod handshake;
mod mask;
mod outgoing;
mod utf8;
mod write;

pub use close::{Close, CloseCode};
pub use codec::{Message, State, WebSocket};
pub use error::Error;
pub use frame::{MAX_CONTROL, Opcode};
pub use handshake::{Accept, Agreed, ClientHandshake, Handshake, HandshakeError, ResponseError};
pub use outgoing::Frame;
pub use write::{FrameHeader, binary, close, ping, pong, text, write_fragment, write_frame};

/// Who reads frames here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}
