//! The context of a WebSocket handler.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use gannet::proto::ws::{self, Frame};
use gannet::{Context, Group, Handle, JoinError, OffloadFull, Peer, Pool, Remote, SendError, SendStatus};

use super::conversation::Phase;
use super::{Close, CloseCode, Settings};
use crate::service::HttpService;
use crate::wire::Outgoing;

/// The longest reason of a close frame, in bytes (RFC 6455 §5.5).
const LONGEST_REASON: usize = ws::MAX_CONTROL - 2;

/// What a byte that is compressed counts as, in bytes of work.
#[cfg(feature = "deflate")]
const PACKED_WORK: usize = 16;

/// Memory over this is given back after the compressed message that needed it, in bytes.
#[cfg(feature = "deflate")]
const KEPT_BYTES: usize = 64 << 10;

/// Gives a [`Handler`](super::Handler) access to its WebSocket connection. Lives for one callback, on the reactor's thread.
///
/// No method blocks. Messages leave after the callback returned.
pub struct Socket<'a> {
    pub(crate) cx: Context<'a, HttpService>,
    pub(crate) phase: &'a mut Phase,
    pub(crate) protocol: Option<&'a str>,
    pub(crate) window_bits: u8,
    pub(crate) settings: &'a mut Settings,
    pub(crate) out: &'a mut Vec<u8>,
}

/// The conversation.
impl Socket<'_> {
    /// Sends a text in one frame.
    #[inline]
    pub fn text(&mut self, text: &str) -> SendStatus {
        self.send(Frame::text(text))
    }

    /// Sends bytes in one frame.
    #[inline]
    pub fn binary(&mut self, bytes: &[u8]) -> SendStatus {
        self.send(Frame::binary(bytes))
    }

    #[inline]
    fn send(&mut self, frame: Frame<'_>) -> SendStatus {
        if *self.phase != Phase::Open {
            return SendStatus::Closed;
        }
        self.cx.send(Outgoing::WebSocket(frame))
    }

    /// Sends a text compressed, if that was agreed on and makes it shorter; otherwise as [`text`](Self::text) does.
    ///
    /// Do not put secrets into one message with text that somebody else chose: the length of the message would reveal
    /// something about them.
    #[cfg(feature = "deflate")]
    pub fn compressed_text(&mut self, text: &str) -> SendStatus {
        let packed = self.send_packed(text.len(), |deflater, out| deflater.text(out, text, None));
        packed.unwrap_or_else(|| self.text(text))
    }

    /// Sends bytes compressed, if that was agreed on and makes them shorter; see
    /// [`compressed_text`](Self::compressed_text).
    #[cfg(feature = "deflate")]
    pub fn compressed_binary(&mut self, bytes: &[u8]) -> SendStatus {
        let packed = self.send_packed(bytes.len(), |deflater, out| deflater.binary(out, bytes, None));
        packed.unwrap_or_else(|| self.binary(bytes))
    }

    /// Sends a message of so many bytes compressed, where that can be and makes its frame shorter: what has no pattern
    /// would take an eighth more, and an outbox that has room for the message might have none for that.
    #[cfg(feature = "deflate")]
    fn send_packed(
        &mut self,
        length: usize,
        write: impl FnOnce(&mut ws::deflate::Deflater, &mut Vec<u8>) -> Result<(), ws::Error>,
    ) -> Option<SendStatus> {
        if *self.phase != Phase::Open {
            return None;
        }
        let deflater = self.settings.deflater(self.window_bits)?;
        self.cx.charge(PACKED_WORK * length);
        self.out.clear();
        let plain = ws::FrameHeader::new(ws::Opcode::Binary, length).as_bytes().len() + length;
        let is_shorter = write(deflater, self.out).is_ok() && self.out.len() < plain;
        let status = is_shorter.then(|| self.cx.write(self.out));
        if self.out.capacity() > KEPT_BYTES {
            *self.out = Vec::new();
        }
        status
    }

    /// Begins the close handshake with this code and the first 123 bytes of the reason.
    ///
    /// From now on no message is received or sent, and the connection has left its groups. It ends when the client has
    /// answered, or after [`CLOSE_TIMEOUT`](super::CLOSE_TIMEOUT); then the handler's `close` is called.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        if *self.phase != Phase::Open {
            return;
        }
        let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
        self.say_close(Some(Close { code, reason }));
        // The answer has to be read.
        self.cx.resume();
        self.cx.set_timer(self.settings.close_timeout(self.cx.is_draining()));
    }

    /// Sends a close frame, the last frame on this connection.
    pub(crate) fn say_close(&mut self, close: Option<Close<'_>>) {
        *self.phase = Phase::Closing;
        self.cx.leave_all();
        self.out.clear();
        // A reason that fits a frame is what there is.
        if ws::close(self.out, close, None).is_ok() {
            self.cx.write(self.out);
        }
    }

    /// Returns true if messages can be sent: neither side has sent a close frame.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.phase == Phase::Open
    }

    /// Returns the subprotocol that the handshake chose.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol
    }

    /// Returns the address of the client, or of the proxy in front of it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.cx.peer()
    }

    /// Returns the handle of this connection. Keep it and use it on any thread, with [`RemoteExt`](super::RemoteExt).
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.cx.handle()
    }

    /// Returns how many bytes wait in the connection's outbox.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.cx.outbox_len()
    }

    /// Pauses reading until [`resume`](Self::resume). Everything from the client waits, including pings and its end.
    pub fn pause(&mut self) {
        if self.is_open() {
            self.cx.pause();
        }
    }

    /// Resumes reading after [`pause`](Self::pause).
    pub fn resume(&mut self) {
        self.cx.resume();
    }

    /// Sets the timer of the connection: the handler's `timer` is called once, after this time.
    ///
    /// It replaces a timer that was set before. The resolution is a millisecond, the longest time 24 days.
    pub fn set_timer(&mut self, after: Duration) {
        if self.is_open() {
            self.cx.set_timer(after);
        }
    }

    /// Cancels the timer.
    pub fn cancel_timer(&mut self) {
        if self.is_open() {
            self.cx.cancel_timer();
        }
    }

    /// Runs work that keeps a processor busy on [`Pool::Compute`]; the handler's `notice` gets its result.
    ///
    /// # Errors
    ///
    /// The pool already has as many jobs as [`Limits`](gannet::Limits) allows; nothing was started.
    pub fn offload<T: Any + Send>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<(), OffloadFull> {
        self.offload_to(Pool::Compute, work)
    }

    /// Runs work that blocks on [`Pool::Blocking`]; the handler's `notice` gets its result.
    ///
    /// # Errors
    ///
    /// The pool already has as many jobs as [`Limits`](gannet::Limits) allows; nothing was started.
    pub fn offload_blocking<T: Any + Send>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(), OffloadFull> {
        self.offload_to(Pool::Blocking, work)
    }

    /// Runs work on a pool of the engine; the handler's `notice` gets its result, on this reactor.
    ///
    /// If the connection ends before, work that has not begun is not started, and a result is dropped. A panic of the work
    /// closes the connection.
    ///
    /// # Errors
    ///
    /// The pool already has as many jobs as [`Limits`](gannet::Limits) allows; nothing was started.
    pub fn offload_to<T: Any + Send>(
        &mut self,
        pool: Pool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(), OffloadFull> {
        self.cx.offload_to(pool, work, |service, session, result, cx| {
            service.with_handler(session, cx, |handler, socket| handler.notice(Box::new(result), socket));
        })
    }
}

/// Groups.
impl Socket<'_> {
    /// Adds this conversation to a group. Joining twice is the same as joining once.
    ///
    /// All members of the group have to be WebSocket conversations, because a broadcast goes to each connection as it is
    /// encoded. They are if the group is joined with this method only.
    ///
    /// # Errors
    ///
    /// A limit on groups was reached, or the conversation is over.
    pub fn join(&mut self, group: Group) -> Result<(), JoinError> {
        if self.is_open() { self.cx.join(group) } else { Err(JoinError::Closed) }
    }

    /// Removes this conversation from a group. Returns true if it was a member.
    pub fn leave(&mut self, group: Group) -> bool {
        self.cx.leave(group)
    }

    /// Sends a text to every member of a group, on all reactors; to this conversation too, if it is a member.
    ///
    /// The frame is encoded once and shared. A slow member meets the limits of its own outbox and delays nobody.
    ///
    /// # Errors
    ///
    /// [`SendError::MailboxFull`]: the mailbox of another reactor was full. Its members do not get the text; all others do.
    pub fn broadcast_text(&mut self, group: Group, text: &str) -> Result<(), SendError> {
        self.broadcast(group, Frame::text(text))
    }

    /// Sends bytes to every member of a group, on all reactors; see [`broadcast_text`](Self::broadcast_text).
    ///
    /// # Errors
    ///
    /// [`SendError::MailboxFull`]: the mailbox of another reactor was full. Its members do not get the bytes; all others do.
    pub fn broadcast_binary(&mut self, group: Group, bytes: &[u8]) -> Result<(), SendError> {
        self.broadcast(group, Frame::binary(bytes))
    }

    fn broadcast(&mut self, group: Group, frame: Frame<'_>) -> Result<(), SendError> {
        self.cx.broadcast(group, Outgoing::WebSocket(frame))
    }

    /// Returns true if the mailbox of another reactor is more than half full.
    ///
    /// While it does, [`pause`](Self::pause) the connections that drive your broadcasts: beyond the mailbox's limit,
    /// messages are dropped.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.cx.is_crowded()
    }
}

/// The reactor and the engine.
impl Socket<'_> {
    /// Returns the number of this reactor, from 0.
    #[must_use]
    pub fn reactor(&self) -> usize {
        self.cx.reactor()
    }

    /// Returns the reactor's time, as of the start of this turn. It suits durations between callbacks, and is no time of day.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.cx.now()
    }

    /// Returns true if this client was told to leave ([`Handler::shutdown`](super::Handler::shutdown)), or the server ends.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.cx.is_draining()
    }

    /// Returns the close code for clients that leave because the server shuts down
    /// ([`HttpService::websocket_shutdown_code`]).
    #[must_use]
    pub fn shutdown_code(&self) -> CloseCode {
        self.settings.shutdown_code
    }

    /// Returns a [`Remote`], which reaches all reactors from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.cx.remote()
    }
}

impl fmt::Debug for Socket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("phase", self.phase)
            .field("protocol", &self.protocol)
            .field("window_bits", &self.window_bits)
            .finish_non_exhaustive()
    }
}
