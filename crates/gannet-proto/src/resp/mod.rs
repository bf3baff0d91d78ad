//! The Redis serialization protocol, RESP2 and RESP3, for both ends of a connection.
//!
//! | type | for | what it does |
//! |---|---|---|
//! | [`Commands`] | a server | decodes what clients send: arrays of bulk strings, and inline commands; encodes each [`Reply`] |
//! | [`Writer`] | a server | writes replies in the [`Version`] that the client asked for |
//! | [`Replies`] | a client | encodes commands and decodes replies to a [`Value`] |
//!
//! A connection starts in RESP2. With `HELLO 3` the client asks for RESP3, which changes replies only. The service
//! then calls [`Writer::set_version`], or makes the writer with the version that its session remembers.
//!
//! The protocol is specified at <https://redis.io/docs/latest/develop/reference/protocol-spec/>; sections that are
//! named here are sections of that page. It leaves limits and errors open; they are as in Redis 7.0.
//!
//! ```
//! use gannet_proto::resp::{Commands, Version, Writer};
//! use gannet_proto::{Codec, Decoded};
//!
//! let mut received = *b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n";
//! let decoded = Commands::new().decode(&mut Default::default(), &mut received)?;
//! let Decoded::Message { message: args, consumed: 25 } = decoded else { unreachable!() };
//!
//! let mut replies = Vec::new();
//! let mut writer = Writer::new(&mut replies, Version::Resp2);
//! match *args {
//!     [b"ECHO", text] => writer.bulk(text),
//!     _ => writer.error("ERR unknown command"),
//! }
//! assert_eq!(replies, b"$5\r\nhello\r\n");
//! # Ok::<(), gannet_proto::resp::Error>(())
//! ```

mod args;
mod commands;
mod error;
mod header;
mod inline;
mod replies;
mod reply;
mod token;
mod upcoming;
mod value;
mod writer;

pub use args::Args;
pub use commands::{Commands, CommandsState};
pub use error::{Error, ProtocolError};
pub use replies::{Replies, RepliesState};
pub use reply::Reply;
pub use upcoming::upcoming_keys;
pub use value::Value;
pub use writer::Writer;

/// Names the version of the protocol that a client understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RESP2: simple strings, errors, integers, bulk strings and arrays. Every connection starts with it.
    #[default]
    Resp2,
    /// RESP3: also maps, sets, pushes, doubles, booleans and more. A client asks for it with `HELLO 3`.
    Resp3,
}
