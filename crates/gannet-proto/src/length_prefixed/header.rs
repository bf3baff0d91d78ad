//! Headers of a fixed size, and what every header must offer the codec.

use super::Error;
use crate::Sink;

/// A kind of header that [`LengthPrefixed`](super::LengthPrefixed) can have.
///
/// Sealed: the kinds are those of this module.
pub trait Header: Layout + 'static {}

/// A header whose size does not depend on the length it gives, so that the length can count it.
///
/// Sealed, as [`Header`] is.
pub trait FixedHeader: Header {
    /// The header's size in bytes.
    const SIZE: usize;
}

/// How a header is written. Public in a private module, which is what seals [`Header`].
pub trait Layout {
    /// The largest number that the header can hold.
    const LARGEST: u64;

    /// The most bytes that the header can have.
    const MAX_SIZE: usize;

    /// Reads the header at the start of `input`.
    fn read(input: &[u8]) -> Result<Prefix, Error>;

    /// Writes a header that holds `length`, which is at most [`LARGEST`](Self::LARGEST).
    fn write(length: u64, out: &mut impl Sink);
}

/// What [`Layout::read`] found.
pub enum Prefix {
    /// A whole header of `size` bytes.
    Whole { length: u64, size: usize },
    /// The beginning of a header that has at least `need` bytes.
    Partial { need: usize },
}

macro_rules! fixed_header {
    ($(#[$doc:meta])* $name:ident, $number:ty, $from_bytes:ident, $to_bytes:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}

        impl Header for $name {}

        impl FixedHeader for $name {
            const SIZE: usize = size_of::<$number>();
        }

        impl Layout for $name {
            const LARGEST: u64 = <$number>::MAX as u64;
            const MAX_SIZE: usize = Self::SIZE;

            #[inline]
            fn read(input: &[u8]) -> Result<Prefix, Error> {
                Ok(match input.first_chunk() {
                    Some(&bytes) => Prefix::Whole {
                        length: u64::from(<$number>::$from_bytes(bytes)),
                        size: Self::SIZE,
                    },
                    None => Prefix::Partial { need: Self::SIZE },
                })
            }

            #[inline]
            fn write(length: u64, out: &mut impl Sink) {
                out.put(&(length as $number).$to_bytes());
            }
        }
    };
}

fixed_header!(
    /// One byte.
    U8, u8, from_be_bytes, to_be_bytes
);
fixed_header!(
    /// Two bytes, the most significant first.
    U16Be, u16, from_be_bytes, to_be_bytes
);
fixed_header!(
    /// Two bytes, the least significant first.
    U16Le, u16, from_le_bytes, to_le_bytes
);
fixed_header!(
    /// Four bytes, the most significant first.
    U32Be, u32, from_be_bytes, to_be_bytes
);
fixed_header!(
    /// Four bytes, the least significant first.
    U32Le, u32, from_le_bytes, to_le_bytes
);
fixed_header!(
    /// Eight bytes, the most significant first.
    U64Be, u64, from_be_bytes, to_be_bytes
);
fixed_header!(
    /// Eight bytes, the least significant first.
    U64Le, u64, from_le_bytes, to_le_bytes
);
