//! Sizes, times, rates and numbers as people write them, and the shortest way to write a value that is one.

use std::time::Duration;

/// The longest time of a setting that says nothing else: 24 days, which is what a timer of 31 bits of milliseconds holds.
pub const LONGEST: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// Reads a number of bytes: `512`, `64KiB`, `1MiB`, `64KB`, `1MB`, `1GiB`, `1GB`; at least 1.
///
/// # Errors
///
/// It is not a size, or one that no address space has.
pub fn size(text: &str) -> Result<usize, String> {
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

fn not_a_size() -> String {
    "not a size: write bytes as 512, or 64KiB, 1MiB, 64KB, 1MB".to_owned()
}

/// Writes a size in the largest unit that it is whole in.
#[must_use]
pub fn written_size(bytes: usize) -> String {
    let unit = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = unit.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(shift, name)| format!("{}{name}", bytes >> shift))
}

/// Reads a time: `500ms`, `30s`, `2m`, `1h`; `0` and `off` are none.
///
/// # Errors
///
/// It is not a time, or a longer one than `most`.
pub fn time(text: &str, most: Duration) -> Result<Option<Duration>, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let (number, unit) = split(text);
    let wrong = || "not a duration: write 500ms, 30s, 2m, 1h, or off".to_owned();
    if number.is_empty() {
        return Err(wrong());
    }
    let number = number.parse::<u64>().ok();
    let milliseconds = match unit.to_ascii_lowercase().as_str() {
        "" if number == Some(0) => return Ok(None),
        "" => return Err("a duration needs a unit: ms, s, m or h".to_owned()),
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.and_then(|number| number.checked_mul(milliseconds)).map(Duration::from_millis) {
        Some(Duration::ZERO) => Ok(None),
        Some(duration) if duration <= most => Ok(Some(duration)),
        _ => {
            let hours = most.as_secs() / 3_600;
            Err(format!("a duration is at most {} days ({hours}h)", hours / 24))
        }
    }
}

/// Writes a time in the largest unit that it is whole in, and none as `off`.
#[must_use]
pub fn written_time(time: Option<Duration>) -> String {
    let Some(milliseconds) = time.map(|time| time.as_millis()).filter(|milliseconds| *milliseconds > 0) else {
        return "off".to_owned();
    };
    let unit = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = unit.into_iter().find(|(factor, _)| milliseconds.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{milliseconds}ms"), |(factor, name)| format!("{}{name}", milliseconds / factor))
}

/// Reads a rate: `1000` or `1000/s`; 0 is no limit.
///
/// # Errors
///
/// It is not a rate, or a higher one than 32 bits hold.
pub fn per_second(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a rate: write 1000/s or 1000, which is the same; 0 is no limit".to_owned());
    }
    number.parse().map_err(|_| format!("a rate is at most {}/s", u32::MAX))
}

/// Reads a whole number from `least` to `most`.
///
/// # Errors
///
/// It is not one.
pub fn whole(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    // `u64` reads a sign, too.
    let number = number.filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.ok_or_else(|| format!("not a whole number from {least} to {most}"))
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
    fn times_are_read_in_every_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1H", 3_600_000),
            ("576h", 2_073_600_000),
        ] {
            assert_eq!(time(text, LONGEST), Ok(Some(Duration::from_millis(milliseconds))), "{text}");
        }
        for text in ["0", "0s", "0ms", "off", "OFF"] {
            assert_eq!(time(text, LONGEST), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "not a duration"),
            ("s", "not a duration"),
            ("-1s", "not a duration"),
            ("1.5s", "not a duration"),
            ("1 s", "not a duration"),
            ("1d", "not a duration"),
            ("never", "not a duration"),
            ("30", "needs a unit"),
            ("577h", "at most 24 days (576h)"),
            ("18446744073709551615h", "24 days"),
            ("99999999999999999999999s", "24 days"),
        ] {
            let error = time(text, LONGEST).expect_err(text);
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
    fn what_is_no_number_of_the_range_is_refused_with_the_range() {
        assert_eq!(whole("1024", 1, 1_024), Ok(1_024));
        for text in ["", "0", "1025", "-1", "+1", "1.5", "1e3", "off", "18446744073709551616"] {
            assert_eq!(whole(text, 1, 1_024), Err("not a whole number from 1 to 1024".to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for bytes in [1, 512, 1_000, 1_024, 65_537, 3 << 20, 5 << 30, (1 << 40) + 1_024] {
            assert_eq!(size(&written_size(bytes)), Ok(bytes));
        }
        assert_eq!((written_size(64 << 10), written_size(1_000)), ("64KiB".to_owned(), "1000".to_owned()));
        for milliseconds in [1, 999, 1_000, 1_500, 90_000, 3_600_000, 86_400_000] {
            let written = Duration::from_millis(milliseconds);
            assert_eq!(time(&written_time(Some(written)), LONGEST), Ok(Some(written)));
        }
        assert_eq!(time(&written_time(None), LONGEST), Ok(None));
        assert_eq!(written_time(Some(Duration::from_secs(90))), "90s");
    }
}
