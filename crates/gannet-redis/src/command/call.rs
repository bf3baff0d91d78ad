//! A command while it runs on the store: its words, the shards it has locked, and where its reply goes.

use bytes::Bytes;
use gannet::proto::resp::Writer;

use super::error::Error;
use super::number;
use super::parts::Parts;
use super::{Flags, Signature};
use crate::counter::Lookups;
use crate::store::entry::{New, Value};
use crate::store::garbage::Garbage;
use crate::store::hash::Hash;
use crate::store::random::Random;
use crate::store::space::{Slot, Space};
use crate::store::{Key, Keys};

/// Where replies are written.
pub type Reply = Writer<Vec<u8>>;

/// See the module.
pub struct Call<'c, 'k, 'a> {
    /// The command itself.
    pub command: &'static Signature,
    /// All its words, the name first. As many as its arity asks for.
    pub args: &'c [&'a [u8]],
    /// The shards of its keys.
    pub keys: &'c mut Keys<'k>,
    /// The database that the connection has selected.
    pub db: u8,
    /// Milliseconds since 1970, the same for the whole command.
    pub now_ms: u64,
    /// The largest string, in bytes.
    pub max_bulk: usize,
    /// The word that is to be stored, in the memory in which it was received, where it is large.
    pub received: Option<Bytes>,
    /// Where the reply goes.
    pub reply: &'c mut Reply,
    /// Its large parts.
    pub parts: &'c mut Parts,
    /// What was taken out of the store and is large: dropped where that holds nobody up.
    pub garbage: &'c mut Vec<Garbage>,
    /// For what is chosen by chance.
    pub random: &'c mut Random,
    /// Bytes of work beyond the words and the reply, for the connection's share of a turn.
    pub work: &'c mut usize,
    /// Where it is counted what was found.
    pub lookups: &'c Lookups,
}

/// What a look at a key or a field counts as, in bytes of work.
pub(crate) const ENTRY_WORK: usize = 32;

impl<'a> Call<'_, '_, 'a> {
    /// Counts bytes that were looked at, copied or cleared.
    #[inline]
    pub fn count_bytes(&mut self, bytes: usize) {
        *self.work = self.work.saturating_add(bytes);
    }

    /// Counts keys, fields or shards that were looked at.
    #[inline]
    pub fn count_entries(&mut self, entries: usize) {
        self.count_bytes(entries.saturating_mul(ENTRY_WORK));
    }

    /// A word as a key.
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        Key::new(self.args[index])
    }

    /// The keys of the selected database that share a shard with `key`.
    #[inline]
    pub fn space(&mut self, key: Key<'_>) -> &mut Space {
        self.keys.space(self.db, key)
    }

    /// Where a key is, whatever it holds. Counts as a hit or a miss for a command that only reads.
    #[inline]
    pub fn find(&mut self, key: Key<'_>) -> Option<Slot> {
        let now_ms = self.now_ms;
        let found = self.space(key).find(key, now_ms);
        if self.command.flags.has(Flags::READ) {
            let lookups = self.lookups;
            if found.is_some() { &lookups.hits } else { &lookups.misses }.count();
        }
        found
    }

    /// What a key holds.
    #[inline]
    pub fn value(&mut self, key: Key<'_>) -> Option<Value<'_>> {
        let slot = self.find(key)?;
        Some(self.space(key).entry(slot).value())
    }

    /// Where a key with a string is.
    ///
    /// # Errors
    ///
    /// It holds something else.
    #[inline]
    pub fn find_string(&mut self, key: Key<'_>) -> Result<Option<Slot>, Error> {
        let Some(slot) = self.find(key) else { return Ok(None) };
        match self.space(key).entry(slot).value() {
            Value::Hash(_) => Err(Error::WRONG_TYPE),
            Value::Bytes(_) => Ok(Some(slot)),
        }
    }

    /// Where a key with a hash is.
    ///
    /// # Errors
    ///
    /// It holds something else.
    #[inline]
    pub fn find_hash(&mut self, key: Key<'_>) -> Result<Option<Slot>, Error> {
        let Some(slot) = self.find(key) else { return Ok(None) };
        match self.space(key).entry(slot).value() {
            Value::Hash(_) => Ok(Some(slot)),
            Value::Bytes(_) => Err(Error::WRONG_TYPE),
        }
    }

    /// A hash to read.
    ///
    /// # Errors
    ///
    /// The key holds something else.
    pub fn hash(&mut self, key: Key<'_>) -> Result<Option<&Hash>, Error> {
        let Some(slot) = self.find(key) else { return Ok(None) };
        match self.space(key).entry(slot).value() {
            Value::Hash(hash) => Ok(Some(hash)),
            Value::Bytes(_) => Err(Error::WRONG_TYPE),
        }
    }

    /// A hash to read, with the places for the reply and for large parts of it.
    ///
    /// # Errors
    ///
    /// The key holds something else.
    pub fn hash_and_parts(&mut self, key: Key<'_>) -> Result<(Option<&Hash>, &mut Reply, &mut Parts), Error> {
        let Some(slot) = self.find(key) else { return Ok((None, self.reply, self.parts)) };
        let Value::Hash(hash) = self.keys.space(self.db, key).entry(slot).value() else {
            return Err(Error::WRONG_TYPE);
        };
        Ok((Some(hash), self.reply, self.parts))
    }

    /// A hash to read, with the place for the reply.
    ///
    /// # Errors
    ///
    /// The key holds something else.
    pub fn hash_and_reply(&mut self, key: Key<'_>) -> Result<(Option<&Hash>, &mut Reply), Error> {
        let Some(slot) = self.find(key) else { return Ok((None, self.reply)) };
        let Value::Hash(hash) = self.keys.space(self.db, key).entry(slot).value() else {
            return Err(Error::WRONG_TYPE);
        };
        Ok((Some(hash), self.reply))
    }

    /// Sets a key, whatever it held. A deadline that it has stays.
    #[inline]
    pub fn set(&mut self, key: Key<'_>, value: New<'_>) -> Slot {
        self.keys.space(self.db, key).set_and_keep(key, value, self.now_ms, self.garbage)
    }

    /// A word as a value: without a copy, where it is the one in `received`.
    #[inline]
    pub fn new_value(&mut self, word: usize) -> New<'a> {
        let word = self.args[word];
        let is_received = |bytes: &mut Bytes| std::ptr::eq(&**bytes, word);
        self.received.take_if(is_received).map_or(New::Bytes(word), New::Received)
    }

    /// Removes a key; says whether it was there.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        let now_ms = self.now_ms;
        let removed = self.space(key).remove(key, now_ms);
        let found = removed.is_some();
        if let Some(entry) = removed {
            Garbage::keep(entry, self.garbage);
        }
        found
    }

    /// Finds a key, whatever it holds, without counting this as a use. A key that has expired is removed, and not found.
    #[inline]
    pub fn live(&mut self, key: Key<'_>) -> Option<Slot> {
        let now_ms = self.now_ms;
        self.space(key).live(key, now_ms)
    }

    /// Takes a reply back that has become too large: the same value can be asked for any number of times in one command.
    ///
    /// # Errors
    ///
    /// It has more bytes, without those that are not copied, than the largest string may have.
    #[inline]
    pub fn check_reply(&mut self, (bytes, parts): (usize, usize)) -> Result<(), Error> {
        if self.reply.get_ref().len() - bytes <= self.max_bulk {
            return Ok(());
        }
        self.reply.get_mut().truncate(bytes);
        self.parts.truncate(parts);
        Err(Error::of(format!("ERR the reply is too large, it may have {} bytes", self.max_bulk)))
    }

    /// Writes the string at a place as the reply.
    #[inline]
    pub fn reply_string(&mut self, key: Key<'_>, slot: Slot) {
        let entry = self.keys.space(self.db, key).entry(slot);
        if let Some(string) = entry.large_string() {
            return self.parts.bulk(self.reply, string);
        }
        match entry.value() {
            Value::Bytes(bytes) => self.reply.bulk(bytes),
            Value::Hash(_) => self.reply.null(),
        }
    }

    /// A word as a number.
    ///
    /// # Errors
    ///
    /// [`Error::NOT_INTEGER`].
    pub fn integer(&self, index: usize) -> Result<i64, Error> {
        number::integer(self.args[index]).ok_or(Error::NOT_INTEGER)
    }

    /// A word as the number of a database.
    ///
    /// # Errors
    ///
    /// It is no number, or that of no database.
    pub fn database(&self, index: usize) -> Result<u8, Error> {
        number::database(number::short(self.args[index])?)
    }

    /// Whether a word is this one, in whatever case.
    #[must_use]
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.args.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }
}
