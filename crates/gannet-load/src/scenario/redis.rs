//! Commands of the Redis protocol. Which command a request is, and of which key, follows from the connection's number and
//! the request's, so that nothing has to be kept until the answer comes.

use std::fmt;
use std::str::FromStr;

use gannet::proto::Codec as _;
use gannet::proto::resp::{Replies, Value};
use gannet::{Context, Service};

use super::{Expected, Scenario, Wrong};
use crate::draw::{Distribution, Draws, Numbers};
use crate::letters::Letters;

/// The longest string of an answer beside values: what a server says of itself at a login.
const LONGEST_TEXT_BYTES: usize = 4 << 10;

/// The most bytes of a key's name: its kind, two numbers and what is between them.
const LONGEST_NAME_BYTES: usize = 48;

/// Describes the commands and their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The share of each command.
    pub mix: Mix,
    /// The number of keys, at least 1.
    pub keys: u64,
    /// How requests are spread over the keys.
    pub distribution: Distribution,
}

impl Default for Workload {
    fn default() -> Self {
        let mix = Mix { shares: vec![(Verb::Get, 9), (Verb::Set, 1)] };
        Self { mix, keys: 10_000, distribution: Distribution::default() }
    }
}

/// As `get=9,set=1 of 10000 keys, uniform`.
impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} keys, {}", self.mix, self.keys, self.distribution.name())
    }
}

/// Names a command that clients send, and the reply that they expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verb {
    /// `GET`; expects nothing, or the value that every client sets for this key.
    Get,
    /// `SET` of that value; expects `OK`.
    Set,
    /// `INCR` of a counter under another key; expects a number from 1 on.
    Incr,
    /// `PING`; expects `PONG`.
    Ping,
}

const VERBS: [(&str, Verb); 4] = [("get", Verb::Get), ("set", Verb::Set), ("incr", Verb::Incr), ("ping", Verb::Ping)];

/// Commands with their shares, as `get=9,set=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// At least one, none twice, and each share at least 1.
    shares: Vec<(Verb, u32)>,
}

/// Why something is no mix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a mix; write get=9,set=1: each of get, set, incr and ping at most once, each share from 1 to 1000000"
)]
pub struct MixError {
    text: String,
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let wrong = || MixError { text: text.to_owned() };
        let mut shares: Vec<(Verb, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let (_, verb) = VERBS.into_iter().find(|(known, _)| *known == name.trim()).ok_or_else(wrong)?;
            let share = share.trim().parse().ok().filter(|share| (1..=1_000_000).contains(share)).ok_or_else(wrong)?;
            if shares.iter().any(|(other, _)| *other == verb) {
                return Err(wrong());
            }
            shares.push((verb, share));
        }
        Ok(Self { shares })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (verb, share)) in self.shares.iter().enumerate() {
            let name = VERBS.iter().find(|(_, known)| known == verb).map_or("", |(name, _)| name);
            write!(formatter, "{}{name}={share}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Mix {
    fn draw(&self, draws: &mut Draws) -> Verb {
        let all = self.shares.iter().map(|(_, share)| u64::from(*share)).sum();
        let mut at = draws.below(all);
        for (verb, share) in &self.shares {
            match at.checked_sub(u64::from(*share)) {
                None => return *verb,
                Some(rest) => at = rest,
            }
        }
        // Not reached: the draw is below the sum.
        Verb::Ping
    }
}

/// Against the service `redis`, and against Redis.
#[derive(Clone, Debug)]
pub struct Redis {
    size: usize,
    mix: Mix,
    keys: Numbers,
}

impl Redis {
    /// Makes a workload with values of so many bytes.
    #[must_use]
    pub fn new(workload: &Workload, size: usize) -> Self {
        let keys = Numbers::below(workload.keys, workload.distribution);
        Self { size, mix: workload.mix.clone(), keys }
    }

    /// The command that a request is, and its key.
    fn command(&self, connection: u32, request: u64) -> (Verb, u64) {
        let mut draws = Draws::of(connection, request);
        let verb = self.mix.draw(&mut draws);
        (verb, self.keys.draw(&mut draws))
    }
}

/// The value of a key: all clients write the same, so that whatever is read can be checked.
fn value(letters: &Letters, key: u64, size: usize) -> &[u8] {
    letters.payload(key as u32, key >> 16, size)
}

/// A key's name. The values' size is in it: runs with another size have other keys.
fn name(buffer: &mut [u8; LONGEST_NAME_BYTES], parts: fmt::Arguments<'_>) -> usize {
    let mut rest = &mut buffer[..];
    // It fits: both numbers do at their longest.
    let _ = std::io::Write::write_fmt(&mut rest, parts);
    LONGEST_NAME_BYTES - rest.len()
}

impl Scenario for Redis {
    type Codec = Replies;
    type Progress = ();

    fn codec(&self) -> Replies {
        let longest = self.size.max(LONGEST_TEXT_BYTES);
        Replies::new().max_bulk(longest).max_line(LONGEST_TEXT_BYTES).max_elements(256).max_total(longest + (64 << 10))
    }

    /// Words with spaces between them, as somebody types them: what a login says.
    fn request<S: Service<Codec = Replies>>(&self, text: &[u8], cx: &mut Context<'_, S>) {
        let words: Vec<&[u8]> = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        let mut command = Vec::new();
        // Commands can always be encoded.
        let _ = Replies::new().encode(&words, &mut command);
        cx.write(&command);
    }

    fn ask<S: Service<Codec = Replies>>(
        &self,
        letters: &Letters,
        connection: u32,
        request: u64,
        cx: &mut Context<'_, S>,
    ) {
        let (verb, key) = self.command(connection, request);
        let mut buffer = [0; LONGEST_NAME_BYTES];
        let len = match verb {
            Verb::Incr => name(&mut buffer, format_args!("counter:{key:012}")),
            _ => name(&mut buffer, format_args!("key:{}:{key:012}", self.size)),
        };
        let name = &buffer[..len];
        let _ = match verb {
            Verb::Get => cx.send(&[b"GET", name]),
            Verb::Set => cx.send(&[b"SET", name, value(letters, key, self.size)]),
            Verb::Incr => cx.send(&[b"INCR", name]),
            Verb::Ping => cx.send(&[b"PING"]),
        };
    }

    fn answers_alike(&self) -> bool {
        true
    }

    fn refusal<'m>(&self, message: &'m Value<'_>) -> Option<&'m [u8]> {
        match message {
            Value::Error(text) => Some(text.split(|byte| *byte == b' ').next().unwrap_or_default()),
            _ => None,
        }
    }

    fn answer(&self, (): &mut (), answer: Value<'_>, expected: Expected<'_>) -> Result<u64, Wrong> {
        if expected.outstanding == 0 {
            return Err(Wrong);
        }
        let (verb, key) = self.command(expected.connection, expected.next);
        let is_right = match (verb, answer) {
            (Verb::Get, Value::Null) => true,
            (Verb::Get, Value::Bulk(bytes)) => bytes == value(expected.letters, key, self.size),
            (Verb::Set, Value::Simple(text)) => text == b"OK",
            (Verb::Incr, Value::Integer(number)) => number > 0,
            (Verb::Ping, Value::Simple(text)) => text == b"PONG",
            _ => false,
        };
        if is_right { Ok(1) } else { Err(Wrong) }
    }

    fn login_answer(&self, (): &mut (), answer: Value<'_>, _: &[u8]) -> Result<bool, Wrong> {
        match answer {
            Value::Error(_) => Err(Wrong),
            _ => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(mix: &str) -> Redis {
        Redis::new(&Workload { mix: mix.parse().expect(mix), ..Workload::default() }, 8)
    }

    fn answered(mix: &str, answer: Value<'_>) -> Result<u64, Wrong> {
        let letters = Letters::new(8);
        let expected = Expected { letters: &letters, connection: 1, next: 2, outstanding: 1, size: 8 };
        scenario(mix).answer(&mut (), answer, expected)
    }

    #[test]
    fn a_mix_is_read_and_written_the_same() {
        for mix in ["get=9,set=1", "incr=1", "ping=1000000,get=1"] {
            assert_eq!(mix.parse::<Mix>().map(|mix| mix.to_string()).as_deref(), Ok(mix));
        }
        assert_eq!("get,set".parse::<Mix>().map(|mix| mix.to_string()).as_deref(), Ok("get=1,set=1"));
        for wrong in ["", "get=0", "get=1,get=2", "dance=1", "get=-1", "get=1,", "get=1000001", "get=9 set=1"] {
            let error = wrong.parse::<Mix>().expect_err(wrong).to_string();
            assert!(error.contains("get=9,set=1"), "{error}");
        }
    }

    #[test]
    fn commands_come_by_their_shares() {
        let scenario = scenario("get=9,set=1");
        let gets = (0..10_000).filter(|request| scenario.command(7, *request).0 == Verb::Get).count();
        assert!((8_850..9_150).contains(&gets), "{gets}");
    }

    #[test]
    fn a_value_read_is_nothing_or_what_clients_write_to_the_byte() {
        let letters = Letters::new(8);
        let (_, key) = scenario("get").command(1, 2);
        assert_eq!(answered("get", Value::Null), Ok(1));
        assert_eq!(answered("get", Value::Bulk(value(&letters, key, 8))), Ok(1));
        for other in [&value(&letters, key, 8)[..7], value(&letters, key + 1, 8), b""] {
            assert_eq!(answered("get", Value::Bulk(other)), Err(Wrong));
        }
    }

    #[test]
    fn every_command_has_answers_of_its_own() {
        let right = [
            ("set", Value::Simple(b"OK")),
            ("incr", Value::Integer(1)),
            ("ping", Value::Simple(b"PONG")),
            ("get", Value::Null),
        ];
        for (mix, _) in &right {
            for (other, answer) in &right {
                let expected = if mix == other { Ok(1) } else { Err(Wrong) };
                assert_eq!(answered(mix, answer.clone()), expected, "{mix}: {answer:?}");
            }
        }
        assert_eq!(answered("incr", Value::Integer(0)), Err(Wrong));
        assert_eq!(answered("set", Value::Push(vec![Value::Simple(b"OK")])), Err(Wrong));
    }

    #[test]
    fn an_error_is_a_refusal_named_by_its_code() {
        let scenario = scenario("get");
        let refusal = |text| scenario.refusal(&Value::Error(text)).map(<[u8]>::to_vec);
        assert_eq!(refusal(b"WRONGTYPE Operation against a key"), Some(b"WRONGTYPE".to_vec()));
        assert_eq!(refusal(b"ERR"), Some(b"ERR".to_vec()));
        assert_eq!(refusal(b""), Some(Vec::new()));
        assert_eq!(scenario.refusal(&Value::Simple(b"ERR no")), None);
    }

    #[test]
    fn the_longest_name_of_a_key_fits() {
        let mut buffer = [0; LONGEST_NAME_BYTES];
        let len = name(&mut buffer, format_args!("key:{}:{:012}", 1 << 20, u64::MAX));
        assert_eq!(&buffer[..len], b"key:1048576:18446744073709551615");
    }
}
