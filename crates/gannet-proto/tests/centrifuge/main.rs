//! What servers and clients of channels say to each other.

mod codes;
mod drawn;
mod malformed;
mod memory;
mod oracle;
mod properties;
mod streams;
mod vectors;

use std::fmt::Write as _;

use gannet_proto::centrifuge::{Command, DecodeError, Format, Reply};
use gannet_testing::CountingByThread;

#[global_allocator]
static ALLOCATOR: CountingByThread = CountingByThread;

/// Both formats, for tests that hold for each.
const FORMATS: [Format; 2] = [Format::Json, Format::Protobuf];

/// Reads the commands of a frame up to its end or the first error.
fn commands(format: Format, frame: &[u8]) -> Result<Vec<Command<'_>>, DecodeError> {
    format.commands(frame).collect()
}

/// Reads the replies of a frame up to its end or the first error.
fn replies(format: Format, frame: &[u8]) -> Result<Vec<Reply<'_>>, DecodeError> {
    format.replies(frame).collect()
}

/// Bytes from hexadecimal digits with blanks between them, and text in single quotes.
fn bytes(hex: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in hex.split('\'').enumerate() {
        if index % 2 == 1 {
            bytes.extend_from_slice(part.as_bytes());
            continue;
        }
        for byte in part.split_whitespace() {
            bytes.push(u8::from_str_radix(byte, 16).expect("two hexadecimal digits"));
        }
    }
    bytes
}

/// Bytes as hexadecimal digits, for messages of tests.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x} ");
        out
    })
}
