//! Numbers of any width at any bit of a string.

use super::{edit, offset, string};
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::number;

/// What becomes of a number that its field cannot hold.
#[derive(Clone, Copy)]
enum Overflow {
    /// Its lowest bits stay.
    Wrap,
    /// The next one that the field can hold is taken.
    Saturate,
    /// Nothing is written.
    Fail,
}

/// Where a number is, and how it is written.
#[derive(Clone, Copy)]
struct Field {
    /// Its first bit.
    offset: usize,
    /// 1 to 64; up to 63 where it has no sign.
    bits: usize,
    signed: bool,
}

enum Action {
    Get,
    Set(i64),
    Add(i64),
}

struct Step {
    field: Field,
    action: Action,
    overflow: Overflow,
}

impl Field {
    fn parse(call: &Call<'_, '_, '_>, index: usize) -> Result<Self, Error> {
        let (signed, bits) = match call.args[index] {
            [b'i', bits @ ..] => (true, bits),
            [b'u', bits @ ..] => (false, bits),
            _ => (true, &[][..]),
        };
        let most = if signed { 64 } else { 63 };
        let text = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
        let bits = number::integer(bits).filter(|bits| (1..=most).contains(bits)).ok_or(Error::new(text))? as usize;
        let offset = match call.args[index + 1] {
            [b'#', number @ ..] => offset(call, number, bits)?,
            number => offset(call, number, 1)?,
        };
        Ok(Self { offset, bits, signed })
    }

    /// The byte behind its last one.
    fn end(self) -> usize {
        (self.offset + self.bits).div_ceil(8)
    }

    /// How far its last bit is from the end of the 16 bytes from its first one on. It reaches into 9 at most.
    fn shift(self) -> usize {
        128 - self.offset % 8 - self.bits
    }

    /// Its bytes that there are, with zeros behind.
    fn window(self, bytes: &[u8]) -> u128 {
        let part = bytes.get(self.offset / 8..).unwrap_or_default();
        let (mut window, len) = ([0; 16], part.len().min(16));
        window[..len].copy_from_slice(&part[..len]);
        u128::from_be_bytes(window)
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// The number that its lowest bits are.
    fn number(self, bits: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { (bits << unused) as i64 >> unused } else { (bits & self.mask()) as i64 }
    }

    fn read(self, bytes: &[u8]) -> i64 {
        self.number((self.window(bytes) >> self.shift()) as u64)
    }

    /// # Panics
    ///
    /// There are fewer bytes than [`Field::end`] says.
    fn write(self, bytes: &mut [u8], number: i64) {
        let (start, end, shift) = (self.offset / 8, self.end(), self.shift());
        let (mask, bits) = (u128::from(self.mask()), u128::from(number as u64 & self.mask()));
        let window = (self.window(bytes) & !(mask << shift) | bits << shift).to_be_bytes();
        bytes[start..end].copy_from_slice(&window[..end - start]);
    }

    /// The number to write instead of one that the field may not be able to hold.
    ///
    /// Redis itself saturates a SET to the highest number where the value is lower by more than 64 bits can tell.
    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = match self.signed {
            true => (-1i128 << (self.bits - 1), (1i128 << (self.bits - 1)) - 1),
            false => (0, i128::from(self.mask())),
        };
        match overflow {
            // The bounds fit 64 bits.
            _ if (least..=most).contains(&number) => Some(number as i64),
            Overflow::Wrap => Some(self.number(number as u64)),
            Overflow::Saturate => Some(number.clamp(least, most) as i64),
            Overflow::Fail => None,
        }
    }
}

impl Step {
    fn parse_all(call: &Call<'_, '_, '_>) -> Result<Vec<Self>, Error> {
        let (mut steps, mut overflow, mut at) = (Vec::new(), Overflow::Wrap, 2);
        while at < call.args.len() {
            let words = call.args.len() - at;
            let (get, set, add) = (call.is(at, "get"), call.is(at, "set"), call.is(at, "incrby"));
            if call.is(at, "overflow") && words >= 2 {
                overflow = Overflow::parse(call, at + 1)?;
                at += 2;
            } else if get && words >= 3 {
                steps.push(Self { field: Field::parse(call, at + 1)?, action: Action::Get, overflow });
                at += 3;
            } else if (set || add) && words >= 4 {
                let (field, value) = (Field::parse(call, at + 1)?, call.integer(at + 3)?);
                steps.push(Self { field, action: if set { Action::Set(value) } else { Action::Add(value) }, overflow });
                at += 4;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(steps)
    }

    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// Does it, and gives the number to answer. Says in `is_different` if another number is there now.
    fn run(&self, bytes: &mut [u8], is_different: &mut bool) -> Option<i64> {
        let old = self.field.read(bytes);
        let (new, answers_old) = match self.action {
            Action::Get => return Some(old),
            // One that is negative is a large one without a sign.
            Action::Set(value) if !self.field.signed => (i128::from(value as u64), true),
            Action::Set(value) => (i128::from(value), true),
            Action::Add(value) => (i128::from(old) + i128::from(value), false),
        };
        let new = self.field.fit(new, self.overflow)?;
        self.field.write(bytes, new);
        *is_different |= new != old;
        Some(if answers_old { old } else { new })
    }
}

impl Overflow {
    fn parse(call: &Call<'_, '_, '_>, index: usize) -> Result<Self, Error> {
        let known = [("wrap", Self::Wrap), ("sat", Self::Saturate), ("fail", Self::Fail)];
        let found = known.into_iter().find(|(name, _)| call.is(index, name));
        Ok(found.ok_or(Error::new("ERR Invalid OVERFLOW type specified"))?.1)
    }
}

pub(super) fn bitfield(call: &mut Call<'_, '_, '_>) -> Outcome {
    let steps = Step::parse_all(call)?;
    let Some(end) = steps.iter().filter(|step| step.writes()).map(|step| step.field.end()).max() else {
        return read(call, &steps);
    };
    let numbers: Vec<_> = edit(call, call.key(1), end, |bytes| {
        let mut is_different = false;
        (steps.iter().map(|step| step.run(bytes, &mut is_different)).collect(), is_different)
    })?;
    call.reply.array(numbers.len());
    for number in numbers {
        match number {
            Some(number) => call.reply.integer(number),
            None => call.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn bitfield_ro(call: &mut Call<'_, '_, '_>) -> Outcome {
    let steps = Step::parse_all(call)?;
    if steps.iter().any(Step::writes) {
        return Err(Error::new("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(call, &steps)
}

/// Answers steps that write nothing.
fn read(call: &mut Call<'_, '_, '_>, steps: &[Step]) -> Outcome {
    let bytes = string(call, call.key(1))?.unwrap_or_default();
    let numbers: Vec<i64> = steps.iter().map(|step| step.field.read(bytes)).collect();
    call.reply.array(numbers.len());
    numbers.into_iter().for_each(|number| call.reply.integer(number));
    Ok(())
}
