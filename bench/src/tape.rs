//! Messages written down beforehand, so that sending and checking them costs the client next to nothing.

use std::ops::Range;

/// Pieces of one length in a row; after the last comes the first again.
pub struct Tape {
    bytes: Vec<u8>,
    piece: usize,
    /// The part of a piece that is not compared.
    varying: Range<usize>,
}

impl Tape {
    /// A tape of pieces that `write` appends one by one.
    ///
    /// # Panics
    ///
    /// They are not of one length, or there are none.
    pub fn new<T>(of: impl IntoIterator<Item = T>, mut write: impl FnMut(T, &mut Vec<u8>)) -> Self {
        let (mut bytes, mut piece) = (Vec::new(), 0);
        for one in of {
            let start = bytes.len();
            write(one, &mut bytes);
            let len = bytes.len() - start;
            assert!(start == 0 || len == piece, "a piece of {len} bytes among those of {piece}");
            piece = len;
        }
        assert!(piece > 0, "a tape without pieces");
        Self { bytes, piece, varying: 0..0 }
    }

    /// A tape of one piece.
    pub fn of(piece: &[u8]) -> Self {
        Self::new([piece], |piece, out| out.extend_from_slice(piece))
    }

    /// The same tape, of each piece of which these bytes are not compared.
    pub fn varying(self, varying: Range<usize>) -> Self {
        Self { varying, ..self }
    }

    /// Bytes of a piece.
    pub fn piece(&self) -> u64 {
        self.piece as u64
    }

    /// Returns up to this many bytes from a position on, up to the tape's end.
    pub fn at(&self, position: u64, len: u64) -> &[u8] {
        let start = (position % self.bytes.len() as u64) as usize;
        let len = len.min((self.bytes.len() - start) as u64) as usize;
        &self.bytes[start..start + len]
    }

    /// Returns true if these are the bytes at a position.
    pub fn has(&self, mut position: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let (run, matters) = self.run(position);
            let expected = self.at(position, run.min(bytes.len()) as u64);
            let (part, rest) = bytes.split_at(expected.len());
            if matters && part != expected {
                return false;
            }
            position += part.len() as u64;
            bytes = rest;
        }
        true
    }

    /// Returns how many bytes from here on are all compared, or all skipped, and which of the two.
    fn run(&self, position: u64) -> (usize, bool) {
        let Range { start, end } = self.varying;
        if start == end {
            return (usize::MAX, true);
        }
        let within = (position % self.piece as u64) as usize;
        match within {
            _ if within < start => (start - within, true),
            _ if within < end => (end - within, false),
            // To where the next piece varies.
            _ => (self.piece - within + start, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_last_piece_comes_the_first() {
        let tape = Tape::new(["abc", "def"], |piece, out| out.extend_from_slice(piece.as_bytes()));
        assert_eq!(tape.piece(), 3);
        assert_eq!(tape.at(4, 100), b"ef");
        assert_eq!(tape.at(7, 1), b"b");
        assert!(tape.has(5, b"fabcdefab"));
        assert!(!tape.has(5, b"fabcdefabd"));
        assert!(tape.has(600, b""));
    }

    #[test]
    fn what_varies_may_be_anything_and_the_rest_may_not() {
        let tape = Tape::new(["abcd", "efgh"], |piece, out| out.extend_from_slice(piece.as_bytes())).varying(1..3);
        assert!(tape.has(0, b"a..de..ha..d"));
        assert!(tape.has(2, b".d"));
        assert!(!tape.has(2, b"..e"));
        assert!(!tape.has(0, b"a..de..x"));
        assert!(!tape.has(4, b"x"));
    }
}
