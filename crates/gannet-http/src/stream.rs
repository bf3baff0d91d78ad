//! Responses whose body is written piece by piece, as fast as the client reads.

mod state;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use gannet::proto::http::SIZE_LINE;
use gannet::{Context, Group, Handle, JoinError, OffloadFull, Pool, Remote, SendStatus, panic_message};

pub use self::state::COMMENT_EVERY;
use self::state::is_stream;
pub(crate) use self::state::{Beginning, Fate, Length, Pulse, State, Streaming};
use crate::clock::Date;
use crate::service::HttpService;
use crate::wire::Outgoing;

/// Writes the body of a response piece by piece: given to [`Cx::stream`](crate::Cx::stream) and its like. Each method
/// is called on the reactor's thread and must not block; what takes long goes through [`Stream::offload`].
///
/// A source sends for as long as [`Stream::send`] says `Queued`, and returns otherwise: it is called again when there is
/// room. So what waits for a slow reader is bounded by [`Limits::outbox_high`](gannet::Limits) and one piece.
///
/// ```
/// # use gannet::SendStatus;
/// # use gannet_http::{Router, Source, Stream};
/// struct Numbers(u64);
///
/// impl Source for Numbers {
///     fn pull(&mut self, out: &mut Stream<'_, '_>) {
///         while self.0 < 1_000_000 {
///             self.0 += 1;
///             if out.send(format!("{}\n", self.0).as_bytes()) != SendStatus::Queued {
///                 return;
///             }
///         }
///         out.end();
///     }
/// }
///
/// let routes = Router::new().get("/numbers", |cx| cx.stream(Numbers(0)));
/// ```
pub trait Source: 'static {
    /// There is room to send: called when the head was written, when what was queued has drained after it was too much,
    /// when the time set with [`Stream::again_in`] is over, and when work begun with [`Stream::offload`] is done. It
    /// may be called once more than that. Not while such work is under way.
    fn pull(&mut self, out: &mut Stream<'_, '_>);

    /// The server shuts down, and waits for the end of this response for as long as the engine's drain timeout at most.
    /// Does nothing by default: the response goes on. A stream of [events](crate::sse) ends after this call.
    fn shutdown(&mut self, out: &mut Stream<'_, '_>) {
        let _ = out;
    }

    /// The stream is over; nothing is called after this. The last that was sent may still be on its way.
    fn ended(&mut self, how: Ended) {
        let _ = how;
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The response is whole.
    Whole,
    /// It is not, and the connection was broken for that: its deadline was over, or its source said so, or had fewer
    /// bytes than were promised.
    Cut,
    /// The connection ended before: the client has gone, or was too slow, or the server shut down.
    Gone,
}

/// What a [`Source`] writes to. Lives for one call.
pub struct Stream<'a, 'c> {
    pub(crate) cx: &'a mut Context<'c, HttpService>,
    pub(crate) state: &'a mut State,
    pub(crate) date: &'a mut Date,
    /// To put together what is not in one piece.
    pub(crate) scratch: &'a mut Vec<u8>,
}

impl Stream<'_, '_> {
    /// Sends a piece of the body; an empty one is nothing. The bytes are copied, and leave when the call has returned.
    ///
    /// [`OverHigh`](SendStatus::OverHigh) is the moment to stop: [`Source::pull`] is called when there is room. A source
    /// of open length that goes on all the same meets [`Limits::overflow`](gannet::Limits) over
    /// [`Limits::outbox_hard`](gannet::Limits).
    pub fn send(&mut self, bytes: &[u8]) -> SendStatus {
        let bytes = &bytes[..self.state.admit(bytes.len())];
        if bytes.is_empty() {
            return self.state.nothing();
        }
        let status = if self.state.left.is_some() {
            // Its length bounds it, and no piece of it may be dropped.
            self.cx.answer(bytes)
        } else {
            let mut line = [0; SIZE_LINE];
            let [before, behind] = self.state.body.around(bytes.len(), &mut line);
            self.cx.send(Outgoing::Http(&[before, bytes, behind]))
        };
        self.state.sent(status)
    }

    /// The same without a copy where the length was said, see [`Cx::stream_sized`](crate::Cx::stream_sized).
    pub fn send_shared(&mut self, mut bytes: Bytes) -> SendStatus {
        if self.state.left.is_none() {
            return self.send(&bytes);
        }
        bytes.truncate(self.state.admit(bytes.len()));
        if bytes.is_empty() {
            return self.state.nothing();
        }
        let status = self.cx.answer_shared(bytes);
        self.state.sent(status)
    }

    /// Ends the body. The connection goes on with the next request, where it may. A body whose length was said ends by
    /// itself with its last byte.
    pub fn end(&mut self) {
        if self.state.fate == Fate::Going {
            self.state.fate = Fate::Ended;
        }
    }

    /// Gives the response up, where it cannot become whole: the connection is broken, so that the client can tell.
    pub fn abort(&mut self) {
        self.state.fate = Fate::Aborted;
    }

    /// Sets how often a comment is sent on a stream of [events](crate::sse), [`COMMENT_EVERY`](crate::sse::COMMENT_EVERY)
    /// until then. Does nothing on another stream.
    pub fn comment_every(&mut self, every: Duration) {
        let due = self.cx.now().saturating_add(every);
        if let Some(pulse) = &mut self.state.pulse {
            *pulse = Pulse { every, due, ..*pulse };
        }
    }

    /// The time of day, as the field `Date` has it (RFC 9110 §5.6.7).
    #[must_use]
    pub fn date(&mut self) -> &str {
        // It is made of ASCII only.
        std::str::from_utf8(self.date.at(self.cx.now()).text()).unwrap_or_default()
    }

    /// Has [`Source::pull`] called after this time, in place of a time set before.
    pub fn again_in(&mut self, after: Duration) {
        self.state.again = Some(self.cx.now().saturating_add(after));
    }

    /// Runs work that keeps a processor busy on [`Pool::Compute`], then `done` with its result on this reactor, and then
    /// [`Source::pull`], if there is room.
    ///
    /// # Errors
    ///
    /// As [`offload_to`](Self::offload_to).
    pub fn offload<T, W, D>(&mut self, work: W, done: D) -> Result<(), OffloadFull>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(T, &mut Stream<'_, '_>) + Send + 'static,
    {
        self.offload_to(Pool::Compute, work, done)
    }

    /// Runs work that blocks on [`Pool::Blocking`], then `done` with its result on this reactor, and then
    /// [`Source::pull`], if there is room.
    ///
    /// # Errors
    ///
    /// As [`offload_to`](Self::offload_to).
    pub fn offload_blocking<T, W, D>(&mut self, work: W, done: D) -> Result<(), OffloadFull>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(T, &mut Stream<'_, '_>) + Send + 'static,
    {
        self.offload_to(Pool::Blocking, work, done)
    }

    /// Runs `work` on a pool of the engine's, then `done` with its result on this reactor, and then [`Source::pull`], if
    /// there is room. If the stream is over by then, `done` is not called; work that has not begun when the client goes is
    /// not started. A panic of `work` breaks the connection.
    ///
    /// # Errors
    ///
    /// As many jobs wait or run as [`Limits`](gannet::Limits) allows for the pool; nothing was started. Try
    /// [`again_in`](Self::again_in) a while.
    pub fn offload_to<T, W, D>(&mut self, pool: Pool, work: W, done: D) -> Result<(), OffloadFull>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(T, &mut Stream<'_, '_>) + Send + 'static,
    {
        let serial = self.state.serial;
        self.cx.offload_to(
            pool,
            move || catch_unwind(AssertUnwindSafe(work)),
            move |service, session, result, cx| {
                if !is_stream(session, serial) {
                    return;
                }
                service.with_stream(session, cx, |source, out| {
                    out.state.jobs -= 1;
                    match result {
                        Ok(value) => done(value, out),
                        Err(panic) => {
                            let (peer, panic) = (out.cx.peer(), panic_message(&*panic));
                            tracing::error!(%peer, panic, "offloaded work for a stream panicked; its connection is broken");
                            out.abort();
                        }
                    }
                    if out.state.has_room() {
                        source.pull(out);
                    }
                });
            },
        )?;
        self.state.jobs += 1;
        Ok(())
    }

    /// Has the stream get what is broadcast to a group, for as long as it goes on. What is broadcast has to be framed as
    /// a chunk: [`sse::broadcast`](crate::sse::broadcast) does that.
    ///
    /// # Errors
    ///
    /// [`JoinStreamError`] says why it cannot.
    pub fn join(&mut self, group: Group) -> Result<(), JoinStreamError> {
        if !self.state.body.is_chunked() {
            return Err(JoinStreamError::NotChunked);
        }
        self.cx.join(group)?;
        if !self.state.groups.contains(&group) {
            self.state.groups.push(group);
        }
        Ok(())
    }

    /// Leaves a group; says whether the stream was in it.
    pub fn leave(&mut self, group: Group) -> bool {
        self.state.groups.retain(|own| *own != group);
        self.cx.leave(group)
    }

    /// Bytes that wait for the client to read, with what was sent before this response.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.cx.outbox_len()
    }

    /// Bytes that are left to send, where the length was said.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.state.left
    }

    /// The reactor's clock when this turn began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.cx.now()
    }

    /// Whether the server is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.cx.is_draining()
    }

    /// A reference to the connection.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.cx.handle()
    }

    /// The way to all reactors.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.cx.remote()
    }
}

impl fmt::Debug for Stream<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("left", &self.state.left).field("fate", &self.state.fate).finish_non_exhaustive()
    }
}

/// Why a stream could not join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinStreamError {
    /// Its body is not sent in chunks, because the client speaks HTTP/1.0 or the length was said: what is broadcast to
    /// all would not be framed as it has to be for this one.
    #[error("the response is not sent in chunks")]
    NotChunked,
    /// The engine refuses it.
    #[error(transparent)]
    Engine(#[from] JoinError),
}
