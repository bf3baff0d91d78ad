//! Expectations as they are written on a command line.

use std::str::FromStr;

use super::{Count, Expectation, Figure, Operator, Point, Times};

/// Why a text is no expectation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// There is no `<`, `<=`, `>`, `>=` or `=` in it.
    #[error("`{text}` compares nothing: write a figure, one of < <= > >= = and a value, as in p99<5ms")]
    NoOperator {
        /// The whole text.
        text: String,
    },
    /// What is before the operator is not the name of a figure.
    #[error(
        "`{name}` is not a figure: there are p50, p99.9 and the like, max, mean (each also after response., service., \
         late., connect., handshake., upgrade., ready. or publish.), rate, errors, lost, gaps, duplicates, delivered, failed, opened, up, \
         sent, answered, unanswered and never_sent"
    )]
    UnknownFigure {
        /// The name as it was written.
        name: String,
    },
    /// A percentile that is not above 0 and at most 100.
    #[error("`p{percent}` is not a percentile: it has to be above 0 and at most 100, as in p99.9")]
    NoPercentile {
        /// What follows the `p`.
        percent: String,
    },
    /// What is after the operator is not a number.
    #[error("`{value}` is not a number to compare {figure} with; write it as in {example}")]
    NoNumber {
        /// The value as it was written.
        value: String,
        /// The figure's name.
        figure: String,
        /// A value that would do.
        example: &'static str,
    },
    /// A time without a unit, or with one that is not known.
    #[error("`{value}` is not a time: its unit is one of ns, us, µs, ms and s, as in 5ms")]
    NoUnit {
        /// The value as it was written.
        value: String,
    },
}

impl FromStr for Expectation {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let no_operator = || ParseError::NoOperator { text: text.to_owned() };
        let at = text.find(['<', '>', '=']).ok_or_else(no_operator)?;
        let (name, rest) = text.split_at(at);
        // The longer operators first, or `<=` would be `<` and a value of `=…`.
        let (operator, value) = [
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("<", Operator::Below),
            (">", Operator::Above),
            ("=", Operator::Equal),
        ]
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?)))
        .ok_or_else(no_operator)?;

        let figure = figure(name.trim())?;
        let limit = limit(figure, value.trim())?;
        Ok(Self { figure, operator, limit })
    }
}

fn figure(name: &str) -> Result<Figure, ParseError> {
    if name == "rate" {
        return Ok(Figure::Rate);
    }
    if let Some(count) = Count::ALL.into_iter().find(|count| count.name() == name) {
        return Ok(Figure::Count(count));
    }
    let prefixed = Times::ALL.into_iter().find_map(|times| {
        let rest = name.strip_prefix(times.name())?.strip_prefix('.')?;
        Some((Some(times), rest))
    });
    let (times, point_name) = prefixed.unwrap_or((None, name));
    let point = match point_name {
        "max" => Point::Max,
        "mean" => Point::Mean,
        _ => percentile(point_name).ok_or_else(|| ParseError::UnknownFigure { name: name.to_owned() })??,
    };
    Ok(Figure::Time { times, point })
}

/// `None` for what is not meant as a percentile.
fn percentile(name: &str) -> Option<Result<Point, ParseError>> {
    let percent = name.strip_prefix('p')?;
    if !percent.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some(
        number(percent)
            .filter(|percent| *percent > 0.0 && *percent <= 100.0)
            .map(Point::Percentile)
            .ok_or_else(|| ParseError::NoPercentile { percent: percent.to_owned() }),
    )
}

fn limit(figure: Figure, value: &str) -> Result<f64, ParseError> {
    let no_number =
        |example| move || ParseError::NoNumber { value: value.to_owned(), figure: figure.to_string(), example };
    match figure {
        Figure::Rate => {
            let per_second = value.strip_suffix("/s").unwrap_or(value);
            number(per_second.trim_end()).ok_or_else(no_number("rate>=10000"))
        }
        Figure::Count(_) => {
            number(value).filter(|_| !value.contains('.')).ok_or_else(no_number("errors=0 or opened>=1000"))
        }
        Figure::Time { .. } => {
            let unit_at = value.find(|c: char| !is_of_a_number(c));
            let (digits, unit) = value.split_at(unit_at.unwrap_or(value.len()));
            let number = number(digits).ok_or_else(no_number("p99<5ms"))?;
            let unit_ns = match unit.trim() {
                "ns" => 1.0,
                // The micro sign and the Greek letter look alike, and keyboards have the one or the other.
                "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                _ => {
                    return Err(ParseError::NoUnit { value: value.to_owned() });
                }
            };
            // To whole nanoseconds, which is what is measured: 1.1 ms is 1,100,000 and not a little more.
            Ok((number * unit_ns).round())
        }
    }
}

/// A number of digits with at most one point; not `inf`, `1e9` or `-1`, which the standard parser would take.
fn number(text: &str) -> Option<f64> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(is_of_a_number) {
        return None;
    }
    let number: f64 = text.replace('_', "").parse().ok()?;
    number.is_finite().then_some(number)
}

fn is_of_a_number(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '.' | '_')
}
