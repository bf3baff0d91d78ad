//! What a session can reach while it is polled: its connection, its reactor, and the bytes that came.

use std::error::Error as StdError;
use std::task::{Context as TaskContext, Poll};

use gannet_proto::{Codec, FrameError};

use crate::close_reason::CloseReason;
use crate::connection::Flags;
use crate::context::Context;
use crate::core::Core;
use crate::ids::{Place, ServiceId, Token};
use crate::moments::Fraction;
use crate::service::{Input, Message, Service};
use crate::wheel::Tick;

use super::decoding::{Taken, decode, decode_carry};
use super::error::{Error, Result};
use super::head::Head;
use super::raw::Erased;

/// See the module.
pub(super) struct Scope<'a> {
    pub(super) core: &'a mut Core,
    pub(super) place: Place,
    pub(super) codec: Erased<'a>,
    pub(super) head: &'a mut Head,
    pub(super) input: Option<Input<'a>>,
    /// Of the session's own waker.
    pub(super) number: usize,
    /// Results that may be ready in this poll.
    pub(super) budget: u8,
    /// The service of the outbound connections of sessions, if the engine has it.
    pub(super) upstreams: Option<ServiceId>,
}

/// A service that has a codec, and nothing else: the contexts of sessions are of such.
pub(super) struct CodecOnly<C>(std::marker::PhantomData<fn() -> C>);

impl<C: Codec> Service for CodecOnly<C> {
    type Codec = C;
    type Session = ();

    fn message(&mut self, (): &mut (), _: Message<'_, Self>, _: &mut Context<'_, Self>) {}
}

impl Scope<'_> {
    /// The context of a callback for this session's connection.
    pub(super) fn context<C: Codec>(&mut self) -> Context<'_, CodecOnly<C>> {
        let Some((codec, state)) = self.codec.get::<C>() else { wrong_session() };
        Context { core: self.core, codec, state, token: self.place.token }
    }

    /// Whether the session's connection is this one.
    #[inline]
    pub(super) fn is_at(&self, place: Place) -> bool {
        self.place.token == place.token && self.place.generation == place.generation
    }

    /// Counts a result that was ready at once; says whether the session has to let others go first.
    pub(super) fn is_over_budget(&mut self) -> bool {
        let over = self.budget == 0;
        self.budget = self.budget.saturating_sub(1);
        over
    }

    #[inline]
    pub(super) fn poll_next<C: Codec, R>(
        &mut self,
        cx: &TaskContext<'_>,
        take: &mut impl FnMut(C::Message<'_>) -> R,
    ) -> Poll<Result<Option<R>>> {
        let taken = match &mut self.input {
            Some(input) if !self.head.has(Head::END | Head::BROKEN | Head::CLOSING) => {
                input.is_wanted = true;
                let Some((codec, state)) = self.codec.get::<C>() else { wrong_session() };
                decode(input, codec, state, self.core.limits.carry, take)
            }
            _ => self.take_from_carry::<C, R>(take),
        };
        match taken {
            Taken::Message(result) => {
                self.head.clear(Head::NEXT);
                Poll::Ready(Ok(Some(result)))
            }
            Taken::Nothing if !self.head.has(Head::DRAIN) => {
                self.head.set(Head::NEXT);
                self.head.note_waker(cx.waker(), self.number);
                Poll::Pending
            }
            taken => self.took_none::<C, R>(cx, taken),
        }
    }

    /// What comes of `next` where there is neither a message nor a reason to wait for bytes.
    #[cold]
    fn took_none<C: Codec, R>(&mut self, cx: &TaskContext<'_>, taken: Taken<R, C::Error>) -> Poll<Result<Option<R>>> {
        let token = self.place.token;
        self.head.clear(Head::NEXT);
        match taken {
            Taken::Message(result) => Poll::Ready(Ok(Some(result))),
            // The engine drains, and nothing waits that was asked before.
            Taken::Nothing => Poll::Ready(Ok(None)),
            Taken::End => {
                if !self.head.has(Head::BROKEN | Head::CLOSING) {
                    self.head.set(Head::END);
                }
                Poll::Ready(Ok(None))
            }
            Taken::CutOff(error) => {
                self.core.causes.note(token, CloseReason::Peer, error.into());
                self.head.set(Head::END);
                Poll::Ready(Ok(None))
            }
            Taken::Refused(error) => {
                self.drop_rest();
                let error: Box<dyn StdError> = error.into();
                let is_large = matches!(FrameError::find(&*error), Some(FrameError::TooLarge { .. }));
                self.head.set(if is_large { Head::BROKEN | Head::TOO_LARGE } else { Head::BROKEN });
                tracing::debug!(%error, "the codec rejected what the peer of a session sent");
                Poll::Ready(Err(Error::Codec(error)))
            }
            Taken::BadCodec { took, of } => {
                self.drop_rest();
                tracing::error!(
                    codec = std::any::type_name::<C>(),
                    took,
                    of,
                    "closing: the codec took no bytes, or more than there were; this is a bug in the codec"
                );
                self.core.ask_close(token, Flags::CLOSE_FLUSHED, CloseReason::Codec);
                Poll::Pending
            }
            Taken::NotNow => {
                self.head.set(Head::NEXT);
                self.head.note_waker(cx.waker(), self.number);
                Poll::Pending
            }
        }
    }

    /// Forgets bytes that have no meaning any more.
    fn drop_rest(&mut self) {
        if let Some(input) = &mut self.input {
            input.consumed = input.bytes.len();
        }
        if let Some(carry) = self.core.slab.get_mut(self.place.token).and_then(|connection| connection.carry.take()) {
            self.core.pools.return_carry(carry);
        }
    }

    /// Takes a message from what was received while the session did not wait for one.
    #[cold]
    fn take_from_carry<C: Codec, R>(&mut self, take: &mut impl FnMut(C::Message<'_>) -> R) -> Taken<R, C::Error> {
        if self.head.has(Head::END | Head::BROKEN | Head::CLOSING) {
            return Taken::End;
        }
        let token = self.place.token;
        let Some((codec, state)) = self.codec.get::<C>() else { wrong_session() };
        let Some(connection) = self.core.slab.get_mut(token) else { return Taken::NotNow };
        if !connection.has_more_to_decode() {
            return Taken::Nothing;
        }
        if connection.flags.has(Flags::CHOKED) || connection.share.is_spent(self.core.turn) {
            return Taken::NotNow;
        }
        let Some(mut carry) = connection.carry.take() else { return Taken::Nothing };
        let (taken, messages, work) = decode_carry(&mut carry, codec, state, self.core.limits.carry, false, take);
        if carry.is_empty() {
            self.core.pools.return_carry(carry);
        } else {
            self.core.put_carry(token, carry);
        }
        self.core.count_decoded(token, messages, work);
        taken
    }

    /// Waits until the outbox has room.
    pub(super) fn poll_room(&mut self, cx: &TaskContext<'_>) -> Poll<Result> {
        let Some(connection) = self.core.slab.get(self.place.token).filter(|connection| connection.takes_output())
        else {
            return Poll::Ready(Err(Error::Closed));
        };
        if !connection.flags.has(Flags::OVER_HIGH) {
            return Poll::Ready(Ok(()));
        }
        self.head.set(Head::ROOM);
        self.head.note_waker(cx.waker(), self.number);
        Poll::Pending
    }

    /// Waits until the kernel has taken everything.
    pub(super) fn poll_flushed(&mut self, cx: &TaskContext<'_>) -> Poll<Result> {
        let Some(connection) = self.core.slab.get_mut(self.place.token).filter(|connection| connection.takes_output())
        else {
            return Poll::Ready(Err(Error::Closed));
        };
        if connection.outbox_len() == 0 {
            return Poll::Ready(Ok(()));
        }
        connection.flags.set(Flags::FLUSHES);
        self.core.mark(self.place.token);
        self.head.set(Head::ROOM);
        self.head.note_waker(cx.waker(), self.number);
        Poll::Pending
    }

    /// Sets a timer of the session, and says its number; `None` where it has too many.
    pub(super) fn set_timer(&mut self, after_ms: u32) -> Option<u32> {
        let id = self.head.set_timer(self.core.now.after(after_ms))?;
        arm(self.core, self.place.token, self.head);
        Some(id)
    }
}

/// Sets the timer of a connection to the earliest of its session's timers.
pub(super) fn arm(core: &mut Core, token: Token, head: &Head) {
    let Some(due) = head.next_timer() else { return };
    let Some(connection) = core.slab.get_mut(token) else { return };
    connection.flags.set(Flags::TIMER);
    (connection.user_deadline, connection.user_fraction) = (due, Fraction::NONE);
    core.due(token, due);
}

/// The moment that a connection's timer was set to.
pub(super) fn armed(core: &Core, token: Token) -> Tick {
    core.slab.get(token).map_or(core.now, |connection| connection.user_deadline)
}

/// Ends a session that uses what belongs to another one.
#[cold]
pub(super) fn wrong_session() -> ! {
    panic!("a connection is used by its own session only, while that is polled: hand values over by a channel")
}
