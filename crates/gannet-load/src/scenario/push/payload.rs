//! What publishers publish: a JSON object that says who published it, in which order, and when that was due.

use std::io::Write as _;

use serde::Deserialize;

/// The smallest size of a publication's data, in bytes. With numbers of many digits it has a few more.
pub const SMALLEST_BYTES: usize = 96;

/// What a publication says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Payload {
    /// The run that it belongs to: others may publish to the same channels.
    pub run: u32,
    /// The publisher's number.
    pub from: u32,
    /// Its number among those that the publisher published to the channel.
    pub seq: u32,
    /// When it was due, ns since 1970 (UTC).
    pub due: u64,
    /// How much later it was written, ns.
    pub late: u64,
}

impl Payload {
    /// Writes it, with a filling so that it has `size` bytes.
    pub fn write(&self, size: usize, out: &mut Vec<u8>) {
        let begin = out.len();
        let Self { run, from, seq, due, late } = self;
        // Writing to a Vec cannot fail.
        let _ = write!(out, r#"{{"run":{run},"from":{from},"seq":{seq},"due":{due},"late":{late},"x":""#);
        let end = begin + size.saturating_sub(2);
        if out.len() < end {
            out.resize(end, b'x');
        }
        out.extend_from_slice(br#""}"#);
    }

    /// Reads it; nothing where the data is somebody else's.
    #[must_use]
    pub fn read(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_size_and_is_read_as_it_was_written() {
        let payload = Payload { run: u32::MAX, from: 12, seq: 1_234, due: 1_763_740_800_123_456_789, late: 98_765_432 };
        for size in [SMALLEST_BYTES, 100, 4_096] {
            let mut data = Vec::new();
            payload.write(size, &mut data);
            assert_eq!((data.len(), Payload::read(&data)), (size, Some(payload)));
        }
        let mut data = b"before".to_vec();
        payload.write(1, &mut data);
        assert_eq!(Payload::read(&data[6..]), Some(payload));
    }

    #[test]
    fn the_data_of_others_is_no_payload() {
        for data in [&b""[..], b"{}", b"\"hello\"", br#"{"run":1}"#, br#"{"run":-1,"from":1,"seq":1,"due":1,"late":1}"#]
        {
            assert_eq!(Payload::read(data), None);
        }
    }
}
