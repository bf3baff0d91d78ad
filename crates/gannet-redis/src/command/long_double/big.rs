//! Whole numbers of any size, with the little that reading and writing decimals needs.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// What `decimal` takes off at a time: the largest power of ten in a limb.
const NINE_DIGITS: u32 = 1_000_000_000;

/// The largest power of five in a limb, and which one it is.
const FIVES: (u32, u32) = (1_220_703_125, 13);

/// A whole number: limbs of 32 bits, the lowest first, without zeros at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Big(SmallVec<[u32; 8]>);

impl From<u64> for Big {
    fn from(number: u64) -> Self {
        let mut big = Self(SmallVec::from_slice(&[number as u32, (number >> 32) as u32]));
        big.trim();
        big
    }
}

impl Big {
    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The number, where it is a small one.
    pub(super) fn small(&self) -> Option<u64> {
        match *self.0 {
            [] => Some(0),
            [low] => Some(low.into()),
            [low, high] => Some((u64::from(high) << 32) | u64::from(low)),
            _ => None,
        }
    }

    pub(super) fn bits(&self) -> u32 {
        self.0.last().map_or(0, |last| self.0.len() as u32 * 32 - last.leading_zeros())
    }

    /// `self * factor + addend`.
    pub(super) fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    /// `self * 5^power`.
    pub(super) fn times_five_to(mut self, mut power: u32) -> Self {
        while power >= FIVES.1 {
            self.multiply_add(FIVES.0, 0);
            power -= FIVES.1;
        }
        self.multiply_add(5u32.pow(power), 0);
        self
    }

    /// `self * 2^up`.
    pub(super) fn shifted(mut self, up: u32) -> Self {
        if !self.is_zero() {
            self.multiply_add(1 << (up % 32), 0);
            self.0.insert_many(0, std::iter::repeat_n(0, up as usize / 32));
        }
        self
    }

    /// The highest bits, at most 126, and how many there are below. Where one of those is set, so is the last one.
    pub(super) fn highest(&self) -> (u128, u32) {
        let below = self.bits().saturating_sub(126);
        let (limbs, rest) = (below as usize / 32, below % 32);
        let mut highest = 0;
        for (place, limb) in self.0[limbs.min(self.0.len())..].iter().enumerate() {
            let limb = u128::from(*limb);
            highest |= if place == 0 { limb >> rest } else { limb << (32 * place as u32 - rest) };
        }
        let lost = self.0[..limbs].iter().any(|limb| *limb != 0)
            || self.0.get(limbs).is_some_and(|limb| limb & ((1 << rest) - 1) != 0);
        (highest | u128::from(lost), below)
    }

    /// The highest `count` bits of `self / divisor` as those of a number that begins with its whole part of one bit, for
    /// two numbers with as many bits. The last bit is also set where there is a rest.
    pub(super) fn quotient(mut self, divisor: &Self, count: u32) -> u128 {
        let mut quotient = 0;
        for _ in 0..count {
            quotient <<= 1;
            if self.compare(divisor).is_ge() {
                self.subtract(divisor);
                quotient |= 1;
            }
            self.multiply_add(2, 0);
        }
        quotient | u128::from(!self.is_zero())
    }

    /// In decimal.
    pub(super) fn decimal(mut self) -> String {
        let mut groups: SmallVec<[u32; 8]> = SmallVec::new();
        while !self.is_zero() {
            let mut rest = 0;
            for limb in self.0.iter_mut().rev() {
                let part = (u64::from(rest) << 32) | u64::from(*limb);
                *limb = (part / u64::from(NINE_DIGITS)) as u32;
                rest = (part % u64::from(NINE_DIGITS)) as u32;
            }
            groups.push(rest);
            self.trim();
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        for group in groups.iter().rev() {
            text += &format!("{group:09}");
        }
        text
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// `self - other`, which is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (place, limb) in self.0.iter_mut().enumerate() {
            let (less, one) = limb.overflowing_sub(other.0.get(place).copied().unwrap_or(0));
            let (less, two) = less.overflowing_sub(u32::from(borrow));
            (*limb, borrow) = (less, one || two);
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}
