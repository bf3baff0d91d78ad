//! Looks at many bits at once.

/// How many bits are set from one to another, both included.
///
/// # Panics
///
/// The bytes have no such bits.
pub(super) fn count(bytes: &[u8], first: usize, last: usize) -> usize {
    let part = &bytes[first / 8..=last / 8];
    let before = bytes[first / 8] & !(0xff >> (first % 8));
    let behind = bytes[last / 8] & !(0xff << (7 - last % 8));
    ones(part) - (before.count_ones() + behind.count_ones()) as usize
}

/// How many bits are set.
fn ones(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<128>();
    let blocks: usize = blocks.iter().map(ones_in_block).sum();
    blocks + rest.iter().map(|byte| byte.count_ones() as usize).sum::<usize>()
}

fn ones_in_block(block: &[u8; 128]) -> usize {
    block.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word).count_ones() as usize).sum()
}

/// The first bit of a kind from one to another, both included.
///
/// # Panics
///
/// The bytes have no such bits.
pub(super) fn first(bytes: &[u8], bit: bool, first: usize, last: usize) -> Option<usize> {
    let (start, end) = (first / 8, last / 8);
    // What has no bit of this kind.
    let other = if bit { 0 } else { 0xff };
    let head = (bytes[start] ^ other) & (0xff >> (first % 8));
    let found = if head != 0 {
        start * 8 + head.leading_zeros() as usize
    } else {
        let at = start + 1 + unlike(&bytes[start + 1..=end], other)?;
        at * 8 + (bytes[at] ^ other).leading_zeros() as usize
    };
    (found <= last).then_some(found)
}

/// Where the first byte is that is not this one.
fn unlike(bytes: &[u8], byte: u8) -> Option<usize> {
    let (blocks, _) = bytes.as_chunks::<64>();
    let alike = 64 * blocks.iter().take_while(|block| is_filled(block, byte)).count();
    let at = bytes[alike..].iter().position(|other| *other != byte)?;
    Some(alike + at)
}

fn is_filled(block: &[u8; 64], byte: u8) -> bool {
    let words = block.as_chunks().0;
    words.iter().fold(0, |sum, word| sum | u64::from_ne_bytes(*word) ^ u64::from_ne_bytes([byte; 8])) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bit(bytes: &[u8], at: usize) -> bool {
        bytes[at / 8] >> (7 - at % 8) & 1 == 1
    }

    /// Mostly the same byte, so that there are long rows.
    fn rows() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![30 => Just(0), 1 => any::<u8>()];
        (prop::collection::vec(byte, 1..600), any::<bool>())
            .prop_map(|(bytes, invert)| bytes.into_iter().map(|byte| if invert { !byte } else { byte }).collect())
    }

    proptest! {
        #[test]
        fn bits_are_counted_and_found_as_one_by_one(bytes in rows(), ends in any::<(usize, usize)>()) {
            let (one, other) = (ends.0 % (bytes.len() * 8), ends.1 % (bytes.len() * 8));
            let (start, end) = (one.min(other), one.max(other));
            prop_assert_eq!(count(&bytes, start, end), (start..=end).filter(|at| bit(&bytes, *at)).count());
            for kind in [true, false] {
                let found = (start..=end).find(|at| bit(&bytes, *at) == kind);
                prop_assert_eq!(first(&bytes, kind, start, end), found);
            }
        }
    }
}
