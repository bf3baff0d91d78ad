//! A small gateway that does what the names of its channels say: rightly, or wrongly in one way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gannet::proto::centrifuge::{
    Command, ConnectResult, Error, Format, Publication, Push, PushEvent, Reply, ReplyBody, Request, SubscribeRequest,
    SubscribeResult, Unsubscribe,
};
use gannet::proto::http::Event;
use gannet::proto::ws::{self, Close, CloseCode, Handshake, Message};
use gannet::{Context, Handle, Service};

use crate::wire::{Incoming, Protocol, Wire};

/// What the double was asked for.
#[derive(Default)]
pub struct World {
    topics: BTreeMap<String, Topic>,
    /// Answers to its pings.
    pub pongs: u64,
    /// Tokens of connections, the last ones of each name.
    pub tokens: Vec<String>,
    /// Requests of the server API: the key, and the body.
    pub requests: Vec<(String, String)>,
}

#[derive(Default)]
struct Topic {
    /// Publications that were asked for.
    asked: u64,
    /// Those that have an offset.
    published: u64,
    history: Vec<(u64, Vec<u8>)>,
    subscribers: Vec<(Handle, Format)>,
}

/// See the module.
pub struct Double(pub Arc<Mutex<World>>);

#[derive(Default)]
pub struct Session {
    /// The key of the last request.
    key: String,
}

impl Double {
    fn http(&self, session: &mut Session, event: &Event<'_>, cx: &mut Context<'_, Self>) {
        let mut out = Vec::new();
        let body = match event {
            Event::Request(request) if request.path() == "/connection/websocket" => {
                let handshake = Handshake::new().protocols(["centrifuge-protobuf"]);
                handshake.check("GET", (1, 1), request.headers()).expect("a handshake").write(&mut out);
                cx.write(&out);
                *cx.codec_state() = Protocol::WebSocket(ws::State::default());
                return;
            }
            Event::Request(request) => {
                assert_eq!(request.path(), "/api/publish");
                session.key = String::from_utf8_lossy(request.header("X-API-Key").expect("a key")).into_owned();
                request.body
            }
            other => panic!("{other:?}"),
        };
        let mut world = self.0.lock().expect("nobody panicked");
        world.requests.push((session.key.clone(), String::from_utf8_lossy(body).into_owned()));
        let status = if session.key == "key" { 200 } else { 401 };
        let request: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        let (channel, data) = (request["channel"].as_str().expect("a name"), request["data"].to_string());
        let reply = match status {
            200 => publish(&mut world, channel, data.as_bytes(), cx),
            _ => Err(401),
        };
        let text = match reply {
            Ok(()) => "{\"result\":{}}".to_owned(),
            Err(code) => format!("{{\"error\":{{\"code\":{code},\"message\":\"no\"}}}}"),
        };
        out.extend_from_slice(
            format!("HTTP/1.1 {status} OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes(),
        );
        cx.write(&out);
    }

    fn command(&self, command: Command<'_>, format: Format, cx: &mut Context<'_, Self>) {
        let mut world = self.0.lock().expect("nobody panicked");
        let body = match command.request {
            Request::Empty => {
                world.pongs += 1;
                return;
            }
            Request::Connect(connect) if connect.token == "bad" => {
                let mut out = Vec::new();
                let close = Close { code: CloseCode::new(3_500).expect("a code"), reason: "invalid token" };
                ws::close(&mut out, Some(close), None).expect("it is short");
                cx.write(&out);
                return;
            }
            Request::Connect(connect) => {
                world.tokens.push(connect.token.to_string());
                ReplyBody::Connect(ConnectResult { ping: 25, pong: true, ..ConnectResult::default() })
            }
            Request::Subscribe(subscribe) => return subscribed(&mut world, command.id, &subscribe, format, cx),
            Request::Publish(publication) => match publish(&mut world, &publication.channel, publication.data, cx) {
                Ok(()) => ReplyBody::Publish,
                Err(code) => ReplyBody::Error(Error { code, ..Error::default() }),
            },
            other => panic!("{other:?}"),
        };
        write(&Reply { id: command.id, body }, format, cx);
    }
}

fn has_history(channel: &str) -> bool {
    !channel.starts_with("plain")
}

/// Subscribes, and sends what was missed where that is asked for.
fn subscribed(
    world: &mut World,
    id: u32,
    request: &SubscribeRequest<'_>,
    format: Format,
    cx: &mut Context<'_, Double>,
) {
    let channel = &*request.channel;
    if channel.starts_with("secret") {
        return write(&Reply { id, body: ReplyBody::Error(Error { code: 103, ..Error::default() }) }, format, cx);
    }
    let topic = world.topics.entry(channel.to_owned()).or_default();
    topic.subscribers.push((cx.handle(), format));
    let mut result = SubscribeResult::default();
    if has_history(channel) {
        (result.positioned, result.recoverable) = (true, !channel.starts_with("live"));
        (result.epoch, result.offset) = ("e1".into(), topic.published);
        if request.recover {
            assert_eq!(request.epoch, "e1", "the one that it was told");
            result.was_recovering = true;
            result.recovered = !channel.starts_with("refuse");
            if channel.starts_with("reborn") {
                result.epoch = "e2".into();
            }
            if result.recovered {
                result.offset = request.offset;
                let missed = topic.history.iter().filter(|(offset, _)| *offset > request.offset);
                // A server that forgets says that it recovers, and sends nothing.
                let missed = missed.filter(|_| !channel.starts_with("forget"));
                result.publications = missed
                    .map(|(offset, data)| Publication { data, offset: *offset, ..Publication::default() })
                    .collect();
            }
        }
    }
    write(&Reply { id, body: ReplyBody::Subscribe(result) }, format, cx);
    // A ping each time: it has to be answered.
    write(&Reply::ping(), format, cx);
}

/// Publishes, as the channel's name says.
fn publish(world: &mut World, channel: &str, data: &[u8], cx: &mut Context<'_, Double>) -> Result<(), u32> {
    let topic = world.topics.entry(channel.to_owned()).or_default();
    if channel.starts_with("picky") && data.windows(8).any(|part| part == b"\"seq\":3,") {
        return Err(403);
    }
    (topic.asked, topic.published) = (topic.asked + 1, topic.published + 1);
    let (mut offset, number) = (topic.published, topic.asked);
    topic.history.push((offset, data.to_vec()));
    let mut times = 1;
    let kind = channel.split(':').next().unwrap_or_default();
    let is_fifth = number % 5 == 0;
    match kind {
        "skip" | "plain-skip" if is_fifth => times = 0,
        // Lost before it had an offset.
        "swallow" if is_fifth => {
            topic.published -= 1;
            topic.history.pop();
            times = 0;
        }
        "twice" | "plain-twice" if is_fifth => times = 2,
        "stuck" if is_fifth => offset -= 1,
        "lose-last" if number > 3 => times = 0,
        _ => {}
    }
    topic.subscribers.retain(|(handle, format)| {
        let data = if kind == "strange" && is_fifth { &b"{\"somebody\":\"else\"}"[..] } else { data };
        let publication =
            Publication { data, offset: if has_history(channel) { offset } else { 0 }, ..Publication::default() };
        let name = if kind == "misnamed" && is_fifth { "misnamed:other" } else { channel };
        let event = PushEvent::Publication(publication);
        let push = Reply::push(Push { channel: name.into(), event, ..Push::default() });
        let mut frames = Vec::new();
        (0..times).for_each(|_| frame(&push, *format, &mut frames));
        if kind == "evict" && is_fifth {
            let event = PushEvent::Unsubscribe(Unsubscribe { code: 2_500, ..Unsubscribe::default() });
            frame(&Reply::push(Push { channel: name.into(), event, ..Push::default() }), *format, &mut frames);
        }
        let is_there = frames.is_empty() || cx.send_to(*handle, &frames).is_ok();
        is_there && !(kind == "evict" && is_fifth)
    });
    Ok(())
}

fn frame(reply: &Reply<'_>, format: Format, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    format.write_reply(&mut text, reply);
    match format {
        Format::Json => ws::text(out, std::str::from_utf8(&text).expect("JSON"), None),
        Format::Protobuf => ws::binary(out, &text, None),
    }
}

fn write(reply: &Reply<'_>, format: Format, cx: &mut Context<'_, Double>) {
    let mut out = Vec::new();
    frame(reply, format, &mut out);
    cx.write(&out);
}

impl Service for Double {
    type Codec = Wire;
    type Session = Session;

    fn message(&mut self, session: &mut Session, incoming: Incoming<'_>, cx: &mut Context<'_, Self>) {
        let (format, bytes) = match incoming {
            Incoming::Http(event) => return self.http(session, &event, cx),
            Incoming::WebSocket(Message::Text(text)) => (Format::Json, text.into_owned().into_bytes()),
            Incoming::WebSocket(Message::Binary(bytes)) => (Format::Protobuf, bytes.into_owned()),
            Incoming::WebSocket(Message::Close(_)) => return cx.close(),
            Incoming::WebSocket(_) => return,
        };
        for command in format.commands(&bytes) {
            self.command(command.expect("a command"), format, cx);
        }
    }
}
