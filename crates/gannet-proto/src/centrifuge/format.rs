//! The choice of a format at run time.

use super::DecodeError;
use super::command::{Command, ConnectRequest, EmulationRequest};
use super::push::Push;
use super::reply::Reply;
use super::schema::{MAX_ENTRIES, Message};
use super::{json, protobuf};
use crate::Sink;

/// How a client's messages are written: chooses between [`json`] and [`protobuf`] at run time.
///
/// ```
/// use gannet_proto::centrifuge::{ErrorCode, Format, Reply, ReplyBody};
///
/// let mut frame = Vec::new();
/// for id in [1, 2] {
///     let reply = Reply { id, body: ReplyBody::Error(ErrorCode::NotAvailable.into()) };
///     Format::Json.join_reply(&mut frame, &reply);
/// }
/// assert_eq!(frame, br#"{"id":1,"error":{"code":108,"message":"not available"}}
/// {"id":2,"error":{"code":108,"message":"not available"}}"#);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Lines of JSON, in text frames.
    #[default]
    Json,
    /// Protobuf messages with their length in front, in binary frames.
    Protobuf,
}

impl Format {
    /// Returns the ping of a server, which is also the client's answer.
    #[must_use]
    pub const fn ping(self) -> &'static [u8] {
        match self {
            Self::Json => json::PING,
            Self::Protobuf => protobuf::PING,
        }
    }

    /// Returns what stands between two messages of a frame: a line break in JSON, nothing in Protobuf.
    #[must_use]
    pub const fn separator(self) -> &'static [u8] {
        match self {
            Self::Json => b"\n",
            Self::Protobuf => b"",
        }
    }

    /// Reads the commands of a frame, in order. After an error nothing follows.
    ///
    /// An empty frame is an error.
    pub fn commands(self, frame: &[u8]) -> impl Iterator<Item = Result<Command<'_>, DecodeError>> {
        Messages::new(self, frame, MAX_ENTRIES)
    }

    /// Reads the replies of a frame, in order. After an error nothing follows.
    ///
    /// An empty frame is an error.
    pub fn replies(self, frame: &[u8]) -> impl Iterator<Item = Result<Reply<'_>, DecodeError>> {
        Messages::new(self, frame, usize::MAX)
    }

    /// Reads the bare pushes of a one-way transport's frame, in order. After an error nothing follows.
    ///
    /// An empty frame is an error.
    pub fn pushes(self, frame: &[u8]) -> impl Iterator<Item = Result<Push<'_>, DecodeError>> {
        Messages::new(self, frame, usize::MAX)
    }

    /// Reads the bare request to connect with which a one-way transport begins. It has no length in front.
    ///
    /// # Errors
    ///
    /// The bytes are no such message.
    pub fn connect_request(self, message: &[u8]) -> Result<ConnectRequest<'_>, DecodeError> {
        match self {
            Self::Json => json::connect_request(message),
            Self::Protobuf => protobuf::connect_request(message),
        }
    }

    /// Reads a request to pass commands on to a session. It has no length in front.
    ///
    /// # Errors
    ///
    /// The bytes are no such message.
    pub fn emulation_request(self, message: &[u8]) -> Result<EmulationRequest<'_>, DecodeError> {
        match self {
            Self::Json => json::emulation_request(message),
            Self::Protobuf => protobuf::emulation_request(message),
        }
    }

    /// Writes a command: in JSON without a line break, in Protobuf with its length in front.
    pub fn write_command(self, out: &mut impl Sink, command: &Command<'_>) {
        match self {
            Self::Json => json::write_command(out, command),
            Self::Protobuf => protobuf::write_command(out, command),
        }
    }

    /// Writes a reply: in JSON without a line break, in Protobuf with its length in front.
    pub fn write_reply(self, out: &mut impl Sink, reply: &Reply<'_>) {
        match self {
            Self::Json => json::write_reply(out, reply),
            Self::Protobuf => protobuf::write_reply(out, reply),
        }
    }

    /// Writes a reply to the end of a frame, behind the [`separator`](Self::separator) if the frame has messages
    /// already.
    pub fn join_reply(self, frame: &mut Vec<u8>, reply: &Reply<'_>) {
        if !frame.is_empty() {
            frame.extend_from_slice(self.separator());
        }
        self.write_reply(frame, reply);
    }

    /// Writes a bare push for one-way transports: in JSON without a line break, in Protobuf with its length in front.
    pub fn write_push(self, out: &mut impl Sink, push: &Push<'_>) {
        match self {
            Self::Json => json::write_push(out, push),
            Self::Protobuf => protobuf::write_push(out, push),
        }
    }

    /// Writes a bare request to connect, without a length in front, for one-way transports.
    pub fn write_connect_request(self, out: &mut impl Sink, request: &ConnectRequest<'_>) {
        match self {
            Self::Json => json::write_connect_request(out, request),
            Self::Protobuf => protobuf::write_connect_request(out, request),
        }
    }

    /// Writes a request to pass commands on to a session, without a length in front.
    pub fn write_emulation_request(self, out: &mut impl Sink, request: &EmulationRequest<'_>) {
        match self {
            Self::Json => json::write_emulation_request(out, request),
            Self::Protobuf => protobuf::write_emulation_request(out, request),
        }
    }
}

/// Reads the messages of a frame.
#[derive(Clone, Debug)]
enum Messages<'a, M> {
    Json(json::Messages<'a, M>),
    Protobuf(protobuf::Messages<'a, M>),
}

impl<'a, M> Messages<'a, M> {
    fn new(format: Format, frame: &'a [u8], entries: usize) -> Self {
        match format {
            Format::Json => Self::Json(json::Messages::new(frame, entries)),
            Format::Protobuf => Self::Protobuf(protobuf::Messages::new(frame, entries)),
        }
    }
}

impl<'a, M: Message<'a>> Iterator for Messages<'a, M> {
    type Item = Result<M, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Json(messages) => messages.next(),
            Self::Protobuf(messages) => messages.next(),
        }
    }
}
