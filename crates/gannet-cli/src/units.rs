//! Sizes, durations and rates as they are written on the command line.

use std::ops::RangeInclusive;
use std::time::Duration;

use gannet_config::units;
pub(crate) use gannet_config::units::size;

/// A time after which something happens, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(pub(crate) Option<Duration>);

/// Reads a duration: `500ms`, `30s`, `2m`, `1h`; `0` and `off` are never.
pub(crate) fn deadline(text: &str) -> Result<Deadline, String> {
    units::time(text, units::LONGEST).map(Deadline)
}

/// Reads a time of TCP keepalive, which the kernel takes in whole seconds.
pub(crate) fn keepalive(text: &str) -> Result<Deadline, String> {
    match deadline(text)? {
        Deadline(Some(time)) if !(1..=32_767).contains(&time.as_secs()) => {
            Err("the time of keepalive is 1s to 32767s, or off".to_owned())
        }
        time => Ok(time),
    }
}

/// Reads a duration that is one: as [`deadline`], where `0` and `off` are no time at all.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    deadline(text).map(|Deadline(time)| time.unwrap_or_default())
}

/// The smallest share of a second, in percent: once in 28 hours.
const LOWEST_PERCENT: f64 = 0.001;

/// The lowest rate a second: one in a thousand seconds.
const LOWEST_RATE: f64 = 0.001;

/// Reads a rate that is not 0: `1000`, `1000/s` or `0.5/s`, by the minute `30/m`, and by the hour `12/h`.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let (number, seconds) = match text.split_once('/') {
        None | Some((_, "s")) => (text.strip_suffix("/s").unwrap_or(text), 1.0),
        Some((number, "m")) => (number, 60.0),
        Some((number, "h")) => (number, 3_600.0),
        Some(_) => ("", 1.0),
    };
    // Neither signs nor exponents, infinities and the like.
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let per_second = number.parse::<f64>().ok().filter(|_| is_number).map(|number| number / seconds);
    match per_second.ok_or("not a rate: write 1000/s or 1000, which is the same, 0.5/s, 30/m or 12/h")? {
        rate if rate < LOWEST_RATE => Err(format!("a rate is at least {LOWEST_RATE}/s")),
        rate if rate > f64::from(u32::MAX) => Err(format!("a rate is at most {}/s", u32::MAX)),
        rate => Ok(rate),
    }
}

/// Reads a share for each second, above 0: `10%/s` or `10%`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix("/s").unwrap_or(text).strip_suffix('%').unwrap_or_default();
    // Neither signs nor exponents, infinities and the like.
    let is_number = percent.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent = percent.parse::<f64>().ok().filter(|_| is_number);
    match percent.ok_or("not a share: write 10%/s or 0.5%/s")? {
        percent if percent < LOWEST_PERCENT => Err(format!("a share is at least {LOWEST_PERCENT}%/s")),
        percent if percent > 100.0 => Err("a share is at most 100%/s".to_owned()),
        percent => Ok(percent / 100.0),
    }
}

/// What reads a whole number of this range.
pub(crate) fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = units::whole(text, *range.start(), *range.end())?;
        T::try_from(number).map_err(|_| format!("not a whole number from {} to {}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_may_be_below_one_a_second_and_by_the_minute_or_hour() {
        for (text, per_second) in
            [("1000", 1_000.0), ("1000/s", 1_000.0), ("0.5/s", 0.5), (".5", 0.5), ("30/m", 0.5), ("12/h", 1.0 / 300.0)]
        {
            assert_eq!(rate(text), Ok(per_second), "{text}");
        }
        for (text, why) in [
            ("0", "at least 0.001/s"),
            ("0.0005", "at least 0.001/s"),
            ("3/h", "at least 0.001/s"),
            ("4294967296", "at most 4294967295/s"),
            ("257698037760/m", "at most"),
        ] {
            assert!(rate(text).is_err_and(|error| error.contains(why)), "{text}: {:?}", rate(text));
        }
        for text in ["", ".", "/s", "fast", "-1", "+1", "1e3", "inf", "nan", "1/d", "1/s/s", "1..2", "1 /s", "1/"] {
            assert!(rate(text).is_err_and(|error| error.contains("0.5/s")), "{text}: {:?}", rate(text));
        }
    }
}
