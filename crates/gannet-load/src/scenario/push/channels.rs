//! Which channels the clients of a run subscribe to: patterns that name the channels of each client, and the arithmetic
//! that finds a channel's name, number and subscribers without a table of them.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The most channels that one range of a pattern stands for.
const LONGEST_RANGE: u32 = 1_000_000;

/// The most bytes of a channel's name that servers take.
const LONGEST_BYTES: usize = 255;

/// Names the channels of a client.
///
/// `{n}` is the client's number from 0 on, `{n%100}` its remainder and `{n/100}` its quotient. `{0..10}` stands for ten
/// channels of each client, with the numbers 0 to 9. Each may be there once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Client(Term),
    Range { from: u32, end: u32 },
}

/// What is taken of a client's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    Number,
    Remainder(u32),
    Quotient(u32),
}

/// Explains why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// There is nothing in it.
    #[error("a channel has a name of 1 to {LONGEST_BYTES} bytes")]
    Length,
    /// Braces with something else between them, or only one of them.
    #[error("`{text}` is not a part of a pattern: there are {{n}}, {{n%100}}, {{n/100}} and {{0..10}}")]
    Part {
        /// The text between the braces.
        text: String,
    },
    /// A second part of the same kind.
    #[error("a pattern has {{n}} once at most, and a range once at most")]
    Twice,
    /// Two numbers with no text between them, or with a digit after one.
    #[error("after a number of a pattern comes text that does not begin with a digit")]
    Ambiguous,
}

impl Pattern {
    /// Makes a pattern of one name for all clients.
    #[must_use]
    pub fn text(name: &str) -> Self {
        Self { text: name.to_owned(), parts: vec![Part::Text(name.to_owned())] }
    }

    /// Makes a pattern of a name for each client: a prefix and its number.
    #[must_use]
    pub fn client(prefix: &str) -> Self {
        let parts = vec![Part::Text(prefix.to_owned()), Part::Client(Term::Number)];
        Self { text: format!("{prefix}{{n}}"), parts }
    }

    /// Whether it stands for several channels of one client.
    #[must_use]
    pub fn has_range(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Range { .. }))
    }

    /// Returns the name for a client, with the first number of the range where there is one.
    #[must_use]
    pub fn of(&self, client: u32) -> String {
        let mut name = String::new();
        self.write(self.term().map_or(0, |term| term.value(client)), 0, &mut name);
        name
    }

    fn term(&self) -> Option<Term> {
        self.parts.iter().find_map(|part| if let Part::Client(term) = part { Some(*term) } else { None })
    }

    /// Returns how many channels of each client it stands for.
    #[must_use]
    pub fn each(&self) -> u32 {
        let lengths = self.parts.iter();
        lengths.map(|part| if let Part::Range { from, end } = part { end - from } else { 1 }).max().unwrap_or(1)
    }

    /// How many values its term has for so many clients.
    fn values(&self, clients: u32) -> u32 {
        match self.term() {
            None => clients.min(1),
            Some(Term::Number) => clients,
            Some(Term::Remainder(of)) => of.min(clients),
            Some(Term::Quotient(by)) => clients.div_ceil(by),
        }
    }

    /// Which of them a client has.
    fn value(&self, client: u32) -> u32 {
        self.term().map_or(0, |term| term.value(client))
    }

    /// How many clients have a value.
    fn clients_with(&self, value: u32, clients: u32) -> u32 {
        match self.term() {
            None => clients,
            Some(Term::Number) => u32::from(value < clients),
            Some(Term::Remainder(of)) => clients.saturating_sub(value).div_ceil(of),
            Some(Term::Quotient(by)) => clients.saturating_sub(value.saturating_mul(by)).min(by),
        }
    }

    /// Writes the name of a channel: by the value of its term, and its place in the range.
    fn write(&self, value: u32, place: u32, name: &mut String) {
        for part in &self.parts {
            // Writing to a String cannot fail.
            let _ = match part {
                Part::Text(text) => name.write_str(text),
                Part::Client(_) => write!(name, "{value}"),
                Part::Range { from, .. } => write!(name, "{}", from + place),
            };
        }
    }

    /// Reads a name: the value of its term, and its place in the range.
    fn read(&self, mut name: &str) -> Option<(u32, u32)> {
        let (mut value, mut place) = (0, 0);
        for part in &self.parts {
            match part {
                Part::Text(text) => name = name.strip_prefix(text.as_str())?,
                Part::Client(_) => (value, name) = number(name)?,
                Part::Range { from, end } => {
                    let number = number(name)?;
                    place = number.0.checked_sub(*from).filter(|place| *place < end - from)?;
                    name = number.1;
                }
            }
        }
        name.is_empty().then_some((value, place))
    }
}

impl Term {
    fn value(self, client: u32) -> u32 {
        match self {
            Self::Number => client,
            Self::Remainder(of) => client % of,
            Self::Quotient(by) => client / by,
        }
    }
}

/// A number at the beginning of a text, as it would be written, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let is_written_so = digits.len() == 1 || !digits.starts_with('0');
    Some((digits.parse().ok().filter(|_| is_written_so)?, rest))
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let part = match rest.find(['{', '}']) {
                Some(0) => {
                    let wrong = || PatternError::Part { text: rest.to_owned() };
                    let (inside, after) =
                        rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or_else(wrong)?;
                    rest = after;
                    part(inside).ok_or_else(|| PatternError::Part { text: inside.to_owned() })?
                }
                end => {
                    let (literal, after) = rest.split_at(end.unwrap_or(rest.len()));
                    rest = after;
                    Part::Text(literal.to_owned())
                }
            };
            let is_number = |part: &Part| !matches!(part, Part::Text(_));
            if parts
                .iter()
                .any(|other| is_number(other) && std::mem::discriminant(other) == std::mem::discriminant(&part))
            {
                return Err(PatternError::Twice);
            }
            let goes_on = match &part {
                Part::Text(text) => text.starts_with(|character: char| character.is_ascii_digit()),
                _ => true,
            };
            if goes_on && parts.last().is_some_and(is_number) {
                return Err(PatternError::Ambiguous);
            }
            parts.push(part);
        }
        let pattern = Self { text: text.to_owned(), parts };
        let mut longest = String::new();
        pattern.write(u32::MAX, pattern.each() - 1, &mut longest);
        if text.is_empty() || longest.len() > LONGEST_BYTES { Err(PatternError::Length) } else { Ok(pattern) }
    }
}

/// What stands between braces.
fn part(text: &str) -> Option<Part> {
    let above_0 = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    if let Some((from, end)) = text.split_once("..") {
        let (from, end) = (from.parse::<u32>().ok()?, end.parse::<u32>().ok()?);
        return (from < end && end - from <= LONGEST_RANGE).then_some(Part::Range { from, end });
    }
    let after = text.strip_prefix('n')?;
    Some(Part::Client(match after.split_at_checked(1) {
        None => Term::Number,
        Some(("%", of)) => Term::Remainder(above_0(of)?),
        Some(("/", by)) => Term::Quotient(above_0(by)?),
        Some(_) => return None,
    }))
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A channel of a run, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its number among all channels of the run.
    pub number: u32,
    /// Which of a client's channels it is.
    pub subscription: u32,
    pattern: u32,
    value: u32,
}

/// Knows all channels of a run's clients.
#[derive(Clone, Debug)]
pub struct Channels {
    patterns: Vec<Pattern>,
    clients: u32,
}

impl Channels {
    /// Makes the channels of so many clients; nothing where there are more than 2^32.
    #[must_use]
    pub fn new(patterns: &[Pattern], clients: u32) -> Option<Self> {
        let channels = Self { patterns: patterns.to_vec(), clients };
        let all =
            channels.patterns.iter().map(|pattern| u64::from(pattern.values(clients)) * u64::from(pattern.each()));
        u32::try_from(all.sum::<u64>()).is_ok().then_some(channels)
    }

    /// Returns the number of a client's channels.
    #[must_use]
    pub fn each(&self) -> u32 {
        self.patterns.iter().map(Pattern::each).sum()
    }

    /// Returns the number of all channels.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.patterns.iter().map(|pattern| pattern.values(self.clients) * pattern.each()).sum()
    }

    /// Writes the name of one of a client's channels.
    pub fn write_of(&self, client: u32, mut subscription: u32, name: &mut String) {
        for pattern in &self.patterns {
            if subscription < pattern.each() {
                return pattern.write(pattern.value(client), subscription, name);
            }
            subscription -= pattern.each();
        }
    }

    /// Returns the number of one of a client's channels.
    #[must_use]
    pub fn number_of(&self, client: u32, mut subscription: u32) -> u32 {
        let mut first = 0;
        for pattern in &self.patterns {
            if subscription < pattern.each() {
                return first + pattern.value(client) * pattern.each() + subscription;
            }
            subscription -= pattern.each();
            first += pattern.values(self.clients) * pattern.each();
        }
        first
    }

    /// Writes the name of the channel with this number.
    pub fn write(&self, number: u32, name: &mut String) {
        if let Some((pattern, value, place)) = self.of_number(number) {
            pattern.write(value, place, name);
        }
    }

    /// Returns how many clients subscribe to the channel with this number.
    #[must_use]
    pub fn subscribers(&self, number: u32) -> u32 {
        self.of_number(number).map_or(0, |(pattern, value, _)| pattern.clients_with(value, self.clients))
    }

    /// The pattern of a channel, the value of its term, and its place in the range.
    fn of_number(&self, mut number: u32) -> Option<(&Pattern, u32, u32)> {
        for pattern in &self.patterns {
            let all = pattern.values(self.clients) * pattern.each();
            if number < all {
                return Some((pattern, number / pattern.each(), number % pattern.each()));
            }
            number -= all;
        }
        None
    }

    /// Finds a channel by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Channel> {
        let (mut first, mut subscription) = (0, 0);
        for (index, pattern) in self.patterns.iter().enumerate() {
            match pattern.read(name) {
                Some((value, place)) if value < pattern.values(self.clients) => {
                    let number = first + value * pattern.each() + place;
                    return Some(Channel { number, subscription: subscription + place, pattern: index as u32, value });
                }
                _ => {}
            }
            first += pattern.values(self.clients) * pattern.each();
            subscription += pattern.each();
        }
        None
    }

    /// Whether a client subscribes to a channel.
    #[must_use]
    pub fn has(&self, client: u32, channel: &Channel) -> bool {
        self.patterns.get(channel.pattern as usize).is_some_and(|pattern| pattern.value(client) == channel.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(patterns: &[&str], clients: u32) -> Channels {
        let patterns: Vec<Pattern> = patterns.iter().map(|text| text.parse().expect(text)).collect();
        Channels::new(&patterns, clients).expect("few")
    }

    fn names(channels: &Channels, client: u32) -> Vec<String> {
        let name = |subscription| {
            let mut name = String::new();
            channels.write_of(client, subscription, &mut name);
            name
        };
        (0..channels.each()).map(name).collect()
    }

    #[test]
    fn a_pattern_names_the_channels_of_a_client() {
        assert_eq!(names(&channels(&["news"], 5), 3), ["news"]);
        assert_eq!(names(&channels(&["#user-{n}", "news:{n%2}"], 5), 3), ["#user-3", "news:1"]);
        assert_eq!(names(&channels(&["room:{n/10}-{7..10}.x"], 50), 34), ["room:3-7.x", "room:3-8.x", "room:3-9.x"]);
    }

    #[test]
    fn a_channel_is_found_by_its_name_with_its_number_and_all_its_subscribers() {
        for patterns in [&["all", "a:{n%7}", "b:{n/3}-{2..5}", "c:{n}"][..], &["x{0..3}y", "{n%100}"], &["{n/4}"]] {
            let channels = channels(patterns, 20);
            let mut subscribers = vec![0; channels.count() as usize];
            for client in 0..20 {
                for (subscription, name) in names(&channels, client).into_iter().enumerate() {
                    let channel = channels.find(&name).expect("it was written by the same");
                    assert_eq!(channel.subscription, subscription as u32, "{name}");
                    assert_eq!(channel.number, channels.number_of(client, subscription as u32), "{name}");
                    assert!(channels.has(client, &channel), "{name}");
                    subscribers[channel.number as usize] += 1;
                }
            }
            for (number, subscribers) in subscribers.iter().enumerate() {
                let mut name = String::new();
                channels.write(number as u32, &mut name);
                assert_eq!(channels.subscribers(number as u32), *subscribers, "{name}");
                assert_eq!(channels.find(&name).map(|channel| channel.number), Some(number as u32), "{name}");
            }
        }
    }

    #[test]
    fn a_name_of_no_channel_of_the_run_is_not_found() {
        let channels = channels(&["a:{n%7}", "b:{2..5}"], 20);
        for name in ["", "a:", "a:7", "a:07", "a:1x", "b:1", "b:5", "c", "a:99999999999"] {
            assert_eq!(channels.find(name), None, "{name}");
        }
        let other = channels.find("a:3").expect("there is one");
        assert!(channels.has(10, &other) && !channels.has(11, &other));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_reason() {
        for (text, why) in [
            ("", "1 to 255 bytes"),
            (&"x".repeat(256), "1 to 255 bytes"),
            ("{client}", "`client` is not a part"),
            ("{n%0}", "`n%0` is not a part"),
            ("{5..5}", "not a part"),
            ("a{n", "not a part"),
            ("a}", "not a part"),
            ("{n}-{n%2}", "once at most"),
            ("{0..2}-{0..3}", "once at most"),
            ("{n}{0..3}", "text that does not begin with a digit"),
            ("{n}0", "text that does not begin with a digit"),
        ] {
            let error = text.parse::<Pattern>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
