//! The axes of a plot: where a value lies between the two ends, and which values carry a mark.

use crate::units;

/// One axis: a scale from 0 to 1 with labelled marks.
pub(super) struct Axis {
    /// What is measured and in what.
    pub label: &'static str,
    /// The marks: place from 0 to 1, and text.
    pub ticks: Vec<(f64, String)>,
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axis {
    /// Makes a linear axis from 0 to a little more than `high`, so that no line runs along the edge, with some five
    /// round marks.
    pub fn linear(label: &'static str, high: f64) -> Self {
        let high = if high.is_finite() { high.max(1.0) } else { 1.0 };
        let step = round_step(high / 5.0);
        let steps = (high * 1.02 / step).ceil();
        let mut axis = Self::new(label, 0.0, steps * step, false);
        axis.ticks = (0..=steps as u32).map(|i| (f64::from(i) / steps, short(f64::from(i) * step))).collect();
        axis
    }

    /// Makes a linear axis from 0 to exactly `high` seconds.
    pub fn elapsed(label: &'static str, high: f64) -> Self {
        let high = if high.is_finite() { high.max(1.0) } else { 1.0 };
        let step = round_step(high / 8.0);
        let mut axis = Self::new(label, 0.0, high, false);
        axis.ticks =
            (0..=(high / step) as u32).map(|i| (f64::from(i) * step / high, short(f64::from(i) * step))).collect();
        axis
    }

    /// Makes a logarithmic axis of times that holds everything from `low_ns` to `high_ns`, a mark at each power of ten,
    /// and at its double and fivefold where there are few of those.
    pub fn times(label: &'static str, low_ns: f64, high_ns: f64) -> Self {
        const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
        let low_ns = low_ns.max(1.0);
        let high_ns = high_ns.max(low_ns);
        // A power further down and up: the margins may reach into them.
        let first = low_ns.log10().floor() as i32 - 1;
        let last = high_ns.log10().ceil() as i32 + 1;
        // The ends are the nearest marks outside, not the nearest powers of ten, which would leave half a plot empty.
        let marks: Vec<f64> = (first..=last).flat_map(|power| STEPS.map(|step| step * 10f64.powi(power))).collect();
        let low = marks.iter().copied().rfind(|&mark| mark <= low_ns * 0.98);
        let high = marks.iter().copied().find(|&mark| mark >= high_ns * 1.02);
        let low = low.unwrap_or(low_ns);
        let high = high.unwrap_or(high_ns * 2.0).max(low * 10.0);
        let every = if high / low <= 500.0 { 1 } else { 3 };
        let mut axis = Self::new(label, low, high, true);
        axis.ticks = marks
            .iter()
            .step_by(every)
            .filter(|&&mark| mark >= low && mark <= high)
            .map(|&mark| (axis.place(mark), units::time(mark.round() as u64)))
            .collect();
        axis
    }

    /// Makes an axis of percentiles on which each further nine takes the same room: 90 %, 99 %, 99.9 % … 1 −
    /// 10^−`nines`.
    pub fn nines(label: &'static str, nines: f64) -> Self {
        let mut axis = Self::new(label, 0.0, nines, false);
        let half = 2f64.log10();
        axis.ticks = vec![(half / nines, "50 %".to_owned())];
        // With more nines there is no room for both.
        if nines < 4.5 {
            axis.ticks.insert(0, (0.0, "0 %".to_owned()));
        }
        for n in 1..=nines as usize {
            let text = match n {
                1 => "90 %".to_owned(),
                2 => "99 %".to_owned(),
                _ => format!("99.{} %", "9".repeat(n - 2)),
            };
            axis.ticks.push((n as f64 / nines, text));
        }
        axis
    }

    /// Where a value lies, from 0 to 1; what is outside lies at the end.
    pub fn place(&self, value: f64) -> f64 {
        let place = if self.logarithmic {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn new(label: &'static str, low: f64, high: f64, logarithmic: bool) -> Self {
        Self { label, ticks: Vec::new(), low, high, logarithmic }
    }
}

/// The smallest of 1, 2, 5, 10, 20, 50 … that is not below the given one.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1.0).log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= step * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// A mark's number: thousands and millions by letter, since there is little room beside an axis.
fn short(value: f64) -> String {
    let (scaled, letter) = match value {
        v if v >= 1e9 => (v / 1e9, " G"),
        v if v >= 1e6 => (v / 1e6, " M"),
        v if v >= 1e4 => (v / 1e3, " k"),
        v => (v, ""),
    };
    format!("{}{letter}", units::rate((scaled * 100.0).round() / 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_mark_above_the_highest_value() {
        let axis = Axis::linear("", 9_400.0);
        assert_eq!(labels(&axis), ["0", "2,000", "4,000", "6,000", "8,000", "10 k"]);
        assert!((axis.place(5_000.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn an_axis_of_times_gives_each_decade_the_same_room() {
        let axis = Axis::times("", 11e3, 0.9e9);
        assert_eq!(labels(&axis), ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"]);
        let step = axis.ticks[1].0 - axis.ticks[0].0;
        assert!((axis.ticks[4].0 - axis.ticks[3].0 - step).abs() < 1e-9);
    }

    #[test]
    fn an_axis_of_percentiles_has_a_mark_for_each_nine() {
        assert_eq!(labels(&Axis::nines("", 4.3)), ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn values_without_a_range_or_out_of_it_stay_on_the_plot() {
        for axis in [
            Axis::linear("", 0.0),
            Axis::linear("", f64::NAN),
            Axis::elapsed("", 0.0),
            Axis::times("", 0.0, 0.0),
            Axis::times("", 5e6, 5e6),
            Axis::times("", 1.0, u64::MAX as f64),
        ] {
            for value in [0.0, -1.0, 1.0, 1e30, f64::NAN, f64::INFINITY] {
                assert!((0.0..=1.0).contains(&axis.place(value)));
            }
            assert!(axis.ticks.len() >= 2, "{:?}", labels(&axis));
        }
    }
}
