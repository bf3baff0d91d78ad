//! Takes messages from what was received: from the bytes of the poll, and from those that were kept.

use std::error::Error as StdError;

use gannet_proto::{Codec, Decoded, FrameError};

use crate::carry::Carry;
use crate::core::Core;
use crate::ids::Token;
use crate::service::Input;
use crate::share::MESSAGE_BYTES;

/// Bytes of a carry that are decoded at a time, as in the host: a codec without framing makes one message of them.
const WINDOW_BYTES: usize = 64 * 1024;

/// What was found where a message was wanted.
pub(super) enum Taken<R, E> {
    Message(R),
    /// No whole message is there.
    Nothing,
    /// The connection had its share of the turn, or reading waits for its outbox.
    NotNow,
    /// Nothing more comes.
    End,
    /// Nothing more comes, and what is there is no message.
    CutOff(E),
    /// The bytes cannot be accepted.
    Refused(E),
    /// The codec claims to have taken so many of so many bytes.
    BadCodec {
        took: usize,
        of: usize,
    },
}

/// Decodes a message and gives it to `take`.
#[inline]
pub(super) fn decode<C: Codec, R>(
    input: &mut Input<'_>,
    codec: &C,
    state: &mut C::State,
    limit: usize,
    take: &mut impl FnMut(C::Message<'_>) -> R,
) -> Taken<R, C::Error> {
    loop {
        let of = input.bytes.len() - input.consumed;
        if input.is_spent() {
            return Taken::NotNow;
        }
        if of == 0 {
            return if input.at_end { Taken::End } else { Taken::Nothing };
        }
        let need = match codec.decode(state, &mut input.bytes[input.consumed..]) {
            Ok(Decoded::Message { consumed: took, .. } | Decoded::Taken { consumed: took })
                if took == 0 || took > of =>
            {
                return Taken::BadCodec { took, of };
            }
            Ok(Decoded::Message { message, consumed }) => {
                let result = take(message);
                input.consumed += consumed;
                input.work += MESSAGE_BYTES + consumed;
                input.messages += 1;
                return Taken::Message(result);
            }
            Ok(Decoded::Taken { consumed }) => {
                input.consumed += consumed;
                input.work += MESSAGE_BYTES + consumed;
                continue;
            }
            Ok(Decoded::Partial { need }) => need.max(of + 1),
            Ok(_) => return Taken::BadCodec { took: 0, of },
            Err(error) => return Taken::Refused(error),
        };
        if need > limit {
            let error = FrameError::TooLarge { length: need as u64, limit };
            return Taken::Refused(error.into());
        }
        if input.at_end {
            return finish(input, codec, state, take);
        }
        input.need = need;
        return Taken::Nothing;
    }
}

/// Decodes what the peer ended its stream with.
#[cold]
fn finish<C: Codec, R>(
    input: &mut Input<'_>,
    codec: &C,
    state: &mut C::State,
    take: &mut impl FnMut(C::Message<'_>) -> R,
) -> Taken<R, C::Error> {
    let taken = match codec.finish(state, &mut input.bytes[input.consumed..]) {
        Ok(Some(message)) => {
            let result = take(message);
            input.messages += 1;
            Taken::Message(result)
        }
        Ok(None) => Taken::End,
        Err(error) => Taken::CutOff(error),
    };
    input.consumed = input.bytes.len();
    taken
}

/// Decodes the first message of a carry; also says what that counts.
pub(super) fn decode_carry<C: Codec, R>(
    carry: &mut Carry,
    codec: &C,
    state: &mut C::State,
    limit: usize,
    at_end: bool,
    take: &mut impl FnMut(C::Message<'_>) -> R,
) -> (Taken<R, C::Error>, u64, usize) {
    let mut window = WINDOW_BYTES;
    loop {
        let (length, end) = (carry.len(), carry.len().min(window));
        let mut input = Input::new(&mut carry[..end], usize::MAX, at_end && end == length);
        let taken = decode(&mut input, codec, state, limit, take);
        let Input { consumed, need, messages, work, .. } = input;
        carry.consume(consumed);
        if matches!(taken, Taken::Nothing) && need <= length - consumed && end < length {
            window = need.max(2 * window);
            continue;
        }
        carry.need = need;
        return (taken, messages, work);
    }
}

/// What was found of an outbound connection.
pub(super) enum Found<R> {
    Message(R),
    /// No whole message is there.
    Nothing,
    /// The connection had its share of the turn.
    NotNow,
    End,
    Refused(Box<dyn StdError>),
}

/// Takes a message from what was received for an outbound connection.
pub(super) fn take_from<C: Codec, R>(
    core: &mut Core,
    token: Token,
    codec: &C,
    state: &mut C::State,
    take: &mut impl FnMut(C::Message<'_>) -> R,
) -> Found<R> {
    let Some(connection) = core.slab.get_mut(token) else { return Found::End };
    if !connection.has_more_to_decode() {
        return Found::Nothing;
    }
    if connection.share.is_spent(core.turn) {
        return Found::NotNow;
    }
    let Some(mut carry) = connection.carry.take() else { return Found::Nothing };
    let (taken, messages, work) = decode_carry(&mut carry, codec, state, core.limits.carry, false, take);
    if carry.is_empty() {
        core.pools.return_carry(carry);
    } else {
        core.put_carry(token, carry);
    }
    core.count_decoded(token, messages, work);
    taken.into()
}

/// Takes a message from what an outbound connection has left at the end of its stream.
#[cold]
pub(super) fn take_rest<C: Codec, R>(
    rest: &mut Carry,
    codec: &C,
    state: &mut C::State,
    take: &mut impl FnMut(C::Message<'_>) -> R,
) -> Found<R> {
    if rest.is_empty() {
        return Found::End;
    }
    match decode_carry(rest, codec, state, usize::MAX, true, take).0.into() {
        Found::Nothing | Found::NotNow => Found::End,
        found => found,
    }
}

impl<R, E: StdError + 'static> From<Taken<R, E>> for Found<R> {
    fn from(taken: Taken<R, E>) -> Self {
        match taken {
            Taken::Message(result) => Self::Message(result),
            Taken::Nothing => Self::Nothing,
            Taken::NotNow => Self::NotNow,
            Taken::End | Taken::CutOff(_) => Self::End,
            Taken::Refused(error) => Self::Refused(error.into()),
            Taken::BadCodec { took, of } => {
                Self::Refused(format!("the codec took {took} of {of} bytes; this is a bug in the codec").into())
            }
        }
    }
}
