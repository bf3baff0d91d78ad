//! The text form of the header: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::v2::Tlvs;
use super::{Addresses, Error, Header, LARGEST_TEXT_BYTES, Version};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// What ends the line.
const END: &[u8] = b"\r\n";

pub(super) fn decode(received: &[u8]) -> Result<Option<(Header<'_>, usize)>, Error> {
    // The line end has to begin where there is room for both of its bytes.
    let longest = LARGEST_TEXT_BYTES - 1;
    let seen = &received[..received.len().min(longest)];
    let Some(end) = memchr::memchr2(b'\r', b'\n', seen) else {
        return if received.len() < longest { Ok(None) } else { Err(Error::Line) };
    };
    if received[end] == b'\n' {
        return Err(Error::LineBreak);
    }
    match received.get(end + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(Error::LineBreak),
    }
    let addresses = addresses(&received[SIGNATURE.len()..end])?;
    Ok(Some((Header { version: Version::One, addresses, tlvs: Tlvs::default() }, end + END.len())))
}

/// Reads what is behind `PROXY `.
fn addresses(line: &[u8]) -> Result<Addresses<'static>, Error> {
    let (protocol, rest) = match memchr::memchr(b' ', line) {
        Some(space) => (&line[..space], Some(&line[space + 1..])),
        None => (line, None),
    };
    let rest = match (protocol, rest) {
        // Whatever follows is to be ignored.
        (b"UNKNOWN", _) => return Ok(Addresses::Unnamed),
        (b"TCP4" | b"TCP6", rest) => rest.unwrap_or_default(),
        _ => return Err(Error::Field { field: "protocol" }),
    };
    let mut fields = rest.split(|byte| *byte == b' ');
    let ip = |field: Option<&[u8]>, name| match protocol {
        b"TCP4" => parsed::<Ipv4Addr>(field, name).map(IpAddr::V4),
        _ => parsed::<Ipv6Addr>(field, name).map(IpAddr::V6),
    };
    let (source, destination) = (ip(fields.next(), "source address")?, ip(fields.next(), "destination address")?);
    let source_port = port(fields.next(), "source port")?;
    let destination_port = port(fields.next(), "destination port")?;
    if fields.next().is_some() {
        return Err(Error::Field { field: "end" });
    }
    let (source, destination) = (SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port));
    Ok(Addresses::Ip { source, destination })
}

fn parsed<T: FromStr>(text: Option<&[u8]>, field: &'static str) -> Result<T, Error> {
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).ok_or(Error::Field { field })
}

/// A port as the specification has it: digits only, and no zero in front of others.
fn port(text: Option<&[u8]>, field: &'static str) -> Result<u16, Error> {
    let is_plain = |text: &&[u8]| matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.iter().all(u8::is_ascii_digit);
    parsed(text.filter(is_plain), field)
}

pub(super) fn encode(header: &Header<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let written = match header.addresses {
        Addresses::Unnamed => out.write_all(b"PROXY UNKNOWN\r\n"),
        Addresses::Ip { source, destination } => {
            let family = match (source, destination) {
                (SocketAddr::V4(_), SocketAddr::V4(_)) => "TCP4",
                (SocketAddr::V6(_), SocketAddr::V6(_)) => "TCP6",
                _ => return Err(Error::Field { field: "destination address" }),
            };
            let (from, to) = (source.ip(), destination.ip());
            write!(out, "PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
        }
        Addresses::Unix { .. } => return Err(Error::Field { field: "protocol" }),
    };
    // Nothing fails to be written to memory.
    written.map_err(|_| Error::Line)
}
