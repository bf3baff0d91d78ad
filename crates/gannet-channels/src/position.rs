//! Where a channel's stream of publications stands: offset and epoch.

use std::fmt;
use std::str::FromStr;

/// Digits of the part that names the space; 36^8 values.
const SPACE_DIGITS: usize = 8;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Names one life of a channel's stream; offsets of different epochs do not compare.
///
/// A short text of lower-case letters and digits: eight of them name the space (one run of the server), the rest counts.
/// [`Epoch::NONE`], which channels without history have, is the empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch {
    /// Drawn from the seed of the space; below 36^8.
    space: u64,
    /// Counts the streams of one shard from 1; zero is no epoch.
    number: u64,
}

impl Epoch {
    /// The epoch of channels without history: an empty text.
    pub const NONE: Epoch = Epoch { space: 0, number: 0 };

    pub(crate) fn new(seed: u64, number: u64) -> Self {
        Self { space: seed % 36u64.pow(SPACE_DIGITS as u32), number }
    }

    /// Returns whether this is [`Epoch::NONE`].
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.number == 0
    }

    /// The count of the stream, if both epochs are of the same space.
    pub(crate) fn number_beside(&self, other: &Epoch) -> Option<u64> {
        (self.space == other.space && !self.is_none() && !other.is_none()).then_some(self.number)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return Ok(());
        }
        // Eight digits and at most the 13 of a u64.
        let mut text = [b'0'; SPACE_DIGITS + 13];
        let mut space = self.space;
        for digit in text[..SPACE_DIGITS].iter_mut().rev() {
            *digit = DIGITS[(space % 36) as usize];
            space /= 36;
        }
        let (mut number, mut end) = (self.number, SPACE_DIGITS);
        while number > 0 {
            text[end] = DIGITS[(number % 36) as usize];
            number /= 36;
            end += 1;
        }
        text[SPACE_DIGITS..end].reverse();
        f.write_str(std::str::from_utf8(&text[..end]).map_err(|_| fmt::Error)?)
    }
}

/// The text is not an epoch of a channel space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an epoch of a channel space")]
pub struct EpochError;

impl FromStr for Epoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, EpochError> {
        if text.is_empty() {
            return Ok(Epoch::NONE);
        }
        let digits = |text: &[u8]| {
            text.iter().try_fold(0u64, |value, byte| {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'z' => byte - b'a' + 10,
                    _ => return Err(EpochError),
                };
                value.checked_mul(36).and_then(|value| value.checked_add(digit.into())).ok_or(EpochError)
            })
        };
        let (space, number) = text.as_bytes().split_at_checked(SPACE_DIGITS).ok_or(EpochError)?;
        if number.first().is_none_or(|first| *first == b'0') {
            return Err(EpochError);
        }
        Ok(Self { space: digits(space)?, number: digits(number)? })
    }
}

impl PartialEq<str> for Epoch {
    fn eq(&self, text: &str) -> bool {
        text.parse() == Ok(*self)
    }
}

impl PartialEq<&str> for Epoch {
    fn eq(&self, text: &&str) -> bool {
        *self == **text
    }
}

/// Where a stream stands: the offset of its newest publication, and its epoch.
///
/// Offset 0 is a stream without a publication so far, or a channel without history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The offset of the newest publication.
    pub offset: u64,
    /// The life of the stream that the offset belongs to.
    pub epoch: Epoch,
}

/// The position up to which a client has seen a stream, as the client states it.
///
/// The epoch is the client's text: an empty one matches every stream, a malformed one none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// The offset of the last publication that the client has seen.
    pub offset: u64,
    /// The epoch that the client was told.
    pub epoch: Box<str>,
}

impl Since {
    /// Makes a position from its two parts.
    #[must_use]
    pub fn new(offset: u64, epoch: impl Into<Box<str>>) -> Self {
        Self { offset, epoch: epoch.into() }
    }
}

impl From<Position> for Since {
    fn from(position: Position) -> Self {
        Self { offset: position.offset, epoch: position.epoch.to_string().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_epoch_is_read_back_from_its_text(seed: u64, number in 1u64..) {
            let epoch = Epoch::new(seed, number);
            let text = epoch.to_string();
            prop_assert_eq!(text.parse::<Epoch>(), Ok(epoch));
            prop_assert!(epoch == *text.as_str());
        }

        #[test]
        fn no_other_text_equals_an_epoch(text: String) {
            prop_assume!(text != "00000000z");
            prop_assert!(Epoch::new(0, 35) != *text.as_str());
        }
    }

    #[test]
    fn channels_without_history_have_the_empty_epoch() {
        assert_eq!(Epoch::NONE.to_string(), "");
        assert_eq!("".parse(), Ok(Epoch::NONE));
    }

    #[test]
    fn a_text_with_leading_zeros_in_its_count_is_not_an_epoch() {
        assert_eq!("000000000".parse::<Epoch>(), Err(EpochError));
        assert_eq!("0000000001".parse::<Epoch>(), Err(EpochError));
        assert_eq!("00000000".parse::<Epoch>(), Err(EpochError));
    }
}
