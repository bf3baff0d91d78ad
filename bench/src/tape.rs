//! Messages written down beforehand, so that sending and checking them costs the client next to nothing.

/// Pieces of one length in a row; after the last comes the first again.
pub struct Tape {
    bytes: Vec<u8>,
    piece: usize,
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
        Self { bytes, piece }
    }

    /// Bytes of a piece.
    pub fn piece(&self) -> u64 {
        self.piece as u64
    }

    /// So many bytes that begin at a position, or fewer where the tape's end comes first.
    pub fn at(&self, position: u64, len: u64) -> &[u8] {
        let start = (position % self.bytes.len() as u64) as usize;
        let len = len.min((self.bytes.len() - start) as u64) as usize;
        &self.bytes[start..start + len]
    }

    /// Whether these are the bytes at a position.
    pub fn has(&self, mut position: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let expected = self.at(position, bytes.len() as u64);
            let (part, rest) = bytes.split_at(expected.len());
            if part != expected {
                return false;
            }
            position += part.len() as u64;
            bytes = rest;
        }
        true
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
}
