//! Walks through a hash in steps.

use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::keys::MOST_AT_ONCE;
use crate::glob;
use crate::store::entry::Value;
use crate::store::hash::Pair;

/// Fields for each step, unless the client says how many.
const COUNT: usize = 10;

pub(super) fn hscan(call: &mut Call<'_, '_, '_>) -> Outcome {
    let cursor = cursor(call.args[2]).ok_or(Error::new("ERR invalid cursor"))?;
    let key = call.key(1);
    let Some(slot) = call.find_hash(key)? else {
        // The options are not looked at where there is nothing to scan.
        call.reply.array(2);
        call.reply.bulk(b"0");
        call.reply.array(0);
        return Ok(());
    };
    let (count, pattern) = options(call)?;
    let Value::Hash(hash) = call.keys.space(call.db, key).entry(slot).value() else { return Err(Error::WRONG_TYPE) };
    let (next, pairs) = hash.scan(cursor, count.min(MOST_AT_ONCE as usize));
    let mut looked_at = 0;
    let pairs: Vec<Pair<'_>> = pairs
        .inspect(|_| looked_at += 1)
        .filter(|(field, _)| pattern.is_none_or(|pattern| glob::matches(pattern, field)))
        .collect();
    call.reply.array(2);
    call.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    call.reply.array(2 * pairs.len());
    for (field, value) in pairs {
        call.reply.bulk(field);
        call.reply.bulk(value);
    }
    call.count_entries(looked_at);
    Ok(())
}

/// How many fields, and the pattern of those to be told.
fn options<'a>(call: &Call<'_, '_, 'a>) -> Result<(usize, Option<&'a [u8]>), Error> {
    let (mut count, mut pattern) = (COUNT, None);
    for at in (3..call.args.len()).step_by(2) {
        let argument = *call.args.get(at + 1).ok_or(Error::SYNTAX)?;
        if call.is(at, "count") {
            count = match call.integer(at + 1)? {
                ..1 => return Err(Error::SYNTAX),
                count => usize::try_from(count).unwrap_or(usize::MAX),
            };
        } else if call.is(at, "match") {
            // Everything, the empty field too, which a pattern is not held against.
            pattern = (argument != b"*").then_some(argument);
        } else {
            return Err(Error::SYNTAX);
        }
    }
    Ok((count, pattern))
}

/// The number that C's `strtoul` reads, which Redis reads cursors with: nothing is 0, and a minus wraps around.
fn cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative { number.wrapping_neg() } else { number })
}
