//! The header of variable size.

use super::Error;
use super::header::{Header, Layout, Prefix};
use crate::Sink;

/// Ten groups of seven bits hold the 64 bits of the largest length.
pub(super) const MAX_SIZE: usize = 10;

/// Set in every byte but the last.
const MORE: u8 = 0x80;

/// Unsigned LEB128, as Protocol Buffers write their lengths: seven bits in each byte, the least
/// significant first, and the high bit set in every byte but the last. One to ten bytes.
///
/// Each length has one legal encoding. Refused are
///
/// - overlong ones, whose last byte is `0x00` although it is not the only one, as in `0x80 0x00`
///   for 0: [`Error::OverlongLength`];
/// - those that do not fit 64 bits, whose tenth byte is more than `0x01`, a tenth byte that
///   announces an eleventh included: [`Error::OverflowingLength`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Varint {}

impl Header for Varint {}

impl Layout for Varint {
    const LARGEST: u64 = u64::MAX;
    const MAX_SIZE: usize = MAX_SIZE;

    #[inline]
    fn read(input: &[u8]) -> Result<Prefix, Error> {
        match input {
            [] => Ok(Prefix::Partial { need: 1 }),
            [only, ..] if *only < MORE => Ok(Prefix::Whole { length: u64::from(*only), size: 1 }),
            _ => read_long(input),
        }
    }

    #[inline]
    fn write(mut length: u64, out: &mut impl Sink) {
        let mut bytes = [0; MAX_SIZE];
        let mut last = 0;
        while length >= u64::from(MORE) {
            bytes[last] = length as u8 | MORE;
            length >>= 7;
            last += 1;
        }
        bytes[last] = length as u8;
        out.put(&bytes[..=last]);
    }
}

/// Reads a header whose first byte announces a second.
fn read_long(input: &[u8]) -> Result<Prefix, Error> {
    let mut length = 0;
    for (index, &byte) in input.iter().take(MAX_SIZE).enumerate() {
        // Nine bytes hold 63 bits, so the tenth can add one bit and cannot be followed.
        if index == MAX_SIZE - 1 && byte > 1 {
            return Err(Error::OverflowingLength { last: byte });
        }
        length |= u64::from(byte & !MORE) << (7 * index);
        if byte < MORE {
            let size = index + 1;
            if byte == 0 {
                return Err(Error::OverlongLength { bytes: size });
            }
            return Ok(Prefix::Whole { length, size });
        }
    }
    Ok(Prefix::Partial { need: input.len() + 1 })
}
