//! Commands in Protobuf that are cut or come in pieces, at every byte, over every way that they come.

mod rig;

use std::io::{self, Read, Write as _};

use gannet_proto::centrifuge::{
    Command, ConnectRequest, EmulationRequest, Format, HistoryRequest, PresenceStatsRequest, PublishRequest, Request,
    SubscribeRequest,
};
use rig::device::Device;
use rig::feed::Feed;
use rig::{Rig, Socket, drivers};
use tungstenite::Message;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

const CHANNEL: &str = "demo:a";
const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

/// Five commands, each with its length before it.
fn commands() -> [Vec<u8>; 5] {
    let channel = || CHANNEL.into();
    let mut id = 0;
    [
        Request::Connect(ConnectRequest { name: "\u{e4}".into(), data: b"\xff\x00", ..Default::default() }),
        Request::Subscribe(SubscribeRequest { channel: channel(), ..Default::default() }),
        Request::Publish(PublishRequest { channel: channel(), data: b"{\"a\":[1]}" }),
        Request::PresenceStats(PresenceStatsRequest { channel: channel() }),
        Request::History(HistoryRequest { channel: channel(), limit: 1, ..Default::default() }),
    ]
    .map(|request| {
        id += 1;
        let mut bytes = Vec::new();
        Format::Protobuf.write_command(&mut bytes, &Command { id, request });
        bytes
    })
}

/// How many replies the first bytes of all commands get: those of whole commands, if no part of one follows.
fn replies_to(cut: usize) -> Option<usize> {
    let mut end = 0;
    commands()
        .iter()
        .position(|command| {
            end += command.len();
            end == cut
        })
        .map(|before| before + 1)
}

/// What a way to the client brings, as one stream of bytes.
struct Bytes<W> {
    way: W,
    rest: Vec<u8>,
}

impl<W> Bytes<W> {
    fn of(way: W) -> Device<Self> {
        Device { stream: Self { way, rest: Vec::new() }, received: Vec::new() }
    }
}

trait Way {
    /// The next bytes; none at the end.
    fn more(&mut self) -> Vec<u8>;
}

impl Way for Feed {
    fn more(&mut self) -> Vec<u8> {
        self.chunk_bytes()
    }
}

impl Way for Socket {
    fn more(&mut self) -> Vec<u8> {
        self.bytes().to_vec()
    }
}

impl<W: Way> Read for Bytes<W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.way.more();
        }
        let count = buffer.len().min(self.rest.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

fn protobuf_socket(rig: &Rig) -> Socket {
    rig.websocket_at("/connection/websocket?format=protobuf")
}

/// Begins a stream with a body that comes in two pieces.
fn stream(rig: &Rig, first: &[u8], second: &[u8]) -> Device<Bytes<Feed>> {
    let mut stream = rig.tcp();
    let length = first.len() + second.len();
    let head =
        format!("POST /connection/http_stream HTTP/1.1\r\nHost: localhost\r\n{OCTETS}Content-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), first].concat()).expect("it is taken");
    stream.write_all(second).expect("it is taken");
    Bytes::of(Feed::of(stream))
}

#[test]
fn a_message_in_two_fragments_is_the_same_message_wherever_it_is_split() {
    let all = commands().concat();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for cut in 0..=all.len() {
            let mut client = protobuf_socket(&rig);
            let first = Frame::message(all[..cut].to_vec(), OpCode::Data(Data::Binary), false);
            let second = Frame::message(all[cut..].to_vec(), OpCode::Data(Data::Continue), true);
            client.socket.write(Message::Frame(first)).expect("it is taken");
            client.socket.send(Message::Frame(second)).expect("it is taken");
            assert_eq!(Bytes::of(client).replies(5), [1, 2, 3, 4, 5], "split at {cut}");
        }
    }
}

#[test]
fn a_message_that_is_cut_inside_of_a_command_closes_and_one_between_commands_does_not() {
    let all = commands().concat();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for cut in 0..=all.len() {
            let mut client = protobuf_socket(&rig);
            client.send_bytes(&all[..cut]);
            match replies_to(cut) {
                None => assert_eq!(client.closed().0, 3501, "cut at {cut}"),
                Some(count) => assert_eq!(Bytes::of(client).replies(count).len(), count, "cut at {cut}"),
            }
        }
    }
}

#[test]
fn a_device_may_send_its_commands_in_two_pieces_wherever_they_are_split() {
    let all = commands().concat();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for cut in 0..=all.len() {
            let mut device = Device::connect(&rig);
            device.stream.set_nodelay(true).expect("no delay");
            device.stream.write_all(&all[..cut]).expect("it is taken");
            // What is whole is answered before the rest comes.
            let mut end = 0;
            let whole = commands()
                .iter()
                .take_while(|command| {
                    end += command.len();
                    end <= cut
                })
                .count();
            let mut ids = device.replies(whole);
            device.stream.write_all(&all[cut..]).expect("it is taken");
            ids.extend(device.replies(5 - whole));
            assert_eq!(ids, [1, 2, 3, 4, 5], "split at {cut}");
        }
    }
}

#[test]
fn a_device_whose_command_is_malformed_anywhere_behind_its_length_is_closed_with_3501() {
    let [connect, subscribe, ..] = commands();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        // The length says less than the message has: it ends inside of a field, or of a text.
        let name = subscribe.windows(CHANNEL.len()).position(|window| window == CHANNEL.as_bytes()).expect("a name");
        for cut in name..subscribe.len() - 1 {
            let mut device = Device::connect(&rig);
            let mut bytes = [&*connect, &subscribe[..cut]].concat();
            bytes[connect.len()] = u8::try_from(cut - 1).expect("it is short");
            device.stream.write_all(&bytes).expect("it is taken");
            assert_eq!(device.replies(1), [1]);
            assert_eq!(device.code(), 3501, "cut at {cut}");
            device.next(|reply| assert!(reply.is_none(), "{reply:?}"));
        }
    }
}

#[test]
fn a_body_in_two_pieces_is_the_same_body_wherever_it_is_split() {
    let all = commands().concat();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for cut in 0..=all.len() {
            let mut client = stream(&rig, &all[..cut], &all[cut..]);
            assert!(client.stream.way.head.contains("application/octet-stream"));
            assert_eq!(client.replies(5), [1, 2, 3, 4, 5], "split at {cut}");
        }
    }
}

#[test]
fn a_body_that_is_cut_inside_of_a_command_ends_the_stream_and_one_between_commands_does_not() {
    let all = commands().concat();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for cut in 0..=all.len() {
            let mut client = stream(&rig, &all[..cut], b"");
            match replies_to(cut) {
                None => assert_eq!(client.code(), 3501, "cut at {cut}"),
                Some(count) => assert_eq!(client.replies(count).len(), count, "cut at {cut}"),
            }
        }
    }
}

#[test]
fn a_request_to_emulation_that_is_cut_anywhere_is_refused_or_ends_the_session() {
    let [connect, subscribe, ..] = commands();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let session = |client: &mut Device<Bytes<Feed>>| {
            client.next(|reply| match &reply.expect("a reply").body {
                gannet_proto::centrifuge::ReplyBody::Connect(result) => {
                    (result.session.clone().into_owned(), result.node.clone().into_owned())
                }
                other => panic!("{other:?}"),
            })
        };
        let request = |(session, node): &(String, String), data: &[u8]| {
            let mut request = Vec::new();
            let own = EmulationRequest { node: node.into(), session: session.into(), data: data.into() };
            Format::Protobuf.write_emulation_request(&mut request, &own);
            request
        };
        let post = |body: &[u8]| {
            let length = body.len();
            let head = format!(
                "POST /emulation HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{OCTETS}Content-Length: {length}\r\n\r\n"
            );
            let mut stream = rig.tcp();
            stream.write_all(&[head.as_bytes(), body].concat()).expect("it is taken");
            let mut all = String::new();
            stream.read_to_string(&mut all).expect("a response");
            all.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).expect("a status")
        };
        let mut client = stream(&rig, &connect, b"");
        let own = session(&mut client);
        let whole = request(&own, &subscribe);
        for cut in 0..whole.len() - subscribe.len() - 2 {
            let status = post(&whole[..cut]);
            assert!([400, 404].contains(&status), "cut at {cut}: {status}");
        }
        // Nothing of that has reached the session.
        assert_eq!(post(&whole), 204);
        assert_eq!(client.replies(1), [2]);
        for cut in 0..subscribe.len() {
            let mut client = stream(&rig, &connect, b"");
            let own = session(&mut client);
            assert_eq!(post(&request(&own, &subscribe[..cut])), 204, "cut at {cut}");
            assert_eq!(client.code(), 3501, "cut at {cut}");
        }
    }
}
