//! What a service can do in a callback.

mod relations;
mod timers;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use gannet_proto::Codec;

use crate::address::Peer;
use crate::close_reason::CloseReason;
use crate::connect::Connect;
use crate::connection::{CloseMode, Flags, State};
use crate::core::{self, Core, Deferred, Plain, SendStatus, encode};
use crate::group::{Group, JoinError};
use crate::handle::{Handle, SendError};
use crate::host::{Host, HostOf, Outbound};
use crate::ids::{Place, Token};
use crate::offload::{OffloadFull, Pool};
use crate::panics::{Panicked, panic_message};
use crate::remote::{JobOwner, Letter, Remote};
use crate::service::{Outgoing, Service};
use crate::share::DELIVERY_BYTES;

pub use self::relations::Notifier;

/// Gives a callback access to its connection, and to everything around it. Lives for one callback, on the reactor's
/// thread.
///
/// Nothing here blocks. What a callback sends is handed to the kernel after it returned: all replies to bytes that came
/// together leave together. Orders for other connections are carried out after the callback, in the order in which they
/// were given.
///
/// # Ways to send
///
/// | method | encoded by | `Limits::outbox_hard` applies |
/// |---|---|---|
/// | [`send`](Self::send), [`send_shared`](Self::send_shared) | the service's codec | yes |
/// | [`write`](Self::write) | nobody | yes |
/// | [`answer`](Self::answer), [`answer_parts`](Self::answer_parts), [`answer_shared`](Self::answer_shared) | nobody | no |
/// | [`send_to`](Self::send_to): to another connection | this service's codec | yes |
/// | [`broadcast`](Self::broadcast): to a group | this service's codec, once | yes, of each member |
pub struct Context<'a, S: Service> {
    pub(crate) core: &'a mut Core,
    pub(crate) codec: &'a S::Codec,
    pub(crate) state: &'a mut <S::Codec as Codec>::State,
    pub(crate) token: Token,
}

impl<S: Service> Context<'_, S> {
    /// Borrows this context for a shorter time, to pass it on inside of a context type of your own.
    #[inline]
    #[must_use]
    pub fn reborrow(&mut self) -> Context<'_, S> {
        Context { core: self.core, codec: self.codec, state: self.state, token: self.token }
    }

    /// Sends one message, encoded by the service's codec.
    ///
    /// To send bytes that are encoded already, use [`write`](Self::write), or [`answer`](Self::answer) for replies.
    ///
    /// The codec says what a message is ([`Codec::Outgoing`]). For [`Lines`](gannet_proto::Lines) it is parts that become one
    /// line: `cx.send(&[b"hello ", name])`. The bytes are copied.
    ///
    /// If the codec cannot express the message, it is not sent: for example a text with a line break for
    /// [`Lines`](gannet_proto::Lines). The answer is then [`SendStatus::Unencodable`], the log has the reason at the level
    /// debug, and the connection goes on.
    #[inline]
    pub fn send(&mut self, message: Outgoing<'_, S>) -> SendStatus {
        self.core.send(self.token, self.codec, core::Outgoing::<S::Codec>(message))
    }

    /// Sends the message that the codec makes of plain bytes ([`Codec::encode_payload`]).
    ///
    /// A codec that sends such bytes as they are ([`Codec::TRANSPARENT`]) queues them by reference; others copy them.
    pub fn send_shared(&mut self, payload: Bytes) -> SendStatus {
        if S::Codec::TRANSPARENT {
            self.core.append_shared(self.token, payload)
        } else {
            self.core.send(self.token, self.codec, Plain(&payload))
        }
    }

    /// Sends bytes that are encoded already, bounded by [`Limits::outbox_hard`](crate::Limits) as [`send`](Self::send) is.
    ///
    /// The codec does not see them. The bytes are copied, and count as one message.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> SendStatus {
        self.core.append(self.token, &[bytes])
    }

    /// Sends a reply that is encoded already; the service bounds it, not [`Limits::outbox_hard`](crate::Limits).
    ///
    /// The codec does not see the bytes. A reply is never dropped, and its size never closes the connection, so the service
    /// has to bound it: do not answer one message without end. Over [`Limits::outbox_high`](crate::Limits) no further message
    /// is decoded. The bytes are copied, and count as one message.
    #[inline]
    pub fn answer(&mut self, bytes: &[u8]) -> SendStatus {
        self.core.append_answer(self.token, &[bytes])
    }

    /// Sends a pre-encoded reply made of `parts` joined, past the codec and past [`Limits::outbox_hard`](crate::Limits).
    ///
    /// The service has to bound the size of the reply; see [`answer`](Self::answer). The bytes are copied.
    #[inline]
    pub fn answer_parts<const N: usize>(&mut self, parts: [&[u8]; N]) -> SendStatus {
        self.core.append_answer(self.token, &parts)
    }

    /// Sends a pre-encoded reply by reference, past the codec and past [`Limits::outbox_hard`](crate::Limits).
    ///
    /// The service has to bound the size of the reply; see [`answer`](Self::answer). The bytes are not copied.
    pub fn answer_shared(&mut self, bytes: Bytes) -> SendStatus {
        self.core.append_shared_answer(self.token, bytes)
    }

    /// Keeps received bytes beyond this call without a copy, if the engine can give their memory away.
    ///
    /// `bytes` have to be a part of the message that [`Service::message`] was called with. If the answer is `None`, copy
    /// them. The memory is given away if all of this holds:
    ///
    /// - the message has 64 KiB or more and came in several pieces,
    /// - the bytes are at least 7/8 of it,
    /// - the codec decodes it without changing bytes ([`Codec::decode_shared`]).
    ///
    /// The whole message stays in memory as long as the value does. It no longer counts toward
    /// [`Limits::carries`](crate::Limits): bound what you keep.
    #[must_use]
    pub fn keep(&self, bytes: &[u8]) -> Option<Bytes> {
        self.core.keep(bytes)
    }

    /// Returns false if [`keep`](Self::keep) certainly answers `None`, as it does for small messages.
    #[inline]
    #[must_use]
    pub fn may_keep(&self) -> bool {
        self.core.large.is_some()
    }

    /// Sends one message to another connection, encoded by this service's codec.
    ///
    /// The other connection should speak the same protocol. Large parts of a received message leave straight from the
    /// receive buffer if the other outbox is empty and its connection has no filter (TLS). Everything else is copied. The
    /// answer says how full that outbox will be:
    ///
    /// - [`SendStatus::OverHigh`]: its service hears [`Service::writable`] when there is room again. A proxy pauses the
    ///   connection that it reads from until then.
    /// - [`SendStatus::OverHard`]: [`Limits::overflow`](crate::Limits) will decide.
    /// - [`SendStatus::Queued`]: there is room, or the connection lives on another reactor, of which nothing is known here.
    ///
    /// # Errors
    ///
    /// - [`SendError::Gone`]: the connection is gone or is closing, or its sending direction was shut down. It counts as such
    ///   from [`close_other`](Self::close_other) or [`shutdown_write_other`](Self::shutdown_write_other) on.
    /// - [`SendError::Encode`]: the codec cannot encode the message.
    /// - [`SendError::MailboxFull`]: the connection lives on another reactor, whose mailbox is full.
    /// - [`SendError::OtherEngine`]: the handle belongs to another engine.
    /// - [`SendError::NotRunning`]: the other reactor has ended.
    pub fn send_to(&mut self, handle: Handle, message: Outgoing<'_, S>) -> Result<SendStatus, SendError> {
        let local = self.reachable(handle)?;
        if let Some(place) = local
            && place.token != self.token
            && self.core.may_send_on()
        {
            return self.core.send_on(place, self.codec, core::Outgoing::<S::Codec>(message));
        }
        let payload = encode(self.codec, core::Outgoing::<S::Codec>(message)).map_err(|_| SendError::Encode)?;
        match local {
            Some(place) if place.token == self.token => match self.core.append_shared(self.token, payload) {
                SendStatus::Closed => Err(SendError::Gone),
                status => Ok(status),
            },
            Some(place) => {
                if !self.core.at(place).is_some_and(|connection| connection.takes_from_others()) {
                    return Err(SendError::Gone);
                }
                let status = self.core.promise(place.token, payload.len());
                self.core.deferred.push(Deferred::Write { place, payload });
                Ok(status)
            }
            None => {
                self.remote().post(handle, Letter::Write { place: handle.place(), payload })?;
                Ok(SendStatus::Queued)
            }
        }
    }

    /// Writes encoded bytes to a connection of any service, past its codec: they are what its peer receives.
    ///
    /// A filter (TLS) still transforms them. The bytes are copied; on this reactor they are in the outbox when this returns,
    /// before those of orders that were given earlier in this callback. The status is that of [`send_to`](Self::send_to).
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](Self::send_to), except [`SendError::Encode`].
    #[inline]
    pub fn write_to(&mut self, handle: Handle, bytes: &[u8]) -> Result<SendStatus, SendError> {
        if handle.token == self.token && handle == self.core.handle(self.token) {
            return match self.core.append(self.token, &[bytes]) {
                SendStatus::Closed => Err(SendError::Gone),
                status => Ok(status),
            };
        }
        self.write_to_another(handle, bytes)
    }

    fn write_to_another(&mut self, handle: Handle, bytes: &[u8]) -> Result<SendStatus, SendError> {
        let Some(place) = self.reachable(handle)? else {
            let payload = Bytes::copy_from_slice(bytes);
            self.remote().post(handle, Letter::Write { place: handle.place(), payload })?;
            return Ok(SendStatus::Queued);
        };
        if !self.core.at(place).is_some_and(|connection| connection.takes_from_others()) {
            return Err(SendError::Gone);
        }
        let status = self.core.append(place.token, &[bytes]);
        self.core.mark(place.token);
        Ok(status)
    }

    /// See [`ServiceContext::send_encoded`](crate::ServiceContext::send_encoded).
    pub(crate) fn send_encoded(&mut self, handle: Handle, bytes: &Bytes) -> Result<SendStatus, SendError> {
        let Some(place) = self.reachable(handle)? else {
            self.remote().post(handle, Letter::Write { place: handle.place(), payload: bytes.clone() })?;
            return Ok(SendStatus::Queued);
        };
        if !self.core.at(place).is_some_and(|connection| connection.takes_from_others()) {
            return Err(SendError::Gone);
        }
        let status = self.core.append_encoded(place.token, bytes);
        self.core.mark(place.token);
        Ok(status)
    }

    /// The place of a handle on this reactor, `None` where it is on another one.
    fn reachable(&mut self, handle: Handle) -> Result<Option<Place>, SendError> {
        if handle.engine != self.core.shared.id {
            return Err(SendError::OtherEngine);
        }
        if handle.reactor != self.core.reactor {
            return Ok(None);
        }
        match self.core.at(handle.place()) {
            Some(connection) if connection.is_reachable() => Ok(Some(handle.place())),
            _ => Err(SendError::Gone),
        }
    }

    /// Closes the connection at once, with [`CloseReason::Service`]. Unsent output is lost, and the peer sees a reset then.
    pub fn close(&mut self) {
        self.core.ask_close(self.token, Flags::CLOSE, CloseReason::Service);
    }

    /// Closes the connection at once by a reset, with [`CloseReason::Service`]. Nothing of it stays in the kernel.
    pub fn reset(&mut self) {
        self.core.ask_close(self.token, Flags::CLOSE.or(Flags::RESET), CloseReason::Service);
    }

    /// Closes the connection when all output accepted so far was sent, with [`CloseReason::Service`].
    ///
    /// No message comes any more.
    pub fn close_flushed(&mut self) {
        self.core.ask_close(self.token, Flags::CLOSE_FLUSHED, CloseReason::Service);
    }

    /// Notes that the peer will send nothing more, though its stream has not ended.
    ///
    /// An HTTP client that asks for `Connection: close` has said so, for example. A flushed close of this connection then
    /// follows the last bytes at once, and does not wait for the end of the peer's stream
    /// ([`Timeouts::linger`](crate::Timeouts)). If the peer sends something nevertheless, the kernel answers by a reset, which
    /// may take the end of the output with it. On a connection with a filter this changes nothing.
    pub fn expect_no_more(&mut self) {
        if self.core.slab.get(self.token).is_some() {
            self.core.rares.of_mut(self.token).expects_nothing = true;
        }
    }

    /// Closes the connection at once, for a reason of the service's own. Unsent output is lost.
    ///
    /// [`Service::close`] gets the reason as [`CloseReason::Other`], and counters have its name. The services of a process
    /// may have 16 such names; a further one counts as [`CloseReason::Service`].
    pub fn close_because(&mut self, reason: &'static str) {
        self.core.ask_close(self.token, Flags::CLOSE, CloseReason::Other(reason));
    }

    /// Closes the connection when all output accepted so far was sent, for a reason of the service's own.
    ///
    /// No message comes any more. [`close_because`](Self::close_because) says how reasons are named and counted.
    pub fn close_flushed_because(&mut self, reason: &'static str) {
        self.core.ask_close(self.token, Flags::CLOSE_FLUSHED, CloseReason::Other(reason));
    }

    /// Closes the connection because of an error, for a reason of the service's own.
    ///
    /// [`Service::close`] gets the reason as [`CloseReason::Other`], and finds the error with
    /// [`close_cause`](Self::close_cause). [`close_because`](Self::close_because) says how reasons are named and counted.
    pub fn close_for_error(&mut self, reason: &'static str, cause: impl Into<Box<dyn Error>>, mode: CloseMode) {
        self.core.ask_close_for(self.token, mode.flags(), CloseReason::Other(reason), cause.into());
    }

    /// Returns the error because of which this connection closes, if there is one: for [`Service::close`].
    ///
    /// | reason | error |
    /// |---|---|
    /// | [`Protocol`](CloseReason::Protocol), [`FrameTooLarge`](CloseReason::FrameTooLarge) | that of the codec: [`CodecError`](crate::CodecError) |
    /// | [`Peer`](CloseReason::Peer) | that of [`Codec::finish`], if the peer ended its stream inside a message |
    /// | [`Filter`](CloseReason::Filter) | that of the filter: [`FilterError`](crate::FilterError) |
    /// | [`Io`](CloseReason::Io) | the system's: [`io::Error`](std::io::Error), with its number |
    /// | [`Panicked`](CloseReason::Panicked) | one whose text is the panic's |
    /// | [`Other`](CloseReason::Other) | what [`close_for_error`](Self::close_for_error) was given |
    #[must_use]
    pub fn close_cause(&self) -> Option<&(dyn Error + 'static)> {
        self.core.causes.of(self.token, self.core.slab.get(self.token)?.reason())
    }

    /// Closes the connection when all output was sent, with [`CloseReason::Idle`], as [`Service::idle`] does by default.
    pub fn close_idle(&mut self) {
        self.close_for(CloseReason::Idle);
    }

    /// Closes the connection when everything was sent, for a reason of the engine's.
    pub(crate) fn close_for(&mut self, reason: CloseReason) {
        self.core.ask_close(self.token, Flags::CLOSE_FLUSHED, reason);
    }

    /// Closes another connection, with [`CloseReason::Service`]: at once, or when all its output was sent.
    ///
    /// # Errors
    ///
    /// Those of [`Context::send_to`], except [`SendError::Encode`].
    pub fn close_other(&mut self, handle: Handle, mode: CloseMode) -> Result<(), SendError> {
        match self.reachable(handle)? {
            Some(place) if place.token == self.token => {
                self.core.ask_close(self.token, mode.flags(), CloseReason::Service);
                Ok(())
            }
            Some(place) => {
                self.end_soon(place);
                self.core.deferred.push(Deferred::Close { place, mode });
                Ok(())
            }
            None => self.remote().post(handle, Letter::Close { place: handle.place(), mode }),
        }
    }

    /// Notes that the end of what another connection sends was ordered: what is ordered later for it would be dropped.
    fn end_soon(&mut self, place: Place) {
        if place.token != self.token
            && let Some(connection) = self.core.at(place)
        {
            connection.flags.set(Flags::ENDS_SOON);
        }
    }

    /// Shuts down the sending direction of this connection after everything sent so far has left (`SHUT_WR`).
    ///
    /// Reading goes on. Over TLS, close_notify is sent first. From now on, sends return [`SendStatus::Closed`], and the
    /// connection has no heartbeat. Idle deadlines still apply.
    ///
    /// The connection closes with [`CloseReason::Peer`] when the peer ends its direction too. A peer with TLS 1.2 may answer
    /// close_notify by closing at once (RFC 5246 §7.2.1).
    pub fn shutdown_write(&mut self) {
        self.core.shut_write(self.token);
    }

    /// Shuts down the sending direction of another connection, as [`Context::shutdown_write`] does that of this one.
    ///
    /// What this callback has sent to it before still leaves. The connection may be on any reactor. A second call for the
    /// same connection has no effect. A proxy calls this in [`Service::half_closed`] to hand the end of a stream on.
    ///
    /// # Errors
    ///
    /// Those of [`Context::send_to`], except [`SendError::Encode`].
    pub fn shutdown_write_other(&mut self, handle: Handle) -> Result<(), SendError> {
        match self.reachable(handle)? {
            Some(place) => {
                self.end_soon(place);
                self.core.deferred.push(Deferred::ShutWrite { place });
            }
            None => self.remote().post(handle, Letter::ShutWrite { place: handle.place() })?,
        }
        Ok(())
    }

    /// Stops taking messages from this connection until [`Context::resume`]. Received bytes wait.
    ///
    /// This pause is independent of the automatic one of [`Service::AUTO_PAUSE`]: messages come when neither holds.
    pub fn pause(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.flags.set(Flags::PAUSED);
            self.core.halt = true;
        }
    }

    /// Takes messages from this connection again, after [`Context::pause`].
    pub fn resume(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.end_pause(Flags::PAUSED, self.core.now);
        }
        self.core.mark(self.token);
    }

    /// Stops taking messages from another connection until [`Context::resume_other`], or a [`Context::resume`] of its own.
    ///
    /// The connection may be on any reactor. On another one, the pause takes effect when that reactor has taken the order
    /// from its mailbox; messages that were received before may still come.
    ///
    /// # Errors
    ///
    /// Those of [`Context::send_to`], except [`SendError::Encode`].
    pub fn pause_other(&mut self, handle: Handle) -> Result<(), SendError> {
        self.set_other_paused(handle, true)
    }

    /// Takes messages from another connection again, after [`Context::pause_other`]. The connection may be on any reactor.
    ///
    /// # Errors
    ///
    /// Those of [`Context::send_to`], except [`SendError::Encode`].
    pub fn resume_other(&mut self, handle: Handle) -> Result<(), SendError> {
        self.set_other_paused(handle, false)
    }

    fn set_other_paused(&mut self, handle: Handle, paused: bool) -> Result<(), SendError> {
        match self.reachable(handle)? {
            Some(place) => {
                self.core.halt |= paused && place.token == self.token;
                self.core.set_paused(place.token, paused);
                Ok(())
            }
            None => self.remote().post(handle, Letter::Pause { place: handle.place(), paused }),
        }
    }

    /// Starts the heartbeat of this connection again, after [`Service::heartbeat`] has answered [`Heartbeat::None`].
    ///
    /// This is for connections that switch to a protocol with a heartbeat. Heartbeats missed before do not count.
    ///
    /// [`Heartbeat::None`]: crate::Heartbeat::None
    pub fn begin_heartbeat(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.flags.clear(Flags::NO_HEARTBEAT);
            connection.missed = 0;
            // The deadlines are the reactor's: its next look at the connection finds when the heartbeat is due.
            let soon = self.core.now.after(1);
            self.core.due(self.token, soon);
        }
    }

    /// Returns the address of the peer.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.core.slab.get(self.token).map_or(Peer::UNIX, |_| self.core.peers.of(self.token))
    }

    /// Returns a reference to this connection that may be kept and used on any thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.core.handle(self.token)
    }

    /// Returns the bytes that this connection still has to send, those of its filter included.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.core.slab.get(self.token).map_or(0, |connection| connection.outbox_len())
    }

    /// Returns the number of bytes that were received and not yet taken by the codec.
    ///
    /// They belong to a message that is not complete, or they wait because reading is paused. With a filter, bytes of an
    /// incomplete record count too, as they were received.
    #[must_use]
    pub fn waiting_len(&self) -> usize {
        let Some(connection) = self.core.slab.get(self.token) else { return 0 };
        let held = connection.filter.as_ref().map_or(0, |filter| filter.held_len());
        connection.carry.as_ref().map_or(held, |carry| held + carry.len())
    }

    /// Returns the codec's state for this connection, for codecs that let a service change how decoding goes on.
    #[must_use]
    pub fn codec_state(&mut self) -> &mut <S::Codec as Codec>::State {
        self.state
    }

    /// Returns what the filter knows about this connection, if there is a filter and it provides a `T`.
    ///
    /// For TLS this is `gannet_tls::TlsInfo`: protocol version, server name, certificates of the peer.
    #[must_use]
    pub fn filter_info<T: 'static>(&self) -> Option<&T> {
        self.core.slab.get(self.token)?.filter.as_ref()?.info()?.downcast_ref()
    }

    /// Decodes the waiting bytes again, although no more bytes came. It happens after the callback returned.
    ///
    /// Call it after a change of [`Context::codec_state`] outside of [`Service::message`].
    pub fn decode_again(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token)
            && let Some(carry) = &mut connection.carry
        {
            carry.need = 0;
            connection.flags.clear(Flags::HALF_CLOSED);
            self.core.mark(self.token);
        }
    }

    /// Returns the number of this reactor, from 0.
    #[must_use]
    pub fn reactor(&self) -> usize {
        usize::from(self.core.reactor)
    }

    /// Returns the reactor's clock at the start of this turn.
    ///
    /// Use it for durations between callbacks. Each reactor counts from a moment of its own, and the clock never goes back.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.core.clock
    }

    /// Charges work to this connection's share of the turn, for a message that costs more than its size says.
    ///
    /// The unit is a byte of work: about a nanosecond, what it takes to receive, decode and copy a byte. The share is
    /// 262,144 of them in one turn of the reactor. Each message is charged its own bytes and 256 more before this.
    ///
    /// When the share is used up, decoding for this connection stops after the callback and goes on in the next turn, when
    /// the others have had theirs. So a client that pipelines expensive requests delays the others by one of them at a
    /// time. Charge what a request read or produced beyond what it sent, for example the bytes that a reply was made of.
    /// Work that takes longer than some milliseconds belongs to [`offload`](Self::offload).
    pub fn charge(&mut self, bytes: usize) {
        self.core.spend(self.token, bytes);
    }

    /// Returns whether this connection was told to leave ([`Service::shutdown`]), or the engine is past its
    /// [`drain_spread`](crate::Engine::drain_spread).
    ///
    /// Tell the client that this reply is the last one, where the protocol can do so.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.core.is_leaving(self.token)
    }

    /// Returns a reference to the engine that works from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote::new(self.core.shared.clone())
    }

    /// Adds this connection to a group. Joining a second time changes nothing.
    ///
    /// # Errors
    ///
    /// [`Limits::groups_per_connection`](crate::Limits) or [`Limits::groups`](crate::Limits) was reached, or the connection
    /// is closing.
    pub fn join(&mut self, group: Group) -> Result<(), JoinError> {
        let core = &mut *self.core;
        if !core.slab.get(self.token).is_some_and(|connection| connection.takes_output()) {
            return Err(JoinError::Closed);
        }
        let joined = core.groups.join(self.token, group, &core.limits);
        if joined.is_err() {
            core.counters.joins_refused.add(1);
        }
        joined
    }

    /// Removes this connection from a group. Returns whether it was a member.
    pub fn leave(&mut self, group: Group) -> bool {
        self.core.groups.leave(self.token, group)
    }

    /// Removes this connection from all its groups.
    pub fn leave_all(&mut self) {
        self.core.groups.leave_all(self.token);
    }

    /// Sends one message to every member of a group, on all reactors; also to this connection if it is a member.
    ///
    /// The message is encoded once, by this service's codec, and shared by all outboxes. A slow member meets the limits of
    /// its own outbox, and delays no other member.
    ///
    /// # Errors
    ///
    /// - [`SendError::Encode`]: the codec cannot encode the message; no member gets it.
    /// - [`SendError::MailboxFull`]: the mailbox of another reactor was full; its members do not get the message, all
    ///   others do.
    /// - [`SendError::NotRunning`]: another reactor has ended; its members are gone.
    pub fn broadcast(&mut self, group: Group, message: Outgoing<'_, S>) -> Result<(), SendError> {
        let payload = encode(self.codec, core::Outgoing::<S::Codec>(message)).map_err(|_| SendError::Encode)?;
        let token = self.token;
        if self.core.is_member(token, group) {
            self.core.append_shared(token, payload.clone());
        }
        self.core.spend(token, self.core.groups.members(group).len() * DELIVERY_BYTES);
        // Nor does it get the message if it joins before the others get it.
        let deferred = Deferred::Broadcast { group, payload: payload.clone(), except: Some(token) };
        self.core.deferred.push(deferred);
        self.core.shared.broadcast(group, &payload, Some(self.core.reactor))
    }

    /// Returns whether the mailbox of another reactor is more than half full.
    ///
    /// While this is `true`, pause the connection that drives your broadcasts; beyond the mailbox's limit, messages are
    /// dropped.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.core.shared.is_crowded(self.core.reactor, self.core.limits.mailbox)
    }

    /// Runs CPU-bound work on [`Pool::Compute`], and then `done` with its result on this reactor.
    ///
    /// Work that waits (for a database, for a lock) belongs to [`offload_blocking`](Self::offload_blocking).
    /// [`offload_to`](Self::offload_to) says what happens if the connection closes or the work panics.
    ///
    /// # Errors
    ///
    /// [`Limits::offloads`](crate::Limits) jobs wait or run, or 65,535 of this connection; the work was not started.
    pub fn offload<T, W, D>(&mut self, work: W, done: D) -> Result<(), OffloadFull>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut S, &mut S::Session, T, &mut Context<'_, S>) + Send + 'static,
    {
        self.offload_to(Pool::Compute, work, done)
    }

    /// Runs work that waits on [`Pool::Blocking`], and then `done` with its result on this reactor.
    ///
    /// CPU-bound work belongs to [`offload`](Self::offload). [`offload_to`](Self::offload_to) says what happens if the
    /// connection closes or the work panics.
    ///
    /// # Errors
    ///
    /// [`Limits::blocking_offloads`](crate::Limits) jobs wait or run, or 65,535 of this connection; the work was not
    /// started.
    pub fn offload_blocking<T, W, D>(&mut self, work: W, done: D) -> Result<(), OffloadFull>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut S, &mut S::Session, T, &mut Context<'_, S>) + Send + 'static,
    {
        self.offload_to(Pool::Blocking, work, done)
    }

    /// Runs long work on one of the engine's pools, and then `done` with its result on this reactor, for this connection.
    ///
    /// `work` runs on a thread of the pool, `done` on the reactor's thread.
    ///
    /// - If the connection closes before the work starts, the work does not run. If it closes later, the result is dropped.
    /// - Work that a service starts in [`Service::close`] or [`Service::connect_failed`] always runs, but `done` is never
    ///   called.
    /// - If the peer has ended its stream, its jobs wait behind all others. When the limit is reached, one of them is given
    ///   up.
    /// - If `work` panics, the connection closes with [`CloseReason::Panicked`].
    ///
    /// # Errors
    ///
    /// As many jobs wait or run as [`Limits`](crate::Limits) allows for the pool, or 65,535 of this connection; the work
    /// was not started.
    pub fn offload_to<T, W, D>(&mut self, pool: Pool, work: W, done: D) -> Result<(), OffloadFull>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut S, &mut S::Session, T, &mut Context<'_, S>) + Send + 'static,
    {
        if self.core.slab.get(self.token).is_none_or(|connection| connection.state() == State::Closed) {
            let work = move || drop(work());
            return self.core.shared.offload.run(pool, None, work);
        }
        if self.core.rares.of(self.token).offloads == u16::MAX {
            self.core.shared.offload.refused(pool);
            return Err(OffloadFull);
        }
        let (remote, handle) = (self.remote(), self.handle());
        let owner = JobOwner { remote: remote.clone(), handle };
        self.core.shared.offload.run(pool, Some(owner), move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            if result.is_err() {
                remote.count_panicked_job(pool);
            }
            let run = Box::new(move |host: &mut dyn Host, core: &mut Core, token: Token| {
                core.rares.offload_ended(token);
                match result {
                    Ok(result) => {
                        if let Some(host) = host.as_any_mut().downcast_mut::<HostOf<S>>() {
                            host.with_session(core, token, |service, session, cx| done(service, session, result, cx));
                        }
                    }
                    Err(panic) => {
                        tracing::error!(
                            service = host.name(),
                            peer = %core.peers.of(token),
                            panic = panic_message(&*panic),
                            "an offloaded job panicked; its connection is closed"
                        );
                        core.ask_close_for(token, Flags::CLOSE, CloseReason::Panicked, Panicked::of(&*panic).into());
                    }
                }
            });
            remote.deliver(handle, Letter::Run { place: handle.place(), run });
        })?;
        self.core.rares.of_mut(self.token).offloads += 1;
        Ok(())
    }

    /// Opens an outbound connection on this reactor. `session` becomes its session.
    ///
    /// The outbound service's [`Service::connected`] or [`Service::connect_failed`] reports the result. It is called after
    /// this callback returned.
    ///
    /// # Errors
    ///
    /// There is no address, or one that cannot be connected to: a UDP address, or a TLS address without
    /// [`Connect::through`]. Or [`Connect::keepalive`] is out of range, or `outbound` belongs to another engine.
    pub fn connect<O: Service>(
        &mut self,
        outbound: Outbound<O>,
        connect: &Connect,
        session: O::Session,
    ) -> Result<(), crate::Error> {
        if outbound.engine != self.core.shared.id {
            let why = "the outbound service belongs to another engine: give the one that Engine::outbound of this engine made";
            return Err(crate::Error::Setting(why.to_owned()));
        }
        let (route, timeout_ms) = connect.route()?;
        let session = Box::new(move |host: &mut dyn Host| {
            let host = host.as_any_mut().downcast_mut::<HostOf<O>>();
            host.map_or(crate::connection::NO_SESSION, |host| host.add_session(session))
        });
        self.core.deferred.push(Deferred::Dial { service: outbound.index, route, timeout_ms, session });
        Ok(())
    }
}
