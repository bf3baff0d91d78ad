//! Messages as Protobuf, each with its length in front as a varint.
//!
//! Fields that the protocol does not have are skipped; groups are refused. A field that comes again counts as the last
//! one, and a message in it adds to the first, as the format has it. Bytes of the application are sent as they are.

mod read;
mod write;

use std::marker::PhantomData;

use super::DecodeError;
use super::command::{Command, ConnectRequest, EmulationRequest};
use super::push::Push;
use super::reply::Reply;
use super::schema::{MAX_ENTRIES, Message};
use crate::{Codec, Decoded, FrameError, LengthPrefixed, Sink};

/// The ping of a server, and the client's answer: an empty message.
pub const PING: &[u8] = b"\0";

/// Reads the commands of a frame, in order. After an error nothing follows.
///
/// An empty frame is an error.
pub fn commands(frame: &[u8]) -> impl Iterator<Item = Result<Command<'_>, DecodeError>> {
    Messages::new(frame, MAX_ENTRIES)
}

/// Reads the replies of a frame, in order. After an error nothing follows.
///
/// An empty frame is an error.
pub fn replies(frame: &[u8]) -> impl Iterator<Item = Result<Reply<'_>, DecodeError>> {
    Messages::new(frame, usize::MAX)
}

/// Reads the bare pushes of a one-way transport's frame, in order. After an error nothing follows.
///
/// An empty frame is an error.
pub fn pushes(frame: &[u8]) -> impl Iterator<Item = Result<Push<'_>, DecodeError>> {
    Messages::new(frame, usize::MAX)
}

/// Reads the bare request to connect with which a one-way transport begins. It has no length in front.
///
/// # Errors
///
/// The bytes are no such message.
pub fn connect_request(message: &[u8]) -> Result<ConnectRequest<'_>, DecodeError> {
    read::bare(message, MAX_ENTRIES)
}

/// Reads a request to pass commands on to a session. It has no length in front.
///
/// # Errors
///
/// The bytes are no such message.
pub fn emulation_request(message: &[u8]) -> Result<EmulationRequest<'_>, DecodeError> {
    read::bare(message, MAX_ENTRIES)
}

/// Writes a command, with its length in front.
pub fn write_command(out: &mut impl Sink, command: &Command<'_>) {
    write::framed(command, out);
}

/// Writes a reply, with its length in front.
pub fn write_reply(out: &mut impl Sink, reply: &Reply<'_>) {
    write::framed(reply, out);
}

/// Writes a bare push, with its length in front, for one-way transports.
pub fn write_push(out: &mut impl Sink, push: &Push<'_>) {
    write::framed(push, out);
}

/// Writes a bare request to connect, without a length in front, for one-way transports.
pub fn write_connect_request(out: &mut impl Sink, request: &ConnectRequest<'_>) {
    write::bare(request, out);
}

/// Writes a request to pass commands on to a session, without a length in front.
pub fn write_emulation_request(out: &mut impl Sink, request: &EmulationRequest<'_>) {
    write::bare(request, out);
}

/// Splits a frame behind its first message, which is returned without its length.
fn split(frame: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    if frame.is_empty() {
        return Err(DecodeError::Empty);
    }
    // The frame is here already, so its size is the limit.
    let lengths = LengthPrefixed::varint().limit(frame.len());
    match lengths.decode_shared(&mut (), frame).transpose()? {
        Some(Decoded::Message { message, consumed }) => Ok((message, &frame[consumed..])),
        _ => Err(FrameError::Truncated { have: frame.len() }.into()),
    }
}

/// Reads a message without a length in front, for streams.
pub(super) fn read_bare<'a, M: Message<'a>>(message: &'a [u8], entries: usize) -> Result<M, DecodeError> {
    read::bare(message, entries)
}

/// Reads the messages of a frame.
#[derive(Clone, Debug)]
pub(super) struct Messages<'a, M> {
    /// What is left; nothing after the last one, or after an error.
    rest: Option<&'a [u8]>,
    entries: usize,
    message: PhantomData<fn() -> M>,
}

impl<'a, M> Messages<'a, M> {
    pub(super) fn new(frame: &'a [u8], entries: usize) -> Self {
        Self { rest: Some(frame), entries, message: PhantomData }
    }
}

impl<'a, M: Message<'a>> Iterator for Messages<'a, M> {
    type Item = Result<M, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let read = split(rest).and_then(|(message, rest)| Ok((read::bare(message, self.entries)?, rest)));
        Some(read.map(|(message, rest)| {
            self.rest = (!rest.is_empty()).then_some(rest);
            message
        }))
    }
}
