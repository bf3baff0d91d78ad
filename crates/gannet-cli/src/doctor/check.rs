//! One check: what is there, what is needed, why, and what changes it.

use std::fmt;

use serde::{Serialize, Serializer};

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    Bad,
    /// It cannot be checked here, or does not apply.
    Skip,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad => "bad",
            Self::Skip => "skip",
        }
    }
}

/// What there is, or what is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    Count(u64),
    Bytes(u64),
    Pages(u64),
    Unlimited,
    Text(String),
}

impl Amount {
    /// Whether this much is enough. Words are enough where they are the same.
    pub(super) fn covers(&self, needed: &Self) -> bool {
        match (self, needed) {
            (Self::Unlimited, _) => true,
            (
                Self::Count(have) | Self::Bytes(have) | Self::Pages(have),
                Self::Count(need) | Self::Bytes(need) | Self::Pages(need),
            ) => have >= need,
            (have, need) => have == need,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => formatter.pad(&count.to_string()),
            Self::Bytes(bytes) if *bytes >= 1 << 20 => formatter.pad(&format!("{}MiB", bytes >> 20)),
            Self::Bytes(bytes) => formatter.pad(&format!("{}KiB", bytes >> 10)),
            Self::Pages(pages) => formatter.pad(&format!("{pages} pages")),
            Self::Unlimited => formatter.pad("unlimited"),
            Self::Text(text) => formatter.pad(text),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(number) | Self::Bytes(number) | Self::Pages(number) => serializer.serialize_u64(*number),
            Self::Unlimited => serializer.serialize_str("unlimited"),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// How something is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Fix {
    /// The command for now. Nothing where only a new start helps.
    pub(super) now: Option<String>,
    /// The file that keeps it over a reboot.
    pub(super) file: Option<String>,
    /// What that file has to have.
    pub(super) line: Option<String>,
}

impl Fix {
    /// A setting of the kernel.
    pub(super) fn sysctl(key: &str, value: impl fmt::Display) -> Self {
        let value = value.to_string();
        let word = if value.contains(' ') { format!("\"{value}\"") } else { value.clone() };
        Self {
            now: Some(format!("sysctl -w {key}={word}")),
            file: Some("/etc/sysctl.d/90-gannet.conf".to_owned()),
            line: Some(format!("{key} = {value}")),
        }
    }

    /// A value that is written to a file of /sys.
    pub(super) fn written(path: &str, value: &str) -> Self {
        Self {
            now: Some(format!("echo {value} > {path}")),
            file: Some("/etc/tmpfiles.d/gannet.conf".to_owned()),
            line: Some(format!("w {path} - - - - {value}")),
        }
    }
}

/// What was looked at, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    pub(super) have: Option<Amount>,
    pub(super) need: Option<Amount>,
    pub(super) why: String,
    #[serde(flatten)]
    pub(super) fix: Fix,
}

impl Check {
    /// Compares what there is with what is needed. What changes it is kept only where it is not enough.
    pub(super) fn compare(name: &'static str, have: Amount, need: Amount, why: impl Into<String>, fix: Fix) -> Self {
        let (verdict, fix) = if have.covers(&need) { (Verdict::Ok, Fix::default()) } else { (Verdict::Bad, fix) };
        Self { name, verdict, have: Some(have), need: Some(need), why: why.into(), fix }
    }

    /// A counter that should be 0.
    pub(super) fn exceeded(name: &'static str, have: u64, why: String) -> Self {
        let (have, need) = (Some(Amount::Count(have)), Some(Amount::Count(0)));
        Self { name, verdict: Verdict::Bad, have, need, why, fix: Fix::default() }
    }

    /// Something that cannot be checked here.
    pub(super) fn skip(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Skip, have: None, need: None, why: why.into(), fix: Fix::default() }
    }

    /// Takes the verdict back, because the user wants it left out.
    pub(super) fn leave_out(&mut self) {
        *self = Self::skip(self.name, "left out by --skip");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_covers_what_is_not_more_and_no_limit_covers_all() {
        assert!(Amount::Count(5).covers(&Amount::Count(5)) && !Amount::Count(4).covers(&Amount::Count(5)));
        assert!(Amount::Unlimited.covers(&Amount::Count(u64::MAX)));
        let word = |word: &str| Amount::Text(word.to_owned());
        assert!(word("never").covers(&word("never")) && !word("always").covers(&word("madvise")));
    }

    #[test]
    fn what_is_enough_comes_without_a_change() {
        let fix = || Fix::sysctl("net.core.somaxconn", 1_024);
        let check = |have| Check::compare("somaxconn", Amount::Count(have), Amount::Count(1_024), "why", fix());
        assert_eq!((check(1_024).verdict, check(1_024).fix), (Verdict::Ok, Fix::default()));
        assert_eq!((check(128).verdict, check(128).fix), (Verdict::Bad, fix()));
    }
}
