//! Replies that borrow nothing.

use gannet::proto::resp::Value;

/// Holds a reply of Redis, or a value inside of one. It is a [`Value`] that borrows nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OwnedValue {
    /// Nothing.
    Null,
    /// A line of text, as `OK`.
    Simple(Vec<u8>),
    /// An error with its code, as `ERR unknown command`.
    Error(Vec<u8>),
    /// An integer.
    Integer(i64),
    /// A string of any bytes.
    Bulk(Vec<u8>),
    /// Values in order; also the values of a set or of a push.
    Array(Vec<OwnedValue>),
    /// Keys and their values, in the order in which they came.
    Map(Vec<(OwnedValue, OwnedValue)>),
    /// A double.
    Double(f64),
    /// A boolean.
    Boolean(bool),
    /// An integer of any size, in decimal digits.
    BigNumber(Vec<u8>),
}

impl OwnedValue {
    /// Returns the bytes of a string, a line or an error.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) | Self::Error(text) | Self::Bulk(text) | Self::BigNumber(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the text of an error, if it is one.
    #[must_use]
    pub fn error(&self) -> Option<&[u8]> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        let all = |values: Vec<Value<'_>>| Self::Array(values.into_iter().map(Self::from).collect());
        match value {
            Value::Simple(text) => Self::Simple(text.to_vec()),
            Value::Error(text) => Self::Error(text.to_vec()),
            Value::Integer(number) => Self::Integer(number),
            Value::Bulk(bytes) | Value::Verbatim { text: bytes, .. } => Self::Bulk(bytes.to_vec()),
            Value::Array(values) | Value::Set(values) | Value::Push(values) => all(values),
            Value::Map(pairs) => Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()),
            Value::Attribute { value, .. } => (*value).into(),
            Value::Double(number) => Self::Double(number),
            Value::Boolean(truth) => Self::Boolean(truth),
            Value::BigNumber(digits) => Self::BigNumber(digits.to_vec()),
            // `Null`, and kinds that a later version of the codec may add.
            _ => Self::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_reply_keeps_its_shape_without_borrowing() {
        let bytes = b"a".to_vec();
        let value = Value::Array(vec![
            Value::Bulk(&bytes),
            Value::Map(vec![(Value::Simple(b"k"), Value::Set(vec![Value::Integer(1), Value::Null]))]),
        ]);
        let owned = OwnedValue::from(value);
        drop(bytes);
        let inner = OwnedValue::Array(vec![OwnedValue::Integer(1), OwnedValue::Null]);
        let map = OwnedValue::Map(vec![(OwnedValue::Simple(b"k".to_vec()), inner)]);
        assert_eq!(owned, OwnedValue::Array(vec![OwnedValue::Bulk(b"a".to_vec()), map]));
    }
}
