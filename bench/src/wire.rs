//! Builds requests in each protocol, and knows the right reply to each, byte for byte.

/// Length of the stream of letters before it repeats; a prime, so that messages do not line up with it.
const PERIOD: usize = 65_521;
/// Longest message.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Shortest message: a frame's header and a few letters.
pub const MIN_MESSAGE_BYTES: usize = 8;

/// The form of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    /// Bytes, answered with the same bytes.
    Raw,
    /// A line `letters\n`, answered with `echo: letters\n`.
    Lines,
    /// Four bytes of length (big endian) and the payload, answered with the same.
    Frames,
}

/// A stream of letters from which all messages are cut. Where a message starts follows from its
/// connection and its number, so a reply that is lost, doubled or another connection's is noticed.
pub struct Letters {
    table: Box<[u8]>,
}

impl Letters {
    /// Makes the stream; it is the same in each run.
    pub fn new() -> Self {
        let mut state = 0x9e37_79b9_u32;
        let once: Vec<u8> = std::iter::repeat_with(|| {
            // xorshift32
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            b'a' + (state % 26) as u8
        })
        .take(PERIOD)
        .collect();
        let table = once.iter().copied().cycle();
        Self { table: table.take(PERIOD + MAX_MESSAGE_BYTES).collect() }
    }

    fn cut(&self, connection: usize, message: u64, len: usize) -> &[u8] {
        let start = (connection * 7919 + message as usize * len) % PERIOD;
        &self.table[start..start + len]
    }

    /// Returns the value that the store keeps under the key with this number.
    pub fn value(&self, key: usize, size: usize) -> &[u8] {
        self.cut(key, 0, size)
    }

    /// Appends a request of `size` bytes, all of its framing included.
    pub fn request(&self, wire: Wire, connection: usize, message: u64, size: usize, out: &mut Vec<u8>) {
        match wire {
            Wire::Raw => out.extend_from_slice(self.cut(connection, message, size)),
            Wire::Lines => {
                out.extend_from_slice(self.cut(connection, message, size - 1));
                out.push(b'\n');
            }
            Wire::Frames => {
                let len = size - 4;
                out.extend_from_slice(&(len as u32).to_be_bytes());
                out.extend_from_slice(self.cut(connection, message, len));
            }
        }
    }

    /// Appends the right reply to that request.
    pub fn reply(&self, wire: Wire, connection: usize, message: u64, size: usize, out: &mut Vec<u8>) {
        if wire == Wire::Lines {
            out.extend_from_slice(b"echo: ");
        }
        self.request(wire, connection, message, size, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(wire: Wire, message: u64) -> (Vec<u8>, Vec<u8>) {
        let letters = Letters::new();
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        letters.request(wire, 3, message, 64, &mut request);
        letters.reply(wire, 3, message, 64, &mut reply);
        (request, reply)
    }

    #[test]
    fn a_line_is_answered_with_its_echo() {
        let (request, reply) = built(Wire::Lines, 0);
        assert_eq!(request.len(), 64);
        assert_eq!(request.iter().position(|byte| *byte == b'\n'), Some(63));
        assert_eq!(reply, [b"echo: ", &request[..]].concat());
    }

    #[test]
    fn a_frame_says_how_long_its_payload_is() {
        let (request, reply) = built(Wire::Frames, 0);
        assert_eq!(request[..4], 60u32.to_be_bytes());
        assert_eq!(request.len(), 64);
        assert_eq!(reply, request);
    }

    #[test]
    fn two_messages_of_a_connection_differ() {
        assert_ne!(built(Wire::Raw, 0), built(Wire::Raw, 1));
    }
}
