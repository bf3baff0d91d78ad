//! Counts by reason. Some reasons are this program's, others are named by the server, which may name any.

use std::collections::BTreeMap;

/// Reasons that are told apart, beside those that are not.
const MOST: usize = 32;

/// The most bytes of a name.
const LONGEST_BYTES: usize = 32;

/// What all further ones are counted as.
const OTHER: &str = "other";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons(BTreeMap<String, u64>);

impl Reasons {
    /// Counts one.
    pub fn count(&mut self, reason: &str) {
        self.add(reason, 1);
    }

    /// Counts so many.
    pub fn add(&mut self, reason: &str, more: u64) {
        if let Some(count) = self.0.get_mut(reason) {
            *count += more;
            return;
        }
        let reason = if self.0.len() < MOST { reason } else { OTHER };
        *self.0.entry(reason.to_owned()).or_default() += more;
    }

    /// Counts so many less of what was counted by this program's name.
    pub fn remove(&mut self, reason: &str, less: u64) {
        let reason = if self.0.contains_key(reason) { reason } else { OTHER };
        let Some(count) = self.0.get_mut(reason) else { return };
        *count = count.saturating_sub(less);
        if *count == 0 {
            self.0.remove(reason);
        }
    }

    /// Counts one that the server has named.
    pub fn count_named(&mut self, name: &[u8]) {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let reason = match std::str::from_utf8(name) {
            Ok(text) if (1..=LONGEST_BYTES).contains(&name.len()) && name.iter().all(is_name) => text,
            _ => OTHER,
        };
        self.count(reason);
    }

    /// Returns how often this reason was counted.
    #[must_use]
    pub fn of(&self, reason: &str) -> u64 {
        self.0.get(reason).copied().unwrap_or_default()
    }

    /// Returns the sum of all reasons.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns the reasons with their counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(reason, count)| (&**reason, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_names_is_told_apart_as_far_as_there_is_not_too_much_of_it() {
        let mut reasons = Reasons::default();
        reasons.count_named(b"ERR");
        reasons.count_named(b"ERR");
        for strange in [&b""[..], b"\x1b[0m", b"no/name", &[b'A'; 33]] {
            reasons.count_named(strange);
        }
        for kind in 0..100 {
            reasons.count_named(format!("KIND{kind}").as_bytes());
        }
        let mut total = reasons.clone();
        reasons.iter().for_each(|(reason, count)| total.add(reason, count));
        assert_eq!(total.of("ERR"), 4);
        assert_eq!(total.iter().count(), MOST);
        assert_eq!(total.of(OTHER), 2 * (4 + 70));
        assert_eq!(total.all(), 2 * 106);
        total.remove("ERR", 3);
        total.remove("KIND99", 4);
        assert_eq!((total.of("ERR"), total.of(OTHER)), (1, 2 * (4 + 70) - 4));
        total.remove("ERR", 1);
        assert_eq!(total.iter().count(), MOST - 1);
    }
}
