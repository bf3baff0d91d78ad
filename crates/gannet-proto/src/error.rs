//! Faults that every framing has in common, whatever the protocol.

use std::error::Error;

use thiserror::Error;

/// Says what is wrong with a message as a piece of bytes, whatever the protocol.
///
/// Codecs have errors of their own, which hold one of these as their source. An engine makes them too, for its own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The message is larger than the codec, or the engine, accepts.
    #[error("message of at least {length} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The size of the message in bytes: the whole size if the protocol says it in advance, and
        /// otherwise the part that has been seen so far.
        length: u64,
        /// The limit in bytes.
        limit: usize,
    },

    /// The stream ended in the middle of a message.
    #[error("stream ended inside a message, {have} bytes after its start")]
    Truncated {
        /// How many bytes of the unfinished message had arrived.
        have: usize,
    },

    /// Plain bytes were to be sent, but the protocol has no message that they could stand for.
    #[error("the codec has no message for plain bytes: send one of its own messages")]
    NoPayload,
}

impl FrameError {
    /// Finds the frame error that `error` is, or that is in its chain of sources.
    ///
    /// ```
    /// use gannet_proto::{FrameError, lines};
    ///
    /// let error = lines::Error::from(FrameError::TooLarge { length: 5, limit: 4 });
    /// assert_eq!(FrameError::find(&error), Some(&FrameError::TooLarge { length: 5, limit: 4 }));
    /// assert_eq!(FrameError::find(&lines::Error::LineBreak { position: 0 }), None);
    /// ```
    #[must_use]
    pub fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}
