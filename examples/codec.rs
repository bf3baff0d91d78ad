//! A protocol of your own: packets with a type, flags and a length of variable size, as MQTT has them.
//!
//! The codec has messages of its own in both directions and an error of its own, and its tests split streams at every byte.
//! Clients connect with a name, publish to everybody, and ping.
//!
//! `cargo run --release --example codec` serves; `cargo run --release --example codec -- demo` also talks to itself and ends.
//! `cargo test --example codec` runs the tests. The guide `docs/codec.md` explains each part of a codec.

use std::io::{Read, Write};
use std::net::TcpStream;

use gannet::proto::{Codec, Decoded, FrameError, Sink};
use gannet::{CodecError, Context, Engine, Group, Service};
use thiserror::Error;

/// What a client sends. It borrows from the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request<'a> {
    Connect {
        name: &'a str,
    },
    /// With a number if the client wants an acknowledgement.
    Publish {
        number: Option<u16>,
        topic: &'a str,
        payload: &'a [u8],
    },
    Ping,
    Disconnect,
}

/// What the server sends. It borrows what it is made of, so nothing is copied before it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply<'a> {
    ConnectAck { accepted: bool },
    Publish { topic: &'a str, payload: &'a [u8] },
    PublishAck { number: u16 },
    Pong,
    Disconnect { reason: u8 },
}

/// What can be wrong with a packet, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum PacketError {
    /// Found by this codec, and by the engine for limits of its own. As the source of this error it tells the engine that
    /// a packet is too large.
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("packet type {0} is unknown, or not for a client to send")]
    Type(u8),
    #[error("packet type {kind} has the flags {flags:#06b}")]
    Flags { kind: u8, flags: u8 },
    #[error("the length has more than {MAX_LENGTH_BYTES} bytes, or more than it needs")]
    Length,
    #[error("the content of packet type {0} is malformed")]
    Content(u8),
    #[error("a topic of {0} bytes does not fit a packet")]
    LongTopic(usize),
}

/// The longest encoding of a length, and the largest length that fits it.
const MAX_LENGTH_BYTES: usize = 4;
const MAX_LENGTH: usize = (1 << 28) - 1;

/// Packet types, and the flag of `Publish` that asks for an acknowledgement.
const CONNECT: u8 = 1;
const CONNECT_ACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBLISH_ACK: u8 = 4;
const PING: u8 = 12;
const PONG: u8 = 13;
const DISCONNECT: u8 = 14;
const WANTS_ACK: u8 = 0b0001;

/// The codec. The value is the configuration: the largest packet that is accepted, in bytes behind its header.
#[derive(Clone, Copy, Debug)]
struct Packets {
    limit: usize,
}

impl Default for Packets {
    fn default() -> Self {
        Self { limit: 64 * 1024 }
    }
}

impl Codec for Packets {
    type Message<'a> = Request<'a>;
    type Outgoing<'a> = Reply<'a>;
    type Error = PacketError;
    /// Nothing is kept between two calls: a header is read again in a few instructions.
    type State = ();

    #[inline]
    fn decode<'a>(&self, (): &mut (), input: &'a mut [u8]) -> Result<Decoded<Request<'a>>, PacketError> {
        // Nothing is changed in place.
        let input: &'a [u8] = input;
        let Some((&first, rest)) = input.split_first() else { return Ok(Decoded::Partial { need: 1 }) };
        let (kind, flags) = (first >> 4, first & 0x0f);
        // What can be refused is refused at once, not when the whole packet has come.
        match (kind, flags) {
            (CONNECT | PING | DISCONNECT, 0) | (PUBLISH, 0 | WANTS_ACK) => {}
            (CONNECT | PING | DISCONNECT | PUBLISH, flags) => return Err(PacketError::Flags { kind, flags }),
            _ => return Err(PacketError::Type(kind)),
        }
        let Some((length, size)) = read_length(rest)? else { return Ok(Decoded::Partial { need: input.len() + 1 }) };
        // The engine reserves what is needed, so the limit comes first.
        if length > self.limit {
            return Err(FrameError::TooLarge { length: length as u64, limit: self.limit }.into());
        }
        let end = 1 + size + length;
        let Some(content) = input.get(1 + size..end) else { return Ok(Decoded::Partial { need: end }) };
        let message = read_content(kind, flags, content).ok_or(PacketError::Content(kind))?;
        Ok(Decoded::Message { message, consumed: end })
    }

    #[inline]
    fn encode(&self, reply: Reply<'_>, out: &mut impl Sink) -> Result<(), PacketError> {
        match reply {
            Reply::ConnectAck { accepted } => out.put(&[CONNECT_ACK << 4, 1, u8::from(accepted)]),
            Reply::Publish { topic, payload } => {
                // Everything is checked before anything is written.
                let topic_length = u16::try_from(topic.len()).map_err(|_| PacketError::LongTopic(topic.len()))?;
                let length = 2 + topic.len() + payload.len();
                if length > MAX_LENGTH {
                    return Err(FrameError::TooLarge { length: length as u64, limit: MAX_LENGTH }.into());
                }
                out.reserve(1 + MAX_LENGTH_BYTES + length);
                out.put(&[PUBLISH << 4]);
                write_length(length, out);
                out.put(&topic_length.to_be_bytes());
                out.put(topic.as_bytes());
                out.put(payload);
            }
            Reply::PublishAck { number } => {
                let [high, low] = number.to_be_bytes();
                out.put(&[PUBLISH_ACK << 4, 2, high, low]);
            }
            Reply::Pong => out.put(&[PONG << 4, 0]),
            Reply::Disconnect { reason } => out.put(&[DISCONNECT << 4, 1, reason]),
        }
        Ok(())
    }
}

/// The length at the start of `bytes` and the bytes it takes: seven bits in each, the least significant first. Nothing if its
/// end has not come.
fn read_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, PacketError> {
    let mut length = 0;
    for (index, &byte) in bytes.iter().take(MAX_LENGTH_BYTES).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let is_shortest = byte != 0 || index == 0;
            return if is_shortest { Ok(Some((length, index + 1))) } else { Err(PacketError::Length) };
        }
    }
    if bytes.len() < MAX_LENGTH_BYTES { Ok(None) } else { Err(PacketError::Length) }
}

fn write_length(mut length: usize, out: &mut impl Sink) {
    let (mut bytes, mut count) = ([0; MAX_LENGTH_BYTES], 0);
    while length >= 0x80 {
        bytes[count] = length as u8 | 0x80;
        length >>= 7;
        count += 1;
    }
    bytes[count] = length as u8;
    out.put(&bytes[..=count]);
}

/// What a whole packet says, if it says something.
fn read_content(kind: u8, flags: u8, content: &[u8]) -> Option<Request<'_>> {
    match kind {
        CONNECT => {
            let (name, rest) = read_text(content)?;
            rest.is_empty().then_some(Request::Connect { name })
        }
        PUBLISH => {
            let (topic, mut payload) = read_text(content)?;
            let mut number = None;
            if flags & WANTS_ACK != 0 {
                let (bytes, rest) = payload.split_first_chunk()?;
                (number, payload) = (Some(u16::from_be_bytes(*bytes)), rest);
            }
            Some(Request::Publish { number, topic, payload })
        }
        PING if content.is_empty() => Some(Request::Ping),
        DISCONNECT if content.is_empty() => Some(Request::Disconnect),
        _ => None,
    }
}

/// A text with its length in two bytes before it, and what follows.
fn read_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Everybody hears what anybody publishes.
struct Broker {
    everybody: Group,
}

/// A client, which has said its name or not.
#[derive(Default)]
struct Client {
    name: Option<String>,
}

/// Reasons that a client is told before its connection closes.
const NOT_CONNECTED: u8 = 1;
const MALFORMED: u8 = 2;
const TOO_LARGE: u8 = 3;

impl Service for Broker {
    type Codec = Packets;
    type Session = Client;

    fn message(&mut self, client: &mut Client, request: Request<'_>, cx: &mut Context<'_, Self>) {
        match (request, &client.name) {
            (Request::Connect { name }, None) => {
                let accepted = cx.join(self.everybody).is_ok();
                client.name = accepted.then(|| name.to_owned());
                cx.send(Reply::ConnectAck { accepted });
            }
            (Request::Publish { number, topic, payload }, Some(_)) => {
                let heard = cx.broadcast(self.everybody, Reply::Publish { topic, payload });
                if let (Some(number), Ok(())) = (number, heard) {
                    cx.send(Reply::PublishAck { number });
                }
            }
            (Request::Ping, Some(_)) => {
                cx.send(Reply::Pong);
            }
            (Request::Disconnect, _) => cx.close_flushed(),
            (Request::Connect { .. }, Some(_)) | (_, None) => {
                cx.send(Reply::Disconnect { reason: NOT_CONNECTED });
                cx.close_flushed();
            }
        }
    }

    /// The codec's own error comes here; the log has its text.
    fn malformed(&mut self, _: &mut Client, error: &CodecError<Self>, cx: &mut Context<'_, Self>) {
        let reason = match error {
            PacketError::Frame(FrameError::TooLarge { .. }) => TOO_LARGE,
            _ => MALFORMED,
        };
        cx.send(Reply::Disconnect { reason });
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One group for the instances of all reactors.
    let everybody = Group::new();
    let running = Engine::new().listen("tcp://127.0.0.1:7000", move || Broker { everybody })?.start()?;
    running.stop_on_signals()?;
    println!("packets are at 127.0.0.1:7000");
    if std::env::args().nth(1).as_deref() == Some("demo") {
        let exchanges: [(&str, &[u8], &[u8]); 4] = [
            ("connect as ada", b"\x10\x05\0\x03ada", b"\x20\x01\x01"),
            ("publish", b"\x31\x0d\0\x04news\0\x07hello", b"\x30\x0b\0\x04newshello\x40\x02\0\x07"),
            ("ping", b"\xc0\0", b"\xd0\0"),
            ("a packet of no known type", b"\xf0", b"\xe0\x01\x02"),
        ];
        let mut stream = TcpStream::connect("127.0.0.1:7000")?;
        for (what, request, expected) in exchanges {
            stream.write_all(request)?;
            let mut reply = vec![0; expected.len()];
            stream.read_exact(&mut reply)?;
            println!("{what}: {}", reply.escape_ascii());
            assert_eq!(reply, expected, "{what}");
        }
        assert_eq!(stream.read(&mut [0])?, 0, "the server closes after what makes no sense");
        running.remote().stop();
    }
    Ok(running.join()?)
}

#[cfg(test)]
mod tests {
    use gannet::proto::testing::{Check, encoded};

    use super::*;

    /// One packet of each kind that a client sends, and what they say.
    const REQUESTS: &[u8] = b"\x10\x05\0\x03ada\x31\x0d\0\x04news\0\x07hello\x30\x06\0\x04news\xc0\0\xe0\0";
    const SAID: [&str; 5] = [
        "Connect { name: \"ada\" }",
        "Publish { number: Some(7), topic: \"news\", payload: [104, 101, 108, 108, 111] }",
        "Publish { number: None, topic: \"news\", payload: [] }",
        "Ping",
        "Disconnect",
    ];

    /// The packets in `stream` and what is wrong behind them, which is the same however the stream is cut.
    fn read(stream: &[u8]) -> (Vec<String>, Option<PacketError>) {
        let outcome = Check::new(&Packets { limit: 200 }).run(stream, |request| format!("{request:?}"));
        (outcome.messages, outcome.error)
    }

    #[test]
    fn packets_mean_the_same_wherever_they_are_cut() {
        assert_eq!(read(REQUESTS), (SAID.map(str::to_owned).to_vec(), None));
        let long = [b"\x30\xc8\x01\0\x01t".as_slice(), &[b'x'; 197]].concat();
        assert_eq!(read(&long).1, None, "a length of two bytes");
    }

    #[test]
    fn each_fault_is_found_wherever_it_is_cut_and_named() {
        let too_large = PacketError::Frame(FrameError::TooLarge { length: 201, limit: 200 });
        let faults: [(&[u8], PacketError); 9] = [
            (b"\xf0\0", PacketError::Type(15)),
            (b"\x20\x01\x01", PacketError::Type(2)),
            (b"\xc1\0", PacketError::Flags { kind: PING, flags: 1 }),
            (b"\x30\xc9\x01", too_large),
            (b"\x30\x80\x80\x80\x80\x01", PacketError::Length),
            (b"\x30\x80\0", PacketError::Length),
            (b"\x10\x05\0\x03a\xffa", PacketError::Content(CONNECT)),
            (b"\x31\x03\0\x01t", PacketError::Content(PUBLISH)),
            (b"\xc0\x01x", PacketError::Content(PING)),
        ];
        for (stream, fault) in faults {
            let (messages, error) = read(&[REQUESTS, stream].concat());
            assert_eq!((messages.len(), error), (SAID.len(), Some(fault)), "{}", stream.escape_ascii());
        }
    }

    #[test]
    fn a_stream_that_ends_inside_a_packet_is_truncated() {
        for have in 1..7 {
            let truncated = PacketError::Frame(FrameError::Truncated { have });
            assert_eq!(read(&REQUESTS[..have]), (vec![], Some(truncated)));
        }
    }

    #[test]
    fn a_publication_is_encoded_with_a_length_of_as_many_bytes_as_it_takes() {
        for (size, length) in
            [(124, b"\x7f".as_slice()), (125, b"\x80\x01"), (16_380, b"\xff\x7f"), (16_381, b"\x80\x80\x01")]
        {
            let payload = vec![b'x'; size];
            let bytes = encoded(&Packets::default(), Reply::Publish { topic: "t", payload: &payload });
            assert_eq!(bytes, Ok([b"\x30", length, b"\0\x01t", &payload].concat()));
        }
    }

    #[test]
    fn what_does_not_fit_a_packet_is_refused_and_leaves_nothing() {
        let topic = "t".repeat(65_536);
        let refused = encoded(&Packets::default(), Reply::Publish { topic: &topic, payload: b"" });
        assert_eq!(refused, Err(PacketError::LongTopic(65_536)));
    }
}
