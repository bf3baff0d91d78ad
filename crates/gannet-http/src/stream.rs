//! Streamed responses: a source writes the body piece by piece, as fast as the client reads.

mod state;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use gannet::proto::http::SIZE_LINE;
use gannet::{Context, Description, Group, Handle, JoinError, OffloadFull, Pool, Remote, SendStatus, panic_message};

pub use self::state::COMMENT_EVERY;
use self::state::is_stream;
pub(crate) use self::state::{Beginning, Fate, Length, Pulse, State, Streaming};
use crate::clock::Date;
use crate::service::HttpService;
use crate::wire::Outgoing;

/// Writes the body of a streamed response piece by piece; pass it to [`Cx::stream`](crate::Cx::stream) or its siblings.
///
/// Its methods are called on the reactor's thread and must not block: give long work to [`Stream::offload`].
///
/// Send pieces as long as [`Stream::send`] answers `Queued`, then return. `pull` is called again when there is room. So a
/// slow reader keeps no more than [`Limits::outbox_high`](gannet::Limits) and one piece waiting.
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
    /// Sends more of the body. It is called when there is room:
    ///
    /// - after the head was written,
    /// - when the outbox has drained after it was too full,
    /// - when the time set with [`Stream::again_in`] is over,
    /// - when work begun with [`Stream::offload`] is done.
    ///
    /// It may be called once more than that, and is not called while such work is under way.
    fn pull(&mut self, out: &mut Stream<'_, '_>);

    /// Is called when the server shuts down. It waits for the end of this response, up to the engine's drain timeout.
    ///
    /// By default the response goes on. A stream of [events](crate::sse) ends after this call, with the hint (`retry`) to
    /// connect again after a random time of 1 to 5 s.
    fn shutdown(&mut self, out: &mut Stream<'_, '_>) {
        let _ = out;
    }

    /// Is called when an operator wants the connection closed.
    ///
    /// Send a farewell and [end](Stream::end) the response here, if it can be whole. By default, a stream of
    /// [events](crate::sse) ends, and any other response breaks off.
    fn kick(&mut self, out: &mut Stream<'_, '_>) {
        let _ = out;
    }

    /// Says what operators shall know of the stream, such as its user (default: nothing).
    fn describe(&self, into: &mut Description) {
        let _ = into;
    }

    /// Is called last, when the stream is over. The last piece may still be on its way to the client.
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
    /// The response is incomplete, and the connection was broken to show it. The deadline was over, the source aborted, or
    /// it sent fewer bytes than it had announced.
    Cut,
    /// The connection ended first: the client disconnected or was too slow, or the server shut down.
    Gone,
}

/// Gives a [`Source`] access to the response that it writes. Lives for one call.
pub struct Stream<'a, 'c> {
    pub(crate) cx: &'a mut Context<'c, HttpService>,
    pub(crate) state: &'a mut State,
    pub(crate) date: &'a mut Date,
    /// To put together what is not in one piece.
    pub(crate) scratch: &'a mut Vec<u8>,
}

impl Stream<'_, '_> {
    /// Sends a piece of the body. The bytes are copied, and leave after the call returned. An empty piece sends nothing.
    ///
    /// Stop at [`OverHigh`](SendStatus::OverHigh); [`Source::pull`] is called when there is room. If a source of open
    /// length goes on, [`Limits::overflow`](gannet::Limits) applies over [`Limits::outbox_hard`](gannet::Limits).
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

    /// Sends a piece of the body without a copy, if the length was announced
    /// ([`Cx::stream_sized`](crate::Cx::stream_sized)). Otherwise it copies the bytes, as [`send`](Self::send) does.
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

    /// Ends the body. The connection takes further requests, if it may stay open.
    ///
    /// A body of announced length ends by itself with its last byte.
    pub fn end(&mut self) {
        if self.state.fate == Fate::Going {
            self.state.fate = Fate::Ended;
        }
    }

    /// Aborts a response that cannot become complete. The connection is broken, so that the client notices.
    pub fn abort(&mut self) {
        self.state.fate = Fate::Aborted;
    }

    /// Sets how often a comment is sent on a stream of [events](crate::sse)
    /// (default [`COMMENT_EVERY`](crate::sse::COMMENT_EVERY)). It does nothing on another stream.
    pub fn comment_every(&mut self, every: Duration) {
        let due = self.cx.now().saturating_add(every);
        if let Some(pulse) = &mut self.state.pulse {
            *pulse = Pulse { every, due, ..*pulse };
        }
    }

    /// Returns the time of day in the format of the field `Date` (RFC 9110 §5.6.7).
    #[must_use]
    pub fn date(&mut self) -> &str {
        // It is made of ASCII only.
        std::str::from_utf8(self.date.at(self.cx.now()).text()).unwrap_or_default()
    }

    /// Calls [`Source::pull`] again after this time. It replaces a time that was set before.
    pub fn again_in(&mut self, after: Duration) {
        self.state.again = Some(self.cx.now().saturating_add(after));
    }

    /// Runs work that keeps a processor busy on [`Pool::Compute`]. Then `done` gets its result on this reactor, and
    /// [`Source::pull`] is called if there is room.
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

    /// Runs work that blocks on [`Pool::Blocking`]. Then `done` gets its result on this reactor, and [`Source::pull`] is
    /// called if there is room.
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

    /// Runs `work` on a pool of the engine. Then `done` gets its result on this reactor, and [`Source::pull`] is called if
    /// there is room.
    ///
    /// If the stream is over by then, `done` is not called. If the client disconnects, work that has not begun is not
    /// started. A panic of `work` breaks the connection.
    ///
    /// # Errors
    ///
    /// The pool already has as many jobs as [`Limits`](gannet::Limits) allows; nothing was started. Try again after a
    /// while, with [`again_in`](Self::again_in).
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

    /// Adds the stream to a group, until it ends.
    ///
    /// Broadcasts to the group have to be framed as chunks: use [`sse::broadcast`](crate::sse::broadcast).
    ///
    /// # Errors
    ///
    /// [`JoinStreamError`] says why the stream cannot join.
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

    /// Removes the stream from a group. Returns true if it was a member.
    pub fn leave(&mut self, group: Group) -> bool {
        self.state.groups.retain(|own| *own != group);
        self.cx.leave(group)
    }

    /// Returns how many bytes wait in the connection's outbox, including those of earlier responses.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.cx.outbox_len()
    }

    /// Returns how many bytes are left to send, if the length was announced.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.state.left
    }

    /// Returns the reactor's time, as of the start of this turn.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.cx.now()
    }

    /// Returns true if this client was told to leave, or the server ends.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.cx.is_draining()
    }

    /// Returns the handle of the connection.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.cx.handle()
    }

    /// Returns a [`Remote`], which reaches all reactors from any thread.
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

/// Says why a stream could not join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinStreamError {
    /// The body is not sent in chunks, because its length was announced or the client speaks HTTP/1.0. A broadcast, which is
    /// framed once for all members, would not fit.
    #[error("the response is not sent in chunks")]
    NotChunked,
    /// A limit of the engine on groups was reached, or the connection is closing.
    #[error(transparent)]
    Engine(#[from] JoinError),
}
