//! The binary form of the header: a signature, sixteen bits of what follows, the addresses, and TLVs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc32c::Crc32c;
use super::{Addresses, Error, Header, LARGEST_BYTES, Version};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The part that every header has: signature, command, family, length.
const FIXED_BYTES: usize = 16;

/// Version 2 and the command `LOCAL`.
const LOCAL: u8 = 0x20;

/// Version 2 and the command `PROXY`.
const PROXY: u8 = 0x21;

/// The two addresses of a Unix socket, each filled up with zeros.
const PATH_BYTES: usize = 108;

/// The type of the TLV with the checksum of the header (`PP2_TYPE_CRC32C`).
const CHECKSUM: u8 = 0x03;

/// Holds the TLVs of a header of version 2, in their order; it is an iterator over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
}

/// Holds one TLV: further information about a connection, such as the name that a TLS client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tlv<'a> {
    /// The type; proxy-protocol.txt §2.2 has a list.
    pub kind: u8,
    /// The value.
    pub value: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Takes encoded TLVs, to send them in a header.
    ///
    /// # Errors
    ///
    /// A TLV is longer than what is left.
    pub fn encoded(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut rest = bytes;
        while let Some((_, behind)) = first(rest)? {
            rest = behind;
        }
        Ok(Self { bytes })
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        // What was decoded is well-formed.
        let (tlv, rest) = first(self.bytes).ok()??;
        self.bytes = rest;
        Some(tlv)
    }
}

/// The first TLV, and what is behind it.
fn first(bytes: &[u8]) -> Result<Option<(Tlv<'_>, &[u8])>, Error> {
    let (kind, value, rest) = match bytes {
        [] => return Ok(None),
        [kind, high, low, rest @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (value, rest) = rest.split_at_checked(length).ok_or(Error::Tlv { kind: *kind })?;
            (*kind, value, rest)
        }
        [kind, ..] => return Err(Error::Tlv { kind: *kind }),
    };
    Ok(Some((Tlv { kind, value }, rest)))
}

/// What the addresses of a family are.
#[derive(Clone, Copy)]
enum Family {
    Unspecified,
    V4,
    V6,
    Unix,
}

impl Family {
    /// The bytes that both addresses take.
    fn bytes(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::V4 => 12,
            Self::V6 => 36,
            Self::Unix => 2 * PATH_BYTES,
        }
    }
}

pub(super) fn decode(received: &[u8]) -> Result<Option<(Header<'_>, usize)>, Error> {
    let Some(fixed) = received.get(..FIXED_BYTES) else { return Ok(None) };
    let (command, family) = (fixed[12], fixed[13]);
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if ![LOCAL, PROXY].contains(&command) {
        return Err(Error::Command { byte: command });
    }
    if length > LARGEST_BYTES {
        return Err(Error::TooLarge { length });
    }
    let family = match family {
        // The family of a connection of the load balancer's own means nothing, whatever it is.
        _ if command == LOCAL => Family::Unspecified,
        0x00 => Family::Unspecified,
        0x11 | 0x12 => Family::V4,
        0x21 | 0x22 => Family::V6,
        0x31 | 0x32 => Family::Unix,
        byte => return Err(Error::Family { byte }),
    };
    let (length_of_rest, needed) = (length - FIXED_BYTES, family.bytes());
    if length_of_rest < needed {
        return Err(Error::TooShort { length: length_of_rest, needed });
    }
    let Some(whole) = received.get(..length) else { return Ok(None) };
    let (addresses, tlvs) = whole[FIXED_BYTES..].split_at(needed);
    let (addresses, tlvs) = match family {
        // What follows is to be skipped.
        Family::Unspecified => (Addresses::Unnamed, &[][..]),
        Family::V4 => (ip(addresses, |ip: [u8; 4]| Ipv4Addr::from(ip).into()), tlvs),
        Family::V6 => (ip(addresses, |ip: [u8; 16]| Ipv6Addr::from(ip).into()), tlvs),
        Family::Unix => {
            let (source, destination) = addresses.split_at(PATH_BYTES);
            (Addresses::Unix { source: path(source), destination: path(destination) }, tlvs)
        }
    };
    check(whole, tlvs)?;
    Ok(Some((Header { version: Version::Two, addresses, tlvs: Tlvs { bytes: tlvs } }, length)))
}

/// Reads two addresses and two ports.
fn ip<const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> IpAddr) -> Addresses<'static> {
    let address = |at: usize| of(std::array::from_fn(|index| bytes[at + index]));
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    Addresses::Ip {
        source: SocketAddr::new(address(0), port(2 * N)),
        destination: SocketAddr::new(address(N), port(2 * N + 2)),
    }
}

/// A path without the zeros behind it. A name in the abstract namespace begins with one.
fn path(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..end]
}

/// Checks that all TLVs are well-formed, and the checksum if there is one.
fn check(whole: &[u8], mut tlvs: &[u8]) -> Result<(), Error> {
    while let Some((tlv, rest)) = first(tlvs)? {
        if tlv.kind == CHECKSUM {
            let said: [u8; 4] = tlv.value.try_into().map_err(|_| Error::Tlv { kind: CHECKSUM })?;
            // Its own bytes count as zeros.
            let (behind, said) = (whole.len() - rest.len(), u32::from_be_bytes(said));
            let found = Crc32c::new().add(&whole[..behind - 4]).add(&[0; 4]).add(rest).finish();
            if said != found {
                return Err(Error::Checksum { said, found });
            }
        }
        tlvs = rest;
    }
    Ok(())
}

pub(super) fn encode(header: &Header<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut addresses = Vec::new();
    let (command, family) = match header.addresses {
        Addresses::Unnamed => (LOCAL, 0x00),
        Addresses::Ip { source: SocketAddr::V4(source), destination: SocketAddr::V4(destination) } => {
            addresses.extend_from_slice(&source.ip().octets());
            addresses.extend_from_slice(&destination.ip().octets());
            (PROXY, 0x11)
        }
        Addresses::Ip { source: SocketAddr::V6(source), destination: SocketAddr::V6(destination) } => {
            addresses.extend_from_slice(&source.ip().octets());
            addresses.extend_from_slice(&destination.ip().octets());
            (PROXY, 0x21)
        }
        Addresses::Ip { .. } => return Err(Error::Family { byte: 0 }),
        Addresses::Unix { source, destination } => {
            for path in [source, destination] {
                let zeros = PATH_BYTES.checked_sub(path.len());
                let zeros = zeros.ok_or(Error::TooShort { length: PATH_BYTES, needed: path.len() })?;
                addresses.extend_from_slice(path);
                addresses.extend(std::iter::repeat_n(0, zeros));
            }
            (PROXY, 0x31)
        }
    };
    if let Addresses::Ip { source, destination } = header.addresses {
        addresses.extend_from_slice(&source.port().to_be_bytes());
        addresses.extend_from_slice(&destination.port().to_be_bytes());
    }
    let length = addresses.len() + header.tlvs.bytes.len();
    if FIXED_BYTES + length > LARGEST_BYTES {
        return Err(Error::TooLarge { length: FIXED_BYTES + length });
    }
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[command, family]);
    // At most `LARGEST_BYTES`.
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(&addresses);
    out.extend_from_slice(header.tlvs.bytes);
    Ok(())
}
