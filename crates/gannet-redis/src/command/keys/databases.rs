//! Whole databases.

use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::number;
use crate::store::garbage::Garbage;
use crate::store::{DATABASES, SHARDS};

pub(super) fn dbsize(call: &mut Call<'_, '_, '_>) -> Outcome {
    let keys = call.keys.counts().keys(call.db);
    call.reply.integer(keys as i64);
    Ok(())
}

pub(super) fn flushdb(call: &mut Call<'_, '_, '_>) -> Outcome {
    flush(call, call.db..call.db + 1)
}

pub(super) fn flushall(call: &mut Call<'_, '_, '_>) -> Outcome {
    flush(call, 0..DATABASES as u8)
}

/// Empties databases. Dropping what they held takes long: that is never done here, also where SYNC is asked for.
fn flush(call: &mut Call<'_, '_, '_>, databases: std::ops::Range<u8>) -> Outcome {
    let known = match call.args.len() {
        1 => true,
        2 => call.is(1, "async") || call.is(1, "sync"),
        _ => false,
    };
    if !known {
        return Err(Error::SYNTAX);
    }
    call.count_entries(SHARDS * (1 + databases.len() / 4));
    for shard in call.keys.shards() {
        for db in databases.clone() {
            let Some(space) = shard.existing(db).filter(|space| !space.is_empty()) else { continue };
            space.tell_watchers_of_all(call.now_ms);
            call.garbage.extend(shard.take(db).map(Garbage::Space));
        }
    }
    call.reply.ok();
    Ok(())
}

pub(super) fn swapdb(call: &mut Call<'_, '_, '_>) -> Outcome {
    let one = number::short(call.args[1]).map_err(|_| Error::new("ERR invalid first DB index"))?;
    let other = number::short(call.args[2]).map_err(|_| Error::new("ERR invalid second DB index"))?;
    let (one, other) = (number::database(one)?, number::database(other)?);
    call.count_entries(SHARDS);
    if one != other {
        // Four tables in each, which are made where there are none.
        call.count_entries(15 * SHARDS);
        for shard in call.keys.shards() {
            // Whoever watches a key that is there before or after.
            for db in [one, other] {
                shard.space(db).tell_watchers_of_all(call.now_ms);
            }
            shard.swap(one, other);
            for db in [one, other] {
                shard.space(db).tell_watchers_of_all_brought_in(call.now_ms);
            }
        }
    }
    call.reply.ok();
    Ok(())
}
