//! Filters between driver and codec: a filter turns bytes into bytes, for one connection. TLS is one.
//!
//! ```text
//! kernel → driver → chunk → filter → codec.decode → service.message → codec.encode → outbox → filter → driver → kernel
//! ```
//!
//! Bytes of a connection without a filter do not pass through any of this.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::carry::Carry;
use crate::description::Description;
use crate::outbox::Outbox;
use crate::panics::panic_message;
use crate::pools::Pools;

/// Bytes that a filter may leave over for later; more is no unit of any protocol.
const MOST_HELD: usize = 128 << 10;

/// Bytes of a connection whose handshake waits in line, from which on receiving waits too.
const FULL_IN_LINE: usize = 16 << 10;

/// Plain bytes that are turned into wire bytes at a time, so that a large outbox does not become two large outboxes.
const SEALED_AT_ONCE: usize = 64 << 10;

/// Small pieces of an outbox are joined up to this size, so that each does not become a unit of its own: the payload of
/// one TLS record (RFC 8446 §5.1).
const JOINED_BYTES: usize = 16 << 10;

/// Wire bytes from this size on are handed over instead of copied.
const LARGE_BYTES: usize = 8 << 10;

/// Transforms the bytes of one connection: received bytes into plain bytes for the codec, sent plain bytes into wire bytes
/// for the peer.
///
/// A filter does no I/O. It is called on the thread of the connection's reactor, and must not block.
///
/// # Order of calls
///
/// 1. [`start`](Self::start), once.
/// 2. [`receive`](Self::receive) with received bytes, until the filter is [`ready`](FilterProgress::ready): this is the handshake.
///    Only then does the service hear of the connection. A filter without a handshake is ready from its first `receive`.
/// 3. `receive` and [`send`](Self::send), in any order.
/// 4. [`end`](Self::end), once, when everything was sent.
///
/// # Buffers
///
/// `plain` and `wire` belong to the reactor. They are empty, or hold bytes that go first: a filter appends. A filter should
/// keep no memory of its own while its connection is idle.
///
/// # Panics
///
/// A panic counts as an error of the filter, and is logged: it closes the connection, with
/// [`CloseReason::Filter`](crate::CloseReason::Filter).
pub trait Filter: 'static {
    /// Begins the handshake: writes its first bytes to `wire`, if this side speaks first (default: nothing).
    ///
    /// # Errors
    ///
    /// The handshake cannot begin; the connection closes when `wire` was sent.
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), FilterError> {
        let _ = wire;
        Ok(())
    }

    /// Takes received bytes, and writes plain bytes for the codec and wire bytes for the peer to `out`.
    ///
    /// `received` begins with the first byte that was not consumed yet, and may be changed in place. Bytes that are not
    /// consumed are shown again, as they were left, in front of the bytes that come next. At most 128 KiB may be left.
    ///
    /// # Errors
    ///
    /// The bytes are rejected. The connection closes when `out.wire` was sent, which may tell the peer why.
    fn receive(&mut self, received: &mut [u8], out: &mut FilterOutput<'_>) -> Result<FilterProgress, FilterError>;

    /// Transforms bytes that the service sends into bytes for the peer. Called only after the filter was ready.
    ///
    /// `plain` has at most 64 KiB.
    ///
    /// # Errors
    ///
    /// The bytes cannot be sent; the connection closes.
    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), FilterError>;

    /// Writes the last bytes for the peer, after everything was sent: for TLS, close_notify (default: nothing).
    fn end(&mut self, wire: &mut Vec<u8>) {
        let _ = wire;
    }

    /// Returns what [`Context::filter_info`](crate::Context::filter_info) gives to the service (default: nothing).
    fn info(&self) -> Option<&dyn Any> {
        None
    }

    /// Says what operators shall know of the connection: for TLS, its version (default: nothing).
    fn describe(&self, into: &mut Description) {
        let _ = into;
    }
}

/// Takes what [`Filter::receive`] produces.
///
/// The buffers belong to the reactor; a filter appends to them.
#[derive(Debug)]
#[non_exhaustive]
pub struct FilterOutput<'a> {
    /// Plain bytes for the codec.
    pub plain: &'a mut Vec<u8>,
    /// Bytes for the peer.
    pub wire: &'a mut Vec<u8>,
}

impl<'a> FilterOutput<'a> {
    /// Makes an output of two buffers, to call a filter without an engine.
    pub fn new(plain: &'a mut Vec<u8>, wire: &'a mut Vec<u8>) -> Self {
        Self { plain, wire }
    }
}

/// Says how far [`Filter::receive`] came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterProgress {
    /// Number of bytes from the front of the received ones that need not be shown again.
    pub consumed: usize,
    /// Whether the handshake is done. Once `true`, it has to stay `true`.
    pub ready: bool,
    /// Whether the peer said that it sends no more. A stream that ends without this was cut off.
    pub ended: bool,
}

impl FilterProgress {
    /// Makes the answer of a filter whose handshake goes on, after so many bytes were consumed.
    #[must_use]
    pub const fn new(consumed: usize) -> Self {
        Self { consumed, ready: false, ended: false }
    }

    /// Says whether the handshake is done.
    #[must_use]
    pub const fn ready(mut self, ready: bool) -> Self {
        self.ready = ready;
        self
    }

    /// Says whether the peer has ended its stream.
    #[must_use]
    pub const fn ended(mut self, ended: bool) -> Self {
        self.ended = ended;
        self
    }
}

/// Makes the filter of each connection of a listener, or of outbound connections. All reactors share it.
pub trait FilterFactory: Send + Sync + 'static {
    /// Makes the filter of a new connection. Called on the thread of the connection's reactor.
    ///
    /// # Errors
    ///
    /// No filter can be made. An accepted connection closes, with [`CloseReason::Filter`](crate::CloseReason::Filter); an
    /// outbound one fails.
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError>;
}

/// Says why a filter cannot go on; closes the connection.
#[derive(Debug)]
pub struct FilterError(Box<dyn Error + Send + Sync>);

impl FilterError {
    /// Makes an error with this reason, which the log has at the level debug.
    pub fn new(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(why.into())
    }

    fn panicked(panic: &(dyn Any + Send)) -> Self {
        Self(Box::new(Panicked(panic_message(panic).to_owned())))
    }

    /// What the filter said when it panicked, if that is why.
    pub(crate) fn panic(&self) -> Option<&str> {
        self.0.downcast_ref::<Panicked>().map(|Panicked(message)| message.as_str())
    }
}

/// A filter panicked, and said this.
#[derive(Debug, thiserror::Error)]
#[error("the filter panicked: {0}; this is a bug")]
struct Panicked(String);

/// Makes a filter; a panic there is an error.
pub(crate) fn make_filter(filters: &dyn FilterFactory) -> Result<Box<dyn Filter>, FilterError> {
    catch_unwind(AssertUnwindSafe(|| filters.filter())).unwrap_or_else(|panic| Err(FilterError::panicked(&*panic)))
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

/// The filter of a connection, and what it holds for it. While nothing is under way that is no buffer.
pub(crate) struct FilterState {
    filter: Box<dyn Filter>,
    /// What leaves for the peer.
    pub(crate) wire: Option<Box<Outbox>>,
    /// What was received and is not consumed yet.
    held: Option<Box<Carry>>,
    /// The connection was asked for here.
    pub(crate) outbound: bool,
    /// The handshake waits for a turn with time for it.
    pub(crate) in_line: bool,
    /// Something was said to the peer.
    spoke: bool,
    /// The peer said that it sends no more.
    pub(crate) ended: bool,
    /// We said so, or can say nothing any more.
    said_end: bool,
}

/// The scratch buffers of a reactor for the filters of its connections.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) plain: Vec<u8>,
    wire: Vec<u8>,
}

impl FilterState {
    pub(crate) fn new(filter: Box<dyn Filter>, outbound: bool) -> Self {
        Self { filter, wire: None, held: None, outbound, in_line: false, spoke: false, ended: false, said_end: false }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn wire_len(&self) -> usize {
        self.wire.as_ref().map_or(0, |wire| wire.len())
    }

    /// Bytes that were received and not consumed.
    pub(crate) fn held_len(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.len())
    }

    /// See [`Filter::info`].
    pub(crate) fn info(&self) -> Option<&dyn Any> {
        self.filter.info()
    }

    /// See [`Filter::describe`]. One that panics has nothing to say.
    pub(crate) fn describe(&self, into: &mut Description) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.filter.describe(into)));
    }

    /// Begins the handshake. Says how many bytes were added to the wire.
    pub(crate) fn start(&mut self, scratch: &mut Scratch, pools: &mut Pools) -> (Result<(), FilterError>, usize) {
        self.call(scratch, pools, |filter, out| filter.start(out.wire))
    }

    /// Has the filter look at what was received; what the service shall see is in `scratch.plain` then. Says how many
    /// bytes were added to the wire.
    pub(crate) fn receive(
        &mut self,
        received: &mut [u8],
        scratch: &mut Scratch,
        pools: &mut Pools,
    ) -> (Result<FilterProgress, FilterError>, usize) {
        scratch.plain.clear();
        let mut held = self.held.take();
        let (result, added) = match &mut held {
            None => self.call(scratch, pools, |filter, out| filter.receive(received, out)),
            Some(carry) => {
                carry.append(received);
                self.call(scratch, pools, |filter, out| filter.receive(carry, out))
            }
        };
        let consumed = result.as_ref().map_or(usize::MAX, |filtered| filtered.consumed);
        match &mut held {
            None if consumed < received.len() => {
                let mut carry = pools.carry();
                carry.append(&received[consumed..]);
                held = Some(carry);
            }
            None => {}
            Some(carry) => carry.consume(consumed.min(carry.len())),
        }
        self.held = held.and_then(|carry| {
            if !carry.is_empty() {
                return Some(carry);
            }
            pools.return_carry(carry);
            None
        });
        let result = if self.held_len() > MOST_HELD {
            Err(FilterError::new("more than a unit of the protocol can be"))
        } else {
            result
        };
        (result, added)
    }

    /// Keeps what was received for when its turn comes. It is bounded by [`is_full_in_line`](Self::is_full_in_line) and what
    /// the driver had received by then.
    pub(crate) fn hold(&mut self, received: &[u8], pools: &mut Pools) {
        self.held.get_or_insert_with(|| pools.carry()).append(received);
    }

    /// Whether what a peer that has ended said before waits in line and still counts. Who ends before it was answered has
    /// given up, and so many do where handshakes take long: they get none of the time of those that wait.
    pub(crate) fn waits_in_line(&self) -> bool {
        self.in_line && self.spoke
    }

    /// Whether it holds so much for a handshake in line that no more should be received before its turn comes.
    pub(crate) fn is_full_in_line(&self) -> bool {
        self.in_line && self.held_len() >= FULL_IN_LINE
    }

    /// Turns some of what waits in the outbox into what leaves, where nothing is leaving; says how many plain bytes
    /// went, and how many were added to the wire.
    pub(crate) fn seal(
        &mut self,
        outbox: &mut Outbox,
        scratch: &mut Scratch,
        pools: &mut Pools,
    ) -> (Result<usize, FilterError>, usize) {
        if self.wire_len() > 0 {
            return (Ok(0), 0);
        }
        let mut taken = 0;
        let mut joined = std::mem::take(&mut scratch.plain);
        let (sealed, added) = self.call(scratch, pools, |filter, out| {
            while taken < SEALED_AT_ONCE && taken < outbox.len() {
                let piece = outbox.piece(taken, JOINED_BYTES, &mut joined);
                let piece = &piece[..piece.len().min(SEALED_AT_ONCE - taken)];
                filter.send(piece, out.wire)?;
                taken += piece.len();
            }
            Ok(())
        });
        scratch.plain = joined;
        if sealed.is_ok() {
            outbox.consume(taken, &mut pools.blocks);
        }
        (sealed.map(|()| taken), added)
    }

    /// Says good-bye, once; says how many bytes that takes.
    pub(crate) fn end(&mut self, scratch: &mut Scratch, pools: &mut Pools) -> (Result<(), FilterError>, usize) {
        if self.said_end {
            return (Ok(()), 0);
        }
        let ended = self.call(scratch, pools, |filter, out| {
            filter.end(out.wire);
            Ok(())
        });
        self.said_end = true;
        ended
    }

    /// There is nothing to say any more: what was received means nothing.
    pub(crate) fn fail(&mut self, pools: &mut Pools) {
        self.said_end = true;
        if let Some(held) = self.held.take() {
            pools.return_carry(held);
        }
    }

    /// Gives back what it holds; says how many bytes did not leave.
    pub(crate) fn dissolve(self, pools: &mut Pools) -> usize {
        let left = self.wire_len();
        if let Some(held) = self.held {
            pools.return_carry(held);
        }
        if let Some(wire) = self.wire {
            pools.return_outbox(wire);
        }
        left
    }

    /// Calls the filter, and queues what it wants to be sent, even where it failed: that says why. Says how many bytes
    /// that is. A panic there ends this connection only.
    fn call<R>(
        &mut self,
        scratch: &mut Scratch,
        pools: &mut Pools,
        call: impl FnOnce(&mut dyn Filter, &mut FilterOutput<'_>) -> Result<R, FilterError>,
    ) -> (Result<R, FilterError>, usize) {
        let Scratch { plain, wire } = scratch;
        wire.clear();
        let result = catch_unwind(AssertUnwindSafe(|| call(&mut *self.filter, &mut FilterOutput { plain, wire })))
            .unwrap_or_else(|panic| Err(FilterError::panicked(&*panic)));
        // Nothing follows a good-bye.
        let added = if self.said_end { 0 } else { wire.len() };
        if added > 0 {
            self.spoke = true;
            let outbox = self.wire.get_or_insert_with(|| pools.outbox());
            if added < LARGE_BYTES {
                outbox.append(wire, &mut pools.blocks);
            } else {
                outbox.append_shared(std::mem::take(wire).into());
            }
        }
        (result, added)
    }
}
