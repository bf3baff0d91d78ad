//! Fields by chance.

use std::collections::HashSet;

use gannet::proto::resp::Version;

use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::store::random::Random;

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
    let max_bytes = call.max_bulk;
    let mut random = Random::new(call.random.number());
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    let Some(hash) = hash.filter(|_| count != 0) else {
        reply.array(0);
        return Ok(());
    };
    let len = hash.len();
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let picks = hash.picks();
    let numbers: &mut dyn Iterator<Item = usize> = match count {
        ..0 => &mut (0..wanted).map(|_| random.below(len)),
        _ if wanted >= len => &mut (0..len),
        _ => &mut distinct(wanted, len, &mut random).into_iter(),
    };
    let start = reply.get_ref().len();
    let nested = values && reply.version() == Version::Resp3;
    let count = if count < 0 { wanted } else { wanted.min(len) };
    reply.array(if values && !nested { 2 * count } else { count });
    for number in numbers {
        let (field, value) = picks.at(number);
        if nested {
            reply.array(2);
        }
        reply.bulk(field);
        if values {
            reply.bulk(value);
        }
        // The same few fields can be asked for any number of times: the answer must not take all memory.
        if reply.get_ref().len() - start > max_bytes && count > len {
            reply.get_mut().truncate(start);
            return Err(Error::OUT_OF_RANGE);
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
