//! Sans-I/O codecs: they turn the bytes of a connection into messages and messages into bytes.
//!
//! Nothing here opens a socket, reads a clock or draws a random number. A caller passes a [`Codec`]
//! the bytes that a connection has received and not yet used. The codec answers with one message
//! that borrows from them, or with the number of bytes below which another call is pointless. The
//! codecs of this crate are `Send` and `Sync`, and never block.
//!
//! | codec | a message is |
//! |---|---|
//! | [`Raw`] | whatever arrived, as it arrived |
//! | [`Lines`] | the bytes before `\n` or `\r\n` |
//! | [`LengthPrefixed`] | the bytes that a number in front of them counts |
//! | [`Multiplexed`] | a request, a reply or a cancellation with its identifier |
//! | [`resp::Commands`] | the words of a command that a Redis client sent |
//! | [`resp::Replies`] | a Redis server's reply |
//! | [`http::Requests`] | an HTTP/1.1 request with its body |
//! | [`http::Responses`] | an HTTP/1.1 response with its body |
//! | [`multipart::Multipart`] | a part of a form with files; no [`Codec`], since it reads bodies and no connections |
//! | [`proxy::Header`] | the header of the PROXY protocol, in front of a connection; no [`Codec`], since it comes once |
//! | [`WebSocket`](ws::WebSocket) | a WebSocket message of one frame or many, or a control frame |
//! | `centrifuge::Commands` | a command of a client that subscribes to channels; with the feature `centrifuge` |
//!
//! Everything that a peer can make grow has a limit. A codec checks the limit before it asks for
//! more bytes, so a caller may reserve what [`Decoded::Partial`] names without checking again.
//!
//! A protocol that is not among them is a [`Codec`] of your own: the guide `docs/codec.md` of the repository writes one.
//!
//! Features are off by default. `deflate` adds compression to WebSocket. `centrifuge` adds the client protocol of
//! Centrifuge servers, in JSON and Protobuf. `testing` adds the module `testing`, which checks a codec with streams
//! that are cut in every way.
//!
//! ```
//! use gannet_proto::{Codec, Decoded, Lines};
//!
//! let lines = Lines::default();
//! let mut state = Default::default();
//! let mut received = *b"first\r\nsec";
//!
//! let decoded = lines.decode(&mut state, &mut received)?;
//! assert_eq!(decoded, Decoded::Message { message: &b"first"[..], consumed: 7 });
//!
//! let decoded = lines.decode(&mut state, &mut received[7..])?;
//! assert_eq!(decoded, Decoded::Partial { need: 4 });
//! # Ok::<(), gannet_proto::lines::Error>(())
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "centrifuge")]
pub mod centrifuge;
mod codec;
mod error;
pub mod http;
pub mod length_prefixed;
pub mod lines;
pub mod multipart;
pub mod multiplexed;
pub mod proxy;
mod raw;
pub mod resp;
mod search;
mod sink;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod work;
pub mod ws;

pub use codec::{Codec, Decoded};
pub use error::FrameError;
pub use length_prefixed::LengthPrefixed;
pub use lines::{Lines, LinesState};
pub use multiplexed::Multiplexed;
pub use raw::Raw;
pub use sink::Sink;
