//! What is read of certificates and revocation lists without a peer: names as they are encoded, from when to when they are
//! valid (RFC 5280 §4.1.2.5, §5.1.2.5), and times in words.

/// `notBefore` and `notAfter` of a certificate in DER, in seconds since 1970.
pub(crate) fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let (_, validity, _) = element(from_validity(certificate)?)?;
    let (tag, not_before, rest) = element(validity)?;
    let not_before = time(tag, not_before)?;
    let (tag, not_after, _) = element(rest)?;
    Some((not_before, time(tag, not_after)?))
}

/// The name that a certificate in DER is for, as it is encoded there.
pub(crate) fn subject(certificate: &[u8]) -> Option<&[u8]> {
    let (_, _, rest) = element(from_validity(certificate)?)?;
    let (_, subject, _) = element(rest)?;
    Some(subject)
}

/// Whose revocation list in DER it is, by the name as it is encoded there.
pub(crate) fn issuer(crl: &[u8]) -> Option<&[u8]> {
    let (_, issuer, _) = element(from_issuer(crl)?)?;
    Some(issuer)
}

/// `nextUpdate` of a revocation list in DER, in seconds since 1970.
pub(crate) fn next_update(crl: &[u8]) -> Option<u64> {
    let mut rest = from_issuer(crl)?;
    // The issuer and thisUpdate.
    for _ in 0..2 {
        (_, _, rest) = element(rest)?;
    }
    let (tag, next_update, _) = element(rest)?;
    time(tag, next_update)
}

fn from_validity(certificate: &[u8]) -> Option<&[u8]> {
    // Certificate { tbsCertificate { [0] version?, serialNumber, signature, issuer, validity, subject …
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&0xa0) {
        (_, _, rest) = element(rest)?;
    }
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    Some(rest)
}

fn from_issuer(crl: &[u8]) -> Option<&[u8]> {
    // CertificateList { tbsCertList { version?, signature, issuer, thisUpdate, nextUpdate? …
    let (_, crl, _) = element(crl)?;
    let (_, mut rest, _) = element(crl)?;
    if rest.first() == Some(&0x02) {
        (_, _, rest) = element(rest)?;
    }
    let (_, _, rest) = element(rest)?;
    Some(rest)
}

/// The tag, the content and what follows of the DER element at the front.
pub(crate) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&length, mut rest) = rest.split_first()?;
    let mut length = usize::from(length);
    if length >= 0x80 {
        let (bytes, after) =
            rest.split_at_checked(length - 0x80).filter(|(bytes, _)| (1..=4).contains(&bytes.len()))?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    let (year, rest) = match tag {
        // Of two digits: RFC 5280 §4.1.2.5.1.
        0x17 => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year)?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        0x18 => {
            let (year, rest) = text.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let rest = rest.strip_suffix(b"Z").filter(|rest| rest.len() == 10)?;
    let part = |at: usize| number(&rest[at..at + 2]);
    let days = days_of(year, part(0)?, part(2)?)?;
    Some(days * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?)
}

/// Days from 1970-01-01 to this one. None before that.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March here, so that the day of leap years is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719,468 days from the first of March of the year 0 to 1970.
    Some(year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

/// Seconds since 1970 as `2026-03-01 12:00 UTC`.
pub(crate) fn utc(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year_of_era + next;
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_certificates_are_read_and_written() {
        assert_eq!(time(0x17, b"700101000000Z"), Some(0));
        assert_eq!(time(0x17, b"491231235959Z"), time(0x18, b"20491231235959Z"));
        let leap = time(0x18, b"20240229123000Z").expect("a day of a leap year");
        assert_eq!(leap, 1_709_209_800);
        assert_eq!(utc(leap), "2024-02-29 12:30 UTC");
        assert_eq!(utc(leap + 86_400), "2024-03-01 12:30 UTC");
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(time(0x18, b"99991231235959Z").expect("the last there is")), "9999-12-31 23:59 UTC");
        for broken in [&b"240229123000"[..], b"2402291230Z", b"241329123000Z", b"", b"24022912\xff000Z"] {
            assert_eq!(time(0x17, broken), None);
        }
    }
}
