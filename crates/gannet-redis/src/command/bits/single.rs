//! One bit.

use super::{edit, offset, string};
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};

pub(super) fn setbit(call: &mut Call<'_, '_, '_>) -> Outcome {
    let at = offset(call, call.args[2], 1)?;
    let bit = match call.args[3] {
        b"0" => 0,
        b"1" => 1,
        _ => return Err(Error::new("ERR bit is not an integer or out of range")),
    };
    let (byte, shift) = (at / 8, 7 - at % 8);
    let old = edit(call, call.key(1), byte + 1, |bytes| {
        let old = bytes[byte] >> shift & 1;
        bytes[byte] = bytes[byte] & !(1 << shift) | bit << shift;
        (old, old != bit)
    })?;
    call.reply.integer(old.into());
    Ok(())
}

pub(super) fn getbit(call: &mut Call<'_, '_, '_>) -> Outcome {
    let at = offset(call, call.args[2], 1)?;
    let byte = string(call, call.key(1))?.and_then(|bytes| bytes.get(at / 8)).copied().unwrap_or(0);
    call.reply.integer((byte >> (7 - at % 8) & 1).into());
    Ok(())
}
