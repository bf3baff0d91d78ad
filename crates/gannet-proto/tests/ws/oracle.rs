//! tungstenite reads what we write and we read what it writes.

use std::io::{self, Cursor, Read, Write};

use gannet_proto::ws::{Opcode, WebSocket, write_fragment};
use proptest::prelude::*;
use tungstenite::Message as Theirs;
use tungstenite::protocol::Role;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode as TheirOpcode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

use super::*;

/// One frame: its opcode, whether it is the last of its message, its payload, its mask.
type Sent = (Opcode, bool, Vec<u8>, [u8; 4]);

/// A message in fragments, each with pings or pongs before it.
#[derive(Clone, Debug)]
struct Script {
    text: bool,
    payload: String,
    cuts: Vec<u16>,
    between: Vec<(bool, Vec<u8>)>,
    key: [u8; 4],
}

impl Script {
    fn frames(&self) -> Vec<Sent> {
        let mut frames = Vec::new();
        let fragments = pieces(self.payload.as_bytes(), &self.cuts);
        for (number, fragment) in fragments.iter().enumerate() {
            if let Some((ping, payload)) = self.between.get(number) {
                frames.push((if *ping { Opcode::Ping } else { Opcode::Pong }, true, payload.clone(), self.key));
            }
            let opcode = match (number, self.text) {
                (0, true) => Opcode::Text,
                (0, false) => Opcode::Binary,
                _ => Opcode::Continuation,
            };
            let key = self.key.map(|byte| byte.wrapping_mul(number as u8));
            frames.push((opcode, number + 1 == fragments.len(), fragment.to_vec(), key));
        }
        frames
    }
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let payload = prop_oneof![9 => ".{0,200}", 1 => "[a-zµ€𠜎]{0,300}".prop_map(|text| text.repeat(200))];
    let between = proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..=125)), 0..3);
    let script = (any::<bool>(), payload, proptest::collection::vec(any::<u16>(), 0..5), between, any::<[u8; 4]>())
        .prop_map(|(text, payload, cuts, between, key)| Script { text, payload, cuts, between, key });
    proptest::collection::vec(script, 0..6)
}

/// A connection whose other end has said all it will, and does not listen.
struct Wire(Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_by_them(stream: Vec<u8>, role: Role) -> Vec<Owned> {
    let mut socket = tungstenite::WebSocket::from_raw_socket(Wire(Cursor::new(stream)), role, None);
    let mut messages = Vec::new();
    while let Ok(message) = socket.read() {
        messages.push(match message {
            Theirs::Text(text) => Owned::Text(text.as_str().into()),
            Theirs::Binary(bytes) => Owned::Binary(bytes.into()),
            Theirs::Ping(bytes) => Owned::Ping(bytes.into()),
            Theirs::Pong(bytes) => Owned::Pong(bytes.into()),
            Theirs::Close(close) => Owned::Close(close.map(|close| (close.code.into(), close.reason.as_str().into()))),
            Theirs::Frame(_) => unreachable!("frames are not read"),
        });
    }
    messages
}

fn written_by_them((opcode, last, payload, key): &Sent, masked: bool, out: &mut Vec<u8>) {
    let opcode = match opcode {
        Opcode::Continuation => TheirOpcode::Data(Data::Continue),
        Opcode::Text => TheirOpcode::Data(Data::Text),
        Opcode::Binary => TheirOpcode::Data(Data::Binary),
        Opcode::Close => TheirOpcode::Control(Control::Close),
        Opcode::Ping => TheirOpcode::Control(Control::Ping),
        Opcode::Pong => TheirOpcode::Control(Control::Pong),
    };
    let header = FrameHeader { is_final: *last, opcode, mask: masked.then_some(*key), ..FrameHeader::default() };
    Frame::from_payload(header, payload.clone().into()).format(out).unwrap();
}

proptest! {
    #[test]
    fn both_write_the_same_bytes_and_read_the_same_messages(scripts in scripts(), client: bool) {
        let frames: Vec<Sent> = scripts.iter().flat_map(Script::frames).collect();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for sent in &frames {
            let (opcode, last, payload, key) = sent;
            let mask = (!client).then_some(*key);
            write_fragment(&mut ours, *opcode, *last, &[payload], mask).unwrap();
            written_by_them(sent, mask.is_some(), &mut theirs);
        }
        prop_assert!(ours == theirs, "different frames of {scripts:?}");

        let (codec, role) =
            if client { (WebSocket::client(), Role::Client) } else { (WebSocket::server(), Role::Server) };
        let expected = read_by_them(theirs, role);
        prop_assert_eq!(expected.iter().filter(|message| !matches!(message, Owned::Ping(_) | Owned::Pong(_))).count(), scripts.len());
        for size in [1, 7, 1024, ours.len().max(1)] {
            let outcome = feed(&codec, Patience::Waits, ours.chunks(size), owned);
            prop_assert_eq!(&outcome.messages, &expected);
            prop_assert_eq!(outcome.error, None);
        }
    }

    #[test]
    fn a_message_in_many_parts_is_one_for_them(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 0..4), key: [u8; 4]) {
        let mut out = Vec::new();
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        gannet_proto::ws::write_frame(&mut out, Opcode::Binary, &slices, Some(key)).unwrap();
        prop_assert_eq!(read_by_them(out, Role::Server), [Owned::Binary(parts.concat())]);
    }
}

#[test]
fn streams_cut_at_every_byte_are_read_as_they_read_them() {
    let script = Script {
        text: true,
        payload: "Hällo, Wörld €".into(),
        cuts: vec![2, 9, 15],
        between: vec![(true, b"one".into()), (false, vec![]), (true, vec![0xff; 9])],
        key: KEY,
    };
    let mut stream = Vec::new();
    script.frames().iter().for_each(|sent| written_by_them(sent, true, &mut stream));
    let expected = read_by_them(stream.clone(), Role::Server);
    assert_eq!(expected.len(), 4);
    assert_eq!(good(&stream), expected);
}
