//! Which keys there are.

use gannet::proto::resp::Writer;

use super::type_name;
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::number;
use crate::glob;
use crate::store::{Key, SHARDS};

/// What SCAN looks at in a call that does not say.
const COUNT: u64 = 10;

/// Keys that SCAN and fields that HSCAN look at in one call, whatever is asked for: a cursor leads to the others.
pub(crate) const MOST_AT_ONCE: u64 = 10_000;

/// Places that SCAN looks at, empty ones too, for each key that it is to look at.
const PLACES_PER_KEY: u64 = 10;

/// Keys that have expired which RANDOMKEY may meet before it takes the next one that has not.
const TRIES: usize = 64;

/// How many keys are to be looked at, and which of them are told.
#[derive(Default)]
struct Options<'a> {
    count: Option<u64>,
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'_, '_, 'a>) -> Result<Self, Error> {
        let mut options = Self::default();
        for index in (2..call.args.len()).step_by(2) {
            let value = *call.args.get(index + 1).ok_or(Error::SYNTAX)?;
            if call.is(index, "count") {
                let count = number::integer(value).ok_or(Error::NOT_INTEGER)?;
                options.count = Some(u64::try_from(count).ok().filter(|count| *count > 0).ok_or(Error::SYNTAX)?);
            } else if call.is(index, "match") {
                // This one is true of the empty key too.
                options.pattern = Some(value).filter(|pattern| *pattern != b"*");
            } else if call.is(index, "type") {
                options.kind = Some(value);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// A position: the place in the high bits, the shard in the low ones; 0 is both the beginning and the end. A key keeps
/// its place while it lives, and places are looked at in their order, so none is missed; one is met twice only where
/// it was removed and set again.
struct Cursor {
    shard: usize,
    place: usize,
}

impl Cursor {
    /// As `strtoul` reads it, which takes a sign.
    fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        // Nothing at all is 0, but a sign alone is none.
        if digits.len() < text.len() && digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
        let number = digits.iter().try_fold(0, add)?;
        let number = if negative { number.wrapping_neg() } else { number };
        Some(Self { shard: (number % SHARDS as u64) as usize, place: (number / SHARDS as u64) as usize })
    }

    fn number(&self) -> u64 {
        if self.shard == SHARDS { 0 } else { (self.place * SHARDS + self.shard) as u64 }
    }
}

pub(super) fn scan(call: &mut Call<'_, '_, '_>) -> Outcome {
    let mut cursor = Cursor::parse(call.args[1]).ok_or(Error::new("ERR invalid cursor"))?;
    let options = Options::parse(call)?;
    let mut keys_left = options.count.unwrap_or(COUNT).min(MOST_AT_ONCE);
    let mut places_left = keys_left.saturating_mul(PLACES_PER_KEY);
    let places_allowed = places_left;
    let (mut found, mut count) = (Writer::new(Vec::new(), call.reply.version()), 0);
    'shards: while cursor.shard < SHARDS {
        // One shard at a time, so that whoever wants another one does not wait. Empty ones cost little.
        let space = call.keys.walk_to(cursor.shard).existing(call.db);
        let places = space.as_ref().map_or(0, |space| space.places());
        while let Some(space) = &space
            && cursor.place < places
        {
            if keys_left == 0 || places_left == 0 {
                break 'shards;
            }
            places_left -= 1;
            if let Some(entry) = space.at(cursor.place, call.now_ms) {
                keys_left -= 1;
                if options.pattern.is_none_or(|pattern| glob::matches(pattern, entry.key()))
                    && options.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(type_name(entry).as_bytes()))
                {
                    found.bulk(entry.key());
                    count += 1;
                }
            }
            cursor.place += 1;
        }
        cursor = Cursor { shard: cursor.shard + 1, place: 0 };
    }
    call.count_entries((places_allowed - places_left) as usize);
    call.reply.array(2);
    call.reply.bulk(itoa::Buffer::new().format(cursor.number()).as_bytes());
    call.reply.array(count);
    call.reply.get_mut().extend_from_slice(found.get_ref());
    Ok(())
}

pub(super) fn keys(call: &mut Call<'_, '_, '_>) -> Outcome {
    let pattern = call.args[1];
    let (mut found, mut count) = (Writer::new(Vec::new(), call.reply.version()), 0);
    let mut looked_at = SHARDS;
    for shard in call.keys.shards() {
        let Some(space) = shard.existing(call.db) else { continue };
        looked_at += space.places();
        for entry in (0..space.places()).filter_map(|place| space.at(place, call.now_ms)) {
            if pattern == b"*" || glob::matches(pattern, entry.key()) {
                found.bulk(entry.key());
                count += 1;
            }
        }
    }
    call.count_entries(looked_at);
    call.reply.array(count);
    call.reply.get_mut().extend_from_slice(found.get_ref());
    Ok(())
}

pub(super) fn randomkey(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (db, now_ms) = (call.db, call.now_ms);
    call.count_entries(2 * SHARDS);
    for _ in 0..TRIES {
        let keys: usize = call.keys.shards().filter_map(|shard| Some(shard.existing(db)?.len())).sum();
        if keys == 0 {
            break;
        }
        // Each key is as likely as any other: first the shard, by how many it has.
        let mut skip = call.random.below(keys);
        let space = call.keys.shards().filter_map(|shard| shard.existing(db)).find(|space| {
            let here = skip < space.len();
            skip -= if here { 0 } else { space.len() };
            here
        });
        let Some(space) = space else { break };
        let Some(key) = space.sample(call.random, usize::MAX).map(|entry| entry.key().to_vec()) else { break };
        if space.live(Key::new(&key), now_ms).is_some() {
            call.reply.bulk(&key);
            return Ok(());
        }
    }
    for shard in call.keys.shards() {
        let Some(space) = shard.existing(db) else { continue };
        if let Some(entry) = (0..space.places()).find_map(|place| space.at(place, now_ms)) {
            call.reply.bulk(entry.key());
            return Ok(());
        }
    }
    call.reply.null();
    Ok(())
}
