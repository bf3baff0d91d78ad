//! WebSocket: a handshake on each connection, and then messages that are echoed, pings, or messages that the server sends
//! to all.

mod codec;

use std::fmt;

use gannet::proto::ws::{ClientHandshake, Close, CloseCode, Frame, Message, ResponseError, WebSocket};
use gannet::{Context, Service};

pub use self::codec::{Conversation, ConversationState, Incoming};
use super::http::{Header, Path, RequestError};
use super::{Aside, Expected, Scenario, Wrong};
use crate::draw::Draws;
use crate::letters::Letters;

/// Says what clients do after the upgrade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Clients send messages, and the server sends each of them back.
    #[default]
    Echo,
    /// Clients hold the connection, with a ping at each heartbeat, and answer the server's pings.
    Hold,
    /// Clients receive messages and send none.
    Receive,
}

/// Describes the handshake of clients, and what they do afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What clients do after the upgrade.
    pub mode: Mode,
    /// True if they send text instead of binary messages.
    pub text: bool,
    /// The path of the request.
    pub path: Path,
    /// The value of `Host`.
    pub host: String,
    /// Subprotocols to ask for, the preferred one first. If there are any, the server has to choose one.
    pub protocols: Vec<Protocol>,
    /// Further headers of the handshake, such as `Origin`.
    pub headers: Vec<Header>,
}

impl Workload {
    /// Makes the workload of binary messages that are echoed, at `/` of this host.
    #[must_use]
    pub fn new(host: String) -> Self {
        Self { mode: Mode::Echo, text: false, path: Path::default(), host, protocols: Vec::new(), headers: Vec::new() }
    }
}

/// As `echo of text, /chat`.
impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match (self.mode, self.text) {
            (Mode::Echo, true) => "echo of text",
            (Mode::Echo, false) => "echo",
            (Mode::Hold, _) => "hold",
            (Mode::Receive, _) => "receive",
        })?;
        write!(formatter, ", {}", self.path.as_str())?;
        for protocol in &self.protocols {
            write!(formatter, ", subprotocol {}", protocol.0)?;
        }
        Ok(())
    }
}

/// The name of a subprotocol: a token (RFC 6455 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol(String);

impl std::str::FromStr for Protocol {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        // A token is what a header's name is, too.
        match Header::new(text, "") {
            Err(RequestError::HeaderName(_)) => Err(RequestError::Protocol(text.to_owned())),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// Against any server of WebSocket.
#[derive(Clone, Debug)]
pub struct Ws {
    workload: Workload,
    /// Bytes of the longest payload, of a request or a login.
    size: usize,
}

impl Ws {
    /// This workload, with payloads of at most so many bytes.
    #[must_use]
    pub fn new(workload: &Workload, size: usize) -> Self {
        Self { workload: workload.clone(), size }
    }

    /// The message with this payload: text where that is wanted, which letters always are.
    fn frame<'a>(&self, payload: &'a [u8]) -> Frame<'a> {
        match std::str::from_utf8(payload) {
            Ok(text) if self.workload.text => Frame::text(text),
            _ => Frame::binary(payload),
        }
    }

    /// The handshake of a connection. It follows from the number, so that nothing is kept until the answer comes.
    fn handshake(&self, connection: u32) -> ClientHandshake {
        let mut draws = Draws::of(connection, u64::MAX);
        let mut random = [0; 16];
        random[..8].copy_from_slice(&draws.number().to_le_bytes());
        random[8..].copy_from_slice(&draws.number().to_le_bytes());
        ClientHandshake::new(random).protocols(self.workload.protocols.iter().map(|protocol| protocol.0.clone()))
    }
}

/// A frame's key: another one for each frame.
fn key(connection: u32, frame: u64) -> [u8; 4] {
    (Draws::of(connection, frame).number() as u32).to_le_bytes()
}

/// Returns the key of a frame that no request has the number of.
pub(crate) fn key_of_now<S: Service>(connection: u32, cx: &Context<'_, S>) -> [u8; 4] {
    key(!connection, (cx.now().as_nanos() as u64).wrapping_add(cx.outbox_len() as u64))
}

/// The moment that a message says it was sent at: the nanoseconds since 1970 (UTC) in decimal digits, with which it begins.
fn sent_unix_ns(payload: &[u8]) -> Option<u64> {
    let digits = payload.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // From 2001 on; 2^64 has 20 digits.
    if !(19..=20).contains(&digits) {
        return None;
    }
    std::str::from_utf8(&payload[..digits]).ok()?.parse().ok()
}

impl Scenario for Ws {
    type Codec = Conversation;
    type Progress = ();

    fn codec(&self) -> Conversation {
        Conversation::new(self.size.max(WebSocket::DEFAULT_LIMIT))
    }

    fn upgrade<S: Service<Codec = Conversation>>(&self, connection: u32, cx: &mut Context<'_, S>) -> bool {
        let Workload { host, path, headers, .. } = &self.workload;
        let is_host = |header: &&Header| header.name().eq_ignore_ascii_case("host");
        let host = headers.iter().find(is_host).map_or(host.as_str(), Header::value);
        let others = headers.iter().filter(|header| !is_host(header));
        let others: Vec<_> = others.map(|header| (header.name(), header.value())).collect();
        let mut request = Vec::new();
        self.handshake(connection).write(&mut request, host, path.as_str(), &others);
        cx.write(&request);
        true
    }

    fn upgraded(&self, connection: u32, incoming: &Incoming<'_>) -> Result<bool, String> {
        let Incoming::Http(reply) = incoming else { return Err("upgrade_wrong".to_owned()) };
        if reply.status < 200 && reply.status != 101 {
            return Ok(false);
        }
        match self.handshake(connection).check(reply.status, reply.headers()) {
            Ok(agreed) if agreed.protocol.is_none() && !self.workload.protocols.is_empty() => {
                Err("upgrade_subprotocol".to_owned())
            }
            Ok(_) => Ok(true),
            Err(ResponseError::Status { status }) => Err(format!("upgrade_{status}")),
            Err(ResponseError::Protocol) => Err("upgrade_subprotocol".to_owned()),
            Err(_) => Err("upgrade_wrong".to_owned()),
        }
    }

    fn request<S: Service<Codec = Conversation>>(&self, payload: &[u8], cx: &mut Context<'_, S>) {
        cx.send(self.frame(payload).masked(key_of_now(payload.len() as u32, cx)));
    }

    fn ask<S: Service<Codec = Conversation>>(
        &self,
        letters: &Letters,
        connection: u32,
        request: u64,
        cx: &mut Context<'_, S>,
    ) {
        let key = key(connection, request);
        match self.workload.mode {
            Mode::Hold => cx.send(Frame::ping(&request.to_be_bytes()).masked(key)),
            _ => cx.send(self.frame(letters.payload(connection, request, letters.size())).masked(key)),
        };
    }

    fn aside<S: Service<Codec = Conversation>>(
        &self,
        incoming: &Incoming<'_>,
        connection: u32,
        cx: &mut Context<'_, S>,
    ) -> Option<Aside> {
        let Incoming::WebSocket(message) = incoming else { return None };
        let payload: &[u8] = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Pong(_) => return (self.workload.mode != Mode::Hold).then_some(Aside::Handled),
            Message::Ping(payload) => {
                cx.send(Frame::pong(payload).masked(key_of_now(connection, cx)));
                return Some(Aside::Handled);
            }
            Message::Close(close) => {
                let code = close.as_ref().map(|Close { code, .. }| *code);
                let answer = Frame::close(code.map(|code| Close { code, reason: "" }));
                cx.send(answer.masked(key_of_now(connection, cx)));
                return Some(Aside::Closed { code: code.map(CloseCode::get) });
            }
        };
        match self.workload.mode {
            Mode::Echo => None,
            Mode::Hold => Some(Aside::Unasked),
            Mode::Receive => Some(Aside::Received { sent_unix_ns: sent_unix_ns(payload) }),
        }
    }

    fn answer(&self, (): &mut (), incoming: Incoming<'_>, expected: Expected<'_>) -> Result<u64, Wrong> {
        let Incoming::WebSocket(message) = incoming else { return Err(Wrong) };
        let is_right = match (self.workload.mode, self.workload.text, &message) {
            (Mode::Hold, _, Message::Pong(payload)) => return pong(payload, expected),
            (Mode::Echo, true, Message::Text(text)) => expected.payload(0) == Some(text.as_bytes()),
            (Mode::Echo, false, Message::Binary(bytes)) => expected.payload(0) == Some(bytes),
            _ => false,
        };
        if is_right { Ok(1) } else { Err(Wrong) }
    }

    /// Whatever message comes first: servers greet in many ways.
    fn login_answer(&self, (): &mut (), incoming: Incoming<'_>, _: &[u8]) -> Result<bool, Wrong> {
        match incoming {
            Incoming::WebSocket(Message::Text(_) | Message::Binary(_)) => Ok(true),
            Incoming::WebSocket(_) => Ok(false),
            Incoming::Http(_) => Err(Wrong),
        }
    }
}

/// How many pings a pong answers: a server may answer the last of several only, and send pongs that nobody asked for
/// (RFC 6455 §5.5.3).
fn pong(payload: &[u8], expected: Expected<'_>) -> Result<u64, Wrong> {
    let Ok(number) = payload.try_into().map(u64::from_be_bytes) else { return Ok(0) };
    match number.checked_sub(expected.next) {
        Some(ahead) if ahead < expected.outstanding => Ok(ahead + 1),
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use gannet::proto::{Codec as _, Decoded};

    use super::*;

    fn ws(mode: Mode, text: bool) -> Ws {
        Ws::new(&Workload { mode, text, ..Workload::new("localhost".to_owned()) }, 8)
    }

    fn answered(ws: &Ws, message: Message<'_>) -> Result<u64, Wrong> {
        let letters = Letters::new(8);
        let expected = Expected { letters: &letters, connection: 1, next: 2, outstanding: 3, size: 8 };
        ws.answer(&mut (), Incoming::WebSocket(message), expected)
    }

    #[test]
    fn an_echo_is_of_the_same_bytes_and_the_same_kind() {
        let letters = Letters::new(8);
        let payload = letters.payload(1, 2, 8);
        let text = std::str::from_utf8(payload).expect("letters");
        assert_eq!(answered(&ws(Mode::Echo, false), Message::Binary(Cow::Borrowed(payload))), Ok(1));
        assert_eq!(answered(&ws(Mode::Echo, true), Message::Text(Cow::Borrowed(text))), Ok(1));
        assert_eq!(answered(&ws(Mode::Echo, false), Message::Text(Cow::Borrowed(text))), Err(Wrong));
        assert_eq!(answered(&ws(Mode::Echo, true), Message::Binary(Cow::Borrowed(payload))), Err(Wrong));
        assert_eq!(answered(&ws(Mode::Echo, false), Message::Binary(Cow::Borrowed(&payload[1..]))), Err(Wrong));
    }

    #[test]
    fn a_pong_answers_its_ping_and_those_before_and_one_that_nobody_asked_for_none() {
        let hold = ws(Mode::Hold, false);
        for (payload, answers) in [(2_u64, 1), (3, 2), (4, 3), (5, 0), (1, 0), (u64::MAX, 0)] {
            assert_eq!(answered(&hold, Message::Pong(&payload.to_be_bytes())), Ok(answers), "{payload}");
        }
        assert_eq!(answered(&hold, Message::Pong(b"")), Ok(0));
    }

    #[test]
    fn a_message_that_begins_with_a_time_says_when_it_was_sent() {
        assert_eq!(sent_unix_ns(b"1763740800123456789 hello"), Some(1_763_740_800_123_456_789));
        assert_eq!(sent_unix_ns(b"1763740800123456789"), Some(1_763_740_800_123_456_789));
        for other in [&b""[..], b"hello", b"1763740800 seconds", b"99999999999999999999", b"123456789012345678901"] {
            assert_eq!(sent_unix_ns(other), None);
        }
    }

    #[test]
    fn every_frame_is_masked_with_a_key_of_its_own() {
        let (conversation, mut keys) = (ws(Mode::Echo, true).codec(), std::collections::BTreeSet::new());
        for frame in 0..1_000 {
            let key = key(7, frame);
            let mut out = Vec::new();
            let encoded = conversation.encode(Frame::text("hello").masked(key), &mut out);
            assert_eq!((encoded, &out[..6]), (Ok(()), &[0x81, 0x85, key[0], key[1], key[2], key[3]][..]));
            let decoded = WebSocket::server().decode(&mut Default::default(), &mut out).map(|decoded| match decoded {
                Decoded::Message { message: Message::Text(text), .. } => text.into_owned(),
                _ => String::new(),
            });
            assert_eq!(decoded.as_deref(), Ok("hello"));
            keys.insert(key);
        }
        assert!(keys.len() > 990, "{}", keys.len());
        assert!(conversation.encode(Frame::text("no key"), &mut Vec::new()).is_err());
    }
}
