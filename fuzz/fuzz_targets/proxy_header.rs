//! Any bytes are a PROXY header, the begin of one, or none, however they are cut; and what is read can be sent on.

#![no_main]

use gannet_proto::proxy::{Addresses, Header, LARGEST_BYTES, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let whole = Header::decode(stream);
    let known = (0..=stream.len().min(LARGEST_BYTES + 1)).find(|cut| Header::decode(&stream[..*cut]) != Ok(None));
    match (whole, known) {
        (Ok(None), known) => assert!(known.is_none() && stream.len() < LARGEST_BYTES),
        (Ok(Some((_, length))), known) => assert_eq!(known, Some(length)),
        (Err(error), Some(known)) => assert_eq!(Header::decode(&stream[..known]), Err(error)),
        (Err(error), None) => panic!("no part of it is refused, but the whole is: {error}"),
    }
    let Ok(Some((header, length))) = whole else { return };
    // A header for datagrams is sent on as one for a stream: its checksum would be another.
    let is_datagram = header.version == Version::Two && stream[13] & 0xf == 2;
    if is_datagram && { header.tlvs }.any(|tlv| tlv.kind == 0x03) {
        return;
    }
    let mut sent = Vec::new();
    header.encode(&mut sent).expect("what was read has a form");
    let (again, _) = Header::decode(&sent).expect("what was written is read").expect("it is whole");
    assert_eq!(again.addresses, header.addresses);
    // UNKNOWN and LOCAL may have anything behind them; what names somebody may have forms that are longer.
    if header.version == Version::Two && header.addresses != Addresses::Unnamed {
        assert_eq!((sent.len(), again.tlvs), (length, header.tlvs));
    }
});
