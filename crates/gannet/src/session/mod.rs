//! Sequential sessions: a future for each connection, in place of callbacks.
//!
//! A dialogue (name, password, menu) as callbacks is a state machine written by hand. As a session it is a program that waits
//! where it has to. [`Engine::sessions`](crate::Engine::sessions) serves connections with such futures, beside services, in
//! one engine, and with everything connections have: limits, deadlines, groups, handles, TLS, drains and close reasons.
//!
//! ```no_run
//! use gannet::{Engine, proto::Lines, session::{self, Connection}};
//!
//! async fn dialogue(mut connection: Connection<Lines>) -> session::Result {
//!     connection.send([b"your name?"]).await?;
//!     let Some(name) = connection.next().await? else { return Ok(()) };
//!     while let Some(line) = connection.next().await? {
//!         connection.send([&name, b" says ", &line]).await?;
//!     }
//!     Ok(())
//! }
//!
//! fn main() -> gannet::Result<()> {
//!     Engine::new().sessions("tcp://127.0.0.1:7000", Lines::default, dialogue)?.run()
//! }
//! ```
//!
//! # What a session costs
//!
//! The future lives in its connection's slot: a session allocates nothing by itself. A chunk of bytes polls the session that
//! waits for it in the same call, so a message takes neither a queue nor a wake-up.
//!
//! # What a session may do
//!
//! It runs on its reactor's thread and must not block, as callbacks must not. It may await what is in this module, and any
//! future that needs no runtime: other crates' channels, locks and combinators work. Futures of tokio's timers, sockets and
//! `spawn` do not: they look for tokio's runtime.
//!
//! For libraries that bring their own protocol, `Connection::into_stream` gives the connection as a stream of bytes. It has the
//! I/O traits of hyper, tokio and futures with the features of these names, which are off by default.
//!
//! # What the compiler refuses
//!
//! A received message borrows from the receive buffer only inside of `next_with`; it does not leave:
//!
//! ```compile_fail,E0521
//! use gannet::{proto::Lines, session::{self, Connection}};
//!
//! async fn keeps(mut connection: Connection<Lines>) -> session::Result {
//!     let mut kept: &[u8] = b"";
//!     connection.next_with(|line| kept = line).await?;
//!     connection.send([kept]).await
//! }
//! ```
//!
//! One await borrows the connection at a time. For two, there are the halves of [`Connection::split`]:
//!
//! ```compile_fail,E0499
//! use gannet::{proto::Lines, session::{self, Connection, first}};
//!
//! async fn two(mut connection: Connection<Lines>) -> session::Result {
//!     let (next, flush) = (connection.next(), connection.flush());
//!     first(next, flush).await;
//!     Ok(())
//! }
//! ```
//!
//! A session owns what it uses: its future borrows from nothing that may end before it does.
//!
//! ```compile_fail,E0373
//! use gannet::{Engine, proto::Lines, session::{self, Connection}};
//!
//! fn main() -> gannet::Result<()> {
//!     let name = String::from("server");
//!     let greet = |mut connection: Connection<Lines>| {
//!         let name = &name;
//!         async move { connection.send([name.as_bytes()]).await }
//!     };
//!     Engine::new().sessions("tcp://127.0.0.1:7000", Lines::default, greet)?.run()
//! }
//! ```
//!
//! Connections and channels of a reactor stay on its thread; [`Sender::remote`] is for others:
//!
//! ```compile_fail,E0277
//! use gannet::session::channel;
//!
//! let (sender, receiver) = channel::<u32>(4);
//! std::thread::spawn(move || sender.try_send(1));
//! ```
//!
//! # How a session ends
//!
//! - It returns. The connection closes when everything was sent.
//! - It returns an error. The same, and the close reason says so: see [`Error`].
//! - The peer ends its stream. [`Connection::next`] answers `None` after the last message, and the session may go on to send,
//!   for [`Timeouts::half_close`](crate::Timeouts).
//! - The engine shuts down. [`Connection::next`] answers `None` when no message waits; what the session still does is bounded
//!   by [`Engine::drain_timeout`](crate::Engine::drain_timeout).
//! - The connection breaks, is idle for too long, is kicked, or the drain's time is over: the session is dropped where it
//!   waits. Destructors run.
//! - It panics. Its connection closes with [`CloseReason::Panicked`](crate::CloseReason::Panicked), and the others go on.
//!
//! # Fairness
//!
//! A session has the same share of a turn as a callback service: about 1,024 short messages. Received bytes wait while a
//! session does something else: 16 KiB of them, then reading pauses, and the peer is slowed down by its kernel.

mod bits;
mod both;
mod channel;
mod connection;
mod decoding;
mod dialogue;
mod draining;
mod error;
#[cfg(feature = "futures")]
mod futures;
mod head;
#[cfg(feature = "hyper")]
pub mod hyper;
mod library;
mod message;
mod offload;
#[allow(unsafe_code)] // Futures stay where they are, and find their reactor.
mod raw;
pub mod requests;
mod scope;
mod select;
mod split;
#[cfg(any(test, feature = "stream"))]
mod stream;
mod time;
#[cfg(feature = "tokio")]
mod tokio;
mod upstream;
mod wakes;

use std::future::Future;
use std::sync::{Arc, OnceLock};

use gannet_proto::Codec;

pub use self::both::{Both, both};
pub use self::channel::{ChannelError, NotSent, Receiver, Recv, RemoteSend, RemoteSender, Send, Sender, channel};
pub use self::connection::{Connection, Ending, Flush, Next, NextWith, Sending};
pub use self::draining::{Draining, draining};
pub use self::error::{Elapsed, Error, Result};
pub use self::head::spawn;
#[doc(hidden)]
pub use self::library::{Polled, on_reactor};
pub use self::message::Message;
pub use self::offload::Offload;
pub use self::select::{Either, First, first};
pub use self::split::{Reader, Writer};
#[cfg(any(test, feature = "stream"))]
pub use self::stream::Stream;
pub use self::time::{Sleep, Within, sleep, within};
pub use self::upstream::{
    Connecting, Upstream, UpstreamNext, UpstreamReader, UpstreamSending, UpstreamWriter, connect,
};

use crate::ids::ServiceId;

use self::dialogue::Dialogue;
pub(crate) use self::upstream::Upstreams;

/// Where the number of the service of their outbound connections is written, before any session is served.
pub(crate) type UpstreamsCell = Arc<OnceLock<ServiceId>>;

/// What makes the service of each reactor.
pub(crate) fn factory<C, M, F>(
    codec: impl Fn() -> C + std::marker::Send + Sync + 'static,
    session: M,
    upstreams: UpstreamsCell,
) -> impl Fn() -> Dialogue<C, M, F> + std::marker::Send + Sync + 'static
where
    C: Codec,
    M: Fn(Connection<C>) -> F + std::marker::Send + Sync + 'static,
    F: Future<Output = Result> + 'static,
{
    let (codec, make) = (Arc::new(codec), Arc::new(session));
    move || Dialogue::new(codec.clone(), make.clone(), upstreams.get().copied())
}

/// The number of the service of outbound connections in tests that have one: theirs listens, and this is the next.
#[cfg(test)]
const UPSTREAMS: Option<ServiceId> = Some(1);

/// One instance of the service, for tests.
#[cfg(test)]
pub(crate) fn service<C, M, F>(
    codec: impl Fn() -> C + std::marker::Send + Sync + 'static,
    session: M,
) -> Dialogue<C, M, F>
where
    C: Codec,
    M: Fn(Connection<C>) -> F + 'static,
    F: Future<Output = Result> + 'static,
{
    Dialogue::new(Arc::new(codec), Arc::new(session), UPSTREAMS)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use gannet_proto::Lines;

    use super::*;

    async fn echo(mut connection: Connection<Lines>) -> Result {
        while let Some(line) = connection.next().await? {
            connection.send([b"echo: ", &line]).await?;
        }
        Ok(())
    }

    fn size_of_task<M, F>(_: M) -> usize
    where
        M: Fn(Connection<Lines>) -> F + 'static,
        F: Future<Output = Result> + 'static,
    {
        use crate::service::Service;
        size_of::<(<Dialogue<Lines, M, F> as Service>::Session, <Lines as Codec>::State)>()
    }

    #[test]
    fn an_idle_dialogue_fits_in_256_bytes_with_its_connection() {
        // In a debug build a session also notes where it is.
        let noted = if cfg!(debug_assertions) { size_of::<usize>() } else { 0 };
        // The slab takes 8 bytes beside each value, a driver up to 16 for a connection; 12 say since when and with whom it is.
        let session = size_of_task(echo) - noted + 8;
        let connection = size_of::<crate::connection::Connection>() + 8 + 16 + 12;
        assert!(session + connection <= 256, "{session} bytes of the session, {connection} of the connection");
    }
}
