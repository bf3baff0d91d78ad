//! Who is connected: identifiers of clients, and what a channel's other subscribers learn of a client.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::hash::{NameHash, spread, widened};

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

/// The longest name of a user that takes no memory of its own, in bytes.
const SHORT: usize = 18;

/// What presence, join and leave events and publications tell about a client.
///
/// A client has one of these for all its channels, and one more for each channel with an information of its own.
#[derive(Debug)]
pub struct ClientInfo {
    client: ClientId,
    who: Who,
}

/// The user, the lower half of its name's hash, and what the application said. Most clients have a short name, and no more.
#[derive(Debug)]
enum Who {
    Short { length: u8, user: [u8; SHORT], hash: u32 },
    Long { user: Box<str>, hash: u32 },
    Told { told: Box<Told>, hash: u32 },
}

#[derive(Debug, Clone)]
struct Told {
    user: Box<str>,
    connection: Option<Bytes>,
    channel: Option<Bytes>,
}

const _: () =
    assert!(size_of::<ClientInfo>() == 40, "with the counts of an `Arc`, that is a small block of any allocator");

impl ClientInfo {
    pub(crate) fn new(client: ClientId, user: Box<str>, user_hash: u64, connection: Option<Bytes>) -> Self {
        Self::of(client, user, user_hash as u32, connection, None)
    }

    fn of(client: ClientId, user: Box<str>, hash: u32, connection: Option<Bytes>, channel: Option<Bytes>) -> Self {
        let who = if connection.is_some() || channel.is_some() {
            Who::Told { told: Box::new(Told { user, connection, channel }), hash }
        } else if user.len() > SHORT {
            Who::Long { user, hash }
        } else {
            let mut bytes = [0; SHORT];
            bytes[..user.len()].copy_from_slice(user.as_bytes());
            Who::Short { length: user.len() as u8, user: bytes, hash }
        };
        Self { client, who }
    }

    /// The same client, with an information for one channel.
    pub(crate) fn in_channel(&self, channel: Bytes) -> Self {
        self.with(self.conn_info().cloned(), Some(channel))
    }

    /// The same client, with another information of its connection.
    pub(crate) fn with_connection(&self, connection: Option<Bytes>) -> Self {
        self.with(connection, self.chan_info().cloned())
    }

    fn with(&self, connection: Option<Bytes>, channel: Option<Bytes>) -> Self {
        Self::of(self.client, self.user().into(), self.user_hash() as u32, connection, channel)
    }

    /// Returns the client's identifier.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// Returns the user whose client this is; empty for an anonymous one.
    #[must_use]
    pub fn user(&self) -> &str {
        match &self.who {
            // It was text when it came. To look again takes nanoseconds; comparing does without.
            Who::Short { .. } => std::str::from_utf8(self.user_bytes()).unwrap_or_default(),
            Who::Long { user, .. } => user,
            Who::Told { told, .. } => &told.user,
        }
    }

    fn user_bytes(&self) -> &[u8] {
        match &self.who {
            Who::Short { length, user, .. } => &user[..usize::from(*length)],
            Who::Long { user, .. } => user.as_bytes(),
            Who::Told { told, .. } => told.user.as_bytes(),
        }
    }

    /// Whether its user has this name.
    pub(crate) fn is_of(&self, user: &str) -> bool {
        self.user_bytes() == user.as_bytes()
    }

    /// Whether both are clients of one user.
    pub(crate) fn shares_user_with(&self, other: &Self) -> bool {
        self.user_hash() == other.user_hash() && self.user_bytes() == other.user_bytes()
    }

    fn told(&self) -> Option<&Told> {
        match &self.who {
            Who::Told { told, .. } => Some(told),
            Who::Short { .. } | Who::Long { .. } => None,
        }
    }

    /// Returns what the application said about the connection.
    #[must_use]
    pub fn conn_info(&self) -> Option<&Bytes> {
        self.told()?.connection.as_ref()
    }

    /// Returns what the application said about the client in this channel.
    #[must_use]
    pub fn chan_info(&self) -> Option<&Bytes> {
        self.told()?.channel.as_ref()
    }

    pub(crate) fn user_hash(&self) -> u64 {
        match &self.who {
            Who::Short { hash, .. } | Who::Long { hash, .. } | Who::Told { hash, .. } => widened(*hash),
        }
    }

    /// Bytes of what the application said.
    pub(crate) fn size(&self) -> usize {
        self.user_bytes().len() + self.conn_info().map_or(0, Bytes::len) + self.chan_info().map_or(0, Bytes::len)
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

    proptest! {
        #[test]
        fn a_user_is_who_it_was_whatever_its_name_and_what_is_told_of_it(
            user in "\\PC{0,30}",
            connection in proptest::option::of("[a-z]{0,9}"),
            channel in proptest::option::of("[a-z]{0,9}"),
        ) {
            let hash = NameHash::new(1);
            let id = ClientId::new(&hash, 0, ClientKey::from_bits(7), 9);
            let connection = connection.map(Bytes::from);
            let mut info = ClientInfo::new(id, user.clone().into(), hash.of(&user), connection.clone());
            if let Some(channel) = &channel {
                info = info.in_channel(channel.clone().into());
            }
            for info in [info.with_connection(None).with_connection(connection.clone()), info] {
                prop_assert_eq!((info.client(), info.user()), (id, &*user));
                prop_assert_eq!(info.user_hash(), hash.of(&user));
                prop_assert_eq!(info.conn_info(), connection.as_ref());
                prop_assert_eq!(info.chan_info().map(|told| &told[..]), channel.as_ref().map(String::as_bytes));
                let other = format!("{user}x");
                prop_assert!(info.is_of(&user) && !info.is_of(&other));
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
