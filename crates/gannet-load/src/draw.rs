//! Draws that follow from a seed alone: the same run asks for the same things again.

/// Exponent of the Zipf distribution, as in the Yahoo! Cloud Serving Benchmark.
const EXPONENT: f64 = 0.99;

/// A stream of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// Returns the stream of a request: of each connection and each number another one.
    #[must_use]
    pub fn of(connection: u32, request: u64) -> Self {
        // Two steps apart, so that neighbours share nothing.
        let mut draws = Self(u64::from(connection));
        Self(draws.number() ^ request.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, each as likely; 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The error is less than `end` in 2^64.
        ((u128::from(self.number()) * u128::from(end)) >> 64) as u64
    }

    /// A fraction from 0 to 1, without 1.
    fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How often keys are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distribution {
    /// Each as often.
    #[default]
    Uniform,
    /// Few very often, most hardly ever: the second half as often as the first, the third a third as often, and so on
    /// (nearly: the exponent is 0.99).
    Zipf,
}

impl Distribution {
    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

/// A distribution over numbers below an end.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// Each as likely.
    Uniform(u64),
    /// The smaller the likelier.
    Zipf(Zipf),
}

impl Numbers {
    /// Numbers below `end`, which is at least 1.
    #[must_use]
    pub fn below(end: u64, distribution: Distribution) -> Self {
        match distribution {
            Distribution::Uniform => Self::Uniform(end),
            Distribution::Zipf => Self::Zipf(Zipf::below(end)),
        }
    }

    /// One of them.
    pub fn draw(&self, draws: &mut Draws) -> u64 {
        match self {
            Self::Uniform(end) => draws.below(*end),
            Self::Zipf(zipf) => zipf.draw(draws),
        }
    }
}

/// Zipf's distribution, drawn by rejection-inversion (W. Hörmann, G. Derflinger: Rejection-inversion to generate variates
/// from monotone discrete distributions, 1996): no table, and hardly more than one try, however many numbers there are.
#[derive(Clone, Debug)]
pub struct Zipf {
    last: f64,
    /// The area under the curve up to the first number's end, without its own, and up to the last one's.
    first_area: f64,
    last_area: f64,
    /// A number so little above its place on the curve is taken without another look.
    slack: f64,
}

impl Zipf {
    fn below(end: u64) -> Self {
        let last = end.max(1) as f64;
        Self {
            last,
            first_area: area(1.5) - 1.0,
            last_area: area(last + 0.5),
            slack: 2.0 - place(area(2.5) - height(2.0)),
        }
    }

    fn draw(&self, draws: &mut Draws) -> u64 {
        loop {
            let at = self.last_area + draws.fraction() * (self.first_area - self.last_area);
            let exact = place(at);
            let number = exact.round().clamp(1.0, self.last);
            if number - exact <= self.slack || at >= area(number + 0.5) - height(number) {
                return number as u64 - 1;
            }
        }
    }
}

/// How likely a number is, beside the first.
fn height(number: f64) -> f64 {
    (-EXPONENT * number.ln()).exp()
}

/// The area under that curve from 1 on.
fn area(to: f64) -> f64 {
    ((1.0 - EXPONENT) * to.ln()).exp_m1() / (1.0 - EXPONENT)
}

/// Where the area is so large.
fn place(area: f64) -> f64 {
    ((area * (1.0 - EXPONENT)).ln_1p() / (1.0 - EXPONENT)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWN: u64 = 200_000;

    fn counted(end: u64, distribution: Distribution) -> Vec<u64> {
        let numbers = Numbers::below(end, distribution);
        let mut counts = vec![0; end as usize];
        for request in 0..DRAWN {
            counts[numbers.draw(&mut Draws::of((request % 7) as u32, request)) as usize] += 1;
        }
        counts
    }

    #[test]
    fn uniform_numbers_come_equally_often() {
        let counts = counted(100, Distribution::Uniform);
        assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_number_of_zipf_comes_as_often_as_its_power_says() {
        for end in [1_u64, 2, 10, 1_000] {
            let counts = counted(end, Distribution::Zipf);
            let all: f64 = (1..=end).map(|number| height(number as f64)).sum();
            for (index, count) in counts.iter().enumerate() {
                let wanted = DRAWN as f64 * height(index as f64 + 1.0) / all;
                // Five standard deviations.
                assert!((*count as f64 - wanted).abs() <= 5.0 * wanted.sqrt(), "{index} of {end}: {count}, {wanted}");
            }
        }
    }

    #[test]
    fn very_many_numbers_take_no_table_and_stay_below_their_end() {
        let numbers = Numbers::below(1 << 40, Distribution::Zipf);
        let largest = (0..DRAWN).map(|request| numbers.draw(&mut Draws::of(1, request))).max();
        assert!(largest.is_some_and(|largest| (1 << 35..1 << 40).contains(&largest)), "{largest:?}");
    }

    #[test]
    fn the_same_request_draws_the_same_and_others_something_else() {
        let first = |connection, request| Draws::of(connection, request).number();
        assert_eq!(first(3, 5), first(3, 5));
        for (connection, request) in [(3, 6), (4, 5), (5, 3), (0, 0)] {
            assert_ne!(first(3, 5), first(connection, request));
        }
    }
}
