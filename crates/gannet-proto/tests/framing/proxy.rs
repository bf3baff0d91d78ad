//! The PROXY protocol's header: what the specification has, what senders may send, and what nobody may.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use gannet_proto::proxy::{Addresses, Error, Header, LARGEST_BYTES, LARGEST_TEXT_BYTES, Tlvs, Version};
use proptest::prelude::*;

/// What every header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn decoded(received: &[u8]) -> Result<Option<(Header<'_>, usize)>, Error> {
    Header::decode(received)
}

/// A header of version 2 as its bytes are.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a length of sixteen bits").to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a length of sixteen bits").to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// CRC-32C, bit by bit: another way than the decoder's.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |rest, byte| {
        (0..8).fold(rest ^ u32::from(*byte), |rest, _| (rest >> 1) ^ (0x82f6_3b78 & (rest & 1).wrapping_neg()))
    })
}

/// Puts the checksum of a header into the four zeros at `at`.
fn with_checksum(mut header: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = checksum(&header).to_be_bytes();
    header[at..at + 4].copy_from_slice(&sum);
    header
}

fn ip(source: &str, destination: &str) -> Addresses<'static> {
    Addresses::Ip { source: source.parse().expect(source), destination: destination.parse().expect(destination) }
}

/// proxy-protocol.txt §2.1.
#[test]
fn the_lines_of_the_specification_are_read() {
    for (line, addresses) in [
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            ip("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            ip("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        ("PROXY UNKNOWN\r\n", Addresses::Unnamed),
        (
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            Addresses::Unnamed,
        ),
        ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", ip("192.168.0.1:56324", "192.168.0.11:443")),
        ("PROXY TCP6 ::1 2001:db8::2 0 9\r\n", ip("[::1]:0", "[2001:db8::2]:9")),
    ] {
        let stream = [line.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
        let (header, length) = decoded(&stream).expect(line).expect("it is whole");
        assert_eq!((header.version, header.addresses, length), (Version::One, addresses, line.len()), "{line}");
        assert!(length <= LARGEST_TEXT_BYTES);
    }
}

#[test]
fn a_line_that_is_not_exactly_as_specified_is_refused() {
    let field = |field| Error::Field { field };
    for (line, error) in [
        ("GET / HTTP/1.1\r\n", Error::Missing),
        ("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Error::Missing),
        (" PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Error::Missing),
        ("PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n", Error::Missing),
        ("PROXY\r\n", Error::Missing),
        ("PROXY \r\n", field("protocol")),
        ("PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", field("protocol")),
        ("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", field("protocol")),
        ("PROXY UNKNOWNS\r\n", field("protocol")),
        ("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", field("protocol")),
        ("PROXY TCP4\r\n", field("source address")),
        ("PROXY TCP4 1.1.1.1\r\n", field("destination address")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2\r\n", field("source port")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", field("destination port")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", field("end")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", field("end")),
        ("PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n", field("destination address")),
        ("PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", field("source address")),
        ("PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n", field("source address")),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", field("source address")),
        ("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", field("source address")),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", field("source address")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", field("source port")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", field("source port")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2  2\r\n", field("source port")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", field("destination port")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", Error::LineBreak),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r ", Error::LineBreak),
        ("PROXY UNKNOWN \n\r\n", Error::LineBreak),
        ("PROXY UNKNOWN \r\r\n", Error::LineBreak),
    ] {
        assert_eq!(decoded(line.as_bytes()), Err(error), "{line:?}");
    }
}

#[test]
fn a_line_has_107_bytes_with_its_end_and_no_more() {
    let of = |length: usize| format!("PROXY UNKNOWN {:x>1$}\r\n", "", length - 16).into_bytes();
    let longest = of(LARGEST_TEXT_BYTES);
    assert_eq!(longest.len(), LARGEST_TEXT_BYTES);
    assert_eq!(decoded(&longest).expect("just fits").map(|(_, length)| length), Some(LARGEST_TEXT_BYTES));
    assert_eq!(decoded(&of(LARGEST_TEXT_BYTES + 1)), Err(Error::Line));
    // It is refused as soon as it shows.
    assert_eq!(decoded(&longest[..LARGEST_TEXT_BYTES - 2]), Ok(None));
    assert_eq!(decoded(&of(LARGEST_TEXT_BYTES + 1)[..LARGEST_TEXT_BYTES - 1]), Err(Error::Line));
}

/// proxy-protocol.txt §2.2.
#[test]
fn the_binary_forms_of_the_specification_are_read() {
    let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1, 0x20, 1, 0xd, 0xb8], &[0; 11], &[2, 0, 80, 1, 0xbb]].concat();
    let mut paths = [0; 216];
    paths[..9].copy_from_slice(b"/run/from");
    paths[108..115].copy_from_slice(b"\0abs\0to");
    let unix = Addresses::Unix { source: b"/run/from", destination: b"\0abs\0to" };
    let (four, six) = (ip("192.0.2.1:56324", "198.51.100.1:443"), ip("[2001:db8::1]:80", "[2001:db8::2]:443"));
    for (command, family, rest, addresses) in [
        (0x21, 0x11, &v4[..], four),
        (0x21, 0x12, &v4[..], four),
        (0x21, 0x21, &v6, six),
        (0x21, 0x22, &v6, six),
        (0x21, 0x31, &paths, unix),
        (0x21, 0x32, &paths, unix),
        (0x21, 0x00, &[], Addresses::Unnamed),
        (0x21, 0x00, b"whatever is here", Addresses::Unnamed),
        (0x20, 0x00, &[], Addresses::Unnamed),
        (0x20, 0x11, &v4, Addresses::Unnamed),
        // The family of LOCAL means nothing, and neither does what follows.
        (0x20, 0xff, &[1, 2, 3], Addresses::Unnamed),
    ] {
        let bytes = binary(command, family, rest);
        let stream = [&bytes[..], b"the protocol"].concat();
        let (header, length) = decoded(&stream).expect("well-formed").expect("it is whole");
        assert_eq!((header.version, header.addresses, length), (Version::Two, addresses, bytes.len()));
        assert_eq!(header.tlvs.count(), 0);
    }
}

#[test]
fn tlvs_are_skipped_by_their_length_and_may_be_read() {
    let rest = [&[0; 12][..], &tlv(0xea, b"vpce-1"), &tlv(0x04, b""), &tlv(0x02, b"example.com")].concat();
    let bytes = binary(0x21, 0x11, &rest);
    let (header, length) = decoded(&bytes).expect("well-formed").expect("it is whole");
    assert_eq!(length, bytes.len());
    let tlvs: Vec<_> = header.tlvs.map(|tlv| (tlv.kind, tlv.value)).collect();
    assert_eq!(tlvs, [(0xea, &b"vpce-1"[..]), (0x04, b""), (0x02, b"example.com")]);
}

#[test]
fn a_checksum_that_is_there_has_to_be_right() {
    let rest = [&[7; 12][..], &tlv(0x01, b"h2"), &tlv(0x03, &[0; 4]), &tlv(0x04, b"behind")].concat();
    let good = with_checksum(binary(0x21, 0x11, &rest), 16 + 12 + 5 + 3);
    assert!(decoded(&good).expect("it is right").is_some());
    // Of addresses, another TLV, the checksum itself, and what is behind it; the rest would be malformed anyway.
    for at in [16, 20, 27, 31, 32, 36, 39, 43, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(matches!(decoded(&bad), Err(Error::Checksum { .. })), "byte {at}: {:?}", decoded(&bad));
    }
    for size in [0, 3, 5] {
        let rest = [&[0; 12][..], &tlv(0x03, &vec![0; size])].concat();
        assert_eq!(decoded(&binary(0x21, 0x11, &rest)), Err(Error::Tlv { kind: 0x03 }));
    }
}

/// As HAProxy 2.6 wrote it, with `send-proxy-v2 proxy-v2-options crc32c,unique-id`.
#[test]
fn the_checksum_of_a_header_that_haproxy_sent_is_the_one_that_is_found() {
    let rest = b"\x7f\0\0\x02\x7f\0\0\x01\x8dge\x9c\x03\0\x04K\x8c,I\x05\0\x066010-2";
    let bytes = binary(0x21, 0x11, rest);
    let (header, length) = decoded(&bytes).expect("it is right").expect("it is whole");
    assert_eq!((header.addresses, length), (ip("127.0.0.2:36199", "127.0.0.1:26012"), bytes.len()));
    let tlvs: Vec<_> = header.tlvs.map(|tlv| (tlv.kind, tlv.value)).collect();
    assert_eq!(tlvs, [(0x03, &b"K\x8c,I"[..]), (0x05, b"6010-2")]);
}

#[test]
fn a_binary_header_that_is_not_exactly_as_specified_is_refused() {
    for (bytes, error) in [
        (binary(0x11, 0x11, &[0; 12]), Error::Command { byte: 0x11 }),
        (binary(0x22, 0x11, &[0; 12]), Error::Command { byte: 0x22 }),
        (binary(0x31, 0x11, &[0; 12]), Error::Command { byte: 0x31 }),
        (binary(0x21, 0x10, &[0; 12]), Error::Family { byte: 0x10 }),
        (binary(0x21, 0x13, &[0; 12]), Error::Family { byte: 0x13 }),
        (binary(0x21, 0x41, &[0; 12]), Error::Family { byte: 0x41 }),
        (binary(0x21, 0x01, &[]), Error::Family { byte: 0x01 }),
        (binary(0x21, 0x11, &[0; 11]), Error::TooShort { length: 11, needed: 12 }),
        (binary(0x21, 0x21, &[0; 35]), Error::TooShort { length: 35, needed: 36 }),
        (binary(0x21, 0x31, &[0; 215]), Error::TooShort { length: 215, needed: 216 }),
        (binary(0x21, 0x11, &[9; 13]), Error::Tlv { kind: 9 }),
        (binary(0x21, 0x11, &[&[0; 12][..], &[5, 0, 2, 1]].concat()), Error::Tlv { kind: 5 }),
        (binary(0x21, 0x11, &[&[0; 12][..], &[5, 0, 1, 1, 6, 0xff]].concat()), Error::Tlv { kind: 6 }),
        (b"\r\n\r\n\0\r\nQUIT\r\n\r\n\r\n".to_vec(), Error::Missing),
    ] {
        assert_eq!(decoded(&bytes), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn a_header_of_4_kib_is_taken_and_a_larger_one_is_refused_by_its_first_bytes() {
    let largest = binary(0x20, 0, &vec![0; LARGEST_BYTES - 16]);
    assert_eq!(decoded(&largest).expect("just fits").map(|(_, length)| length), Some(LARGEST_BYTES));
    for length in [LARGEST_BYTES + 1, 16 + usize::from(u16::MAX)] {
        let larger = binary(0x20, 0, &vec![0; length - 16]);
        assert_eq!(decoded(&larger[..16]), Err(Error::TooLarge { length }));
    }
}

#[test]
fn what_has_no_form_is_not_encoded() {
    let unix = Addresses::Unix { source: b"", destination: &[b'x'; 109] };
    let mixed = ip("1.1.1.1:1", "[::1]:1");
    let large = tlv(0xe0, &[0; LARGEST_BYTES]);
    let tlvs = Tlvs::encoded(&large).expect("well-formed");
    for (header, error) in [
        (Header::new(Version::One, unix), Error::Field { field: "protocol" }),
        (Header::new(Version::One, mixed), Error::Field { field: "destination address" }),
        (Header::new(Version::Two, mixed), Error::Family { byte: 0 }),
        (Header::new(Version::Two, unix), Error::TooShort { length: 108, needed: 109 }),
    ] {
        let mut out = b"before".to_vec();
        assert_eq!((header.encode(&mut out), &out[..]), (Err(error), &b"before"[..]));
    }
    let mut header = Header::new(Version::Two, Addresses::Unnamed);
    header.tlvs = tlvs;
    assert_eq!(header.encode(&mut Vec::new()), Err(Error::TooLarge { length: 16 + 3 + LARGEST_BYTES }));
    assert_eq!(Tlvs::encoded(&[5, 0, 2, 1]).map(Iterator::count), Err(Error::Tlv { kind: 5 }));
}

/// Addresses, owned.
#[derive(Clone, Debug)]
enum Owned {
    Unnamed,
    Ip(SocketAddr, SocketAddr),
    Unix(Vec<u8>, Vec<u8>),
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    // Zeros behind a path are not part of it.
    prop::collection::vec(any::<u8>(), 0..=108).prop_map(|mut path| {
        while path.last() == Some(&0) {
            path.pop();
        }
        path
    })
}

fn addresses() -> impl Strategy<Value = Owned> {
    let v4 = any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::new(Ipv4Addr::from(ip).into(), port));
    let v6 = any::<([u8; 16], u16)>().prop_map(|(ip, port)| SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, 0).into());
    prop_oneof![
        Just(Owned::Unnamed),
        (v4.clone(), v4).prop_map(|(source, destination)| Owned::Ip(source, destination)),
        (v6.clone(), v6).prop_map(|(source, destination)| Owned::Ip(source, destination)),
        (path(), path()).prop_map(|(source, destination)| Owned::Unix(source, destination)),
    ]
}

fn lent(addresses: &Owned) -> Addresses<'_> {
    match addresses {
        Owned::Unnamed => Addresses::Unnamed,
        Owned::Ip(source, destination) => Addresses::Ip { source: *source, destination: *destination },
        Owned::Unix(source, destination) => Addresses::Unix { source, destination },
    }
}

/// A header as it is on the wire, in either form, perhaps with TLVs and a checksum.
fn encoded(addresses: &Owned, text: bool, tlvs: &[(u8, Vec<u8>)], sum: bool) -> Vec<u8> {
    let lent = lent(addresses);
    let version = if text && !matches!(lent, Addresses::Unix { .. }) { Version::One } else { Version::Two };
    let mut header = Header::new(version, lent);
    let mut all: Vec<u8> = tlvs.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect();
    let is_named = lent != Addresses::Unnamed;
    if sum {
        all.extend(tlv(0x03, &[0; 4]));
    }
    if version == Version::Two && is_named {
        header.tlvs = Tlvs::encoded(&all).expect("well-formed");
    }
    let mut bytes = Vec::new();
    header.encode(&mut bytes).expect("it has a form");
    let at = bytes.len() - if sum { 4 } else { 0 };
    if sum && version == Version::Two && is_named { with_checksum(bytes, at) } else { bytes }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_and_nothing_shorter_is(
        addresses in addresses(),
        text: bool,
        tlvs in prop::collection::vec((4_u8.., prop::collection::vec(any::<u8>(), 0..50)), 0..5),
        sum: bool,
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let bytes = encoded(&addresses, text, &tlvs, sum);
        let stream = [&bytes[..], &behind].concat();
        let (header, length) = decoded(&stream).expect("well-formed").expect("it is whole");
        prop_assert_eq!((header.addresses, length), (lent(&addresses), bytes.len()));
        if header.version == Version::Two && header.addresses != Addresses::Unnamed {
            let found: Vec<_> = header.tlvs.map(|tlv| (tlv.kind, tlv.value.to_vec())).collect();
            prop_assert_eq!(&found[..tlvs.len()], &tlvs[..]);
            prop_assert_eq!(found.len(), tlvs.len() + usize::from(sum));
        }
        for cut in 0..bytes.len() {
            prop_assert_eq!(decoded(&bytes[..cut]), Ok(None), "cut at {}", cut);
        }
    }

    /// Whatever is damaged: no panic, no header that takes more than there is, and the same answer once it is known.
    #[test]
    fn a_damaged_header_is_refused_or_read_within_its_bytes(
        addresses in addresses(),
        text: bool,
        sum: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut stream = encoded(&addresses, text, &[], sum);
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream.extend_from_slice(&[b'x'; 200]);
        let whole = decoded(&stream);
        let known = (0..=stream.len()).find(|cut| decoded(&stream[..*cut]) != Ok(None));
        if let Some(known) = known {
            for cut in known..=stream.len() {
                match (decoded(&stream[..cut]), whole) {
                    (Ok(Some(one)), Ok(Some(other))) => prop_assert_eq!(one, other),
                    (Err(one), Err(other)) => prop_assert_eq!(one, other),
                    (one, other) => prop_assert!(false, "{:?}, but {:?}", one, other),
                }
            }
        }
        if let Ok(Some((_, length))) = whole {
            prop_assert!(length <= stream.len() && known == Some(length));
        }
    }

    /// A single wrong bit anywhere behind the fixed part is found by the checksum.
    #[test]
    fn a_checksum_finds_every_single_wrong_bit(addresses in addresses(), at: prop::sample::Index, bit in 0..8) {
        let mut bytes = encoded(&addresses, false, &[], true);
        prop_assume!(bytes.len() > 16);
        let at = 16 + at.index(bytes.len() - 16);
        bytes[at] ^= 1_u8 << bit;
        // In the head of its TLV a bit makes another TLV of it.
        let head = bytes.len() - 7..bytes.len() - 4;
        let is_found = matches!(decoded(&bytes), Err(Error::Checksum { .. }));
        prop_assert!(head.contains(&at) || is_found);
    }
}
