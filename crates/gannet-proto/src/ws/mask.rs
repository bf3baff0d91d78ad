//! The mask of what clients send (RFC 6455 §5.3).

/// Masks `bytes`, or takes the mask off, as if the first of them were the first of a payload.
#[inline]
pub(super) fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    // The compiler makes vector instructions of this loop.
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The key for what comes `done` bytes later in the same payload.
#[inline]
pub(super) fn advanced(mut key: [u8; 4], done: usize) -> [u8; 4] {
    key.rotate_left(done % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn the_masked_hello_of_the_rfc_is_read() {
        let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply(&mut bytes, KEY);
        assert_eq!(&bytes, b"Hello");
    }

    #[test]
    fn a_mask_goes_on_where_it_stopped_whatever_the_cut() {
        let plain: Vec<u8> = (0..=100).collect();
        let mut whole = plain.clone();
        apply(&mut whole, KEY);
        for (at, byte) in whole.iter().enumerate() {
            assert_eq!(*byte, plain[at] ^ KEY[at % 4]);
        }
        for cut in 0..=plain.len() {
            let mut parts = plain.clone();
            let (front, back) = parts.split_at_mut(cut);
            apply(front, KEY);
            apply(back, advanced(KEY, cut));
            assert_eq!(parts, whole, "cut at {cut}");
        }
    }
}
