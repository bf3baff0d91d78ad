//! Numbers as people read them: times, counts, rates and bytes with a fitting unit.

use std::time::Duration;

const NS_PER_S: u64 = 1_000_000_000;

/// Formats a time of `ns` nanoseconds with three significant digits and no trailing zeros, for a sentence: `7.2 ms`.
pub fn time(ns: u64) -> String {
    let (number, unit) = scaled(ns);
    format!("{} {unit}", without_trailing_zeros(&number))
}

/// Formats a time of `ns` nanoseconds always with three significant digits, for a column: `7.20 ms`.
pub fn time_in_column(ns: u64) -> String {
    let (number, unit) = scaled(ns);
    format!("{number} {unit:<2}")
}

/// Formats a length of time that someone chose or waited, in up to two units: `1 min 30 s`.
pub fn span(duration: Duration) -> String {
    let whole = duration.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{} {big_unit}", count(big)),
        _ => format!("{} {big_unit} {small} {small_unit}", count(big)),
    };
    match whole {
        0..60 => time(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        60..3_600 => two(whole / 60, "min", whole % 60, "s"),
        _ => two(whole / 3_600, "h", whole % 3_600 / 60, "min"),
    }
}

/// Formats a whole number with its thousands apart: `1,000,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of things with their name, which takes an `s` unless there is one: `1 connection`.
pub fn things(number: u64, name: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {name}{ending}", count(number))
}

/// Formats a rate without its unit: whole from 100 on, two decimals below, three digits below 1; `–` for what is no
/// number.
pub fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second < 0.0 {
        "–".to_owned()
    } else if per_second >= 100.0 {
        count(per_second.round() as u64)
    } else if per_second > 0.0 && per_second < 1.0 {
        // As many zeros more as there are in front.
        let decimals = (2.0 - per_second.log10().floor()).min(12.0) as usize;
        without_trailing_zeros(&format!("{per_second:.decimals$}")).to_owned()
    } else {
        without_trailing_zeros(&format!("{per_second:.2}")).to_owned()
    }
}

/// Formats an amount of memory or traffic, in binary units: `19.2 MiB`.
pub fn bytes(number: u64) -> String {
    if number < 1_024 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1_024.0;
    let mut unit = "KiB";
    for larger in ["MiB", "GiB", "TiB", "PiB"] {
        // What would be shown as 1024 is one of the next unit.
        if value < 1_023.5 {
            break;
        }
        value /= 1_024.0;
        unit = larger;
    }
    let text = three_digits(value);
    format!("{} {unit}", without_trailing_zeros(&text))
}

/// Formats a part of a whole in percent, rounded down so that less than all is never shown as 100 %.
pub fn percent(part: f64, whole: f64) -> String {
    if whole <= 0.0 || !part.is_finite() || !whole.is_finite() {
        return "–".to_owned();
    }
    // The addend is far below a shown digit: it keeps 0.07 from becoming 6.99.
    let hundredths = (part / whole * 10_000.0 + 1e-6).floor();
    let text = format!("{:.2}", hundredths / 100.0);
    format!("{} %", without_trailing_zeros(&text))
}

/// The number and the unit of a time, with three significant digits.
fn scaled(ns: u64) -> (String, &'static str) {
    // Rounded before the unit is chosen, or 999.96 µs would be shown as 1000 µs.
    let mut step = 1;
    while ns / step >= 1_000 {
        step *= 10;
    }
    let rounded = ns.saturating_add(step / 2) / step * step;
    let (unit_ns, unit) = match rounded {
        0..1_000 => return (rounded.to_string(), "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..NS_PER_S => (1_000_000, "ms"),
        _ => (NS_PER_S, "s"),
    };
    (three_digits(rounded as f64 / unit_ns as f64), unit)
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

fn without_trailing_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_keeps_them_short() {
        let expected = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (12_345, "12.3 µs"),
            (999_960, "1 ms"),
            (7_200_000, "7.2 ms"),
            (123_456_789, "123 ms"),
            (2_000_000_000, "2 s"),
            (3_661_000_000_000, "3660 s"),
        ];
        for (ns, text) in expected {
            assert_eq!(time(ns), text);
        }
        assert_eq!(time_in_column(7_200_000), "7.20 ms");
        assert_eq!(time_in_column(2_000_000_000), "2.00 s ");
    }

    #[test]
    fn the_longest_time_is_shown_and_does_not_overflow() {
        assert!(time(u64::MAX).ends_with(" s"));
        assert!(span(Duration::MAX).contains(" h"));
    }

    #[test]
    fn spans_count_minutes_and_hours() {
        assert_eq!(span(Duration::from_millis(2_500)), "2.5 s");
        assert_eq!(span(Duration::from_secs(90)), "1 min 30 s");
        assert_eq!(span(Duration::from_secs(7_200)), "2 h");
        assert_eq!(span(Duration::from_secs(7_260)), "2 h 1 min");
    }

    #[test]
    fn counts_rates_and_bytes_are_short_and_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(things(1, "connection"), "1 connection");
        assert_eq!(things(1_200, "connection"), "1,200 connections");
        assert_eq!(rate(9_998.4), "9,998");
        assert_eq!(rate(0.5), "0.5");
        assert_eq!((rate(0.001).as_str(), rate(1.0 / 300.0).as_str(), rate(0.0).as_str()), ("0.001", "0.00333", "0"));
        assert_eq!(rate(f64::NAN), "–");
        assert_eq!(bytes(64), "64 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(1_048_575), "1 MiB");
        assert_eq!(bytes(20_132_659), "19.2 MiB");
    }

    #[test]
    fn a_part_is_never_rounded_up_to_the_whole() {
        assert_eq!(percent(9_999.999, 10_000.0), "99.99 %");
        assert_eq!(percent(7.0, 100.0), "7 %");
        assert_eq!(percent(1.0, 0.0), "–");
    }
}
