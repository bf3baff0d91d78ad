//! Fields by chance.

use std::collections::HashSet;

use gannet::proto::resp::Version;

use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::parts::{Fields, LARGE_HASH_BYTES, Part, Shown};
use crate::store::random::Random;

/// So many fields are shown piece by piece.
const MANY: usize = 1024;

pub(super) fn hrandfield(call: &mut Call<'_, '_, '_>) -> Outcome {
    if call.args.len() > 2 {
        return several(call);
    }
    let mut random = Random::new(call.random.number());
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    match hash {
        Some(hash) => reply.bulk(hash.picks().at(random.below(hash.len())).0),
        None => reply.null(),
    }
    Ok(())
}

/// So many different fields; or, where the number is negative, so many that may be the same.
fn several(call: &mut Call<'_, '_, '_>) -> Outcome {
    let count = call.integer(2)?;
    if count == i64::MIN {
        let text = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
        return Err(Error::new(text));
    }
    let values = call.args.len() > 3;
    if values && (call.args.len() > 4 || !call.is(3, "withvalues")) {
        return Err(Error::SYNTAX);
    }
    if values && count.unsigned_abs() > (i64::MAX / 2).unsigned_abs() {
        return Err(Error::OUT_OF_RANGE);
    }
    let mut random = Random::new(call.random.number());
    let (hash, reply, parts) = call.hash_and_parts(call.key(1))?;
    let Some(hash) = hash.filter(|_| count != 0) else {
        reply.array(0);
        return Ok(());
    };
    let len = hash.len();
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let repeats = count < 0;
    let shows = if repeats { wanted } else { wanted.min(len) };
    let nested = values && reply.version() == Version::Resp3;
    reply.array(if values && !nested { 2 * shows } else { shows });
    let shown = match (values, nested) {
        (false, _) => Shown::Names,
        (true, false) => Shown::Pairs,
        (true, true) => Shown::Nested,
    };
    if shows >= MANY || shows.saturating_mul(hash.cost() / len) >= LARGE_HASH_BYTES {
        let leased = hash.lease();
        let fields = match repeats {
            true => Fields::any(leased, len, shown, shows, random),
            false if shows == len => Fields::all(leased, len, shown),
            false => Fields::different(leased, len, shown, shows, random),
        };
        parts.push(reply, Part::Fields(Box::new(fields)));
        return Ok(());
    }
    let picks = hash.picks();
    let numbers: &mut dyn Iterator<Item = usize> = match repeats {
        true => &mut (0..shows).map(|_| random.below(len)),
        false if shows == len => &mut (0..len),
        false => &mut distinct(shows, len, &mut random).into_iter(),
    };
    for number in numbers {
        let (field, value) = picks.at(number);
        if nested {
            reply.array(2);
        }
        reply.bulk(field);
        if values {
            reply.bulk(value);
        }
    }
    Ok(())
}

/// So many different numbers below `end`, where each choice is as likely as any other (Floyd's algorithm).
fn distinct(count: usize, end: usize, random: &mut Random) -> HashSet<usize> {
    let mut chosen = HashSet::with_capacity(count);
    for last in end - count..end {
        let number = random.below(last + 1);
        if !chosen.insert(number) {
            chosen.insert(last);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_of_numbers_is_about_as_likely_as_any_other() {
        let (mut random, mut seen) = (Random::new(1), [0; 10]);
        for _ in 0..10_000 {
            let chosen = distinct(3, 10, &mut random);
            assert_eq!(chosen.len(), 3);
            chosen.into_iter().for_each(|number| seen[number] += 1);
        }
        assert!(seen.iter().all(|times| (2_800..3_200).contains(times)), "{seen:?}");
    }
}
