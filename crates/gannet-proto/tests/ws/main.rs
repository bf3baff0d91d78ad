//! What the two ends of a WebSocket connection make of each other's bytes.

#![allow(clippy::unwrap_used, reason = "in a test's own functions too, it fails the test")]

mod close;
#[cfg(feature = "deflate")]
mod deflate;
mod fragments;
mod frames;
mod handshake;
mod limits;
mod oracle;
mod text;

use gannet_proto::FrameError;
use gannet_proto::testing::{Check, Outcome, Patience, feed, pieces};
use gannet_proto::ws::{CloseCode, Error, Message, Opcode, WebSocket, write_fragment};

/// A message that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

fn owned(message: Message<'_>) -> Owned {
    match message {
        Message::Text(text) => Owned::Text(text.into_owned()),
        Message::Binary(bytes) => Owned::Binary(bytes.into_owned()),
        Message::Ping(payload) => Owned::Ping(payload.into()),
        Message::Pong(payload) => Owned::Pong(payload.into()),
        Message::Close(close) => Owned::Close(close.map(|close| (close.code.get(), close.reason.into()))),
    }
}

fn text(text: &str) -> Owned {
    Owned::Text(text.into())
}

/// What a client's frames carry is masked with this.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame of a client, whatever it says.
fn frame(opcode: Opcode, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_fragment(&mut out, opcode, last, &[payload], Some(KEY)).unwrap();
    out
}

/// A client's frames one after the other.
fn frames(frames: &[(Opcode, bool, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(opcode, last, payload)| frame(*opcode, *last, payload)).collect()
}

/// Reads `stream` as `codec` does, however it is cut: it always means the same.
fn read(codec: &WebSocket, stream: &[u8]) -> Outcome<Owned, Error> {
    Check::new(codec).splits(300).run(stream, owned)
}

/// The messages of a client whose stream has nothing wrong.
fn good(stream: &[u8]) -> Vec<Owned> {
    let outcome = read(&WebSocket::server(), stream);
    assert_eq!(outcome.error, None, "{stream:x?}");
    outcome.messages
}

/// The messages of a client before what is wrong, and the code to close with.
fn bad(stream: &[u8]) -> (Vec<Owned>, u16) {
    let outcome = read(&WebSocket::server(), stream);
    let error = outcome.error.unwrap_or_else(|| panic!("nothing is wrong with {stream:x?}"));
    assert!(!matches!(error, Error::Frame(FrameError::Truncated { .. })), "{stream:x?} is not complete");
    (outcome.messages, error.close_code().get())
}
