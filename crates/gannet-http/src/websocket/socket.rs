//! What a handler works with.

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

/// The conversation that a callback is about, and the way to everything around it. Lives for one callback, on the
/// reactor's thread. Nothing here waits: what is sent leaves when the callback has returned.
pub struct Socket<'a> {
    pub(crate) cx: Context<'a, HttpService>,
    pub(crate) phase: &'a mut Phase,
    pub(crate) protocol: Option<&'a str>,
    pub(crate) window_bits: u8,
    pub(crate) settings: &'a mut Settings,
    pub(crate) out: &'a mut Vec<u8>,
}

/// This conversation.
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

    /// Sends a text compressed where that was agreed on and makes it shorter, otherwise as [`text`](Self::text) does.
    /// Secrets should not go into one message with what a stranger chose: its length would tell of them.
    #[cfg(feature = "deflate")]
    pub fn compressed_text(&mut self, text: &str) -> SendStatus {
        let packed = self.send_packed(text.len(), |deflater, out| deflater.text(out, text, None));
        packed.unwrap_or_else(|| self.text(text))
    }

    /// Sends bytes compressed: see [`compressed_text`](Self::compressed_text).
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

    /// Says that the conversation is over, and why; of the reason the first 123 bytes at most. Nothing is heard or sent
    /// any more, and the connection has left its groups. It ends when the client has answered, or after
    /// [`CLOSE_TIMEOUT`](super::CLOSE_TIMEOUT); then the handler's `close` is called.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        if *self.phase != Phase::Open {
            return;
        }
        let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
        self.say_close(Some(Close { code, reason }));
        // The answer has to be read.
        self.cx.resume();
        self.cx.set_timer(self.settings.close_timeout);
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

    /// Whether messages can be sent: neither side has said that the conversation is over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.phase == Phase::Open
    }

    /// The subprotocol that was chosen.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol
    }

    /// Who is at the other end, or passes on what it says.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.cx.peer()
    }

    /// A reference to this conversation that may be kept and used on any thread, by
    /// [`RemoteExt`](super::RemoteExt).
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.cx.handle()
    }

    /// Bytes that the connection still has to send.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.cx.outbox_len()
    }

    /// Hears nothing until [`resume`](Self::resume): what the client sends waits, its pings and its end too.
    pub fn pause(&mut self) {
        if self.is_open() {
            self.cx.pause();
        }
    }

    /// Hears the client again.
    pub fn resume(&mut self) {
        self.cx.resume();
    }

    /// Sets the timer, in place of one set before: the handler's `timer` is called once when `after` has passed. Kept
    /// to the millisecond; at most 24 days.
    pub fn set_timer(&mut self, after: Duration) {
        if self.is_open() {
            self.cx.set_timer(after);
        }
    }

    /// Takes the timer back.
    pub fn cancel_timer(&mut self) {
        if self.is_open() {
            self.cx.cancel_timer();
        }
    }

    /// Runs work that keeps a processor busy on [`Pool::Compute`]; its result comes to the handler's `notice`.
    ///
    /// # Errors
    ///
    /// As [`offload_to`](Self::offload_to).
    pub fn offload<T: Any + Send>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<(), OffloadFull> {
        self.offload_to(Pool::Compute, work)
    }

    /// Runs work that blocks on [`Pool::Blocking`]; its result comes to the handler's `notice`.
    ///
    /// # Errors
    ///
    /// As [`offload_to`](Self::offload_to).
    pub fn offload_blocking<T: Any + Send>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(), OffloadFull> {
        self.offload_to(Pool::Blocking, work)
    }

    /// Runs work on a pool of the engine's; its result comes to the handler's `notice`, on this reactor. If the
    /// connection ends before, work that has not begun is not started, and a result is dropped. A panic of the work
    /// closes the connection.
    ///
    /// # Errors
    ///
    /// As many jobs wait or run as [`Limits`](gannet::Limits) allows for the pool; nothing was started.
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
    /// Adds this conversation to a group; joining twice is joining once. All members of a group have to be WebSocket
    /// conversations, as they are where only this method is used for it: what is sent to a group goes to each connection
    /// as it is.
    ///
    /// # Errors
    ///
    /// A limit on groups was reached, or the conversation is over.
    pub fn join(&mut self, group: Group) -> Result<(), JoinError> {
        if self.is_open() { self.cx.join(group) } else { Err(JoinError::Closed) }
    }

    /// Removes this conversation from a group; says whether it was in it.
    pub fn leave(&mut self, group: Group) -> bool {
        self.cx.leave(group)
    }

    /// Sends a text to every member of a group, on all reactors, this one included if it is a member. The frame is made
    /// once and shared. A slow member meets its own outbox's limits and holds nobody up.
    ///
    /// # Errors
    ///
    /// [`SendError::MailboxFull`] where another reactor's mailbox was full: then its members do not get it, all others
    /// do.
    pub fn broadcast_text(&mut self, group: Group, text: &str) -> Result<(), SendError> {
        self.broadcast(group, Frame::text(text))
    }

    /// Sends bytes to every member of a group: see [`broadcast_text`](Self::broadcast_text).
    ///
    /// # Errors
    ///
    /// As [`broadcast_text`](Self::broadcast_text).
    pub fn broadcast_binary(&mut self, group: Group, bytes: &[u8]) -> Result<(), SendError> {
        self.broadcast(group, Frame::binary(bytes))
    }

    fn broadcast(&mut self, group: Group, frame: Frame<'_>) -> Result<(), SendError> {
        self.cx.broadcast(group, Outgoing::WebSocket(frame))
    }

    /// Whether the mailbox of another reactor is more than half full. Who broadcasts as fast as the client asks for it
    /// should [`pause`](Self::pause) while this holds: over the limit messages are lost.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.cx.is_crowded()
    }
}

/// What is around.
impl Socket<'_> {
    /// The number of this reactor, from 0.
    #[must_use]
    pub fn reactor(&self) -> usize {
        self.cx.reactor()
    }

    /// The reactor's clock when this turn began: for durations between callbacks.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.cx.now()
    }

    /// Whether the server is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.cx.is_draining()
    }

    /// The way to all reactors, from any thread.
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
