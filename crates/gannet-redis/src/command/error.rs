//! What a command answers when it cannot be done, in Redis's words.

use std::borrow::Cow;

/// The text of an error reply, with its code in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub Cow<'static, str>);

/// What a command comes to: its reply is written, or this error is.
pub type Outcome = Result<(), Error>;

impl Error {
    /// One of Redis's constant texts.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// A text that names something.
    #[must_use]
    pub const fn of(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    /// The key holds a value of another kind.
    pub const WRONG_TYPE: Self = Self::new("WRONGTYPE Operation against a key holding the wrong kind of value");
    /// The options contradict each other or are unknown.
    pub const SYNTAX: Self = Self::new("ERR syntax error");
    /// A word is not a number, or a number that does not fit 64 bits.
    pub const NOT_INTEGER: Self = Self::new("ERR value is not an integer or out of range");
    /// A number does not fit 32 bits.
    pub const NOT_32_BITS: Self = Self::new("ERR value is out of range, value must between -2147483648 and 2147483647");
    /// A word is not a decimal fraction.
    pub const NOT_FLOAT: Self = Self::new("ERR value is not a valid float");
    /// A sum of decimal fractions is too large to be one.
    pub const NOT_FINITE: Self = Self::new("ERR increment would produce NaN or Infinity");
    /// A counter would leave 64 bits.
    pub const OVERFLOW: Self = Self::new("ERR increment or decrement would overflow");
    /// The key is not there.
    pub const NO_KEY: Self = Self::new("ERR no such key");
    /// A number is outside what is allowed.
    pub const OUT_OF_RANGE: Self = Self::new("ERR value is out of range");
    /// A number has to be positive.
    pub const NOT_POSITIVE: Self = Self::new("ERR value is out of range, must be positive");
    /// There is no database with this number.
    pub const DB_RANGE: Self = Self::new("ERR DB index is out of range");
    /// The string would be larger than what can be set.
    pub const TOO_LONG: Self = Self::new("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

    /// The number of words is wrong; `name` is the command's, in lower case.
    #[must_use]
    pub fn arity(name: &str) -> Self {
        Self::of(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// A deadline cannot be reckoned with; `name` is the command's, in lower case.
    #[must_use]
    pub fn bad_expiry(name: &str) -> Self {
        Self::of(format!("ERR invalid expire time in '{name}' command"))
    }
}
