//! Many requests under way on one connection: a session answers them side by side, or asks them.
//!
//! The frames are those of [`Multiplexed`]: a length, a kind, an identifier and a body. [`serve`] answers the requests of a
//! connection, each by a future of its own that runs inside the session. A [`Caller`] asks requests on an outbound connection
//! of a session.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use gannet::session::requests::{self, Options, Request};
//! use gannet::session::sleep;
//! use gannet::{Engine, proto::Multiplexed};
//!
//! async fn answer(request: Request) -> Result<Vec<u8>, &'static str> {
//!     if request.is_empty() {
//!         return Err("an empty request");
//!     }
//!     sleep(Duration::from_millis(10)).await; // Others are answered meanwhile.
//!     Ok(request.to_ascii_uppercase())
//! }
//!
//! fn main() -> gannet::Result<()> {
//!     let options = Options::new().in_flight(32).timeout(Duration::from_secs(2));
//!     Engine::new()
//!         .sessions("tcp://127.0.0.1:7000", Multiplexed::new, move |c| requests::serve(c, options, answer))?
//!         .run()
//! }
//! ```
//!
//! # Every request is answered once
//!
//! By a reply, by the text of an error, or by the fact that it timed out or was cancelled. So a caller knows when an
//! identifier is free again, and no reply reaches anybody but the one who asked.

mod caller;
mod calls;
mod in_flight;
mod serve;

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use gannet_proto::Multiplexed;

use crate::ids::Place;
use crate::offload::Pool;

use super::connection::Connection;
use super::message::Message;
use super::offload::Offload;

pub use self::caller::{Call, Caller};
pub use self::calls::CallError;
pub use self::serve::{Serve, serve};

/// Says how the requests of a connection are answered: see [`serve`].
#[derive(Clone, Copy, Debug)]
pub struct Options {
    in_flight: usize,
    timeout: Option<Duration>,
    is_in_order: bool,
}

impl Options {
    /// The requests in flight on a connection unless [`in_flight`](Self::in_flight) says otherwise.
    pub const IN_FLIGHT: usize = 64;

    /// The time for a request unless [`timeout`](Self::timeout) says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// Makes options: 64 requests in flight, 30 seconds for each, replies as soon as they are ready.
    #[must_use]
    pub const fn new() -> Self {
        Self { in_flight: Self::IN_FLIGHT, timeout: Some(Self::TIMEOUT), is_in_order: false }
    }

    /// Sets how many requests of a connection are in flight at most; at least 1.
    ///
    /// A request is in flight until its answer is in the outbox. While so many are, one more is taken and waits. Then the
    /// connection is not read, which slows the peer down; a cancellation behind that request is not seen either. A peer that
    /// keeps to the bound is heard at any time.
    #[must_use]
    pub const fn in_flight(mut self, most: usize) -> Self {
        self.in_flight = if most == 0 { 1 } else { most };
        self
    }

    /// Sets the time after which a request is dropped and answered with
    /// [`Kind::TimedOut`](gannet_proto::multiplexed::Kind::TimedOut); `None` for no such time.
    ///
    /// The time is kept to the millisecond, and begins when the request starts. A reply that is ready in the same turn of the
    /// reactor counts.
    #[must_use]
    pub fn timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.timeout = time.into();
        self
    }

    /// Sends the answers in the order of the requests. One that is ready earlier waits, and stays in flight.
    ///
    /// Otherwise each is sent as soon as it is ready.
    #[must_use]
    pub const fn in_order(mut self) -> Self {
        self.is_in_order = true;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that a session answers. It derefs to the bytes of its body.
///
/// The body is a copy in memory that is used again: see [`Message`].
pub struct Request {
    id: u32,
    body: Message,
    place: Place,
}

impl Request {
    /// Returns the identifier that the peer chose.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns the body, to be kept.
    #[must_use]
    pub fn into_body(self) -> Message {
        self.body
    }

    /// Runs long work on one of the engine's pools, and waits for its result.
    ///
    /// The call starts the work. If the work panics, the connection closes.
    ///
    /// # Errors
    ///
    /// [`Error::Offload`](super::Error::Offload): the pool takes no more jobs; the work was not started.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the result of the work.
    pub fn offload_to<T, W>(&self, pool: Pool, work: W) -> Offload<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        Connection::<Multiplexed>::new(self.place).offload_to(pool, work)
    }
}

impl Deref for Request {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.body
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("id", &self.id).field("body", &self.body).finish()
    }
}
