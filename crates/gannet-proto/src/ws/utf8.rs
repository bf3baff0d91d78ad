//! UTF-8 that comes in pieces, which may be cut inside of a character.

use super::Error;

/// What is known of text whose pieces are checked one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character whose end has not come.
    pending: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Checks the next piece. Fails as soon as no continuation could make it text.
    pub(super) fn check(&mut self, mut piece: &[u8]) -> Result<(), Error> {
        #[cfg(test)]
        crate::work::looked_at(piece.len());
        while self.len > 0 {
            let Some((byte, rest)) = piece.split_first() else { return Ok(()) };
            self.pending[self.len] = *byte;
            self.len += 1;
            piece = rest;
            match str::from_utf8(&self.pending[..self.len]) {
                Ok(_) => self.len = 0,
                // Four bytes are a character or an error, so there is always room.
                Err(error) if error.error_len().is_some() => return Err(Error::NotUtf8),
                Err(_) => {}
            }
        }
        if let Err(error) = simdutf8::compat::from_utf8(piece) {
            if error.error_len().is_some() {
                return Err(Error::NotUtf8);
            }
            let begun = &piece[error.valid_up_to()..];
            self.len = begun.len();
            self.pending[..begun.len()].copy_from_slice(begun);
        }
        Ok(())
    }

    /// Checks that no character has begun and not ended.
    pub(super) fn end(&self) -> Result<(), Error> {
        if self.len == 0 { Ok(()) } else { Err(Error::NotUtf8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<(), Error> {
        let mut text = Utf8::default();
        pieces.iter().try_for_each(|piece| text.check(piece))?;
        text.end()
    }

    #[test]
    fn text_is_text_wherever_it_is_cut() {
        let text = "κόσμε, \u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}!".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                assert_eq!(check(&[&text[..first], &text[first..second], &text[second..]]), Ok(()));
            }
        }
    }

    #[test]
    fn what_is_no_text_is_none_wherever_it_is_cut() {
        let bad: [&[u8]; 8] = [
            b"a\xffb",
            b"\xc0\x80",
            b"a\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf0\x9f\x98",
            b"\xe2\x82a",
            b"\xf8\x88\x80\x80\x80",
        ];
        for bytes in bad {
            for cut in 0..=bytes.len() {
                assert_eq!(check(&[&bytes[..cut], &bytes[cut..]]), Err(Error::NotUtf8), "{bytes:x?} at {cut}");
            }
        }
    }

    #[test]
    fn a_character_that_cannot_become_one_is_refused_before_its_end() {
        let mut text = Utf8::default();
        assert_eq!(text.check(b"\xf4"), Ok(()));
        assert_eq!(text.check(b"\x90"), Err(Error::NotUtf8));
    }
}
