//! What may stand between driver and codec: a filter turns bytes into bytes, for one connection (TLS, for one).
//!
//! ```text
//! kernel → driver → chunk → filter → codec.decode → service.message → codec.encode → outbox → filter → driver → kernel
//! ```
//!
//! A connection without a filter has none of this on its way.

use std::any::Any;
use std::error::Error;
use std::fmt;

/// Turns the bytes of one connection into others: received ones into what the codec sees (plain), sent ones into what
/// the peer sees (wire). Sans I/O; called on the thread of the connection's reactor.
///
/// A filter begins with a handshake, until it says that it is [`ready`](Filtered::ready); only then is the service told
/// of the connection, and only then is [`send`](Filter::send) called. A filter without a handshake is ready from its
/// first [`receive`](Filter::receive).
///
/// The buffers it writes to belong to the reactor and are empty or hold bytes that go first: a filter appends. It should
/// keep no memory of its own for as long as it waits.
pub trait Filter: 'static {
    /// Called once, when the connection is there: says what the handshake begins with, if that is this side's to say.
    ///
    /// # Errors
    ///
    /// The handshake cannot begin; the connection ends when `wire` was sent.
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), FilterError> {
        let _ = wire;
        Ok(())
    }

    /// Takes what was received, from the first byte that was not consumed yet. It may be changed in place. What is left
    /// over is shown again, in front of what comes then.
    ///
    /// # Errors
    ///
    /// The bytes cannot be accepted. The connection ends when `wire` was sent, which may say why.
    fn receive(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Filtered, FilterError>;

    /// Turns what the service sends into what leaves. Called only once it was ready.
    ///
    /// # Errors
    ///
    /// It cannot be sent; the connection ends.
    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), FilterError>;

    /// Everything was sent: says good-bye, where there are words for that.
    fn end(&mut self, wire: &mut Vec<u8>) {
        let _ = wire;
    }

    /// What there is to know of the connection once it is ready: see [`Context::filter_info`](crate::Context::filter_info).
    fn info(&self) -> Option<&dyn Any> {
        None
    }
}

/// What [`Filter::receive`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// Bytes from the front of what was received that need not be shown again.
    pub consumed: usize,
    /// The handshake is done: bytes of the service go both ways. Once so, always so.
    pub ready: bool,
    /// The peer said that it sends no more. A stream that ends without that was cut off.
    pub ended: bool,
}

/// Makes the filter of each connection of a listener, or of outbound connections. Shared by all reactors.
pub trait Filters: Send + Sync + 'static {
    /// A filter for a new connection. Called on the thread of its reactor.
    ///
    /// # Errors
    ///
    /// There is none; the connection is refused.
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError>;
}

/// Why a filter cannot go on.
#[derive(Debug)]
pub struct FilterError(Box<dyn Error + Send + Sync>);

impl FilterError {
    /// For this reason.
    pub fn new(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for FilterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
