//! Walks through a hash in steps.

use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::glob;
use crate::store::hash::Pair;

/// Fields for each step, unless the client says how many.
const COUNT: usize = 10;

pub(super) fn hscan(call: &mut Call<'_, '_, '_>) -> Outcome {
    let cursor = cursor(call.args[2]).ok_or(Error::new("ERR invalid cursor"))?;
    // The options are not looked at where there is nothing to scan.
    let there = call.find_hash(call.key(1))?.is_some();
    let (count, pattern) = if there { options(call)? } else { (COUNT, None) };
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    let (next, pairs) = hash.map(|hash| hash.scan(cursor, count)).unzip();
    let pairs: Vec<Pair<'_>> = pairs
        .into_iter()
        .flatten()
        .filter(|(field, _)| pattern.is_none_or(|pattern| glob::matches(pattern, field)))
        .collect();
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next.unwrap_or(0)).as_bytes());
    reply.array(2 * pairs.len());
    for (field, value) in pairs {
        reply.bulk(field);
        reply.bulk(value);
    }
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
