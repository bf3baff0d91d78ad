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

/// So many bits that a vector register may hold them.
type Lane = [u64; 4];

const LANE_BYTES: usize = size_of::<Lane>();

/// How many bits are set.
///
/// Counting within a word takes a dozen operations where the processor's own cannot be relied on. So eight lanes are
/// added first, bit by bit: each of these sums is kept in lanes for its ones, twos and fours, and only what carries
/// over into the eights is counted (Harley and Seal). This is as fast as memory is read.
fn ones(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<{ 8 * LANE_BYTES }>();
    let (mut ones, mut twos, mut fours, mut eights) = (Lane::default(), Lane::default(), Lane::default(), 0);
    for block in blocks {
        let [a, b, c, d, e, f, g, h] = lanes(block);
        let two = [add(&mut ones, a, b), add(&mut ones, c, d), add(&mut ones, e, f), add(&mut ones, g, h)];
        let four = [add(&mut twos, two[0], two[1]), add(&mut twos, two[2], two[3])];
        eights += ones_in_lane(add(&mut fours, four[0], four[1]));
    }
    let rest: usize = rest.iter().map(|byte| byte.count_ones() as usize).sum();
    8 * eights + 4 * ones_in_lane(fours) + 2 * ones_in_lane(twos) + ones_in_lane(ones) + rest
}

#[inline]
fn lanes(block: &[u8; 8 * LANE_BYTES]) -> [Lane; 8] {
    let (words, _) = block.as_chunks();
    std::array::from_fn(|lane| std::array::from_fn(|word| u64::from_ne_bytes(words[lane * 4 + word])))
}

/// Adds two lanes to a sum, each bit for itself, and gives what carries over.
#[inline]
fn add(sum: &mut Lane, one: Lane, other: Lane) -> Lane {
    std::array::from_fn(|word| {
        let half = sum[word] ^ one[word];
        let carry = sum[word] & one[word] | half & other[word];
        sum[word] = half ^ other[word];
        carry
    })
}

#[inline]
fn ones_in_lane(lane: Lane) -> usize {
    lane.iter().map(|word| word.count_ones() as usize).sum()
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
        (prop::collection::vec(byte, 1..2_000), any::<bool>())
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
