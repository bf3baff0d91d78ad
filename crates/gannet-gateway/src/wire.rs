//! How what a client gets is put on the wire: the format of its messages, and the framing of its transport.

use std::io::Write as _;

use bytes::Bytes;
use gannet::proto::http::{SIZE_LINE, size_line};
use gannet::proto::ws::{FrameHeader, Opcode};
use gannet_channels::{Delivery, Event};
use gannet_proto::centrifuge::{self, Format, Join, Leave, Push, PushEvent, Reply, json};

/// Format and framing of one client. Its number is the format that the channel space knows, so each is encoded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wire {
    /// JSON in text frames.
    WebSocketJson = 0,
    /// Protobuf in binary frames.
    WebSocketProtobuf = 1,
    /// JSON in server-sent events, with `/emulation` for the other direction.
    Events = 2,
    /// JSON in lines of a response that goes on, with `/emulation` for the other direction.
    Lines = 3,
    /// Protobuf in such a response.
    StreamProtobuf = 4,
    /// Protobuf over plain TCP or TLS.
    Device = 5,
    /// Bare pushes in text frames.
    OneWayWebSocket = 6,
    /// Bare pushes in server-sent events.
    OneWayEvents = 7,
    /// Bare pushes in lines.
    OneWayLines = 8,
    /// The data of publications in server-sent events, each with its position as id.
    EventSource = 9,
}

/// How many there are.
pub const WIRES: usize = 10;

const ALL: [Wire; WIRES] = [
    Wire::WebSocketJson,
    Wire::WebSocketProtobuf,
    Wire::Events,
    Wire::Lines,
    Wire::StreamProtobuf,
    Wire::Device,
    Wire::OneWayWebSocket,
    Wire::OneWayEvents,
    Wire::OneWayLines,
    Wire::EventSource,
];

impl Wire {
    /// Returns what operators call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocketJson => "websocket json",
            Self::WebSocketProtobuf => "websocket protobuf",
            Self::Events => "sse",
            Self::Lines => "http_stream json",
            Self::StreamProtobuf => "http_stream protobuf",
            Self::Device => "device",
            Self::OneWayWebSocket => "uni_websocket",
            Self::OneWayEvents => "uni_sse",
            Self::OneWayLines => "uni_http_stream",
            Self::EventSource => "events",
        }
    }

    /// Returns the one with this number.
    #[must_use]
    pub fn of(number: u8) -> Self {
        ALL[usize::from(number) % WIRES]
    }

    /// Returns all of them.
    #[must_use]
    pub fn all() -> [Self; WIRES] {
        ALL
    }

    /// Returns whether messages are Protobuf.
    #[must_use]
    pub fn is_protobuf(self) -> bool {
        matches!(self, Self::WebSocketProtobuf | Self::StreamProtobuf | Self::Device)
    }

    /// Returns the format of its messages.
    #[must_use]
    pub fn format(self) -> Format {
        if self.is_protobuf() { Format::Protobuf } else { Format::Json }
    }

    /// Returns whether the client only listens.
    #[must_use]
    pub fn is_one_way(self) -> bool {
        matches!(self, Self::OneWayWebSocket | Self::OneWayEvents | Self::OneWayLines | Self::EventSource)
    }

    /// Returns whether the other direction comes as requests to `/emulation`.
    #[must_use]
    pub fn is_emulated(self) -> bool {
        matches!(self, Self::Events | Self::Lines | Self::StreamProtobuf)
    }

    /// Returns whether messages are pieces of a response that goes on.
    #[must_use]
    pub fn is_stream(self) -> bool {
        !self.is_websocket() && self != Self::Device
    }

    /// Returns whether the client speaks WebSocket.
    #[must_use]
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocketJson | Self::WebSocketProtobuf | Self::OneWayWebSocket)
    }

    /// Returns whether the end of a session is pushed before the connection closes. Elsewhere the close frame says it.
    #[must_use]
    pub fn pushes_its_end(self) -> bool {
        !matches!(self, Self::WebSocketJson | Self::WebSocketProtobuf)
    }

    /// Returns whether clients are told the name of their session.
    #[must_use]
    pub fn names_its_session(self) -> bool {
        self.is_emulated() || self.is_one_way() && self != Self::EventSource
    }

    /// Returns the name of the transport, as applications and metrics know it.
    #[must_use]
    pub fn transport(self) -> &'static str {
        match self {
            Self::WebSocketJson | Self::WebSocketProtobuf => "websocket",
            Self::Events => "sse",
            Self::Lines | Self::StreamProtobuf => "http_stream",
            Self::Device => "stream",
            Self::OneWayWebSocket => "uni_websocket",
            Self::OneWayEvents => "uni_sse",
            Self::OneWayLines => "uni_http_stream",
            Self::EventSource => "events",
        }
    }

    /// Returns the name of the format, as applications know it.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        if self.is_protobuf() { "protobuf" } else { "json" }
    }

    /// Appends a payload as it is on this transport, without the framing of HTTP's chunks or of WebSocket.
    ///
    /// A payload is one or more messages: JSON texts with a line break between them, or Protobuf messages, each with its
    /// length before it.
    pub fn body(self, payload: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Events | Self::OneWayEvents => {
                for line in payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    out.extend_from_slice(b"data: ");
                    event_text(line, out);
                    out.extend_from_slice(b"\n\n");
                }
            }
            Self::Lines | Self::OneWayLines => {
                out.extend_from_slice(payload);
                if !payload.is_empty() {
                    out.push(b'\n');
                }
            }
            _ => out.extend_from_slice(payload),
        }
    }

    /// Makes the bytes that a connection sends for an event of a channel.
    ///
    /// The answer is empty if the format cannot carry it: data that is not JSON has no place in a message in JSON. It is
    /// also empty if there is nothing to be told.
    #[must_use]
    pub fn encode(self, delivery: &Delivery) -> Bytes {
        let mut payload = Vec::with_capacity(256);
        if self.put_event(delivery, &mut payload) && !payload.is_empty() { self.framed(&payload) } else { Bytes::new() }
    }

    /// Returns whether the format can carry data of an application, where there is any.
    #[must_use]
    pub(crate) fn carries_any(self, data: Option<&[u8]>) -> bool {
        data.is_none_or(|data| data.is_empty() || self.carries(data))
    }

    /// Returns whether the format can carry data of an application.
    #[must_use]
    pub(crate) fn carries(self, data: &[u8]) -> bool {
        self.is_protobuf() || self == Self::EventSource || json::check(data).is_ok()
    }

    /// Appends an event of a channel to a payload. Returns whether the format can carry it.
    fn put_event(self, delivery: &Delivery, payload: &mut Vec<u8>) -> bool {
        let event = match delivery.event() {
            Event::Batch(deliveries) => return deliveries.iter().all(|delivery| self.put_event(delivery, payload)),
            Event::Publication(own) if self == Self::EventSource => {
                event_with_id(&delivery.epoch().to_string(), own, payload);
                return true;
            }
            Event::Publication(own) if !self.carries(&own.data) => return false,
            Event::Publication(own) => PushEvent::Publication(publication(self, own)),
            Event::Join(info) => PushEvent::Join(Join { info: Some(client_info(self, info)) }),
            Event::Leave(info) => PushEvent::Leave(Leave { info: Some(client_info(self, info)) }),
            _ => return true,
        };
        write_push(payload, self, delivery.channel(), event);
        true
    }

    /// Makes the bytes that the connection sends for a payload, complete with the framing of the transport.
    #[must_use]
    pub fn framed(self, payload: &[u8]) -> Bytes {
        match self {
            Self::WebSocketJson | Self::OneWayWebSocket => frame(Opcode::Text, payload),
            Self::WebSocketProtobuf => frame(Opcode::Binary, payload),
            Self::Device => Bytes::copy_from_slice(payload),
            Self::StreamProtobuf | Self::EventSource => chunk(payload),
            Self::Events | Self::Lines | Self::OneWayEvents | Self::OneWayLines => {
                let mut body = Vec::with_capacity(payload.len() + 16);
                self.body(payload, &mut body);
                chunk(&body)
            }
        }
    }
}

/// Puts between two messages what stands there.
pub(crate) fn separate(out: &mut Vec<u8>, wire: Wire) {
    if !out.is_empty() {
        out.extend_from_slice(wire.format().separator());
    }
}

pub(crate) fn write_reply(out: &mut Vec<u8>, wire: Wire, reply: &Reply<'_>) {
    wire.format().join_reply(out, reply);
}

pub(crate) fn write_push(out: &mut Vec<u8>, wire: Wire, channel: &str, event: PushEvent<'_>) {
    // An EventSource knows publications only.
    if wire == Wire::EventSource {
        return;
    }
    let push = Push { id: 0, channel: channel.into(), event };
    if wire.is_one_way() {
        separate(out, wire);
        wire.format().write_push(out, &push);
    } else {
        write_reply(out, wire, &Reply::push(push));
    }
}

/// Appends a publication as an event whose id is its position.
pub(crate) fn event_with_id(epoch: &str, own: &gannet_channels::Publication, out: &mut Vec<u8>) {
    if own.offset > 0 {
        // A vector takes everything.
        let _ = writeln!(out, "id: {epoch}:{}", own.offset);
    }
    for line in own.data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// Returns a publication as clients get it.
pub(crate) fn publication(wire: Wire, own: &gannet_channels::Publication) -> centrifuge::Publication<'_> {
    centrifuge::Publication {
        data: &own.data,
        info: own.info.as_deref().map(|info| client_info(wire, info)),
        offset: own.offset,
        tags: own.tags.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        ..centrifuge::Publication::default()
    }
}

/// Returns what clients are told of another one. What the format cannot carry is left out.
pub(crate) fn client_info(wire: Wire, own: &gannet_channels::ClientInfo) -> centrifuge::ClientInfo<'_> {
    centrifuge::ClientInfo {
        user: own.user().into(),
        client: own.client().to_string().into(),
        conn_info: own.conn_info().map(|info| &info[..]).filter(|info| wire.carries(info)).unwrap_or_default(),
        chan_info: own.chan_info().map(|info| &info[..]).filter(|info| wire.carries(info)).unwrap_or_default(),
    }
}

/// Appends a line of an event. A carriage return would end the line for a client, and JSON has none outside of its white
/// space.
fn event_text(line: &[u8], out: &mut Vec<u8>) {
    if line.contains(&b'\r') {
        out.extend(line.iter().map(|byte| if *byte == b'\r' { b' ' } else { *byte }));
    } else {
        out.extend_from_slice(line);
    }
}

fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let header = FrameHeader::new(opcode, payload.len());
    let mut bytes = Vec::with_capacity(header.as_bytes().len() + payload.len());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(payload);
    bytes.into()
}

/// One chunk (RFC 9112 §7.1).
fn chunk(body: &[u8]) -> Bytes {
    let mut line = [0; SIZE_LINE];
    let size = size_line(body.len(), &mut line);
    let mut bytes = Vec::with_capacity(size.len() + body.len() + 2);
    bytes.extend_from_slice(size);
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(b"\r\n");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_wire_are_the_same() {
        for (number, wire) in Wire::all().into_iter().enumerate() {
            assert_eq!((wire as usize, Wire::of(number as u8)), (number, wire));
        }
    }

    #[test]
    fn each_message_is_an_event_of_its_own_and_has_no_bare_carriage_return() {
        let mut out = Vec::new();
        Wire::Events.body(b"{\"a\":\r1}\n{}", &mut out);
        assert_eq!(out, b"data: {\"a\": 1}\n\ndata: {}\n\n");
    }

    #[test]
    fn a_payload_is_framed_as_its_transport_needs_it() {
        assert_eq!(&Wire::WebSocketJson.framed(b"{}")[..], b"\x81\x02{}");
        assert_eq!(&Wire::WebSocketProtobuf.framed(b"\0")[..], b"\x82\x01\0");
        assert_eq!(&Wire::Lines.framed(b"{}\n{}")[..], b"6\r\n{}\n{}\n\r\n");
        assert_eq!(&Wire::Device.framed(b"\0")[..], b"\0");
    }
}
