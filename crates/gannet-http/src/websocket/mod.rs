//! WebSocket (RFC 6455) on a route: [`Cx::websocket`](crate::Cx::websocket) upgrades a connection, and a [`Handler`] gets its
//! messages from then on.
//!
//! ```no_run
//! use gannet_http::websocket::{Handler, Handshake, Socket};
//! use gannet_http::{HttpService, Router};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
//!         socket.text(text);
//!     }
//!
//!     fn binary(&mut self, bytes: &[u8], socket: &mut Socket<'_>) {
//!         socket.binary(bytes);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let handshake = Handshake::new();
//! let routes = Router::new().get("/echo", move |cx| cx.websocket(&handshake, Echo)).build()?;
//! gannet::Engine::new().listen("tcp://127.0.0.1:8080", move || HttpService::new(&routes))?.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! The route is like any other: layers around it see the request, may refuse it, and add header fields to the answer.
//! Messages that a client sends right behind its request are not lost.
//!
//! Browsers let the pages of any origin connect, with the user's cookies. If your application uses cookies, name the
//! allowed origins with [`Handshake::origins`](Handshake::origins).
//!
//! # What the service does for the handler
//!
//! - **Pings** of the client are answered. Over [`Limits::outbox_high`](gannet::Limits), nothing more is read from a client
//!   that does not read its pongs, so a flood of pings takes no memory.
//! - **Heartbeat**: after a silence of [`Timeouts::heartbeat`](gannet::Timeouts) (default 30 s), the client is sent a ping.
//!   After [`heartbeats_missed`](gannet::Timeouts) unanswered pings (default 2) the connection closes with
//!   [`CloseReason::HeartbeatMissed`](gannet::CloseReason). See
//!   [`HttpService::websocket_heartbeat`](crate::HttpService::websocket_heartbeat).
//! - **Closing** (RFC 6455 §7): the client's close frame is answered with the same code; then the connection ends, the
//!   server's side first. After [`Socket::close`], the client has [`CLOSE_TIMEOUT`] to answer. A client that breaks the
//!   protocol or a limit gets the matching close code. During a shutdown, clients get 1012.
//! - **Limits**: a frame and a message may have 1 MiB; see
//!   [`HttpService::websocket_limits`](crate::HttpService::websocket_limits).
//!
//! # Compression
//!
//! Compression needs the feature `deflate` and a [`Handshake`] that offers it.
//!
//! Compressed messages of a client are decompressed. This takes about 48 KiB for each such connection; with
//! `Params::without_takeover`, only while a message is under way.
//!
//! Outgoing messages are compressed if the handler asks for it and they get shorter. Each message is compressed by itself,
//! with a compressor that all connections of a reactor share. A compressor takes up to 320 KiB; there is one for each of
//! the seven sizes of window that clients may ask for.

mod conversation;
mod handler;
mod remote;
mod settings;
mod socket;

#[cfg(feature = "deflate")]
pub use gannet::proto::ws::deflate::Params;
pub use gannet::proto::ws::{Close, CloseCode, Handshake, HandshakeError};

pub(crate) use self::conversation::{Conversation, Phase, Plain, Speaking, Upgrade};
pub use self::handler::Handler;
pub(crate) use self::remote::Letter;
pub use self::remote::RemoteExt;
pub use self::settings::CLOSE_TIMEOUT;
pub(crate) use self::settings::Settings;
pub use self::socket::Socket;
