//! Frames as they are sent.

use super::frame::{Header, MAX_CONTROL};
use super::utf8::Utf8;
use super::{Close, Error, Opcode, mask};
use crate::Sink;

/// Bytes that are masked at a time, on the stack.
const MASKED_AT_ONCE: usize = 256;

/// Writes a message, or a control frame, as one frame whose payload is `parts` joined (RFC 6455 §5.2).
///
/// A server passes no `mask`. A client must pass a fresh one for each frame, which cannot be predicted (RFC 6455
/// §5.3).
///
/// # Errors
///
/// [`Error::PayloadTooLarge`]: a control frame has more than 125 bytes. [`Error::NotUtf8`]: a text is not UTF-8. The
/// content of a close frame or a continuation is not checked.
///
/// ```
/// use gannet_proto::ws::{Opcode, write_frame};
///
/// let mut out = Vec::new();
/// write_frame(&mut out, Opcode::Text, &[b"Hel", b"lo"], None)?;
/// assert_eq!(out, b"\x81\x05Hello");
/// # Ok::<(), gannet_proto::ws::Error>(())
/// ```
#[inline]
pub fn write_frame(out: &mut impl Sink, opcode: Opcode, parts: &[&[u8]], mask: Option<[u8; 4]>) -> Result<(), Error> {
    if opcode == Opcode::Text {
        check_text(parts)?;
    }
    put(out, Kind { last: true, compressed: false, opcode }, parts, mask)
}

/// Writes a fragment of a message: the first one with the message's opcode, those that follow with
/// [`Opcode::Continuation`], the last of them with `last` (RFC 6455 §5.4).
///
/// # Errors
///
/// [`Error::PayloadTooLarge`] for a control frame of more than 125 bytes. That text is UTF-8, and that a control frame is
/// no fragment, is not checked.
pub fn write_fragment(
    out: &mut impl Sink,
    opcode: Opcode,
    last: bool,
    parts: &[&[u8]],
    mask: Option<[u8; 4]>,
) -> Result<(), Error> {
    put(out, Kind { last, compressed: false, opcode }, parts, mask)
}

/// Holds the header of a server's frame. Use it to send a payload without copying it behind the header.
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader {
    bytes: [u8; 10],
    size: u8,
}

impl FrameHeader {
    /// Makes the header of one unmasked frame, which holds a whole message or control frame of `length` bytes.
    ///
    /// The caller makes sure that the payload of a control frame has at most 125 bytes.
    #[inline]
    #[must_use]
    pub fn new(opcode: Opcode, length: usize) -> Self {
        let (bytes, size) = Header::write(true, false, opcode, false, length);
        Self { bytes, size: size as u8 }
    }

    /// Returns the bytes of the header: 2, 4 or 10.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

/// Writes a text message. Cannot fail: `text` is UTF-8.
#[inline]
pub fn text(out: &mut impl Sink, text: &str, mask: Option<[u8; 4]>) {
    put_payload(
        out,
        Kind { last: true, compressed: false, opcode: Opcode::Text },
        &[text.as_bytes()],
        text.len(),
        mask,
    );
}

/// Writes a binary message.
#[inline]
pub fn binary(out: &mut impl Sink, bytes: &[u8], mask: Option<[u8; 4]>) {
    put_payload(out, Kind { last: true, compressed: false, opcode: Opcode::Binary }, &[bytes], bytes.len(), mask);
}

/// Writes a ping.
///
/// # Errors
///
/// [`Error::PayloadTooLarge`] for a payload of more than 125 bytes.
#[inline]
pub fn ping(out: &mut impl Sink, payload: &[u8], mask: Option<[u8; 4]>) -> Result<(), Error> {
    write_frame(out, Opcode::Ping, &[payload], mask)
}

/// Writes a pong, whose payload is that of the ping it answers.
///
/// # Errors
///
/// [`Error::PayloadTooLarge`] for a payload of more than 125 bytes.
#[inline]
pub fn pong(out: &mut impl Sink, payload: &[u8], mask: Option<[u8; 4]>) -> Result<(), Error> {
    write_frame(out, Opcode::Pong, &[payload], mask)
}

/// Writes a close frame, the last frame that may be sent.
///
/// # Errors
///
/// [`Error::PayloadTooLarge`] for a reason of more than 123 bytes.
pub fn close(out: &mut impl Sink, close: Option<Close<'_>>, mask: Option<[u8; 4]>) -> Result<(), Error> {
    match close {
        Some(Close { code, reason }) => {
            write_frame(out, Opcode::Close, &[&code.get().to_be_bytes(), reason.as_bytes()], mask)
        }
        None => write_frame(out, Opcode::Close, &[], mask),
    }
}

fn check_text(parts: &[&[u8]]) -> Result<(), Error> {
    let mut text = Utf8::default();
    parts.iter().try_for_each(|part| text.check(part)).and_then(|()| text.end()).map_err(|_| Error::NotUtf8)
}

/// What the first byte of a frame says.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub last: bool,
    pub compressed: bool,
    pub opcode: Opcode,
}

#[inline]
pub(super) fn put(out: &mut impl Sink, kind: Kind, parts: &[&[u8]], mask: Option<[u8; 4]>) -> Result<(), Error> {
    let length = parts.iter().fold(0_usize, |length, part| length.saturating_add(part.len()));
    let limit = if kind.opcode.is_control() { MAX_CONTROL as u64 } else { i64::MAX as u64 };
    if length as u64 > limit {
        return Err(Error::PayloadTooLarge { length, limit });
    }
    put_payload(out, kind, parts, length, mask);
    Ok(())
}

/// Writes a frame of `length` bytes, which the protocol can express.
#[inline]
pub(super) fn put_payload(
    out: &mut impl Sink,
    Kind { last, compressed, opcode }: Kind,
    parts: &[&[u8]],
    length: usize,
    mask: Option<[u8; 4]>,
) {
    let (header, size) = Header::write(last, compressed, opcode, mask.is_some(), length);
    out.reserve(length.saturating_add(size + 4));
    out.put(&header[..size]);
    let Some(mut key) = mask else {
        return parts.iter().for_each(|part| out.put(part));
    };
    out.put(&key);
    let mut masked = [0; MASKED_AT_ONCE];
    for piece in parts.iter().flat_map(|part| part.chunks(MASKED_AT_ONCE)) {
        let masked = &mut masked[..piece.len()];
        masked.copy_from_slice(piece);
        mask::apply(masked, key);
        out.put(masked);
        key = mask::advanced(key, piece.len());
    }
}
