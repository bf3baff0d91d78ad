//! What a message is, whatever the format: fields that each have a number and a name.
//!
//! The macros make a struct or an enum from such a table, with the code that reads and writes it.

use std::borrow::Cow;

use super::DecodeError;

/// The most entries that maps and lists of a command may have together.
///
/// An entry takes up to 176 bytes of memory, and may have two on the wire.
pub const MAX_ENTRIES: usize = 10_000;

/// Names a field that is written.
#[derive(Clone, Copy, Debug)]
pub struct Field<'n> {
    pub number: u32,
    pub name: &'n str,
    /// What becomes of the field where it is zero or empty.
    pub zero: Zero,
}

/// What becomes of a field that is zero or empty. Messages are always written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// It is left out.
    Omitted,
    /// JSON has it, Protobuf has not.
    KeptInJson,
    /// It is written, as names and values in maps are.
    Kept,
}

impl<'n> Field<'n> {
    pub const fn new(number: u32, name: &'n str) -> Self {
        Self { number, name, zero: Zero::Omitted }
    }

    /// The field is in JSON even if it is zero or empty.
    pub const fn kept(self) -> Self {
        Self { zero: Zero::KeptInJson, ..self }
    }

    /// A name or value of a map, which is always written.
    pub const fn in_map(number: u32, name: &'n str) -> Self {
        Self { number, name, zero: Zero::Kept }
    }

    /// Whether JSON leaves the field out if its value is zero or empty.
    pub fn omitted_in_json(self) -> bool {
        self.zero == Zero::Omitted
    }

    /// Whether Protobuf leaves the field out if its value is zero or empty.
    pub fn omitted_in_protobuf(self) -> bool {
        self.zero != Zero::Kept
    }
}

/// Names a field that was found.
#[derive(Clone, Copy, Debug)]
pub enum Key<'n> {
    Number(u32),
    Name(&'n str),
}

/// A message: a list of fields. Public in a private module, so that nobody else implements it.
pub trait Message<'a>: Default {
    /// Writes all fields, in the order of their numbers.
    fn write(&self, out: &mut impl FieldWriter);

    /// Reads the value of one field, or skips it if the message has no such field.
    fn read(&mut self, key: Key<'_>, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError>;
}

/// The type of a field.
pub trait Value<'a>: Default {
    fn write(&self, field: Field<'_>, out: &mut impl FieldWriter);

    fn read(&mut self, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError>;
}

/// Reads the value of the field at which it stands, in one format.
///
/// Values that are null in JSON read as zero or empty, if nothing else is said.
pub trait FieldReader<'a>: Sized {
    /// Whether a message that comes again in the same field adds to what is there, and a list likewise.
    const MERGES: bool;

    fn u64(&mut self) -> Result<u64, DecodeError>;
    fn u32(&mut self) -> Result<u32, DecodeError>;
    fn i64(&mut self) -> Result<i64, DecodeError>;
    fn i32(&mut self) -> Result<i32, DecodeError>;
    fn bool(&mut self) -> Result<bool, DecodeError>;
    fn text(&mut self) -> Result<Cow<'a, str>, DecodeError>;
    /// Bytes of the application: in JSON the text of a value, null included.
    fn raw(&mut self) -> Result<&'a [u8], DecodeError>;
    /// Bytes that are a string in JSON.
    fn bytes(&mut self) -> Result<Cow<'a, [u8]>, DecodeError>;
    /// Takes a null, if there is one.
    fn take_null(&mut self) -> bool;
    /// A message; null is an error.
    fn message(&mut self, into: &mut impl Message<'a>) -> Result<(), DecodeError>;
    fn list<M: Message<'a>>(&mut self, into: &mut Vec<M>) -> Result<(), DecodeError>;
    fn map<V: Value<'a>>(&mut self, into: &mut Vec<(Cow<'a, str>, V)>) -> Result<(), DecodeError>;
    fn skip(&mut self) -> Result<(), DecodeError>;
}

/// Writes fields in one format. Zero and empty values are left out if their field says so.
pub trait FieldWriter: Sized {
    fn uint(&mut self, field: Field<'_>, value: u64);
    fn int(&mut self, field: Field<'_>, value: i64);
    fn bool(&mut self, field: Field<'_>, value: bool);
    fn text(&mut self, field: Field<'_>, value: &str);
    /// Bytes of the application: in JSON the text of a value.
    fn raw(&mut self, field: Field<'_>, value: &[u8]);
    /// Bytes that are a string in JSON.
    fn bytes(&mut self, field: Field<'_>, value: &[u8]);
    /// A message, even if it is empty.
    fn message<'a>(&mut self, field: Field<'_>, value: &impl Message<'a>);
    fn list<'a, M: Message<'a>>(&mut self, field: Field<'_>, value: &[M]);
    fn map<'a, V: Value<'a>>(&mut self, field: Field<'_>, value: &[(Cow<'a, str>, V)]);
}

macro_rules! scalar {
    ($type:ty, $write:ident, $read:ident, |$value:ident| $written:expr) => {
        impl<'a> Value<'a> for $type {
            #[inline]
            fn write(&self, field: Field<'_>, out: &mut impl FieldWriter) {
                let $value = self;
                out.$write(field, $written);
            }

            #[inline]
            fn read(&mut self, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError> {
                *self = from.$read()?;
                Ok(())
            }
        }
    };
}

scalar!(u64, uint, u64, |value| *value);
scalar!(u32, uint, u32, |value| u64::from(*value));
scalar!(i64, int, i64, |value| *value);
scalar!(i32, int, i32, |value| i64::from(*value));
scalar!(bool, bool, bool, |value| *value);
scalar!(Cow<'a, str>, text, text, |value| value);
scalar!(&'a [u8], raw, raw, |value| value);
scalar!(Cow<'a, [u8]>, bytes, bytes, |value| value);

/// As the value in a map: there it is always written, and never null.
impl<'a, M: Message<'a>> Value<'a> for M {
    fn write(&self, field: Field<'_>, out: &mut impl FieldWriter) {
        out.message(field, self);
    }

    fn read(&mut self, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError> {
        from.message(self)
    }
}

impl<'a, M: Message<'a>> Value<'a> for Option<M> {
    fn write(&self, field: Field<'_>, out: &mut impl FieldWriter) {
        if let Some(message) = self {
            out.message(field, message);
        }
    }

    fn read(&mut self, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError> {
        read_option(self, from)
    }
}

fn read_option<'a, M: Message<'a>, R: FieldReader<'a>>(into: &mut Option<M>, from: &mut R) -> Result<(), DecodeError> {
    if !R::MERGES {
        *into = None;
    }
    if from.take_null() { Ok(()) } else { from.message(into.get_or_insert_default()) }
}

impl<'a, M: Message<'a>> Value<'a> for Vec<M> {
    fn write(&self, field: Field<'_>, out: &mut impl FieldWriter) {
        out.list(field, self);
    }

    fn read(&mut self, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError> {
        from.list(self)
    }
}

impl<'a, V: Value<'a>> Value<'a> for Vec<(Cow<'a, str>, V)> {
    fn write(&self, field: Field<'_>, out: &mut impl FieldWriter) {
        out.map(field, self);
    }

    fn read(&mut self, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError> {
        from.map(self)
    }
}

/// A message without fields.
#[derive(Default)]
pub struct Nothing;

impl<'a> Message<'a> for Nothing {
    fn write(&self, _: &mut impl FieldWriter) {}

    fn read(&mut self, _: Key<'_>, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError> {
        from.skip()
    }
}

/// Makes structs that are messages. Each field: its type, its number, its name, and whether JSON always has it.
macro_rules! message {
    ($(
        $(#[$doc:meta])*
        $name:ident $(<$life:lifetime>)? {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty = $number:literal, $key:literal $(, $kept:ident)?; )*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name $(<$life>)? {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl<'a> $crate::centrifuge::schema::Message<'a> for $name $(<$life>)? {
            fn write(&self, out: &mut impl $crate::centrifuge::schema::FieldWriter) {
                use $crate::centrifuge::schema::{Field, Value};
                $( Value::write(&self.$field, const { Field::new($number, $key)$(.$kept())? }, out); )*
            }

            fn read(
                &mut self,
                key: $crate::centrifuge::schema::Key<'_>,
                from: &mut impl $crate::centrifuge::schema::FieldReader<'a>,
            ) -> Result<(), $crate::centrifuge::DecodeError> {
                use $crate::centrifuge::schema::{Key, Value};
                match key {
                    $( Key::Number($number) | Key::Name($key) => Value::read(&mut self.$field, from), )*
                    _ => from.skip(),
                }
            }
        }
    )*};
}

/// Makes an enum of what may be in a message at most once: messages, and those without fields.
macro_rules! one_of {
    (
        $(#[$doc:meta])*
        $name:ident<$life:lifetime> {
            $(#[$empty_doc:meta])* Empty;
            $( $(#[$body_doc:meta])* $body:ident($type:ty) = $number:literal, $key:literal; )*
        }
        without fields {
            $( $(#[$unit_doc:meta])* $unit:ident = $unit_number:literal, $unit_key:literal; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub enum $name<$life> {
            $(#[$empty_doc])*
            #[default]
            Empty,
            $( $(#[$body_doc])* $body($type), )*
            $( $(#[$unit_doc])* $unit, )*
        }

        impl<$life> $name<$life> {
            fn write(&self, out: &mut impl $crate::centrifuge::schema::FieldWriter) {
                use $crate::centrifuge::schema::Field;
                match self {
                    Self::Empty => {}
                    $( Self::$body(body) => out.message(const { Field::new($number, $key) }, body), )*
                    $( Self::$unit => {
                        let nothing = $crate::centrifuge::schema::Nothing;
                        out.message(const { Field::new($unit_number, $unit_key) }, &nothing);
                    } )*
                }
            }

            fn read(
                &mut self,
                key: $crate::centrifuge::schema::Key<'_>,
                from: &mut impl $crate::centrifuge::schema::FieldReader<$life>,
            ) -> Result<(), $crate::centrifuge::DecodeError> {
                use $crate::centrifuge::schema::Key;
                let field = match key {
                    $( Key::Number($number) | Key::Name($key) => $key, )*
                    $( Key::Number($unit_number) | Key::Name($unit_key) => $unit_key, )*
                    _ => return from.skip(),
                };
                if !matches!(self, Self::Empty) {
                    return Err($crate::centrifuge::DecodeError::Several { field });
                }
                match key {
                    $( Key::Number($number) | Key::Name($key) => {
                        let mut body = <$type>::default();
                        from.message(&mut body)?;
                        *self = Self::$body(body);
                    } )*
                    $( Key::Number($unit_number) | Key::Name($unit_key) => {
                        from.message(&mut $crate::centrifuge::schema::Nothing)?;
                        *self = Self::$unit;
                    } )*
                    _ => {}
                }
                Ok(())
            }
        }
    };
}

pub(super) use {message, one_of};
