//! Strings combined bit by bit.

use super::{edit, string};
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::store::entry::New;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn parse(call: &Call<'_, '_, '_>) -> Result<Self, Error> {
        let known = [("and", Self::And), ("or", Self::Or), ("xor", Self::Xor), ("not", Self::Not)];
        let operation = known.into_iter().find(|(name, _)| call.is(1, name)).ok_or(Error::SYNTAX)?.1;
        if operation == Self::Not && call.args.len() != 4 {
            return Err(Error::new("ERR BITOP NOT must be called with a single source key."));
        }
        Ok(operation)
    }

    /// Combines what there is so far with another string, behind whose end are zeros.
    fn apply(self, sum: &mut [u8], other: &[u8]) {
        let (both, tail) = sum.split_at_mut(other.len());
        let bytes = both.iter_mut().zip(other);
        match self {
            Self::And => {
                bytes.for_each(|(sum, other)| *sum &= other);
                tail.fill(0);
            }
            Self::Or => bytes.for_each(|(sum, other)| *sum |= other),
            Self::Xor => bytes.for_each(|(sum, other)| *sum ^= other),
            Self::Not => {}
        }
    }
}

pub(super) fn bitop(call: &mut Call<'_, '_, '_>) -> Outcome {
    let operation = Operation::parse(call)?;
    let (target, sources) = (call.key(2), 3..call.args.len());
    let mut len = 0;
    for source in sources.clone() {
        len = string(call, call.key(source))?.unwrap_or_default().len().max(len);
    }
    // A string of zeros at first, with what the first one is put over it.
    let mut sum = vec![0; len];
    call.count_bytes(len.saturating_mul(sources.len()));
    for source in sources.clone() {
        let bytes = string(call, call.key(source))?.unwrap_or_default();
        match source == sources.start {
            true => sum[..bytes.len()].copy_from_slice(bytes),
            false => operation.apply(&mut sum, bytes),
        }
    }
    if operation == Operation::Not {
        sum.iter_mut().for_each(|byte| *byte = !*byte);
    }
    if len == 0 {
        call.remove(target);
    } else {
        let slot = call.set(target, New::Bytes(b""));
        call.space(target).set_deadline(slot, None);
        edit(call, target, len, |bytes| (bytes.copy_from_slice(&sum), true))?;
    }
    call.reply.integer(len as i64);
    Ok(())
}
