//! The program of the guide `docs/codec.md`: all its code, and a test that holds both together.

use std::fmt;

use gannet::proto::{Codec, Decoded, FrameError, Sink};

/// What a sensor sends.
#[derive(Debug, PartialEq)]
enum FromSensor<'a> {
    Reading { sensor: u16, name: &'a str },
    Ping,
}

/// What the server sends.
#[derive(Debug)]
enum ToSensor<'a> {
    Accepted { sensor: u16 },
    Pong,
    Error(&'a str),
}

/// What can be wrong.
#[derive(Debug, PartialEq)]
enum SensorError {
    Frame(FrameError),
    Kind(u8),
    Content(u8),
}

impl fmt::Display for SensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Kind(kind) => write!(f, "no packet has the kind {kind:#04x}"),
            Self::Content(kind) => write!(f, "a packet of kind {kind:#04x} has a malformed content"),
        }
    }
}

impl std::error::Error for SensorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Frame(error) => Some(error),
            _ => None,
        }
    }
}

impl From<FrameError> for SensorError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// Packets with a content of at most `limit` bytes.
struct Sensors {
    limit: usize,
}

impl Default for Sensors {
    fn default() -> Self {
        Self { limit: 1024 }
    }
}

/// Kind and length.
const HEADER: usize = 3;

impl Codec for Sensors {
    type Message<'a> = FromSensor<'a>;
    type Outgoing<'a> = ToSensor<'a>;
    type Error = SensorError;
    type State = ();

    fn decode<'a>(&self, (): &mut (), input: &'a mut [u8]) -> Result<Decoded<FromSensor<'a>>, SensorError> {
        let input: &'a [u8] = input;
        let kind = match input.first() {
            Some(kind @ (b'R' | b'P')) => *kind,
            Some(other) => return Err(SensorError::Kind(*other)),
            None => return Ok(Decoded::Partial { need: HEADER }),
        };
        let Some(&[_, high, low]) = input.first_chunk() else {
            return Ok(Decoded::Partial { need: HEADER });
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > self.limit {
            return Err(FrameError::TooLarge { length: length as u64, limit: self.limit }.into());
        }
        let end = HEADER + length;
        let Some(content) = input.get(HEADER..end) else {
            return Ok(Decoded::Partial { need: end });
        };
        let message = match (kind, content) {
            (b'R', [high, low, name @ ..]) => {
                let sensor = u16::from_be_bytes([*high, *low]);
                let name = std::str::from_utf8(name).map_err(|_| SensorError::Content(kind))?;
                FromSensor::Reading { sensor, name }
            }
            (b'P', []) => FromSensor::Ping,
            _ => return Err(SensorError::Content(kind)),
        };
        Ok(Decoded::Message { message, consumed: end })
    }

    fn encode(&self, message: ToSensor<'_>, out: &mut impl Sink) -> Result<(), SensorError> {
        match message {
            ToSensor::Accepted { sensor } => {
                let [high, low] = sensor.to_be_bytes();
                out.put(&[b'A', 0, 2, high, low]);
            }
            ToSensor::Pong => out.put(b"P\0\0"),
            ToSensor::Error(text) => {
                let limit = usize::from(u16::MAX);
                let Ok(length) = u16::try_from(text.len()) else {
                    return Err(FrameError::TooLarge { length: text.len() as u64, limit }.into());
                };
                out.reserve(HEADER + text.len());
                out.put(b"E");
                out.put(&length.to_be_bytes());
                out.put(text.as_bytes());
            }
        }
        Ok(())
    }
}

use gannet::{CodecError, Context, Engine, Service};

struct Station;

impl Service for Station {
    type Codec = Sensors;
    /// How many readings the connection has sent.
    type Session = u64;

    fn message(&mut self, readings: &mut u64, message: FromSensor<'_>, cx: &mut Context<'_, Self>) {
        match message {
            FromSensor::Reading { sensor, name: _ } => {
                *readings += 1;
                cx.send(ToSensor::Accepted { sensor });
            }
            FromSensor::Ping => {
                cx.send(ToSensor::Pong);
            }
        }
    }

    fn malformed(&mut self, _: &mut u64, error: &CodecError<Self>, cx: &mut Context<'_, Self>) {
        cx.send(ToSensor::Error(&error.to_string()));
    }
}

fn main() -> gannet::Result<()> {
    Engine::new().listen("tcp://127.0.0.1:7000", || Station)?.run()
}

#[cfg(test)]
mod tests {
    use gannet::proto::testing::{Check, encoded};

    use super::*;

    #[test]
    fn packets_mean_the_same_wherever_they_are_cut() {
        let stream = b"R\0\x06\0\x07roofP\0\0";
        let outcome = Check::new(&Sensors::default()).run(stream, |message| format!("{message:?}"));
        assert_eq!(outcome.messages, ["Reading { sensor: 7, name: \"roof\" }", "Ping"]);
        assert_eq!(outcome.error, None);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let error = |stream: &[u8]| Check::new(&Sensors { limit: 9 }).run(stream, |_| ()).error;
        let too_large = FrameError::TooLarge { length: 10, limit: 9 };
        assert_eq!(error(b"P\0\0X"), Some(SensorError::Kind(b'X')));
        assert_eq!(error(b"P\0\x01x"), Some(SensorError::Content(b'P')));
        assert_eq!(error(b"R\0\x0a"), Some(SensorError::Frame(too_large)));
        assert_eq!(error(b"R\0"), Some(SensorError::Frame(FrameError::Truncated { have: 2 })));
    }

    #[test]
    fn replies_are_written_as_the_protocol_says() {
        let bytes = |message| encoded(&Sensors::default(), message);
        assert_eq!(bytes(ToSensor::Accepted { sensor: 7 }), Ok(b"A\0\x02\0\x07".to_vec()));
        assert_eq!(bytes(ToSensor::Error("no")), Ok(b"E\0\x02no".to_vec()));
        assert!(bytes(ToSensor::Error(&"x".repeat(70_000))).is_err());
    }
}

#[test]
fn the_guide_shows_this_program() {
    let guide = include_str!("../../../docs/codec.md");
    let blocks = guide.split("```rust\n").skip(1).map(|rest| rest.split("```\n").next().unwrap_or_default());
    let shown = blocks.collect::<Vec<_>>().join("\n");
    assert!(include_str!("codec_guide.rs").contains(&shown), "the code of docs/codec.md is not that of this file");
}
