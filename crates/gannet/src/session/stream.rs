//! The connection of a session as a stream of bytes: what hyper, tokio and futures read and write.
//!
//! The traits themselves are in `hyper.rs`, `tokio.rs` and `futures.rs`, each behind a feature. Nothing here has a buffer: what
//! was received is copied to the caller from where it lies, and what is written goes to the outbox.

use std::fmt;
use std::io;
use std::task::{Context as TaskContext, Poll};

use gannet_proto::Codec;

use crate::close_reason::CloseReason;
use crate::connection::Flags;
use crate::core::Core;
use crate::ids::{Place, Token};
use crate::service::Input;
use crate::share::MESSAGE_BYTES;

use super::connection::Connection;
use super::head::Head;
use super::raw::{self, Bound};
use super::scope::{Scope, wrong_session};
use super::upstream::{Owned, Upstream};

/// Carries the bytes of a connection for libraries that bring their own protocol, such as hyper.
///
/// [`Connection::into_stream`] makes it of a session's own connection, [`Upstream::into_stream`] of an outbound one. It has
/// the I/O traits of hyper, tokio and futures, each with the feature of that name. TLS stays below: these are the bytes
/// inside.
///
/// It belongs to its session: any future that the session awaits or spawns may use it. Used on another thread it panics, and
/// so does the stream of a session's own connection in another session. It is `Send` all the same, for libraries that ask for
/// that.
///
/// # Reading and writing
///
/// - A read takes what has arrived, and waits if nothing has. The peer's end is the end of the stream.
/// - Bytes that are not read stay in the engine: 16 KiB of them, then reading pauses, and the peer's kernel slows it down.
/// - A write queues as much as the outbox takes below [`Limits::outbox_high`](crate::Limits), and waits if it is over that.
///   Reading goes on meanwhile.
/// - A flush returns at once. What was written leaves when the session waits for something.
/// - A shutdown ends our direction after everything written has left. Reading goes on.
/// - A drain does not end the stream. A session that has to hear of it awaits [`draining`](super::draining) beside its work.
///
/// # Errors
///
/// - [`BrokenPipe`](io::ErrorKind::BrokenPipe): written after a shutdown, or the session has closed its connection.
/// - [`InvalidData`](io::ErrorKind::InvalidData): the codec had rejected what the peer sent, or the filter has.
/// - For an outbound connection also the error of the system, for example
///   [`ConnectionReset`](io::ErrorKind::ConnectionReset), and [`TimedOut`](io::ErrorKind::TimedOut). A session whose own
///   connection breaks is dropped instead.
///
/// # Cancel safety
///
/// Reads and writes hold nothing between polls: dropping a future that reads or writes loses only what that future has.
pub struct Stream {
    end: Bound<End>,
}

/// Whose bytes these are.
enum End {
    /// Of the session's own connection.
    Own(Place),
    Outbound(Owned),
}

impl<C: Codec> Connection<C> {
    /// Turns the connection into a stream of bytes, for libraries that bring their own protocol.
    ///
    /// Bytes that no message was made of are the first that are read. What the codec keeps of a message in
    /// [`Codec::State`](crate::proto::Codec::State) is lost: take whole messages before this. Messages for the connection's
    /// groups and handles come between what is written.
    ///
    /// This needs one of the features `hyper`, `tokio` and `futures`.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        let place = self.reach(|scope| {
            let place = scope.place;
            if let Some(connection) = scope.core.slab.get_mut(place.token) {
                // Who writes may wait for what the peer sends.
                connection.set_auto_pause(false);
                connection.end_pause(Flags::CHOKED, scope.core.now);
                scope.core.mark(place.token);
            }
            place
        });
        Stream { end: Bound::new(End::Own(place)) }
    }
}

impl<C: Codec> Upstream<C> {
    /// Turns the outbound connection into a stream of bytes, for libraries that bring their own protocol.
    ///
    /// Bytes that no message was made of are the first that are read. What the codec keeps of a message in
    /// [`Codec::State`](crate::proto::Codec::State) is lost: take whole messages before this. The connection closes when the
    /// stream is dropped, after its output was sent.
    ///
    /// This needs one of the features `hyper`, `tokio` and `futures`.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        Stream { end: Bound::new(End::Outbound(self.into_owned())) }
    }
}

impl Stream {
    fn end(&self) -> &End {
        self.end.get().unwrap_or_else(|| wrong_session())
    }

    /// Gives bytes to `take`, as many as lie together and `room` at most; 0 at the end of the stream.
    pub(crate) fn poll_take(
        &mut self,
        cx: &TaskContext<'_>,
        room: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        match self.end() {
            End::Own(place) => at(*place, |scope| scope.poll_bytes(cx, room, take)),
            End::Outbound(owned) => owned.poll_bytes(cx, room, take),
        }
    }

    /// Queues parts one after the other, as far as there is room; says how much.
    pub(crate) fn poll_put<'p>(
        &mut self,
        cx: &TaskContext<'_>,
        parts: impl IntoIterator<Item = &'p [u8]>,
    ) -> Poll<io::Result<usize>> {
        match self.end() {
            End::Own(place) => at(*place, |scope| {
                let token = scope.place.token;
                let Some(room) = room_of(scope.core, token) else {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                };
                if room == 0 {
                    scope.head.set(Head::ROOM);
                    scope.head.note_waker(cx.waker(), scope.number);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(put(scope.core, token, room, parts)))
            }),
            End::Outbound(owned) => {
                let found = owned.reach(|core, token| {
                    let room = room_of(core, token)?;
                    Some(if room == 0 { None } else { Some(put(core, token, room, parts)) })
                });
                match found.flatten() {
                    None => Poll::Ready(Err(owned.closed().unwrap_or(io::ErrorKind::BrokenPipe).into())),
                    Some(None) => {
                        owned.wait_for_room(cx.waker());
                        Poll::Pending
                    }
                    Some(Some(count)) => Poll::Ready(Ok(count)),
                }
            }
        }
    }

    /// Ends our direction of the stream, after everything that was written.
    pub(crate) fn end_writing(&mut self) {
        match self.end() {
            End::Own(place) => at(*place, |scope| {
                scope.core.shut_write(place.token);
            }),
            End::Outbound(owned) => {
                owned.reach(Core::shut_write);
            }
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// The methods for writing that hyper, tokio and futures have alike; `$end` is what each calls the end of the stream.
#[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
macro_rules! poll_writes {
    ($end:ident) => {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_put(cx, [bytes])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            parts: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.poll_put(cx, parts.iter().map(|part| &**part))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn $end(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.end_writing();
            Poll::Ready(Ok(()))
        }
    };
}
#[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
pub(super) use poll_writes;

/// Calls `use_it` with what the session of a connection can reach.
fn at<R>(place: Place, use_it: impl FnOnce(&mut Scope<'_>) -> R) -> R {
    let reached = raw::with(|scope| if scope.is_at(place) { use_it(scope) } else { wrong_session() });
    reached.unwrap_or_else(|| wrong_session())
}

/// Bytes that an outbox takes, 0 where it is over its high mark; `None` where it takes no more.
fn room_of(core: &Core, token: Token) -> Option<usize> {
    let connection = core.slab.get(token).filter(|connection| connection.takes_output())?;
    if connection.flags.has(Flags::OVER_HIGH) {
        return Some(0);
    }
    // One byte over the mark is what has the writer told of room again.
    Some(core.limits.outbox_high.saturating_sub(connection.outbox_len()) + 1)
}

/// Queues so much of the parts; says how much that was.
fn put<'p>(core: &mut Core, token: Token, mut room: usize, parts: impl IntoIterator<Item = &'p [u8]>) -> usize {
    let mut count = 0;
    for part in parts {
        if room == 0 {
            break;
        }
        let part = &part[..part.len().min(room)];
        if !part.is_empty() {
            core.append(token, &[part]);
        }
        (count, room) = (count + part.len(), room - part.len());
    }
    core.mark(token);
    count
}

/// What was found where bytes were wanted.
pub(super) enum Bytes {
    Some(usize),
    Nothing,
    /// The connection had its share of the turn.
    NotNow,
    End,
}

/// Takes bytes of what a session is polled with.
fn take_input(input: &mut Input<'_>, room: usize, take: &mut dyn FnMut(&[u8])) -> Bytes {
    let rest = &input.bytes[input.consumed..];
    if input.is_spent() {
        return Bytes::NotNow;
    }
    if rest.is_empty() {
        return if input.at_end { Bytes::End } else { Bytes::Nothing };
    }
    let count = rest.len().min(room);
    take(&rest[..count]);
    input.consumed += count;
    input.work += MESSAGE_BYTES + count;
    input.messages += 1;
    Bytes::Some(count)
}

/// Takes bytes of what was received while nobody wanted them.
pub(super) fn take_carried(core: &mut Core, token: Token, room: usize, take: &mut dyn FnMut(&[u8])) -> Bytes {
    let Some(connection) = core.slab.get_mut(token) else { return Bytes::Nothing };
    let is_spent = connection.share.is_spent(core.turn);
    let Some(carry) = connection.carry.as_mut().filter(|carry| !carry.is_empty()) else { return Bytes::Nothing };
    // A codec may have waited for more: now every byte counts.
    carry.need = 0;
    if is_spent {
        return Bytes::NotNow;
    }
    let Some(mut carry) = connection.carry.take() else { return Bytes::Nothing };
    let count = carry.len().min(room);
    take(&carry[..count]);
    carry.consume(count);
    if carry.is_empty() {
        core.pools.return_carry(carry);
    } else {
        core.put_carry(token, carry);
    }
    core.count_decoded(token, 1, MESSAGE_BYTES + count);
    Bytes::Some(count)
}

impl Scope<'_> {
    fn poll_bytes(
        &mut self,
        cx: &TaskContext<'_>,
        room: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if self.head.has(Head::BROKEN) {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if self.head.has(Head::END | Head::CLOSING) {
            return Poll::Ready(Ok(0));
        }
        let found = match &mut self.input {
            Some(input) => {
                input.is_wanted = true;
                take_input(input, room, take)
            }
            None => take_carried(self.core, self.place.token, room, take),
        };
        match found {
            Bytes::Some(count) => {
                self.head.clear(Head::NEXT);
                Poll::Ready(Ok(count))
            }
            Bytes::Nothing | Bytes::NotNow => {
                self.head.set(Head::NEXT);
                self.head.note_waker(cx.waker(), self.number);
                Poll::Pending
            }
            Bytes::End => {
                self.head.clear(Head::NEXT);
                self.head.set(Head::END);
                Poll::Ready(Ok(0))
            }
        }
    }
}

/// What reading and writing answer once an outbound connection was closed for this reason; `None` where its peer has ended its
/// stream.
pub(super) fn error_of(reason: CloseReason) -> Option<io::ErrorKind> {
    match reason {
        CloseReason::Peer => None,
        CloseReason::Io(kind) | CloseReason::ConnectFailed(kind) => Some(kind),
        CloseReason::Idle | CloseReason::SlowWrite | CloseReason::OpeningTimeout | CloseReason::HeartbeatMissed => {
            Some(io::ErrorKind::TimedOut)
        }
        CloseReason::Filter | CloseReason::Protocol => Some(io::ErrorKind::InvalidData),
        _ => Some(io::ErrorKind::ConnectionAborted),
    }
}
