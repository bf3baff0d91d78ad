//! When keys expire.

use crate::command::call::Call;
use crate::command::error::{Error, Outcome};

pub(super) fn expire(call: &mut Call<'_, '_, '_>) -> Outcome {
    set_deadline(call, 1000, call.now_ms)
}

pub(super) fn pexpire(call: &mut Call<'_, '_, '_>) -> Outcome {
    set_deadline(call, 1, call.now_ms)
}

pub(super) fn expireat(call: &mut Call<'_, '_, '_>) -> Outcome {
    set_deadline(call, 1000, 0)
}

pub(super) fn pexpireat(call: &mut Call<'_, '_, '_>) -> Outcome {
    set_deadline(call, 1, 0)
}

/// Which deadlines a key may have for a new one to be set.
#[derive(Default)]
struct Condition {
    none: bool,
    some: bool,
    earlier: bool,
    later: bool,
}

impl Condition {
    fn parse(words: &[&[u8]]) -> Result<Self, Error> {
        let mut condition = Self::default();
        for word in words {
            match &*word.to_ascii_lowercase() {
                b"nx" => condition.none = true,
                b"xx" => condition.some = true,
                b"gt" => condition.earlier = true,
                b"lt" => condition.later = true,
                _ => return Err(Error::of(format!("ERR Unsupported option {}", String::from_utf8_lossy(word)))),
            }
        }
        let Self { none, some, earlier, later } = condition;
        if none && (some || earlier || later) {
            return Err(Error::new("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if earlier && later {
            return Err(Error::new("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    /// Whether a key with the old deadline gets the new one. No deadline is later than any.
    fn holds(&self, old: Option<u64>, new: i64) -> bool {
        let old = old.map(|old| old as i64);
        !(self.none && old.is_some()
            || self.some && old.is_none()
            || self.earlier && old.is_none_or(|old| new <= old)
            || self.later && old.is_some_and(|old| new >= old))
    }
}

/// Sets when a key expires: so many units after `base_ms`.
fn set_deadline(call: &mut Call<'_, '_, '_>, unit_ms: i64, base_ms: u64) -> Outcome {
    let condition = Condition::parse(&call.args[3..])?;
    let deadline_ms = call.integer(2)?.checked_mul(unit_ms).and_then(|time| time.checked_add_unsigned(base_ms));
    let deadline_ms = deadline_ms.ok_or_else(|| Error::bad_expiry(call.command.name))?;
    let key = call.key(1);
    let mut done = false;
    if let Some(slot) = call.find(key)
        && condition.holds(call.space(key).entry(slot).deadline_ms(), deadline_ms)
    {
        done = true;
        match u64::try_from(deadline_ms) {
            Ok(deadline_ms) if deadline_ms > call.now_ms => call.space(key).set_deadline(slot, Some(deadline_ms)),
            _ => done = call.remove(key),
        }
    }
    call.reply.integer(done.into());
    Ok(())
}

pub(super) fn ttl(call: &mut Call<'_, '_, '_>) -> Outcome {
    let now_ms = call.now_ms;
    reply_deadline(call, |deadline_ms| seconds(deadline_ms.saturating_sub(now_ms)))
}

pub(super) fn pttl(call: &mut Call<'_, '_, '_>) -> Outcome {
    let now_ms = call.now_ms;
    reply_deadline(call, |deadline_ms| deadline_ms.saturating_sub(now_ms))
}

pub(super) fn expiretime(call: &mut Call<'_, '_, '_>) -> Outcome {
    reply_deadline(call, seconds)
}

pub(super) fn pexpiretime(call: &mut Call<'_, '_, '_>) -> Outcome {
    reply_deadline(call, |deadline_ms| deadline_ms)
}

/// To the next second.
fn seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

fn reply_deadline(call: &mut Call<'_, '_, '_>, show: impl Fn(u64) -> u64) -> Outcome {
    let key = call.key(1);
    let number = match call.live(key) {
        Some(slot) => call.space(key).entry(slot).deadline_ms().map_or(-1, |deadline_ms| show(deadline_ms) as i64),
        None => -2,
    };
    call.reply.integer(number);
    Ok(())
}

pub(super) fn persist(call: &mut Call<'_, '_, '_>) -> Outcome {
    let key = call.key(1);
    let mut done = false;
    if let Some(slot) = call.find(key) {
        done = call.space(key).entry(slot).deadline_ms().is_some();
        call.space(key).set_deadline(slot, None);
    }
    call.reply.integer(done.into());
    Ok(())
}
