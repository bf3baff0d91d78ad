//! The header of a frame (RFC 6455 §5.2).

use std::fmt;

use super::{Error, Role};

/// The most bytes that a control frame may carry (RFC 6455 §5.5).
pub const MAX_CONTROL: usize = 125;

/// What a frame is (RFC 6455 §5.2). All other opcodes are reserved, and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// The next fragment of the message under way.
    Continuation = 0,
    /// Text, or its first fragment.
    Text = 1,
    /// Bytes, or their first fragment.
    Binary = 2,
    /// The last frame: why the connection is closed.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

impl Opcode {
    /// Returns whether frames of this kind may stand between fragments. They have no fragments
    /// themselves.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }

    fn parse(opcode: u8) -> Result<Self, Error> {
        Ok(match opcode {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(Error::UnknownOpcode { opcode }),
        })
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continuation => "continuation",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        })
    }
}

/// What may come next.
pub(super) struct Expected {
    /// Who reads.
    pub role: Role,
    /// Whether a fragmented message is under way.
    pub fragment: bool,
    /// Whether a message may be compressed.
    pub compression: bool,
}

/// A header that breaks no rule. Its length was not held to a limit, unless it is a control frame's.
pub(super) struct Header {
    pub last: bool,
    pub compressed: bool,
    pub opcode: Opcode,
    /// Bytes of payload.
    pub length: u64,
    /// Bytes of the header itself, the key included.
    pub size: usize,
}

pub(super) enum Parsed {
    /// All but the key is there.
    Header(Header),
    /// The header cannot be judged before so many bytes are there.
    Needs(usize),
}

const LAST: u8 = 0x80;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

impl Header {
    /// Reads the header at the start of `input`, and refuses it as soon as a byte of it is wrong.
    #[inline]
    pub fn parse(input: &[u8], expected: &Expected) -> Result<Parsed, Error> {
        let Some(&first) = input.first() else { return Ok(Parsed::Needs(1)) };
        let (last, reserved) = (first & LAST != 0, first & 0x70);
        let opcode = Opcode::parse(first & 0x0f)?;
        let compressed = reserved == RSV1;
        let opens = matches!(opcode, Opcode::Text | Opcode::Binary);
        if reserved != 0 && !(compressed && opens && expected.compression) {
            return Err(Error::ReservedBits { bits: reserved >> 4 });
        }
        if opens && expected.fragment {
            return Err(Error::Interleaved { opcode });
        }
        if opcode == Opcode::Continuation && !expected.fragment {
            return Err(Error::NothingToContinue);
        }
        if opcode.is_control() && !last {
            return Err(Error::FragmentedControl { opcode });
        }

        let Some(&second) = input.get(1) else { return Ok(Parsed::Needs(2)) };
        match (expected.role, second & MASKED != 0) {
            (Role::Server, false) => return Err(Error::Unmasked),
            (Role::Client, true) => return Err(Error::Masked),
            _ => {}
        }
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL {
            return Err(Error::LongControl { opcode });
        }
        let (length, size) = match short {
            126 => match input.get(2..4) {
                Some(bytes) => (bytes.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)), 4),
                None => return Ok(Parsed::Needs(4)),
            },
            127 => match input.get(2..10) {
                Some(bytes) => (bytes.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)), 10),
                None => return Ok(Parsed::Needs(10)),
            },
            _ => (u64::from(short), 2),
        };
        if length > i64::MAX as u64 {
            return Err(Error::OverflowingLength { length });
        }
        if size == 4 && length < 126 || size == 10 && length <= u64::from(u16::MAX) {
            return Err(Error::OverlongLength { length });
        }
        let key = if expected.role == Role::Server { 4 } else { 0 };
        Ok(Parsed::Header(Self { last, compressed, opcode, length, size: size + key }))
    }

    /// Makes the header of a frame, its key not included: the bytes, and how many they are.
    #[inline]
    pub fn write(last: bool, compressed: bool, opcode: Opcode, masked: bool, length: usize) -> ([u8; 10], usize) {
        let mut bytes = [0; 10];
        bytes[0] = if last { LAST } else { 0 } | if compressed { RSV1 } else { 0 } | opcode as u8;
        let masked = if masked { MASKED } else { 0 };
        let size = match length {
            ..=125 => {
                bytes[1] = masked | length as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = masked | 126;
                bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = masked | 127;
                bytes[2..10].copy_from_slice(&(length as u64).to_be_bytes());
                10
            }
        };
        (bytes, size)
    }
}
