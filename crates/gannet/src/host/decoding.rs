//! From received bytes to messages: the way of each chunk, and what ends it.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gannet_proto::{Codec, Decoded, FrameError};

use super::sessions::SessionAndState;
use super::{Host as _, HostOf};
use crate::close_reason::CloseReason;
use crate::connection::Flags;
use crate::context::Context;
use crate::core::Core;
use crate::ids::Token;
use crate::service::{CodecError, Input, Service};
use crate::share::MESSAGE_BYTES;

/// Why decoding cannot go on.
enum Stop<E> {
    /// The bytes cannot be accepted.
    Input(E),
    /// The codec claims to have taken so many of so many bytes.
    Codec { took: usize, of: usize },
}

impl<E> From<E> for Stop<E> {
    fn from(error: E) -> Self {
        Self::Input(error)
    }
}

/// Why a connection closes whose codec refused its bytes.
#[cold]
fn reason_of(error: &(dyn Error + 'static)) -> CloseReason {
    match FrameError::find(error) {
        Some(FrameError::TooLarge { .. }) => CloseReason::FrameTooLarge,
        _ => CloseReason::Protocol,
    }
}

/// Received bytes to be decoded.
pub(super) trait Received {
    fn bytes(&self) -> &[u8];

    /// The bytes, where they may be changed.
    fn bytes_mut(&mut self) -> Option<&mut [u8]>;

    /// Decodes a message that begins behind the first `from` bytes; `None` where the codec cannot do that with these.
    fn decode<'a, C: Codec>(&'a mut self, from: usize, codec: &C, state: &mut C::State) -> Option<Found<'a, C>>;
}

type Found<'a, C> = Result<Decoded<<C as Codec>::Message<'a>>, <C as Codec>::Error>;

impl Received for [u8] {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        Some(self)
    }

    #[inline]
    fn decode<'a, C: Codec>(&'a mut self, from: usize, codec: &C, state: &mut C::State) -> Option<Found<'a, C>> {
        Some(codec.decode(state, &mut self[from..]))
    }
}

/// Bytes that others may keep, and nobody changes.
pub(super) struct Shared<'s>(pub(super) &'s [u8]);

impl Received for Shared<'_> {
    fn bytes(&self) -> &[u8] {
        self.0
    }

    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        None
    }

    fn decode<'a, C: Codec>(&'a mut self, from: usize, codec: &C, state: &mut C::State) -> Option<Found<'a, C>> {
        codec.decode_shared(state, &self.0[from..])
    }
}

/// How far decoding came.
pub(super) struct Progress {
    pub(super) consumed: usize,
    /// Bytes that make another look worth while; 0 where decoding was stopped and more messages may be there.
    pub(super) need: usize,
}

/// What is done with bytes that were received.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// The service sees all of them ahead, then come as many messages as there are.
    Ahead,
    /// The service has seen them: as many messages come as there are.
    Again,
    /// One message comes, or nothing: most of them are of a message that was not complete, and is looked at once only.
    AtOne,
}

impl<S: Service> HostOf<S> {
    /// As [`decode_here`](Self::decode_here), in a function of its own.
    #[inline(never)]
    pub(super) fn decode(
        &mut self,
        core: &mut Core,
        token: Token,
        session: u32,
        input: &mut (impl Received + ?Sized),
        limits: (Look, usize),
    ) -> Progress {
        self.decode_here(core, token, session, input, limits)
    }

    /// Decodes and delivers as many messages as `input` holds, or until decoding has to stop: at the latest with the
    /// message that makes `most` bytes of work (`share.rs`), which is the first one where that is 0.
    #[inline(always)] // The way of each chunk.
    pub(super) fn decode_here(
        &mut self,
        core: &mut Core,
        token: Token,
        session: u32,
        input: &mut (impl Received + ?Sized),
        (look, most): (Look, usize),
    ) -> Progress {
        // Known when this is compiled, as it is below.
        if self.service.sequential().is_some() {
            // What could be kept has to be decoded without a change, and that a session cannot ask for.
            let Some(bytes) = input.bytes_mut() else { return Progress { consumed: 0, need: 0 } };
            let most_of_one = if look == Look::AtOne { MESSAGE_BYTES } else { usize::MAX };
            return self.pull(core, token, session, &mut Input::new(bytes, most, false), most_of_one);
        }
        let Some(SessionAndState { session, state }) = self.sessions.get_mut(session) else {
            return Progress { consumed: input.bytes().len(), need: 0 };
        };
        let (service, codec) = (&mut self.service, &self.codec);
        let length = input.bytes().len();
        let (mut consumed, mut messages, mut work) = (0, 0, 0);
        core.halt = false;
        let decoded = catch_unwind(AssertUnwindSafe(|| -> Result<usize, Stop<CodecError<S>>> {
            if look == Look::Ahead
                && let Some(prefetch) = service.prefetch()
            {
                prefetch.look_ahead(session, input.bytes());
                prefetch.fetch();
            }
            while consumed < length {
                let of = length - consumed;
                let Some(found) = input.decode(consumed, codec, state) else { return Ok(0) };
                match found? {
                    // One that takes nothing would be asked the same for ever.
                    Decoded::Message { consumed: took, .. } | Decoded::Taken { consumed: took }
                        if took == 0 || took > of =>
                    {
                        return Err(Stop::Codec { took, of });
                    }
                    Decoded::Message { message, consumed: length } => {
                        consumed += length;
                        messages += 1;
                        work += MESSAGE_BYTES + length;
                        service.message(session, message, &mut Context { core, codec, state, token });
                        if core.halt || work >= most {
                            return Ok(0);
                        }
                    }
                    Decoded::Taken { consumed: length } => {
                        consumed += length;
                        work += MESSAGE_BYTES + length;
                        if work >= most {
                            return Ok(0);
                        }
                    }
                    // It needs more than it has, whatever it says.
                    Decoded::Partial { need } => return Ok(need.max(of + 1)),
                    // A kind that this engine does not know.
                    _ => return Err(Stop::Codec { took: 0, of }),
                }
            }
            Ok(0)
        }));
        let Some(connection) = core.slab.get_mut(token) else { return Progress { consumed, need: 0 } };
        let tally = &core.tallies[usize::from(connection.service)];
        tally.messages_in.add(messages);
        // The bytes of one that is completed from a carry were counted as they came.
        connection.share.spend(core.turn, if look == Look::AtOne { work.min(MESSAGE_BYTES) } else { work });
        if messages > 0 {
            connection.flags.set(Flags::SPOKE);
        }
        match decoded {
            Ok(Ok(need)) if need <= core.limits.carry => Progress { consumed, need },
            Ok(Ok(need)) => {
                let error = FrameError::TooLarge { length: need as u64, limit: core.limits.carry };
                self.bad_input(core, token, error.into(), CloseReason::FrameTooLarge);
                Progress { consumed: length, need: 0 }
            }
            Ok(Err(Stop::Input(error))) => {
                let reason = reason_of(&error);
                self.bad_input(core, token, error, reason);
                Progress { consumed: length, need: 0 }
            }
            Ok(Err(Stop::Codec { took, of })) => {
                self.bad_codec(core, token, took, of);
                Progress { consumed: length, need: 0 }
            }
            Err(panic) => {
                self.panicked(core, token, &*panic);
                Progress { consumed: length, need: 0 }
            }
        }
    }

    /// Closes a connection whose peer sent what the codec cannot accept. What was answered before still leaves.
    #[cold]
    pub(super) fn bad_input(&mut self, core: &mut Core, token: Token, error: CodecError<S>, reason: CloseReason) {
        tracing::debug!(service = self.name(), peer = %core.peers.of(token), %error, "closing: the codec rejected what the peer sent");
        self.with_session(core, token, |service, session, cx| service.malformed(session, &error, cx));
        core.ask_close_for(token, Flags::CLOSE_FLUSHED, reason, error.into());
    }

    /// Closes a connection whose codec breaks its contract. What was answered before still leaves.
    #[cold]
    pub(super) fn bad_codec(&mut self, core: &mut Core, token: Token, took: usize, of: usize) {
        tracing::error!(
            service = self.name(),
            codec = std::any::type_name::<S::Codec>(),
            peer = %core.peers.of(token),
            took,
            of,
            "closing: the codec took no bytes, or more than there were; this is a bug in the codec"
        );
        core.ask_close(token, Flags::CLOSE_FLUSHED, CloseReason::Codec);
    }
}
