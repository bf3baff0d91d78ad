//! Replies, how they are written in the tables, and when two are the same.

use std::{fmt, iter};

/// How much of a reply has to be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// Every byte.
    Exact,
    /// All but the order of what is in an array.
    Sorted,
    /// All but the order of the pairs in an array or a map.
    Pairs,
    /// Numbers may differ a little: they are times.
    Near,
    /// Texts and numbers may be others.
    Shape,
    /// That of each queued command.
    Each(Vec<Sameness>),
}

/// A reply, with all that is in its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reply {
    /// What is in one line, its kind included: `+OK`, `:1`, `$-1`.
    Line(Vec<u8>),
    /// A kind, with bytes whose number is said.
    Text(u8, Vec<u8>),
    /// A kind, with what is in it: the keys and values of a map one after the other.
    Many(u8, Vec<Reply>),
    /// The connection was closed.
    End,
    /// Nothing came for long.
    Nothing,
}

impl Reply {
    /// What has to be the same of two replies.
    pub(crate) fn reduced(mut self, sameness: &Sameness) -> Self {
        match (sameness, &mut self) {
            (Sameness::Sorted, Self::Many(_, items)) => {
                *items = items.drain(..).map(|item| item.reduced(sameness)).collect();
                // A cursor is not one of those that come behind it.
                if !items.iter().any(|item| matches!(item, Self::Many(b'*', _))) || items.len() != 2 {
                    items.sort();
                }
            }
            (Sameness::Pairs, Self::Many(_, items)) => {
                let mut pairs: Vec<Vec<Self>> = items.chunks(2).map(<[Self]>::to_vec).collect();
                pairs.sort();
                *items = pairs.concat();
            }
            (Sameness::Shape, Self::Many(_, items)) => {
                *items = items.drain(..).map(|item| item.reduced(sameness)).collect();
            }
            (Sameness::Shape, Self::Text(_, text)) => *text = b"?".to_vec(),
            (Sameness::Shape, Self::Line(line)) if line[0] == b':' => *line = b":?".to_vec(),
            (Sameness::Each(each), Self::Many(_, items)) if each.len() == items.len() => {
                *items = items.drain(..).zip(each).map(|(item, sameness)| item.reduced(sameness)).collect();
            }
            _ => {}
        }
        self
    }

    /// Whether this is as good as `other`; both are reduced.
    pub(crate) fn agrees(&self, other: &Self, sameness: &Sameness) -> bool {
        match (sameness, self, other) {
            (Sameness::Near, one, other) => match (one.number(), other.number()) {
                (Some(one), Some(other)) => is_near(one, other),
                _ => self == other,
            },
            (Sameness::Each(each), Self::Many(kind, items), Self::Many(other_kind, others)) => {
                let same_form = (kind, items.len()) == (other_kind, others.len());
                let samenesses = each.iter().chain(iter::repeat(&Sameness::Exact));
                same_form && items.iter().zip(others).zip(samenesses).all(|((one, other), how)| one.agrees(other, how))
            }
            (_, Self::Line(line), Self::Line(other)) if line[0] == b'-' => error_text(line) == error_text(other),
            _ => self == other,
        }
    }

    fn number(&self) -> Option<i64> {
        let Self::Line(line) = self else { return None };
        std::str::from_utf8(line).ok()?.strip_prefix(':')?.parse().ok()
    }
}

/// The text of an error, as far as it is text: of the words of a command that it quotes, Redis shows what is before the
/// first zero byte, as it came, and Gannet what is valid UTF-8.
fn error_text(line: &[u8]) -> String {
    let text = line.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim_end().to_owned()
}

/// Whether two texts, as tables have them, are near numbers, or the same.
pub(crate) fn texts_agree(one: &str, other: &str, sameness: &Sameness) -> bool {
    let number = |text: &str| text.strip_prefix(':')?.parse().ok();
    match (sameness, number(one), number(other)) {
        (Sameness::Near, Some(one), Some(other)) => is_near(one, other),
        _ => one == other,
    }
}

/// Seconds may be rounded to either side; milliseconds pass. No deadline in these tests is so soon that a number that is
/// not one, such as -2 for no key, could be near it.
fn is_near(one: i64, other: i64) -> bool {
    // Numbers of seconds: to a deadline, and since 1970. What is between them is milliseconds to a deadline.
    let is_seconds = matches!(one, ..50_000 | 1_000_000_000..100_000_000_000);
    let tolerance = if is_seconds { 3 } else { 4_000 };
    one == other || (one > 10 && other > 10 && one.abs_diff(other) <= tolerance)
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => {
                write!(f, "{}", line.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\""))
            }
            Self::Text(kind, text) => {
                if *kind != b'$' {
                    write!(f, "{}", *kind as char)?;
                }
                write!(f, "\"{}\"", Shortened(text))
            }
            Self::Many(kind, items) => {
                write!(f, "{}[", *kind as char)?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
            Self::End => f.write_str("(closed)"),
            Self::Nothing => f.write_str("(nothing)"),
        }
    }
}

/// Bytes, with what is repeated for long said once.
struct Shortened<'a>(&'a [u8]);

/// Shorter repetitions are written as they are.
const LONG_RUN: usize = 40;

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|byte| *byte == first).count();
            if run > LONG_RUN {
                write!(f, "{{{}*{run}}}", first.escape_ascii())?;
                rest = &rest[run..];
            } else {
                write!(f, "{}", first.escape_ascii().to_string().replace("\\'", "'"))?;
                rest = &rest[1..];
            }
        }
        Ok(())
    }
}
