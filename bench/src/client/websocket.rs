//! WebSocket as a client speaks it: the opening handshake, and frames written down beforehand. All have one mask: what
//! unmasking costs does not depend on it.

use std::io;

use super::broadcast::Form;
use super::http::Head;
use super::idle::Exchange;
use super::taped::wrong;
use crate::floor::broadcast::PAYLOAD;
use crate::tape::Tape;
use crate::wire::Letters;

/// Different messages before the first comes again.
const MESSAGES: usize = 1_024;
/// The head of a text in one frame (RFC 6455 §5.2).
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
/// The largest payload whose length is in the frame's second byte.
pub const LONGEST: usize = 125;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// Key and answer of RFC 6455 §1.3.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The opening handshake.
pub fn handshake(port: u16) -> io::Result<Exchange> {
    let head = Head::learn(&mut super::connect(port)?, REQUEST, 101)?;
    if !String::from_utf8_lossy(&head.bytes).contains(ACCEPT) {
        return Err(wrong(&head.bytes));
    }
    Ok(Exchange { requests: Tape::of(REQUEST), replies: Tape::of(&head.bytes).varying(head.date) })
}

/// Texts of so many bytes, at most [`LONGEST`], and their echoes.
pub fn echo(size: usize) -> Exchange {
    let letters = Letters::new();
    Exchange {
        requests: Tape::new(0..MESSAGES, |message, out| masked(letters.value(message, size), out)),
        replies: Tape::new(0..MESSAGES, |message, out| plain(letters.value(message, size), out)),
    }
}

/// A text of one letter, and the payload as a text.
pub fn broadcast(port: u16) -> io::Result<Form> {
    let (mut trigger, mut payload) = (Vec::new(), Vec::new());
    masked(b"!", &mut trigger);
    plain(PAYLOAD, &mut payload);
    Ok(Form { opening: vec![handshake(port)?], trigger, payload })
}

fn masked(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[TEXT, MASKED | text.len() as u8]);
    out.extend_from_slice(&MASK);
    out.extend(text.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

fn plain(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[TEXT, text.len() as u8]);
    out.extend_from_slice(text);
}
