//! The Centrifuge client protocol, version 2: sessions in which clients subscribe to channels, for both ends of a
//! connection. With the feature `centrifuge`.
//!
//! A client sends each [`Command`] with one [`Request`]; the server answers with a [`Reply`] of the same id. Without
//! being asked, the server sends replies whose body is a [`Push`]. One-way transports have no commands and replies: a
//! bare [`ConnectRequest`] goes in, and bare pushes come out. The first command of a session is [`Request::Connect`].
//! In which order the rest may come is up to the session, not to the modules here.
//!
//! Every message has two formats. [`Format`] chooses between them at run time:
//!
//! | | [`json`] | [`protobuf`] |
//! |---|---|---|
//! | a frame has | objects, one a line | messages, each with its length in front |
//! | WebSocket frames | text | binary |
//! | a ping, and its answer | `{}` | a byte 0 |
//! | the application's data | JSON text, embedded | any bytes |
//!
//! Over a stream of bytes, without frames, messages are Protobuf: [`Commands`] is a server's codec, and [`Replies`] a
//! client's.
//!
//! Messages borrow what they were decoded from, and are encoded from what they borrow. Decoding allocates for maps and
//! lists, and for JSON strings with escapes; encoding allocates nothing but what the destination needs. Empty strings,
//! empty bytes and zeros stand for fields that are missing. Maps are lists of pairs, in the order in which they came; a
//! name may be there twice. A command may have 10,000 entries in its maps, which take up to 176 bytes each. Replies may
//! have any number, because a client trusts its server: an entry of two bytes takes up to 176.
//!
//! [`ErrorCode`], [`UnsubscribeCode`] and [`DisconnectCode`] are the numbers that say why. Not decoded are dictionaries
//! for compression and map subscriptions; a filter on tags is passed on undecoded.
//!
//! ```
//! use gannet_proto::centrifuge::{Format, Push, PushEvent, Publication, Reply, Request, SubscribeResult, ReplyBody};
//!
//! let frame = br#"{"id":2,"subscribe":{"channel":"news"}}"#;
//! let command = Format::Json.commands(frame).next().unwrap()?;
//! let Request::Subscribe(subscribe) = command.request else { unreachable!() };
//! assert_eq!(subscribe.channel, "news");
//!
//! let mut answer = Vec::new();
//! let reply = Reply { id: command.id, body: ReplyBody::Subscribe(SubscribeResult::default()) };
//! Format::Json.join_reply(&mut answer, &reply);
//! let event = PushEvent::Publication(Publication { data: b"[1,2]", offset: 7, ..Publication::default() });
//! let push = Push { channel: subscribe.channel, event, ..Push::default() };
//! Format::Json.join_reply(&mut answer, &Reply::push(push));
//! assert_eq!(answer, br#"{"id":2,"subscribe":{}}
//! {"push":{"channel":"news","pub":{"data":[1,2],"offset":7}}}"#);
//! # Ok::<(), gannet_proto::centrifuge::DecodeError>(())
//! ```

mod channel;
mod codes;
mod command;
mod error;
mod format;
pub mod json;
pub mod protobuf;
mod push;
mod reply;
mod schema;
mod stream;

pub use channel::{ClientInfo, Publication, SubscribeResult};
pub use codes::{DisconnectCode, ErrorCode, UnsubscribeCode, reconnects};
pub use command::{
    Command, ConnectRequest, EmulationRequest, HistoryRequest, PresenceRequest, PresenceStatsRequest, PublishRequest,
    RefreshRequest, Request, RpcRequest, SendRequest, StreamPosition, SubRefreshRequest, SubscribeRequest,
    UnsubscribeRequest,
};
pub use error::DecodeError;
pub use format::Format;
pub use push::{Connect, Disconnect, Join, Leave, MessagePush, Push, PushEvent, Refresh, Subscribe, Unsubscribe};
pub use reply::{
    ConnectResult, Error, HistoryResult, PresenceResult, PresenceStatsResult, RefreshResult, Reply, ReplyBody,
    RpcResult, SubRefreshResult,
};
pub use stream::{Commands, Replies};
