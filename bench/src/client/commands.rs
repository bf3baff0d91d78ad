//! Redis commands on keys, and what they are answered with.

use std::io;
use std::io::{Read, Write};

use super::taped::wrong;
use crate::tape::Tape;
use crate::wire::Letters;

/// Keys written with one write before a measurement.
const FILL_AT_ONCE: usize = 128;
/// Commands on a tape for each key: so many that nearly all keys are among those drawn.
const DRAWS_PER_KEY: usize = 4;

/// Keys by their number, each with its value.
pub struct Keys {
    /// Their number.
    pub count: usize,
    /// Bytes of a value.
    pub size: usize,
    letters: Letters,
}

/// The kind of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Answered with the key's value.
    Get,
    /// Of the value that the key has already.
    Set,
}

impl Keys {
    /// Makes this many keys with values of this size.
    pub fn new(count: usize, size: usize) -> Self {
        Self { count, size, letters: Letters::new() }
    }

    /// Commands on keys drawn uniformly, and their replies. The draws are the same in each run.
    pub fn tapes(&self, verb: Verb) -> (Tape, Tape) {
        let draws = || {
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            std::iter::repeat_with(move || {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 11) as usize % self.count
            })
            .take(self.count * DRAWS_PER_KEY)
        };
        match verb {
            Verb::Get => (
                Tape::new(draws(), |key, out| self.get(key, out)),
                Tape::new(draws(), |key, out| {
                    bulk(self.letters.value(key, self.size), out);
                }),
            ),
            Verb::Set => (Tape::new(draws(), |key, out| self.set(key, out)), Tape::of(b"+OK\r\n")),
        }
    }

    /// Gives every key its value.
    pub fn fill(&self, port: u16) -> io::Result<()> {
        let mut stream = super::connect(port)?;
        let (mut commands, mut replies) = (Vec::new(), Vec::new());
        for first in (0..self.count).step_by(FILL_AT_ONCE) {
            let keys = first..self.count.min(first + FILL_AT_ONCE);
            let right = b"+OK\r\n".repeat(keys.len());
            commands.clear();
            keys.for_each(|key| self.set(key, &mut commands));
            stream.write_all(&commands)?;
            replies.resize(right.len(), 0);
            stream.read_exact(&mut replies)?;
            if replies != right {
                return Err(wrong(&replies));
            }
        }
        Ok(())
    }

    fn get(&self, key: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
        bulk(&name(key), out);
    }

    fn set(&self, key: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        bulk(&name(key), out);
        bulk(self.letters.value(key, self.size), out);
    }
}

/// A key's name, 16 bytes.
fn name(key: usize) -> Vec<u8> {
    format!("key:{key:012}").into_bytes()
}

/// Appends a bulk string.
pub fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
