//! The PROXY protocol: the header in front of a connection in which a load balancer names the client.
//!
//! The specification is `proxy-protocol.txt` of HAProxy, with a text form (version 1) and a binary form (version 2).

mod crc32c;
mod v1;
mod v2;

use std::net::SocketAddr;

use thiserror::Error;

pub use v2::{Tlv, Tlvs};

/// The largest header that is accepted, in bytes. Version 2 could name 64 KiB; senders use some hundreds.
pub const LARGEST_BYTES: usize = 4_096;

/// The largest header of version 1, its line end included, in bytes (proxy-protocol.txt §2.1).
pub const LARGEST_TEXT_BYTES: usize = 107;

/// Holds what a load balancer says of a connection, in its first bytes.
///
/// It is no message of a [`Codec`](crate::Codec): it comes once, before the bytes of the connection's own protocol.
///
/// ```
/// use gannet_proto::proxy::{Addresses, Header};
///
/// let received = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n";
/// let (header, length) = Header::decode(received)?.expect("it is whole");
/// assert_eq!(header.source(), Some("192.0.2.1:56324".parse().unwrap()));
/// assert_eq!(&received[length..], b"GET / HTTP/1.1\r\n");
///
/// assert_eq!(Header::decode(b"PROXY TCP4 192.")?, None);
/// assert!(Header::decode(b"GET / HTTP/1.1\r\n").is_err());
/// # Ok::<(), gannet_proto::proxy::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header<'a> {
    /// The form of the header.
    pub version: Version,
    /// The addresses that the header names.
    pub addresses: Addresses<'a>,
    /// What else the header says, in version 2.
    pub tlvs: Tlvs<'a>,
}

/// Names a form of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One line of text.
    One,
    /// Binary.
    Two,
}

/// Holds the addresses of a connection as a load balancer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addresses<'a> {
    /// The header names nobody: the load balancer speaks for itself, as its health checks do (`LOCAL`), or does not know the
    /// client (`UNKNOWN`, `AF_UNSPEC`). The peer of the connection is the real one.
    Unnamed,
    /// IP addresses, both of one family.
    Ip {
        /// The client.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
    /// Paths of Unix sockets, without the zeros behind them. Version 2 only.
    Unix {
        /// The client.
        source: &'a [u8],
        /// The socket that the client connected to.
        destination: &'a [u8],
    },
}

/// Says why bytes are no PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The first bytes begin neither form of the header.
    #[error("the stream does not begin with a PROXY protocol header")]
    Missing,
    /// The line of version 1 is too long.
    #[error("the PROXY line does not end within {LARGEST_TEXT_BYTES} bytes")]
    Line,
    /// The line of version 1 has a CR or an LF that does not end it.
    #[error("the PROXY line has a CR or LF by itself")]
    LineBreak,
    /// A field of version 1 is missing, malformed, or one too many.
    #[error("the PROXY line has a malformed {field}")]
    Field {
        /// The name of the field.
        field: &'static str,
    },
    /// Version or command of version 2 are others than there are.
    #[error("the PROXY header has the unknown version and command 0x{byte:02x}")]
    Command {
        /// The byte that has both.
        byte: u8,
    },
    /// The address family or the transport of version 2 is another than there are.
    #[error("the PROXY header has the unknown address family and transport 0x{byte:02x}")]
    Family {
        /// The byte that has both.
        byte: u8,
    },
    /// The header is larger than [`LARGEST_BYTES`].
    #[error("the PROXY header of {length} bytes exceeds the limit of {LARGEST_BYTES} bytes")]
    TooLarge {
        /// The size that the header names, in bytes.
        length: usize,
    },
    /// The header has no room for the addresses of its family.
    #[error("the PROXY header has {length} bytes for addresses of {needed} bytes")]
    TooShort {
        /// The bytes behind the fixed part of the header.
        length: usize,
        /// The bytes that the addresses take.
        needed: usize,
    },
    /// A TLV is longer than what is left of the header, or a checksum has another size than four bytes.
    #[error("the PROXY header has a malformed TLV of type 0x{kind:02x}")]
    Tlv {
        /// The type of the TLV.
        kind: u8,
    },
    /// The checksum of the header is another one than the header says.
    #[error("the PROXY header has the checksum 0x{said:08x}, and its bytes have 0x{found:08x}")]
    Checksum {
        /// The checksum in the header.
        said: u32,
        /// The checksum of its bytes.
        found: u32,
    },
}

impl<'a> Header<'a> {
    /// Makes a header of a form with these addresses, to [`encode`](Self::encode) it.
    #[must_use]
    pub fn new(version: Version, addresses: Addresses<'a>) -> Self {
        Self { version, addresses, tlvs: Tlvs::default() }
    }

    /// Decodes the header that a stream begins with, and says how many bytes it takes; `None` while it is not whole.
    ///
    /// A malformed header is an error as soon as the bytes show it. A header that is not whole after
    /// [`LARGEST_BYTES`] bytes is an error too. A checksum (`PP2_TYPE_CRC32C`) is verified; other TLVs are not looked into.
    ///
    /// # Errors
    ///
    /// The stream begins with no header, or with a malformed one. Nothing may be guessed then: the connection should close.
    pub fn decode(received: &'a [u8]) -> Result<Option<(Self, usize)>, Error> {
        match (starts(received, v1::SIGNATURE), starts(received, v2::SIGNATURE)) {
            (true, _) => v1::decode(received),
            (_, true) => v2::decode(received),
            (false, false) => Err(Error::Missing),
        }
    }

    /// Appends the header to `out`.
    ///
    /// # Errors
    ///
    /// Version 1 has no form for Unix sockets. The addresses are of different families, a path is longer than 108 bytes, or
    /// the header would be larger than [`LARGEST_BYTES`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.version {
            Version::One => v1::encode(self, out),
            Version::Two => v2::encode(self, out),
        }
    }

    /// Returns the IP address and port of the client, if the header names one.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        match self.addresses {
            Addresses::Ip { source, .. } => Some(source),
            Addresses::Unnamed | Addresses::Unix { .. } => None,
        }
    }
}

/// Whether bytes begin with a signature, as far as there are any.
fn starts(received: &[u8], signature: &[u8]) -> bool {
    let common = received.len().min(signature.len());
    received[..common] == signature[..common]
}
