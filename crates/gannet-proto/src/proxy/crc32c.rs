//! The checksum of a header: CRC-32C (Castagnoli), RFC 4960 appendix B.

/// The polynomial 0x1EDC6F41 with its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The remainder of each byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut rest, mut bit) = (byte as u32, 0);
        while bit < 8 {
            rest = if rest & 1 == 1 { (rest >> 1) ^ POLYNOMIAL } else { rest >> 1 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
};

/// A checksum under way.
pub(super) struct Crc32c(u32);

impl Crc32c {
    pub(super) fn new() -> Self {
        Self(!0)
    }

    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let step = |rest: u32, byte: &u8| (rest >> 8) ^ TABLE[usize::from(rest as u8 ^ byte)];
        Self(bytes.iter().fold(self.0, step))
    }

    pub(super) fn finish(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720 §B.4 has the vectors, and the last is the check value of the catalogue of CRCs.
    #[test]
    fn the_published_vectors_have_the_published_checksums() {
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, checksum) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(Crc32c::new().add(bytes).finish(), checksum);
        }
    }
}
