//! Commands that put a whole string in a key's place, and those that say when it expires.

use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::number;

pub(super) fn set(call: &mut Call<'_, '_, '_>) -> Outcome {
    if call.args.len() > 3 {
        return set_with_options(call);
    }
    put(call, 1, 2);
    call.reply.ok();
    Ok(())
}

pub(super) fn setnx(call: &mut Call<'_, '_, '_>) -> Outcome {
    let key = call.key(1);
    let absent = call.find(key).is_none();
    if absent {
        put(call, 1, 2);
    }
    call.reply.integer(absent.into());
    Ok(())
}

pub(super) fn setex(call: &mut Call<'_, '_, '_>) -> Outcome {
    set_expiring(call, Expiry { kind: ExpiryKind::Ex, word: 2 })
}

pub(super) fn psetex(call: &mut Call<'_, '_, '_>) -> Outcome {
    set_expiring(call, Expiry { kind: ExpiryKind::Px, word: 2 })
}

pub(super) fn getset(call: &mut Call<'_, '_, '_>) -> Outcome {
    super::get(call)?;
    put(call, 1, 2);
    Ok(())
}

pub(super) fn getex(call: &mut Call<'_, '_, '_>) -> Outcome {
    let options = Options::read(call, 2, Form::Get)?;
    let key = call.key(1);
    let Some(slot) = call.find_string(key)? else {
        call.reply.null();
        return Ok(());
    };
    let deadline_ms = options.expiry.map(|expiry| expiry.deadline_ms(call)).transpose()?;
    call.reply_string(key, slot);
    match (options.expiry, deadline_ms) {
        (Some(expiry), Some(deadline_ms)) if expiry.kind.is_absolute() && deadline_ms <= call.now_ms => {
            call.remove(key);
        }
        (_, Some(_)) => call.space(key).set_deadline(slot, deadline_ms),
        (_, None) if options.persist => call.space(key).set_deadline(slot, None),
        (_, None) => {}
    }
    Ok(())
}

pub(super) fn mset(call: &mut Call<'_, '_, '_>) -> Outcome {
    check_pairs(call)?;
    for index in (1..call.args.len()).step_by(2) {
        put(call, index, index + 1);
    }
    call.reply.ok();
    Ok(())
}

pub(super) fn msetnx(call: &mut Call<'_, '_, '_>) -> Outcome {
    check_pairs(call)?;
    let absent = (1..call.args.len()).step_by(2).all(|index| call.find(call.key(index)).is_none());
    if absent {
        for index in (1..call.args.len()).step_by(2) {
            put(call, index, index + 1);
        }
    }
    call.reply.integer(absent.into());
    Ok(())
}

/// Each key has its value.
fn check_pairs(call: &Call<'_, '_, '_>) -> Outcome {
    if call.args.len() % 2 == 1 { Ok(()) } else { Err(Error::arity(call.command.name)) }
}

/// Sets the key that is one word to the value that is another, never to expire.
#[inline]
fn put(call: &mut Call<'_, '_, '_>, key: usize, value: usize) {
    let (key, value) = (call.key(key), call.new_value(value));
    let slot = call.set(key, value);
    call.space(key).set_deadline(slot, None);
}

fn set_expiring(call: &mut Call<'_, '_, '_>, expiry: Expiry) -> Outcome {
    let deadline_ms = expiry.deadline_ms(call)?;
    let (key, value) = (call.key(1), call.new_value(3));
    let slot = call.set(key, value);
    call.space(key).set_deadline(slot, Some(deadline_ms));
    call.reply.ok();
    Ok(())
}

#[inline(never)]
fn set_with_options(call: &mut Call<'_, '_, '_>) -> Outcome {
    let options = Options::read(call, 3, Form::Set)?;
    let deadline_ms = options.expiry.map(|expiry| expiry.deadline_ms(call)).transpose()?;
    let key = call.key(1);
    if options.get {
        super::get(call)?;
    }
    let refused = (options.nx || options.xx) && call.find(key).is_some() == options.nx;
    if !refused {
        let value = call.new_value(2);
        let slot = call.set(key, value);
        if !options.keep {
            call.space(key).set_deadline(slot, deadline_ms);
        }
    }
    match (options.get, refused) {
        (true, _) => {}
        (false, true) => call.reply.null(),
        (false, false) => call.reply.ok(),
    }
    Ok(())
}

/// Which of two commands has the options.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Set,
    Get,
}

/// The options of SET and GETEX.
#[derive(Default)]
struct Options {
    nx: bool,
    xx: bool,
    get: bool,
    keep: bool,
    persist: bool,
    expiry: Option<Expiry>,
}

impl Options {
    /// Reads the words from `first` on. An option may be there twice; the last one counts.
    fn read(call: &Call<'_, '_, '_>, first: usize, form: Form) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut at = first;
        while at < call.args.len() {
            let is = |word, of| form == of && call.is(at, word);
            let may_keep = options.expiry.is_none();
            if is("NX", Form::Set) && !options.xx {
                options.nx = true;
            } else if is("XX", Form::Set) && !options.nx {
                options.xx = true;
            } else if is("GET", Form::Set) {
                options.get = true;
            } else if is("KEEPTTL", Form::Set) && may_keep {
                options.keep = true;
            } else if is("PERSIST", Form::Get) && may_keep {
                options.persist = true;
            } else {
                let kind = ExpiryKind::named(call.args[at]).ok_or(Error::SYNTAX)?;
                let fits = options.expiry.is_none_or(|other| other.kind == kind) && !options.keep && !options.persist;
                at += 1;
                if !fits || at == call.args.len() {
                    return Err(Error::SYNTAX);
                }
                options.expiry = Some(Expiry { kind, word: at });
            }
            at += 1;
        }
        Ok(options)
    }
}

/// When a key expires, as it is asked for.
#[derive(Clone, Copy)]
struct Expiry {
    kind: ExpiryKind,
    /// Which word has the number.
    word: usize,
}

/// What the number counts: seconds or milliseconds, from now or from 1970.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExpiryKind {
    Ex,
    Px,
    ExAt,
    PxAt,
}

impl ExpiryKind {
    fn named(word: &[u8]) -> Option<Self> {
        let names: [(&[u8], Self); 4] =
            [(b"EX", Self::Ex), (b"PX", Self::Px), (b"EXAT", Self::ExAt), (b"PXAT", Self::PxAt)];
        names.into_iter().find_map(|(name, kind)| word.eq_ignore_ascii_case(name).then_some(kind))
    }

    fn is_absolute(self) -> bool {
        matches!(self, Self::ExAt | Self::PxAt)
    }
}

impl Expiry {
    /// Milliseconds since 1970.
    fn deadline_ms(self, call: &Call<'_, '_, '_>) -> Result<u64, Error> {
        let number = number::integer(call.args[self.word]).ok_or(Error::NOT_INTEGER)?;
        let milliseconds = match self.kind {
            ExpiryKind::Ex | ExpiryKind::ExAt => number.checked_mul(1000),
            ExpiryKind::Px | ExpiryKind::PxAt => Some(number),
        };
        let start_ms = if self.kind.is_absolute() { 0 } else { call.now_ms as i64 };
        let deadline_ms = milliseconds.filter(|number| *number > 0).and_then(|number| number.checked_add(start_ms));
        deadline_ms.map(i64::unsigned_abs).ok_or_else(|| Error::bad_expiry(call.command.name))
    }
}
