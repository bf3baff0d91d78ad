//! Values of settings.

use std::fmt::{self, Debug, Formatter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a secret was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A variable of the environment that has nothing but the secret, or one secret a line.
    Variable(String),
    /// The command line, or a variable that has more than the secret. Nothing else can refer to it.
    Unnamed,
}

/// Holds a password, a key, or a URL that may contain one. `Debug` shows where it is from, and nothing displays it.
#[derive(Clone)]
pub struct Secret {
    text: Box<str>,
    source: SecretSource,
}

impl Secret {
    /// Takes over a text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>, source: SecretSource) -> Self {
        Self { text: text.into(), source }
    }

    /// Gives the text for the place that needs it. Never pass it to a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Returns where it was read from.
    #[must_use]
    pub fn source(&self) -> &SecretSource {
        &self.source
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.source)
    }
}

/// A value as a setting has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// On or off.
    Switch(bool),
    /// A whole number; of rates, a second.
    Number(u64),
    /// Bytes.
    Size(usize),
    /// A time, or none.
    Time(Option<Duration>),
    /// A text: a name, a choice, a path, a URL.
    Text(String),
    /// Texts in their order.
    List(Vec<String>),
    /// Secrets in their order. One, where the setting is one secret.
    Secrets(Vec<Secret>),
}

/// A type that a value of a setting is read as.
pub trait FromValue: Sized {
    /// Reads it; nothing where the value is of another type.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Switch(on) = value { Some(*on) } else { None }
    }
}

macro_rules! whole {
    ($($type:ty)*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Number(number) => Self::try_from(*number).ok(),
                    Value::Size(bytes) => Self::try_from(*bytes).ok(),
                    _ => None,
                }
            }
        }
    )*};
}

whole!(u8 u16 u32 u64 usize);

impl FromValue for Option<Duration> {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Time(time) = value { Some(*time) } else { None }
    }
}

impl FromValue for Duration {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Time(time) = value { Some(time.unwrap_or_default()) } else { None }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            // The caller asks for a text of which it knows that it may be a secret.
            Value::Secrets(secrets) => secrets.first().map(|secret| secret.reveal().to_owned()),
            _ => None,
        }
    }
}

impl FromValue for PathBuf {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(Path::new(text).to_owned()) } else { None }
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::List(items) = value { Some(items.clone()) } else { None }
    }
}

impl FromValue for Vec<PathBuf> {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::List(items) = value { Some(items.iter().map(PathBuf::from).collect()) } else { None }
    }
}

impl FromValue for Vec<Secret> {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Secrets(secrets) = value { Some(secrets.clone()) } else { None }
    }
}

impl FromValue for Secret {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Secrets(secrets) = value { secrets.first().cloned() } else { None }
    }
}

/// A text in quotes, as TOML reads it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => {
                // A string takes everything.
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
