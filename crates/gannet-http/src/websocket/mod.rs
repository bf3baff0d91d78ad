//! WebSocket (RFC 6455) on a route: [`Cx::websocket`](crate::Cx::websocket) makes a conversation of a request, which
//! a [`Handler`] leads from then on.
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
//! The route is one like any other: layers around it see the request, may refuse it, and add header fields to the
//! answer. What the client sent behind its request is not lost. Browsers let the page of any origin connect, with the
//! user's cookies: where those count, [`Handshake::origins`] says which pages may.
//!
//! # What is done for the handler
//!
//! - **Pings** of the client are answered. As nothing is read from a client that does not read its pongs, over
//!   [`Limits::outbox_high`](gannet::Limits), a flood of them is held up and takes no memory.
//! - **Heartbeat**: a client that was silent for [`Timeouts::heartbeat`](gannet::Timeouts) (default 30 s) is sent a
//!   ping; after [`heartbeats_missed`](gannet::Timeouts) of them without a sign of life (default 2) it is closed, with
//!   [`CloseReason::HeartbeatMissed`](gannet::CloseReason). See
//!   [`HttpService::websocket_heartbeat`](crate::HttpService::websocket_heartbeat).
//! - **Closing** (RFC 6455 §7): the client's close frame is answered with the same code, then the connection ends, the
//!   server's side first. After [`Socket::close`] the client has [`CLOSE_TIMEOUT`] to answer. What breaks the protocol
//!   or a limit is answered with the code that says so, then the connection ends. When the server shuts down, clients
//!   are told 1001.
//! - **Limits**: a frame and a message are 1 MiB at most, see
//!   [`HttpService::websocket_limits`](crate::HttpService::websocket_limits).
//!
//! # Compression
//!
//! With the feature `deflate`, and only where the [`Handshake`] offers it: what clients send compressed is unpacked,
//! which takes about 48 KiB for each of their connections, with `Params::without_takeover` only while a message is under
//! way. What is sent is compressed where the handler says so and it gets shorter, each message by itself, by a compressor
//! that all connections of a reactor share: 320 KiB at most for each size of window that clients ask for, of which there
//! are seven.

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
