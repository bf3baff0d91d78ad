//! Sizes, durations and rates as they are written on the command line.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest time that the engine's timers can hold: 24 days.
const LONGEST: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// A time after which something happens, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(pub(crate) Option<Duration>);

/// Reads a number of bytes: `512`, `64KiB`, `1MiB`, `64KB`, `1MB`, `1GiB`, `1GB`; at least 1.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let factor: usize = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(not_a_size()),
    };
    if number.is_empty() {
        return Err(not_a_size());
    }
    // All digits, so that what does not parse is too large.
    let bytes = number.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    match bytes {
        Some(0) => Err("a size is at least 1 byte".to_owned()),
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err("that is more than this machine can address".to_owned()),
    }
}

/// The same, where 0 is none.
pub(crate) fn size_or_none(text: &str) -> Result<usize, String> {
    if text == "0" { Ok(0) } else { size(text) }
}

fn not_a_size() -> String {
    "not a size: write bytes as 512, or 64KiB, 1MiB, 64KB, 1MB".to_owned()
}

/// Reads a duration: `500ms`, `30s`, `2m`, `1h`; `0` and `off` are never.
pub(crate) fn deadline(text: &str) -> Result<Deadline, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(Deadline(None));
    }
    let (number, unit) = split(text);
    let wrong = || "not a duration: write 500ms, 30s, 2m, 1h, or off".to_owned();
    if number.is_empty() {
        return Err(wrong());
    }
    let number = number.parse::<u64>().ok();
    let milliseconds = match unit.to_ascii_lowercase().as_str() {
        "" if number == Some(0) => return Ok(Deadline(None)),
        "" => return Err("a duration needs a unit: ms, s, m or h".to_owned()),
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.and_then(|number| number.checked_mul(milliseconds)).map(Duration::from_millis) {
        Some(Duration::ZERO) => Ok(Deadline(None)),
        Some(duration) if duration <= LONGEST => Ok(Deadline(Some(duration))),
        _ => Err("a duration is at most 24 days (576h)".to_owned()),
    }
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

/// Reads a rate: `1000` or `1000/s`; 0 is no limit.
pub(crate) fn per_second(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a rate: write 1000/s or 1000, which is the same; 0 is no limit".to_owned());
    }
    number.parse().map_err(|_| format!("a rate is at most {}/s", u32::MAX))
}

/// What reads a whole number of this range.
pub(crate) fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let wrong = || format!("not a whole number from {} to {}", range.start(), range.end());
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(wrong)
    }
}

/// The digits that a text begins with, and the rest.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit() {
        for (text, bytes) in [
            ("1", 1),
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65_536),
            ("64kib", 65_536),
            ("64KB", 64_000),
            ("1MiB", 1_048_576),
            ("3MB", 3_000_000),
            ("2GiB", 2_147_483_648),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_an_example() {
        for text in ["", "KiB", "-1", "+1", "1.5MiB", "64K", "64 KiB", " 64", "1MiB ", "0x10", "abc", "１"] {
            let error = size(text).expect_err(text);
            assert!(error.contains("64KiB"), "{text}: {error}");
        }
    }

    #[test]
    fn a_size_beyond_memory_is_refused_and_does_not_wrap() {
        for text in ["99999999999GiB", "18446744073709551616", "18446744073709551615", "17179869184GiB"] {
            let error = size(text).expect_err(text);
            assert!(error.contains("more than this machine"), "{text}: {error}");
        }
        assert!(size("0").is_err() && size("0KiB").is_err());
    }

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1H", 3_600_000),
            ("576h", 2_073_600_000),
        ] {
            assert_eq!(deadline(text), Ok(Deadline(Some(Duration::from_millis(milliseconds)))), "{text}");
        }
    }

    #[test]
    fn zero_and_off_turn_a_duration_off() {
        for text in ["0", "0s", "0ms", "off", "OFF"] {
            assert_eq!(deadline(text), Ok(Deadline(None)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "not a duration"),
            ("s", "not a duration"),
            ("-1s", "not a duration"),
            ("1.5s", "not a duration"),
            ("1 s", "not a duration"),
            ("1d", "not a duration"),
            ("never", "not a duration"),
            ("30", "needs a unit"),
            ("577h", "24 days"),
            ("18446744073709551615h", "24 days"),
            ("99999999999999999999999s", "24 days"),
        ] {
            let error = deadline(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_rate_may_say_that_it_is_one() {
        assert_eq!(per_second("1000/s"), Ok(1_000));
        assert_eq!(per_second("1000"), Ok(1_000));
        assert_eq!(per_second("0"), Ok(0));
        for text in ["", "/s", "fast", "10/m", "-1", "+1", "4294967296", "1.5/s"] {
            assert!(per_second(text).is_err(), "{text}");
        }
    }

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

    #[test]
    fn what_is_no_number_of_the_range_is_refused_with_the_range() {
        assert_eq!(whole::<u16>(1..=1_024)("1024"), Ok(1_024));
        for text in ["", "0", "1025", "-1", "1.5", "1e3", "off", "18446744073709551616"] {
            assert_eq!(whole::<u16>(1..=1_024)(text), Err("not a whole number from 1 to 1024".to_owned()), "{text}");
        }
    }
}
