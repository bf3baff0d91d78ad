//! Close codes and close frames.

use std::fmt;

use super::Error;

/// A code that may be sent in a close frame (RFC 6455 §7.4 and its registry): 1000 to 1003, 1007 to 1014, 3000 to
/// 4999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a protocol error.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: data of a kind that is not accepted, such as binary instead of text.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: data that does not fit its type, such as text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a message against the receiver's policy.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message that is too large.
    pub const TOO_LARGE: Self = Self(1009);
    /// 1010: a client misses an extension.
    pub const MISSING_EXTENSION: Self = Self(1010);
    /// 1011: a condition that the server did not expect.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the server restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: the server is overloaded; try again later.
    pub const TRY_AGAIN: Self = Self(1013);
    /// 1014: a gateway got a bad answer.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Returns the code with this number if it may be sent. 1004 to 1006 and 1015, for example, may not.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// Returns the number of the code.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Holds the content of a close frame (RFC 6455 §5.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// The reason as a code.
    pub code: CloseCode,
    /// The reason, for people. At most 123 bytes.
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// Reads the payload of a close frame. Nothing where it is empty.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Option<Self>, Error> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return if payload.is_empty() { Ok(None) } else { Err(Error::HalfCloseCode) };
        };
        let code = u16::from_be_bytes(*code);
        let code = CloseCode::new(code).ok_or(Error::BadCloseCode { code })?;
        let reason = str::from_utf8(reason).map_err(|_| Error::NotUtf8)?;
        Ok(Some(Self { code, reason }))
    }
}
