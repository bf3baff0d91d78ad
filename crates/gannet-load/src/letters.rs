//! The bytes that requests are made of: letters that follow from a connection's number and a request's number, so that an
//! answer that is lost, doubled or another connection's is noticed.

/// Length of the letters before they repeat; a prime, so that requests do not line up with it.
const PERIOD: usize = 65_521;

/// A stream of letters from which all payloads are cut.
#[derive(Debug)]
pub struct Letters {
    table: Box<[u8]>,
    size: usize,
}

impl Letters {
    /// Letters for payloads of so many bytes; the same in each run.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut letter = || {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'a' + (state % 26) as u8
        };
        let once: Vec<u8> = (0..PERIOD).map(|_| letter()).collect();
        Self { table: once.iter().copied().cycle().take(PERIOD + size).collect(), size }
    }

    /// Bytes of the largest payload.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns the payload of a request.
    #[must_use]
    pub fn payload(&self, connection: u32, request: u64, size: usize) -> &[u8] {
        let start = (u64::from(connection).wrapping_mul(7_919).wrapping_add(request.wrapping_mul(31))) % PERIOD as u64;
        &self.table[start as usize..start as usize + size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_have_different_payloads_and_the_same_request_always_the_same() {
        let letters = Letters::new(64);
        assert_eq!(letters.payload(3, 5, 64), Letters::new(64).payload(3, 5, 64));
        for (connection, request) in [(3, 6), (4, 5), (2, 5), (3, 4)] {
            assert_ne!(letters.payload(3, 5, 64), letters.payload(connection, request, 64));
        }
        assert_eq!(letters.payload(u32::MAX, u64::MAX, 64).len(), 64);
    }
}
