//! The values of replies.

/// Holds one reply, or one value inside of it. Text and bytes borrow from the received bytes.
///
/// Values that are not nested are decoded without an allocation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A line of text, as `OK` (`+`).
    Simple(&'a [u8]),
    /// An error with its code, as `ERR unknown command` (`-`). Also a bulk error (`!`), which may have line breaks.
    Error(&'a [u8]),
    /// An integer (`:`).
    Integer(i64),
    /// A string of any bytes (`$`).
    Bulk(&'a [u8]),
    /// Nothing: RESP3's null (`_`), and RESP2's null bulk string and null array (`$-1`, `*-1`).
    Null,
    /// Values in order (`*`).
    Array(Vec<Value<'a>>),
    /// Keys and their values, in the order in which they came (`%`). Keys may repeat.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// Values in the order in which they came (`~`). Values may repeat.
    Set(Vec<Value<'a>>),
    /// A push, its kind first (`>`). It answers no command, and may come before any reply.
    Push(Vec<Value<'a>>),
    /// A value with attributes, which a client may ignore (`|`).
    Attribute {
        /// Keys and their values.
        pairs: Vec<(Value<'a>, Value<'a>)>,
        /// The value that has the attributes.
        value: Box<Value<'a>>,
    },
    /// A double (`,`); may be infinite or not a number.
    Double(f64),
    /// A boolean (`#`).
    Boolean(bool),
    /// Decimal digits of an integer of any size, with a sign before them or none (`(`).
    BigNumber(&'a [u8]),
    /// A string with its format (`=`).
    Verbatim {
        /// `txt`, `mkd`, or another one.
        format: [u8; 3],
        /// The string.
        text: &'a [u8],
    },
}
