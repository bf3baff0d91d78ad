//! Messages as JSON: objects, each on a line of its own.
//!
//! # What is read
//!
//! Members that the protocol does not have are skipped. A member that comes again in the same object counts as the last
//! one; maps keep all their entries. `null` reads as if the member were missing, with two exceptions: it is an error as
//! a message (so is `null` in place of a command or of a request), and it is a value where the application's data is.
//! Strings are borrowed unless they have escapes; half a pair of surrogates is an error. Up to 512 arrays and objects
//! may be inside each other.
//!
//! # What is written
//!
//! Zero and empty values are left out, except those that clients count on: the user and client of a
//! [`ClientInfo`](super::ClientInfo), and what [`PresenceResult`](super::PresenceResult),
//! [`PresenceStatsResult`](super::PresenceStatsResult) and [`HistoryResult`](super::HistoryResult) have. Data of the
//! application is JSON text, and is embedded as it is but for its line breaks, CR and LF. The writer does not check
//! that it is JSON: see [`check`].

mod read;
mod scan;
mod write;

use std::marker::PhantomData;

use memchr::memchr;

use super::DecodeError;
use super::command::{Command, ConnectRequest, EmulationRequest};
use super::push::Push;
use super::reply::Reply;
use super::schema::{MAX_ENTRIES, Message};
use crate::Sink;
use scan::Scanner;

/// The ping of a server, and the client's answer: an empty message.
pub const PING: &[u8] = b"{}";

/// Reads the commands of a frame, in order. After an error nothing follows.
///
/// They are lines, of which the last may have an end. An empty frame is an error, and so is an empty line.
pub fn commands(frame: &[u8]) -> impl Iterator<Item = Result<Command<'_>, DecodeError>> {
    Messages::new(frame, MAX_ENTRIES)
}

/// Reads the replies of a frame, in order. After an error nothing follows.
///
/// They are lines, of which the last may have an end. An empty frame is an error, and so is an empty line.
pub fn replies(frame: &[u8]) -> impl Iterator<Item = Result<Reply<'_>, DecodeError>> {
    Messages::new(frame, usize::MAX)
}

/// Reads the bare pushes of a one-way transport's frame, in order. After an error nothing follows.
///
/// They are lines, of which the last may have an end. An empty frame is an error, and so is an empty line.
pub fn pushes(frame: &[u8]) -> impl Iterator<Item = Result<Push<'_>, DecodeError>> {
    Messages::new(frame, usize::MAX)
}

/// Reads the bare request to connect with which a one-way transport begins.
///
/// # Errors
///
/// The text is no such message.
pub fn connect_request(message: &[u8]) -> Result<ConnectRequest<'_>, DecodeError> {
    read::whole(text(message)?, MAX_ENTRIES)
}

/// Reads a request to pass commands on to a session.
///
/// # Errors
///
/// The text is no such message.
pub fn emulation_request(message: &[u8]) -> Result<EmulationRequest<'_>, DecodeError> {
    read::whole(text(message)?, MAX_ENTRIES)
}

/// Checks that data of the application can be embedded in a message: that it is one JSON value in UTF-8.
///
/// # Errors
///
/// It is not, or is nested too deeply.
pub fn check(data: &[u8]) -> Result<(), DecodeError> {
    let mut scanner = Scanner::new(text(data)?);
    scanner.value()?;
    scanner.end()
}

/// Writes a command, without a line break.
pub fn write_command(out: &mut impl Sink, command: &Command<'_>) {
    write::object(command, out);
}

/// Writes a reply, without a line break.
pub fn write_reply(out: &mut impl Sink, reply: &Reply<'_>) {
    write::object(reply, out);
}

/// Writes a bare push, without a line break, for one-way transports.
pub fn write_push(out: &mut impl Sink, push: &Push<'_>) {
    write::object(push, out);
}

/// Writes a bare request to connect, for one-way transports.
pub fn write_connect_request(out: &mut impl Sink, request: &ConnectRequest<'_>) {
    write::object(request, out);
}

/// Writes a request to pass commands on to a session. Commands that are not UTF-8 are written with replacement
/// characters.
pub fn write_emulation_request(out: &mut impl Sink, request: &EmulationRequest<'_>) {
    write::object(request, out);
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)
}

/// Reads the messages of a frame.
#[derive(Clone, Debug)]
pub(super) struct Messages<'a, M> {
    /// What is left, or why nothing can be read; nothing after the last one, or after an error.
    rest: Option<Result<&'a str, DecodeError>>,
    entries: usize,
    message: PhantomData<fn() -> M>,
}

impl<'a, M> Messages<'a, M> {
    pub(super) fn new(frame: &'a [u8], entries: usize) -> Self {
        Self { rest: Some(text(frame)), entries, message: PhantomData }
    }
}

impl<'a, M: Message<'a>> Iterator for Messages<'a, M> {
    type Item = Result<M, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = match self.rest.take()? {
            Ok(rest) => rest,
            Err(error) => return Some(Err(error)),
        };
        let (line, rest) = match memchr(b'\n', rest.as_bytes()) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, ""),
        };
        if line.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            return Some(Err(DecodeError::Empty));
        }
        Some(read::whole(line, self.entries).inspect(|_| {
            self.rest = (!rest.is_empty()).then_some(Ok(rest));
        }))
    }
}
