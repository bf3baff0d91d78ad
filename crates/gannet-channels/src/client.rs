//! Who is connected: identifiers of clients, and what a channel's other subscribers learn of a client.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::hash::{NameHash, spread};

/// Refers to a client of one roster; cheap to keep, and never reaches another client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ClientKey {
    /// Returns the key as one number, for a connection's session to keep.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Makes a key from what [`ClientKey::to_bits`] returned.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// Identifies a client in the whole process: 128 bits, printed in the form of a UUID.
///
/// The space finds the client's reactor and key in it, without a table. To others it looks random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    /// What tells this client from those with the same key in other runs, in the low 48 bits; above it the reactor.
    high: u64,
    /// The key.
    low: u64,
}

/// Bits of the part that is drawn.
const DRAWN: u64 = (1 << 48) - 1;

impl ClientId {
    /// Makes the identifier of a client. `drawn` gives 48 random bits.
    pub(crate) fn new(hash: &NameHash, reactor: u16, key: ClientKey, drawn: u64) -> Self {
        let drawn = drawn & DRAWN;
        let reactor = u64::from(reactor) << 48;
        Self {
            high: drawn | (reactor ^ (hash.of_numbers(drawn, 0) & !DRAWN)),
            low: key.to_bits() ^ hash.of_numbers(drawn, 1),
        }
    }

    /// Finds where the client is. An identifier from elsewhere gives some place, where another client may be:
    /// the caller compares the whole identifier with the one it finds there.
    pub(crate) fn place(&self, hash: &NameHash) -> (u16, ClientKey) {
        let drawn = self.high & DRAWN;
        let reactor = (self.high ^ (hash.of_numbers(drawn, 0) & !DRAWN)) >> 48;
        (reactor as u16, ClientKey::from_bits(self.low ^ hash.of_numbers(drawn, 1)))
    }

    pub(crate) fn hash(&self) -> u64 {
        spread(self.high ^ self.low.rotate_left(32))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = (self.high, self.low);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & DRAWN
        )
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text does not have the form of a client's identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client's identifier has the form of a UUID")]
pub struct ClientIdError;

impl FromStr for ClientId {
    type Err = ClientIdError;

    fn from_str(text: &str) -> Result<Self, ClientIdError> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(ClientIdError);
        }
        let mut bits = 0u128;
        for (at, byte) in bytes.iter().enumerate() {
            let digit = match byte {
                b'-' if matches!(at, 8 | 13 | 18 | 23) => continue,
                _ if matches!(at, 8 | 13 | 18 | 23) => return Err(ClientIdError),
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                _ => return Err(ClientIdError),
            };
            bits = bits << 4 | u128::from(digit);
        }
        Ok(Self { high: (bits >> 64) as u64, low: bits as u64 })
    }
}

/// What presence, join and leave events and publications tell about a client.
///
/// A client has one of these for all its channels, and one more for each channel with an information of its own.
#[derive(Debug)]
pub struct ClientInfo {
    client: ClientId,
    user: Box<str>,
    user_hash: u64,
    /// Apart, because most clients have neither.
    extra: Option<Box<Extra>>,
}

#[derive(Debug, Clone, Default)]
struct Extra {
    connection: Option<Bytes>,
    channel: Option<Bytes>,
}

impl ClientInfo {
    pub(crate) fn new(client: ClientId, user: Box<str>, user_hash: u64, connection: Option<Bytes>) -> Self {
        let extra = connection.map(|connection| Box::new(Extra { connection: Some(connection), channel: None }));
        Self { client, user, user_hash, extra }
    }

    /// The same client, with an information for one channel.
    pub(crate) fn in_channel(&self, channel: Bytes) -> Self {
        self.with(Extra { connection: self.conn_info().cloned(), channel: Some(channel) })
    }

    /// The same client, with another information of its connection.
    pub(crate) fn with_connection(&self, connection: Option<Bytes>) -> Self {
        self.with(Extra { connection, channel: self.chan_info().cloned() })
    }

    fn with(&self, extra: Extra) -> Self {
        let extra = (extra.connection.is_some() || extra.channel.is_some()).then(|| Box::new(extra));
        Self { client: self.client, user: self.user.clone(), user_hash: self.user_hash, extra }
    }

    /// Returns the client's identifier.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// Returns the user whose client this is; empty for an anonymous one.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns what the application said about the connection.
    #[must_use]
    pub fn conn_info(&self) -> Option<&Bytes> {
        self.extra.as_ref()?.connection.as_ref()
    }

    /// Returns what the application said about the client in this channel.
    #[must_use]
    pub fn chan_info(&self) -> Option<&Bytes> {
        self.extra.as_ref()?.channel.as_ref()
    }

    pub(crate) fn user_hash(&self) -> u64 {
        self.user_hash
    }

    /// Bytes of what the application said.
    pub(crate) fn size(&self) -> usize {
        self.user.len() + self.conn_info().map_or(0, Bytes::len) + self.chan_info().map_or(0, Bytes::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_identifier_tells_where_its_client_is(seed: u64, reactor: u16, bits: u64, drawn: u64) {
            let hash = NameHash::new(seed);
            let id = ClientId::new(&hash, reactor, ClientKey::from_bits(bits), drawn);
            prop_assert_eq!(id.place(&hash), (reactor, ClientKey::from_bits(bits)));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn a_text_that_is_no_identifier_is_refused(text in "[0-9a-f-]{0,40}") {
            if let Ok(id) = text.parse::<ClientId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn an_identifier_has_the_form_of_a_uuid() {
        let id = ClientId { high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210 };
        assert_eq!(id.to_string(), "01234567-89ab-cdef-fedc-ba9876543210");
        assert!("01234567-89ab-cdef-fedc-ba987654321".parse::<ClientId>().is_err());
        assert!("01234567+89ab-cdef-fedc-ba9876543210".parse::<ClientId>().is_err());
    }
}
