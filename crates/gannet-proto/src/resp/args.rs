//! The words of one command.

use std::ops::Deref;

use smallvec::SmallVec;

/// Holds the words of a command, its name first, borrowed from the received bytes.
///
/// It is empty if the client sent an empty line, `*0` or `*-1`: ignore such a command, and send no reply. Up to 8
/// words are held without an allocation.
///
/// ```
/// use gannet_proto::resp::Args;
///
/// let args: Args<'_> = [&b"SET"[..], b"key", b"value"].into_iter().collect();
/// assert!(matches!(*args, [b"SET", _, value] if value == b"value"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args<'a>(SmallVec<[&'a [u8]; 8]>);

impl<'a> Args<'a> {
    #[inline]
    pub(super) fn push(&mut self, word: &'a [u8]) {
        self.0.push(word);
    }
}

impl<'a> Deref for Args<'a> {
    type Target = [&'a [u8]];

    #[inline]
    fn deref(&self) -> &[&'a [u8]] {
        &self.0
    }
}

impl<'a> FromIterator<&'a [u8]> for Args<'a> {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(words: I) -> Self {
        Self(words.into_iter().collect())
    }
}
