//! The value of a hash: fields and their values.
//!
//! A small one is a few bytes behind each other (`Packed`): that takes little memory, and looking through all of it
//! costs no more than a table would. From a certain size on it is a table (`Table`), and stays one.

mod index;
mod packed;
mod table;
#[cfg(test)]
mod tests;

use super::held::{Held, Lease, Weigh};

use self::packed::Packed;
use self::table::Table;

/// A field and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// What the heap block of a table has beside it: whether somebody has a lease of it.
const SHARED_BYTES: usize = 3 * size_of::<usize>();

/// Fields with values.
#[derive(Clone, Debug, Default)]
pub struct Hash(Body);

#[derive(Clone, Debug)]
enum Body {
    Packed(Packed),
    Table(Held<Table>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Packed(Packed::default())
    }
}

impl Hash {
    /// What Redis calls the way this value is kept.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Body::Packed(_) => "listpack",
            Body::Table(_) => "hashtable",
        }
    }

    /// Bytes on the heap, as the allocator rounds them. It takes the same short time whatever there is.
    #[must_use]
    pub fn cost(&self) -> usize {
        match &self.0 {
            Body::Packed(packed) => packed.cost(),
            Body::Table(table) => super::entry::block(size_of::<Table>() + SHARED_BYTES) + table.cost(),
        }
    }

    /// Fields.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Body::Packed(packed) => packed.len(),
            Body::Table(table) => table.len(),
        }
    }

    /// Whether there is no field. The store has no such hash.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match &self.0 {
            Body::Packed(packed) => packed.get(field),
            Body::Table(table) => table.get(field),
        }
    }

    /// Makes room for pairs that are going to be set, so that it is made once.
    pub fn prepare<'a>(&mut self, mut pairs: impl Iterator<Item = Pair<'a>> + Clone) {
        let Body::Packed(packed) = &mut self.0 else { return };
        if pairs.clone().all(|(field, value)| Packed::takes(field, value)) {
            packed.reserve(pairs);
        } else if pairs.next().is_some() {
            self.table();
        }
    }

    /// Sets a field; says whether it was not there before.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        if let Body::Packed(packed) = &mut self.0
            && Packed::takes(field, value)
            && let Some(added) = packed.set(field, value)
        {
            return added;
        }
        self.table().set(field, value)
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.0 {
            Body::Packed(packed) => packed.remove(field),
            Body::Table(table) => table.make_mut().remove(field),
        }
    }

    /// All fields with their values; of a small hash in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Pair<'_>> {
        let (packed, table) = match &self.0 {
            Body::Packed(packed) => (Some(packed.iter()), None),
            Body::Table(table) => (None, Some(table.iter())),
        };
        packed.into_iter().flatten().chain(table.into_iter().flatten())
    }

    /// Some of the fields with their values, `most` of them unless the hash is small, and the cursor that gives the
    /// next ones. The first cursor is 0, and so is the one behind the last ones.
    ///
    /// Fields that are there from the first call to the last are met whatever happens to others in between; some may be
    /// met twice.
    pub fn scan(&self, cursor: u64, most: usize) -> (u64, impl Iterator<Item = Pair<'_>>) {
        let (cursor, packed, table) = match &self.0 {
            Body::Packed(packed) => (0, Some(packed.iter()), None),
            Body::Table(table) => {
                let (cursor, pairs) = table.scan(cursor, most);
                (cursor, None, Some(pairs))
            }
        };
        (cursor, packed.into_iter().flatten().chain(table.into_iter().flatten()))
    }

    /// The fields with their values, to be picked by numbers below [`Hash::len`].
    #[must_use]
    pub fn picks(&self) -> Picks<'_> {
        match &self.0 {
            Body::Packed(packed) => Picks(Picked::Packed(packed.iter().collect())),
            Body::Table(table) => Picks(Picked::Table(table)),
        }
    }

    /// All fields and values as they are now, to be read when the hash may have changed. It takes the same short time
    /// whatever there is.
    #[must_use]
    pub fn lease(&self) -> Leased {
        Leased(match &self.0 {
            Body::Packed(packed) => LeasedBody::Packed(packed.clone()),
            Body::Table(table) => LeasedBody::Table(table.lease()),
        })
    }

    /// The table, from now on if it was none.
    fn table(&mut self) -> &mut Table {
        if let Body::Packed(packed) = &self.0 {
            let mut table = Table::default();
            for (field, value) in packed.iter() {
                table.set(field, value);
            }
            self.0 = Body::Table(Held::new(table));
        }
        match &mut self.0 {
            Body::Table(table) => table.make_mut(),
            Body::Packed(_) => unreachable!("it was made a table"),
        }
    }
}

impl Weigh for Table {
    fn bytes(&self) -> usize {
        self.cost()
    }
}

/// See [`Hash::lease`].
#[derive(Debug)]
pub struct Leased(LeasedBody);

#[derive(Debug)]
enum LeasedBody {
    Packed(Packed),
    Table(Lease<Table>),
}

impl Leased {
    /// The fields with their values, to be picked by numbers.
    #[must_use]
    pub fn picks(&self) -> Picks<'_> {
        match &self.0 {
            LeasedBody::Packed(packed) => Picks(Picked::Packed(packed.iter().collect())),
            LeasedBody::Table(table) => Picks(Picked::Table(table)),
        }
    }
}

/// See [`Hash::picks`].
#[derive(Debug)]
pub struct Picks<'a>(Picked<'a>);

#[derive(Debug)]
enum Picked<'a> {
    Packed(Vec<Pair<'a>>),
    Table(&'a Table),
}

impl<'a> Picks<'a> {
    /// The pair with a number.
    ///
    /// # Panics
    ///
    /// There are not so many.
    #[must_use]
    pub fn at(&self, number: usize) -> Pair<'a> {
        match &self.0 {
            Picked::Packed(pairs) => pairs[number],
            Picked::Table(table) => table.at(number),
        }
    }
}
