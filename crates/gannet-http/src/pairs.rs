//! Names with values (a query, a form, the parameters of a path) as values of any type.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use serde::de::value::CowStrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, Error as _, IntoDeserializer as _, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use smallvec::SmallVec;

use crate::percent::{decode, decode_form};
use crate::places::Params;

/// More pairs than these are refused.
const MOST: usize = 1_000;

/// So many pairs are held without an allocation.
const HELD: usize = 8;

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Names with their values, decoded. Names that are there more than once are beside each other.
pub(crate) struct Pairs<'a>(SmallVec<[Pair<'a>; HELD]>);

/// What is wrong with one of them.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Its name, where it is about one.
    pub(crate) field: String,
    pub(crate) why: String,
}

impl<'a> Pairs<'a> {
    /// Those of a query, or of a form as browsers send it.
    pub(crate) fn of_form(text: &'a str) -> Result<Self, &'static str> {
        let mut pairs = SmallVec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MOST {
                return Err("more than 1,000 values");
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode_form(name).ok_or(ENCODING)?, decode_form(value).ok_or(ENCODING)?));
        }
        pairs.sort_by(|(one, _): &Pair<'a>, (other, _)| one.cmp(other));
        Ok(Self(pairs))
    }

    /// Those of a path, in the order of its pattern.
    pub(crate) fn of_params(params: Option<&Params<'a>>) -> Result<Self, &'static str> {
        let mut pairs = SmallVec::new();
        if let Some(params) = params {
            params.each(|name, value| {
                pairs.push((Cow::Borrowed(name), decode(value).ok_or(ENCODING)?));
                Ok::<_, &'static str>(())
            })?;
        }
        Ok(Self(pairs))
    }

    /// Reads them as a value of this type.
    pub(crate) fn read<T: Deserialize<'a>>(mut self) -> Result<T, Fault> {
        T::deserialize(All(&mut self.0))
    }
}

const ENCODING: &str = "its percent-encoding is no text";

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self { field: String::new(), why: why.to_string() }
    }
}

impl Fault {
    fn about(self, name: &str) -> Self {
        if self.field.is_empty() { Self { field: name.to_owned(), ..self } } else { self }
    }
}

/// All pairs: a struct or a map by their names, a tuple of their values, or the value of the only one.
struct All<'p, 'a>(&'p mut [Pair<'a>]);

impl<'p, 'a> All<'p, 'a> {
    fn only<V: Visitor<'a>>(
        self,
        visitor: V,
        visit: impl FnOnce(One<'p, 'a>, V) -> Result<V::Value, Fault>,
    ) -> Result<V::Value, Fault> {
        if let [pair] = self.0 {
            let name = pair.0.clone();
            return visit(One(std::slice::from_mut(pair)), visitor).map_err(|fault| fault.about(&name));
        }
        let (count, expected) = (self.0.len(), &visitor as &dyn de::Expected);
        Err(Fault::custom(format_args!("{count} values where one is expected: {expected}")))
    }
}

macro_rules! only {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.only(visitor, |one, visitor| one.$method(visitor))
        }
    )*};
}

impl<'a> Deserializer<'a> for All<'_, 'a> {
    type Error = Fault;

    only! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(Fields { rest: self.0, value: None })
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Values(self.0))
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, length: usize, visitor: V) -> Result<V::Value, Fault> {
        if self.0.len() != length {
            return Err(Fault::custom(format_args!("{} values where {length} are expected", self.0.len())));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.only(visitor, |one, visitor| one.deserialize_enum(name, variants, visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

/// Each name with its values.
struct Fields<'p, 'a> {
    rest: &'p mut [Pair<'a>],
    value: Option<&'p mut [Pair<'a>]>,
}

impl<'a> MapAccess<'a> for Fields<'_, 'a> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((name, _)) = self.rest.first() else { return Ok(None) };
        let count = self.rest.iter().take_while(|(own, _)| own == name).count();
        let key = name.clone();
        let (values, rest) = mem::take(&mut self.rest).split_at_mut(count);
        (self.value, self.rest) = (Some(values), rest);
        seed.deserialize(One(&mut [(Cow::Borrowed(""), key)])).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let values = self.value.take().unwrap_or_default();
        let name = values.first().map(|(name, _)| name.clone()).unwrap_or_default();
        seed.deserialize(One(values)).map_err(|fault| fault.about(&name))
    }
}

/// Each value by itself.
struct Values<'p, 'a>(&'p mut [Pair<'a>]);

impl<'a> SeqAccess<'a> for Values<'_, 'a> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (value, rest) = mem::take(&mut self.0).split_at_mut(1);
        self.0 = rest;
        let name = value[0].0.clone();
        seed.deserialize(One(value)).map(Some).map_err(|fault| fault.about(&name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The values of one name, of which there is at least one.
struct One<'p, 'a>(&'p mut [Pair<'a>]);

impl<'a> One<'_, 'a> {
    fn text(self) -> Result<Cow<'a, str>, Fault> {
        match self.0 {
            [(_, value)] => Ok(mem::take(value)),
            all => Err(Fault::custom(format_args!("given {} times, where one is expected", all.len()))),
        }
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident;)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
            let text = self.text()?;
            match text.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Fault::invalid_value(Unexpected::Str(&text), &visitor)),
            }
        }
    )*};
}

macro_rules! textual {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.text()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            }
        }
    )*};
}

impl<'a> Deserializer<'a> for One<'_, 'a> {
    type Error = Fault;

    parsed! {
        deserialize_bool => visit_bool;
        deserialize_i8 => visit_i8;
        deserialize_i16 => visit_i16;
        deserialize_i32 => visit_i32;
        deserialize_i64 => visit_i64;
        deserialize_i128 => visit_i128;
        deserialize_u8 => visit_u8;
        deserialize_u16 => visit_u16;
        deserialize_u32 => visit_u32;
        deserialize_u64 => visit_u64;
        deserialize_u128 => visit_u128;
        deserialize_f32 => visit_f32;
        deserialize_f64 => visit_f64;
        deserialize_char => visit_char;
    }

    textual! {
        deserialize_any deserialize_str deserialize_string deserialize_identifier deserialize_unit deserialize_map
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
            Cow::Owned(text) => visitor.visit_byte_buf(text.into_bytes()),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Values(self.0))
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Values(self.0))
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_seq(Values(self.0))
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let text: CowStrDeserializer<'a, Fault> = self.text()?.into_deserializer();
        visitor.visit_enum(text)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

#[cfg(test)]
mod tests;
