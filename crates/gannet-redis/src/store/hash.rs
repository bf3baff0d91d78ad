//! The value of a hash: fields and their values.

/// Fields with values.
#[derive(Clone, Debug, Default)]
pub struct Hash {}

impl Hash {
    /// What Redis calls the way this value is kept.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        "listpack"
    }

    /// Bytes on the heap, as the allocator rounds them.
    #[must_use]
    pub fn cost(&self) -> usize {
        0
    }
}
