//! Raw bytes, echoed: an answer may come in any pieces, and several together.

use gannet::proto::Raw;
use gannet::{Context, Service};

use super::{Expected, Scenario, Wrong};

/// Against the service `echo`.
#[derive(Clone, Debug)]
pub struct Echo;

impl Scenario for Echo {
    type Codec = Raw;
    /// Bytes of the oldest answer that came.
    type Progress = usize;

    fn codec(&self) -> Raw {
        Raw
    }

    fn request<S: Service<Codec = Raw>>(&self, payload: &[u8], cx: &mut Context<'_, S>) {
        cx.send(&[payload]);
    }

    fn answer(&self, received: &mut usize, mut bytes: &[u8], expected: Expected<'_>) -> Result<u64, Wrong> {
        let mut answers = 0;
        while !bytes.is_empty() {
            let missing = &expected.payload(answers).ok_or(Wrong)?[*received..];
            let count = missing.len().min(bytes.len());
            if bytes[..count] != missing[..count] {
                return Err(Wrong);
            }
            bytes = &bytes[count..];
            *received += count;
            if *received == expected.size {
                *received = 0;
                answers += 1;
            }
        }
        Ok(answers)
    }

    fn login_answer(&self, received: &mut usize, bytes: &[u8], login: &[u8]) -> Result<bool, Wrong> {
        if !login[*received..].starts_with(bytes) {
            return Err(Wrong);
        }
        *received += bytes.len();
        Ok(*received == login.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letters::Letters;

    #[test]
    fn an_answer_counts_when_its_last_byte_came_and_is_checked_to_the_byte() {
        let letters = Letters::new(8);
        let expected = |next, outstanding| Expected { letters: &letters, connection: 1, next, outstanding, size: 8 };
        let stream: Vec<u8> = (0..3).flat_map(|request| letters.payload(1, request, 8).to_vec()).collect();
        let mut received = 0;
        assert_eq!(Echo.answer(&mut received, &stream[..5], expected(0, 3)), Ok(0));
        assert_eq!(Echo.answer(&mut received, &stream[5..20], expected(0, 3)), Ok(2));
        assert_eq!(Echo.answer(&mut received, &stream[20..], expected(2, 1)), Ok(1));
        assert_eq!(Echo.answer(&mut received, b"x", expected(3, 0)), Err(Wrong), "nothing was asked");
        assert_eq!(Echo.answer(&mut received, b"?", expected(0, 1)), Err(Wrong));
    }

    #[test]
    fn a_logins_answer_may_come_in_pieces_and_has_nothing_after_it() {
        let mut received = 0;
        assert_eq!(Echo.login_answer(&mut received, b"he", b"hello"), Ok(false));
        assert_eq!(Echo.login_answer(&mut received, b"llo", b"hello"), Ok(true));
        assert_eq!(Echo.login_answer(&mut 2, b"llo!", b"hello"), Err(Wrong));
        assert_eq!(Echo.login_answer(&mut 2, b"lx", b"hello"), Err(Wrong));
    }
}
