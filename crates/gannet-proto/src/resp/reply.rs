//! A message that a server sends.

use super::{Value, Version, Writer};
use crate::Sink;

/// Describes a reply for [`Commands`](super::Commands) to encode.
///
/// `into()` makes a reply of RESP2 of a [`Value`]; [`Reply::Value`] names another version. Nothing is copied before
/// it is encoded.
///
/// ```
/// use gannet_proto::resp::{Commands, Reply, Value, Version};
/// use gannet_proto::Codec;
///
/// let (commands, mut out) = (Commands::new(), Vec::new());
/// commands.encode(Value::Simple(b"OK").into(), &mut out)?;
/// commands.encode(Reply::Value(Version::Resp3, Value::Null), &mut out)?;
/// assert_eq!(out, b"+OK\r\n_\r\n");
/// # Ok::<(), gannet_proto::resp::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// One value, written in a version that the client understands.
    Value(Version, Value<'a>),
    /// Whole replies that a [`Writer`] wrote before, in parts that are sent joined.
    Written(&'a [&'a [u8]]),
}

impl Reply<'_> {
    #[inline]
    pub(super) fn write(&self, out: &mut impl Sink) {
        match self {
            Self::Value(version, value) => Writer::new(out, *version).value(value),
            Self::Written(parts) => {
                out.reserve(parts.iter().fold(0, |sum, part| part.len().saturating_add(sum)));
                parts.iter().for_each(|part| out.put(part));
            }
        }
    }
}

impl<'a> From<Value<'a>> for Reply<'a> {
    #[inline]
    fn from(value: Value<'a>) -> Self {
        Self::Value(Version::Resp2, value)
    }
}
