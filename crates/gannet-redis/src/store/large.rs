//! Strings that have memory of their own.

use std::ops::Deref;

use bytes::Bytes;

use super::held::{Lease, Weigh};

/// A large string: bytes of the store's own, or those in which a client sent it.
#[derive(Clone, Debug)]
pub enum Large {
    /// In memory that can be edited, and may have room to grow.
    Own(Vec<u8>),
    /// As it was received; to be copied before it is edited.
    Received(Bytes),
}

impl Large {
    /// The string to be edited.
    pub fn to_mut(&mut self) -> &mut Vec<u8> {
        if let Self::Received(bytes) = self {
            *self = Self::Own(bytes.to_vec());
        }
        match self {
            Self::Own(bytes) => bytes,
            Self::Received(_) => unreachable!("it was copied just now"),
        }
    }
}

impl Deref for Large {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Received(bytes) => bytes,
        }
    }
}

impl Weigh for Large {
    fn bytes(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.capacity(),
            // What is around it in the message is less than a seventh, and mostly some bytes.
            Self::Received(bytes) => bytes.len(),
        }
    }
}

impl AsRef<[u8]> for Lease<Large> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_was_received_is_edited_in_a_copy() {
        let received = Bytes::from_static(b"received");
        let mut large = Large::Received(received.clone());
        let other = large.clone();
        large.to_mut()[0] = b'R';
        assert_eq!((&large[..], &other[..], &received[..]), (&b"Received"[..], &b"received"[..], &b"received"[..]));
        assert!(matches!(large, Large::Own(_)));
    }
}
