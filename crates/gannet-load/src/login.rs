//! What a client says first: text with escapes and the client's number, or bytes as they are.

/// The most bytes of a login, as of any payload.
const LONGEST_BYTES: usize = 1 << 20;

/// A message that each client sends first, and whose answer it awaits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    /// The client's number, in decimal.
    Number,
}

/// Why something is no login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// There is nothing to send.
    #[error("a login needs at least one byte")]
    Empty,
    /// There is too much to send.
    #[error("a login may have at most 1 MiB")]
    TooLong,
    /// A backslash with something else after it.
    #[error("`\\{after}` is not an escape: there are \\r \\n \\t \\\\ and \\xHH with two hexadecimal digits")]
    Escape {
        /// What follows the backslash.
        after: String,
    },
    /// A line cannot have another line in it.
    #[error("a login of the scenario lines is one line; only its end may be a line break")]
    SeveralLines,
}

impl Login {
    /// Reads a text with the escapes `\r`, `\n`, `\t`, `\\` and `\xHH`, in which `{n}` stands for the client's number
    /// (`\x7bn}` for these three characters).
    ///
    /// # Errors
    ///
    /// The text is empty or too long, or something else follows a backslash.
    pub fn text(text: &str) -> Result<Self, LoginError> {
        let mut login = Self { parts: Vec::new() };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("{n}") {
                login.parts.push(Part::Number);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('\\') {
                let (byte, after) = escape(after)?;
                login.push(&[byte]);
                rest = after;
            } else {
                let (literal, after) = rest.split_at(first.len_utf8());
                login.push(literal.as_bytes());
                rest = after;
            }
        }
        login.checked()
    }

    /// Takes bytes as they are, for every client the same.
    ///
    /// # Errors
    ///
    /// There are none, or too many.
    pub fn bytes(bytes: Vec<u8>) -> Result<Self, LoginError> {
        let parts = if bytes.is_empty() { Vec::new() } else { vec![Part::Bytes(bytes)] };
        Self { parts }.checked()
    }

    /// Returns this login without a line break at its end, because the codec of lines adds one.
    ///
    /// # Errors
    ///
    /// There are more line breaks, or nothing is left.
    pub fn line(mut self) -> Result<Self, LoginError> {
        if let Some(Part::Bytes(last)) = self.parts.last_mut() {
            let line = last.strip_suffix(b"\n").map_or(&last[..], |line| line.strip_suffix(b"\r").unwrap_or(line));
            last.truncate(line.len());
        }
        let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
        self.parts.retain(|part| !matches!(part, Part::Bytes(bytes) if bytes.is_empty()));
        if self.parts.iter().any(|part| matches!(part, Part::Bytes(bytes) if bytes.iter().any(is_break))) {
            return Err(LoginError::SeveralLines);
        }
        self.checked()
    }

    /// Returns what a client sends.
    #[must_use]
    pub fn of(&self, client: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Bytes(literal) => bytes.extend_from_slice(literal),
                Part::Number => bytes.extend_from_slice(client.to_string().as_bytes()),
            }
        }
        bytes
    }

    /// Returns the most bytes that any client sends.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.of(u32::MAX).len()
    }

    fn push(&mut self, bytes: &[u8]) {
        match self.parts.last_mut() {
            Some(Part::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.parts.push(Part::Bytes(bytes.to_vec())),
        }
    }

    fn checked(self) -> Result<Self, LoginError> {
        match self.longest() {
            0 => Err(LoginError::Empty),
            1..=LONGEST_BYTES => Ok(self),
            _ => Err(LoginError::TooLong),
        }
    }
}

/// The byte that an escape stands for, after its backslash, and what follows it.
fn escape(after: &str) -> Result<(u8, &str), LoginError> {
    let wrong = || LoginError::Escape { after: after.chars().take(3).collect() };
    let mut characters = after.chars();
    let byte = match characters.next() {
        Some('r') => b'\r',
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('\\') => b'\\',
        Some('x') => {
            let digit = |character: Option<char>| character.and_then(|character| character.to_digit(16));
            let (high, low) = digit(characters.next()).zip(digit(characters.next())).ok_or_else(wrong)?;
            (high * 16 + low) as u8
        }
        _ => return Err(wrong()),
    };
    Ok((byte, characters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_client_7(text: &str) -> Vec<u8> {
        Login::text(text).expect(text).of(7)
    }

    #[test]
    fn escapes_and_the_clients_number_are_read() {
        assert_eq!(of_client_7("AUTH user{n} ü\\r\\n"), "AUTH user7 ü\r\n".as_bytes());
        assert_eq!(of_client_7(r"\x00\xfF\t\\n{n}{n}"), b"\0\xff\t\\n77");
        assert_eq!(of_client_7(r"\x7bn} {m} {n"), b"{n} {m} {n");
    }

    #[test]
    fn what_is_no_login_is_refused_with_a_reason() {
        for text in ["\\", "\\q", "\\x", "\\x1", "\\xg0", "a\\x+1"] {
            let error = Login::text(text).expect_err(text).to_string();
            assert!(error.contains("is not an escape") && error.contains("xHH"), "{text}: {error}");
        }
        assert_eq!(Login::text(""), Err(LoginError::Empty));
        assert_eq!(Login::bytes(Vec::new()), Err(LoginError::Empty));
        assert_eq!(Login::bytes(vec![0; (1 << 20) + 1]), Err(LoginError::TooLong));
    }

    #[test]
    fn bytes_are_taken_as_they_are() {
        assert_eq!(Login::bytes(b"{n}\\n\n".to_vec()).map(|login| login.of(7)), Ok(b"{n}\\n\n".to_vec()));
    }

    #[test]
    fn a_line_loses_the_break_at_its_end_and_may_have_no_other() {
        let line = |text| Login::text(text).and_then(Login::line).map(|login| login.of(7));
        assert_eq!(line("hello {n}\\r\\n"), Ok(b"hello 7".to_vec()));
        assert_eq!(line("{n}\\n"), Ok(b"7".to_vec()));
        for several in ["a\\nb", "a\\n\\n", "a\\r"] {
            assert_eq!(line(several), Err(LoginError::SeveralLines), "{several}");
        }
        assert_eq!(line("\\n"), Err(LoginError::Empty));
    }
}
