//! Names of channels: which are allowed, which namespace they belong to, and what all parts share of a channel.

use crate::error::ChannelError;
use crate::position::Epoch;
use crate::text::Text;

/// What does not change while a channel exists, shared by the space, its reactors and its deliveries.
///
/// Two are the same life of a channel if they are the same allocation.
#[derive(Debug)]
pub(crate) struct Identity {
    name: Text,
    hash: u64,
    epoch: Epoch,
    namespace: u16,
}

impl Identity {
    pub(crate) fn new(name: &str, hash: u64, epoch: Epoch, namespace: u16) -> Self {
        Self { name: name.into(), hash, epoch, namespace }
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.as_bytes() == name.as_bytes()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn namespace(&self) -> usize {
        self.namespace.into()
    }
}

/// Checks a channel's name: printable ASCII, not empty, not over the limit.
///
/// Control characters would become commands in a log, an event stream or a broker's subject.
pub(crate) fn check(name: &str, limit: usize) -> Result<(), ChannelError> {
    if name.len() > limit {
        return Err(ChannelError::TooLong { length: name.len(), limit });
    }
    if name.is_empty() || !name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(ChannelError::BadName);
    }
    Ok(())
}

/// Splits a channel's name into its namespace and the rest: `news` and `today` for `$news:today` and for `news:today`.
///
/// The namespace of a name without a colon is empty.
#[must_use]
pub fn split_name(channel: &str) -> (&str, &str) {
    let public = channel.strip_prefix('$').unwrap_or(channel);
    public.split_once(':').unwrap_or(("", public))
}

/// Whether a namespace may have this name: empty, or two and more letters, digits, `-` and `_`.
pub(crate) fn is_namespace(name: &str) -> bool {
    name.is_empty()
        || name.len() >= 2 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether a name matches a pattern, in which `*` stands for any characters and `?` for one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // The last star, and what of the name it covers: on a mismatch it covers one more.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, covered)) = star else { return false };
                star = Some((at, covered + 1));
                p = at + 1;
                n = covered + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_what_stands_before_the_first_colon() {
        assert_eq!(split_name("news:today:10"), ("news", "today:10"));
        assert_eq!(split_name("$news:today"), ("news", "today"));
        assert_eq!(split_name("news"), ("", "news"));
        assert_eq!(split_name("#42"), ("", "#42"));
        assert_eq!(split_name(":x"), ("", "x"));
    }

    #[test]
    fn names_with_control_characters_are_refused() {
        for name in ["", "a\nb", "a\rb", "a\0", "gr\u{fc}n", "\x7f"] {
            assert_eq!(check(name, 255), Err(ChannelError::BadName), "{name:?}");
        }
        for name in ["a", ">", "*", "a b", "$a:b#c,d"] {
            assert_eq!(check(name, 255), Ok(()), "{name:?}");
        }
        assert_eq!(check("abcd", 3), Err(ChannelError::TooLong { length: 4, limit: 3 }));
    }

    #[test]
    fn a_star_stands_for_any_characters_and_a_question_mark_for_one() {
        for (pattern, name) in [("*", ""), ("*", "a"), ("a*c", "abbc"), ("a?c", "abc"), ("*b*", "abc"), ("a*", "a")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a?c", "ac"), ("a*c", "abcd"), ("?", ""), ("b*", "abc"), ("*a", "b")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_exponential_time() {
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99).as_str().replace('z', "")));
        assert!(!matches(&format!("{}b", "*a".repeat(50)), &"a".repeat(10_000)));
    }
}
