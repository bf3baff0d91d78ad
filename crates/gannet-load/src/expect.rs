//! Reads expectations of a run (`p99<5ms`) from a text, and compares them with the results.

mod figure;
mod parse;

use std::fmt;

pub use figure::{Count, Figure, Point, Times};
pub use parse::ParseError;

use crate::results::Results;
use figure::Measured;

/// An assertion on one figure of the results.
///
/// ```
/// use gannet_load::expect::Expectation;
///
/// let expectation: Expectation = "p99.9<=10ms".parse()?;
/// assert_eq!(expectation.to_string(), "p99.9 <= 10 ms");
/// # Ok::<(), gannet_load::expect::ParseError>(())
/// ```
///
/// | figure | value |
/// |---|---|
/// | `p50`, `p99.9` … (any percentile), `max`, `mean` | a time: `5ms`, `1.5s`, `250us`, `250µs`, `900ns` |
/// | the same after `response.`, `service.`, `late.` or `connect.` | a time |
/// | `errors`, `lost`, `failed`, `unanswered`, `never_sent` | a whole number |
/// | `opened`, `up`, `sent`, `answered` | a whole number |
/// | `rate` | right answers a second: `10000` or `10000/s` |
///
/// Without a prefix a time is the response time in an open loop and the service time in a closed one. The operators are
/// `<`, `<=`, `>`, `>=` and `=`; a rate is rounded to a whole number before `=` compares it. `_` may separate digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expectation {
    /// The figure.
    pub figure: Figure,
    /// The comparison.
    pub operator: Operator,
    /// With what, in the figure's unit: ns, a number, or a number a second.
    pub limit: f64,
}

/// Compares a figure with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operator {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `=`
    Equal,
}

/// Why an expectation was not met.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// The figure is on the wrong side of its limit.
    #[error("{}", missed(expectation, *measured, *times))]
    Missed {
        /// The expectation.
        expectation: Expectation,
        /// What was measured, in the figure's unit.
        measured: f64,
        /// Which times the figure is of, where it is one of times.
        times: Option<Times>,
    },
    /// There is no such figure in this run.
    #[error("{} {} not measured, expected {} {}: {reason}", expectation.figure, verb(expectation.figure), expectation.operator, expectation.shown_limit())]
    NotMeasured {
        /// The expectation.
        expectation: Expectation,
        /// Why there is none.
        reason: &'static str,
    },
}

impl Expectation {
    /// Holds the expectation against the results of a run.
    ///
    /// # Errors
    ///
    /// [`Failed`] says what was measured and by how much it missed, or why it was not measured: an expectation on what
    /// was not measured is not met.
    pub fn check(&self, results: &Results) -> Result<(), Failed> {
        match self.figure.measure(results) {
            Measured::Nothing(reason) => Err(Failed::NotMeasured { expectation: *self, reason }),
            Measured::Value { value, times } => {
                if self.is_met_by(value) {
                    Ok(())
                } else {
                    Err(Failed::Missed { expectation: *self, measured: value, times })
                }
            }
        }
    }

    fn is_met_by(&self, value: f64) -> bool {
        match self.operator {
            Operator::Below => value < self.limit,
            Operator::AtMost => value <= self.limit,
            Operator::Above => value > self.limit,
            Operator::AtLeast => value >= self.limit,
            // A measured rate is never whole by itself, so that `=` would never hold.
            Operator::Equal if self.figure == Figure::Rate => value.round() == self.limit.round(),
            Operator::Equal => value == self.limit,
        }
    }

    fn shown_limit(&self) -> String {
        self.figure.show(self.limit)
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.figure, self.operator, self.shown_limit())
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Equal => "=",
        })
    }
}

fn missed(expectation: &Expectation, measured: f64, times: Option<Times>) -> String {
    let figure = expectation.figure;
    // A figure that names its times needs no second mention of them.
    let which = match (figure, times) {
        (Figure::Time { times: None, .. }, Some(times)) => format!(" ({times})"),
        _ => String::new(),
    };
    let gap = measured - expectation.limit;
    let by = if gap > 0.0 {
        format!("{} over", figure.show(gap))
    } else if gap < 0.0 {
        format!("{} short", figure.show(-gap))
    } else {
        "exactly at the limit".to_owned()
    };
    format!(
        "{figure} {} {}{which}, expected {} {}: {by}",
        verb(figure),
        figure.show(measured),
        expectation.operator,
        expectation.shown_limit()
    )
}

fn verb(figure: Figure) -> &'static str {
    match figure {
        Figure::Count(_) => "were",
        Figure::Time { .. } | Figure::Rate => "was",
    }
}
