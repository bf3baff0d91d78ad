//! Replies of any shape, as a writer writes them and as the other implementation knows them.

use std::collections::HashSet;

use gannet_proto::Sink;
use gannet_proto::resp::{Value, Writer};
use proptest::prelude::*;

/// A reply.
#[derive(Clone, Debug)]
pub enum Tree {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    NullArray,
    Double(f64),
    Boolean(bool),
    BigNumber(String),
    Verbatim(Vec<u8>),
    Array(Vec<Tree>),
    Set(Vec<Tree>),
    Push(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
}

impl Tree {
    pub fn write(&self, writer: &mut Writer<impl Sink>) {
        match self {
            Self::Simple(text) => writer.simple(text),
            Self::Error(text) => writer.error(text),
            Self::Integer(value) => writer.integer(*value),
            Self::Bulk(bytes) => writer.bulk(bytes),
            Self::Null => writer.null(),
            Self::NullArray => writer.null_array(),
            Self::Double(value) => writer.double(*value),
            Self::Boolean(value) => writer.boolean(*value),
            Self::BigNumber(digits) => writer.big_number(digits),
            Self::Verbatim(text) => writer.verbatim(b"mkd", text),
            Self::Array(values) => {
                writer.array(values.len());
                values.iter().for_each(|value| value.write(writer));
            }
            Self::Set(values) => {
                writer.set(values.len());
                values.iter().for_each(|value| value.write(writer));
            }
            Self::Push(values) => {
                writer.push(values.len());
                values.iter().for_each(|value| value.write(writer));
            }
            Self::Map(pairs) => {
                writer.map(pairs.len());
                for (key, value) in pairs {
                    key.write(writer);
                    value.write(writer);
                }
            }
        }
    }

    /// What a client reads in RESP3.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Simple(text) => Value::Simple(text.as_bytes()),
            Self::Error(text) => Value::Error(text.as_bytes()),
            Self::Integer(value) => Value::Integer(*value),
            Self::Bulk(bytes) => Value::Bulk(bytes),
            Self::Null | Self::NullArray => Value::Null,
            Self::Double(value) => Value::Double(*value),
            Self::Boolean(value) => Value::Boolean(*value),
            Self::BigNumber(digits) => Value::BigNumber(digits.as_bytes()),
            Self::Verbatim(text) => Value::Verbatim { format: *b"mkd", text },
            Self::Array(values) => Value::Array(values.iter().map(Self::value).collect()),
            Self::Set(values) => Value::Set(values.iter().map(Self::value).collect()),
            Self::Push(values) => Value::Push(values.iter().map(Self::value).collect()),
            Self::Map(pairs) => Value::Map(pairs.iter().map(|(key, value)| (key.value(), value.value())).collect()),
        }
    }
}

/// Values that a set or a map's keys can hold in the other implementation.
fn key() -> impl Strategy<Value = Tree> {
    prop_oneof![
        any::<i64>().prop_map(Tree::Integer),
        "[ -~]{0,9}".prop_map(Tree::Simple),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Tree::Bulk),
    ]
}

/// A map of these pairs, each key once: which of two the other implementation keeps is its own business.
fn map(mut pairs: Vec<(Tree, Tree)>) -> Tree {
    let mut known = HashSet::new();
    pairs.retain(|(key, _)| known.insert(format!("{key:?}")));
    Tree::Map(pairs)
}

/// Values that RESP2 knows.
pub fn resp2() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        3 => key(),
        1 => "[A-Z]{1,5} [ -~é]{0,9}".prop_map(Tree::Error),
        1 => Just(Tree::Null),
        1 => Just(Tree::NullArray),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| prop::collection::vec(inner, 0..6).prop_map(Tree::Array))
}

/// Values of all types.
pub fn resp3() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        3 => resp2(),
        1 => any::<bool>().prop_map(Tree::Boolean),
        1 => any::<f64>().prop_filter("equals itself", |value| !value.is_nan()).prop_map(Tree::Double),
        1 => "-?[0-9]{1,40}".prop_map(Tree::BigNumber),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Tree::Verbatim),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::Array),
            prop::collection::vec(key(), 0..6).prop_map(Tree::Set),
            prop::collection::vec((key(), inner), 0..6).prop_map(map),
        ]
    })
}

/// Values of all types, and pushes.
pub fn resp3_and_pushes() -> impl Strategy<Value = Tree> {
    prop_oneof![4 => resp3(), 1 => prop::collection::vec(resp3(), 1..4).prop_map(Tree::Push)]
}
