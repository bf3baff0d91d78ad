//! The search for one byte, which finds the ends of lines.

/// Where `byte` is first in `bytes`.
#[inline]
pub(crate) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    let found = memchr::memchr(byte, bytes);
    #[cfg(test)]
    crate::work::looked_at(found.map_or(bytes.len(), |offset| offset + 1));
    found
}
