//! Numbers among the words of a command.

use super::error::Error;
use crate::store::DATABASES;

pub use crate::decimal::integer;

/// A number of 32 bits.
///
/// # Errors
///
/// Redis's.
pub fn short(text: &[u8]) -> Result<i32, Error> {
    let number = integer(text).ok_or(Error::NOT_INTEGER)?;
    i32::try_from(number).map_err(|_| Error::NOT_32_BITS)
}

/// A number as that of a database.
///
/// # Errors
///
/// There is none.
pub fn database(number: i32) -> Result<u8, Error> {
    u8::try_from(number).ok().filter(|db| usize::from(*db) < DATABASES).ok_or(Error::DB_RANGE)
}
