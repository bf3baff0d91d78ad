//! What makes bytes no message.

use thiserror::Error;

use crate::{FrameError, length_prefixed};

/// Says why bytes are no message of the protocol.
///
/// A server closes the connection with [`DisconnectCode::BadRequest`](super::DisconnectCode::BadRequest) after any of
/// them. Positions count from the start of the message, not of the frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A message of a stream is over the limit, or not whole when the stream ended.
    #[error("{0}")]
    Frame(#[from] FrameError),

    /// The length in front of a Protobuf message is malformed.
    #[error("{0}")]
    Length(length_prefixed::Error),

    /// A frame has no message, or one of its lines has none.
    #[error("frame has no message, or an empty line between messages")]
    Empty,

    /// Text is not UTF-8: a JSON frame, or a string field in Protobuf.
    #[error("text is not UTF-8")]
    NotUtf8,

    /// A JSON text has something else where a part of it is needed.
    #[error("byte {at}: expected {expected}")]
    Json {
        /// Where, in bytes from the start of the message.
        at: usize,
        /// What has to be there.
        expected: &'static str,
    },

    /// Arrays and objects of a JSON text are nested too deeply.
    #[error("byte {at}: more than {limit} arrays and objects inside each other")]
    TooDeep {
        /// Where, in bytes from the start of the message.
        at: usize,
        /// How many may be inside each other.
        limit: usize,
    },

    /// A Protobuf message ends inside a field.
    #[error("byte {at}: the message ends inside a field")]
    Truncated {
        /// Where the field's value, or its key, begins.
        at: usize,
    },

    /// A Protobuf integer does not fit 64 bits.
    #[error("byte {at}: integer does not fit 64 bits")]
    Overflow {
        /// Where the integer begins.
        at: usize,
    },

    /// A Protobuf field has a number that fields cannot have.
    #[error("byte {at}: {number} is no number of a field")]
    FieldNumber {
        /// Where the field's key begins.
        at: usize,
        /// The number.
        number: u64,
    },

    /// A Protobuf field has another type than this field has, or a type that does not exist.
    #[error("byte {at}: field {number} has the wire type {wire_type}, which it cannot have")]
    WireType {
        /// Where the field's value begins.
        at: usize,
        /// The field's number.
        number: u32,
        /// Its type on the wire.
        wire_type: u8,
    },

    /// A command has several requests, a reply several results, or a push several events.
    #[error("`{field}` comes second, but a message has only one body")]
    Several {
        /// The name of the second one.
        field: &'static str,
    },

    /// A command has more entries in its maps than a client may send.
    #[error("maps and lists have more than {limit} entries")]
    TooMany {
        /// The number of entries that a command may have.
        limit: usize,
    },
}

impl From<length_prefixed::Error> for DecodeError {
    fn from(error: length_prefixed::Error) -> Self {
        match error {
            length_prefixed::Error::Frame(error) => Self::Frame(error),
            other => Self::Length(other),
        }
    }
}
