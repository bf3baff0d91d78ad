//! Timers that are kept more exactly than to the millisecond: those that are due within the current one, soonest first.
//!
//! The wheel holds them until their millisecond begins, so that few are here however many there are. An entry is not
//! taken out where its timer is taken back or set again: what is due is compared with the connection when it comes. Used
//! on the reactor's thread.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::ids::{Place, Token};
use crate::wheel::{Tick, tick};

const NS_PER_MS: u64 = 1_000_000;

/// Steps that a millisecond has in a [`Fraction`].
const STEPS: u64 = u16::MAX as u64;

/// The part of a moment below its millisecond, in steps of 15 ns, rounded up. 0 is of no exact moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fraction(u16);

impl Fraction {
    /// Of a moment that is not exact.
    pub(crate) const NONE: Self = Self(0);

    fn of(at_ns: u64) -> Self {
        // At most 65,534, and one more.
        Self((at_ns % NS_PER_MS * STEPS / NS_PER_MS) as u16 + 1)
    }

    /// Whether there is an exact moment.
    #[inline]
    pub(crate) fn is_exact(self) -> bool {
        self.0 != 0
    }

    fn ns(self) -> u64 {
        u64::from(self.0) * NS_PER_MS / STEPS
    }
}

/// A moment on a reactor's clock as a connection keeps it: its millisecond, and what is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exact {
    pub(crate) tick: Tick,
    pub(crate) fraction: Fraction,
}

impl Exact {
    /// The moment `after` another one, which is at most as far away as ticks reach.
    pub(crate) fn after(clock: Duration, after: Duration) -> Self {
        let at = clock + after.min(Duration::from_millis(u64::from(Tick::MAX_DELAY)));
        Self { tick: tick(at), fraction: Fraction::of(nanoseconds(at)) }
    }

    /// The same in nanoseconds of the reactor's clock, which shows `clock`.
    fn at_ns(self, clock: Duration) -> u64 {
        let now_ns = nanoseconds(clock);
        let whole_ns = now_ns - now_ns % NS_PER_MS;
        // A moment of this millisecond, or of one before it: others are not asked for.
        whole_ns.saturating_sub(u64::from(tick(clock).since(self.tick)) * NS_PER_MS) + self.fraction.ns()
    }

    /// Whether the millisecond has come, so that the wheel holds it no more.
    pub(crate) fn is_near(self, now: Tick) -> bool {
        !now.is_before(self.tick)
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Moments {
    heap: BinaryHeap<Reverse<(u64, Token, u32)>>,
    is_used: bool,
}

impl Moments {
    /// Notes a moment whose millisecond has come, when the reactor's clock shows `clock`.
    pub(crate) fn push(&mut self, place: Place, moment: Exact, clock: Duration) {
        self.heap.push(Reverse((moment.at_ns(clock), place.token, place.generation)));
    }

    /// How long it is until the next one; nothing where there is none.
    pub(crate) fn until_next(&self, clock: Duration) -> Option<Duration> {
        let Reverse((at_ns, ..)) = self.heap.peek()?;
        Some(Duration::from_nanos(at_ns.saturating_sub(nanoseconds(clock))))
    }

    /// Takes the next one that has come.
    pub(crate) fn pop(&mut self, clock: Duration) -> Option<Place> {
        let Reverse((at_ns, token, generation)) = *self.heap.peek()?;
        if at_ns > nanoseconds(clock) {
            return None;
        }
        self.heap.pop();
        Some(Place { token, generation })
    }

    /// Whether this moment has come.
    pub(crate) fn has_come(moment: Exact, clock: Duration) -> bool {
        moment.is_near(tick(clock)) && moment.at_ns(clock) <= nanoseconds(clock)
    }

    /// Notes that there are exact moments, so that the beginning of their millisecond must not be overslept.
    pub(crate) fn start(&mut self) {
        self.is_used = true;
    }

    /// Whether there were any.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }
}

fn nanoseconds(clock: Duration) -> u64 {
    // 584 years.
    clock.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { token: 1, generation: 1 };

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn a_moment_is_kept_to_16_ns_across_the_wrap_of_ticks() {
        // The clock's milliseconds wrap after 49.7 days.
        for began in [1, 999, 4_294_967_295_000, 4_294_967_295_999, 9_000_000_000_123] {
            for after_ns in [0, 1, 17, 999_999, 1_000_000, 1_234_567, 86_400_000_000_001] {
                let (clock, after) = (us(began), Duration::from_nanos(after_ns));
                let moment = Exact::after(clock, after);
                for later_ns in [0, 1, 400_000, 7_000_000] {
                    let now = clock + after + Duration::from_nanos(later_ns);
                    let (kept, wanted) = (moment.at_ns(now), (clock + after).as_nanos() as u64);
                    assert!((wanted..wanted + 16).contains(&kept), "{kept} for {wanted}");
                }
                assert!(!Moments::has_come(moment, clock + after - Duration::from_nanos(1)), "{began} {after_ns}");
                assert!(Moments::has_come(moment, clock + after + Duration::from_nanos(16)), "{began} {after_ns}");
            }
        }
    }

    #[test]
    fn the_soonest_comes_first_and_none_before_its_time() {
        let mut moments = Moments::default();
        let clock = us(5_000);
        for (token, after) in [(3, 300), (1, 100), (2, 200)] {
            moments.push(Place { token, ..PLACE }, Exact::after(clock, us(after)), clock);
        }
        assert!(moments.until_next(clock).is_some_and(|until| until >= us(100) && until < us(101)));
        assert!(moments.pop(clock + us(99)).is_none());
        let mut came = Vec::new();
        while let Some(place) = moments.pop(clock + us(201)) {
            came.push(place.token);
        }
        assert_eq!(came, [1, 2]);
        assert_eq!(moments.until_next(clock + us(900)), Some(Duration::ZERO));
    }
}
