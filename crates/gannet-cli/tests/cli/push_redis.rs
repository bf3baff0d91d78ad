//! Redis clients and clients of the push gateway in the same channels.

use std::io::{Read as _, Write as _};
use std::thread;

use serde_json::{Value, json};

use crate::server::{Server, Stream, drivers};

const LISTEN: [&str; 2] = ["--listen=push=tcp://127.0.0.1:0", "--listen=redis=tcp://127.0.0.1:0"];

/// A server with the namespace `demo` of the defaults.
fn serve(driver: &str) -> Server {
    Server::serve(driver, &LISTEN)
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn command(words: &[&str]) -> String {
    let all: String = words.iter().map(|word| bulk(word)).collect();
    format!("*{}\r\n{all}", words.len())
}

/// A message as a subscriber gets it; RESP2 begins it with `*`, RESP3 with `>`.
fn message(mark: char, channel: &str, data: &str) -> String {
    format!("{mark}3\r\n{}{}{}", bulk("message"), bulk(channel), bulk(data))
}

/// Reads to behind this text.
fn read_past(stream: &mut Stream, text: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(text.as_bytes()) {
        let mut byte = [0];
        if let Err(error) = stream.read_exact(&mut byte) {
            panic!("{error}, after {:?}", String::from_utf8_lossy(&all));
        }
        all.push(byte[0]);
    }
    String::from_utf8(all).expect("text")
}

/// A Redis client that has subscribed, to a channel or a pattern.
fn subscribed(server: &Server, resp3: bool, word: &str, name: &str) -> Stream {
    let mut stream = server.connect("redis");
    if resp3 {
        stream.write_all(command(&["HELLO", "3"]).as_bytes()).expect("it is taken");
        read_past(&mut stream, "$7\r\nmodules\r\n*0\r\n");
    }
    let mark = if resp3 { '>' } else { '*' };
    let confirmed = format!("{mark}3\r\n{}{}:1\r\n", bulk(word), bulk(name));
    stream.ask(command(&[word, name]).as_bytes(), confirmed.as_bytes());
    stream
}

/// Calls the server API on a connection that stays.
fn call(stream: &mut Stream, method: &str, parameters: &Value) -> Value {
    let body = parameters.to_string();
    let request =
        format!("POST /api/{method} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("it is taken");
    let head = read_past(stream, "\r\n\r\n").to_ascii_lowercase();
    let length = head.split_once("content-length: ").expect("a length").1;
    let length: usize = length.split("\r\n").next().and_then(|length| length.parse().ok()).expect("a length");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert!(answer["result"].is_object(), "{head}{answer}");
    answer["result"].clone()
}

/// The data of all publications that a channel keeps.
fn history(server: &Server, channel: &str) -> Vec<Value> {
    let result = call(&mut server.connect("push"), "history", &json!({ "channel": channel, "limit": -1 }));
    let publications = result["publications"].as_array().expect("a list").iter().enumerate();
    let data = publications.map(|(index, publication)| {
        assert_eq!(publication["offset"], index + 1, "{publication}");
        publication["data"].clone()
    });
    data.collect()
}

/// Whoever listens by `/events`, from when it has subscribed.
fn events(server: &Server, channel: &str) -> Stream {
    let mut stream = server.connect("push");
    let request = format!("GET /events?channel={channel} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let head = read_past(&mut stream, "retry: ");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream
}

#[test]
fn what_a_redis_client_publishes_reaches_listeners_of_the_gateway_and_its_history() {
    for driver in drivers() {
        let server = serve(driver);
        let mut feed = events(&server, "demo:room");
        let mut redis = subscribed(&server, false, "subscribe", "demo:room");
        let mut publisher = server.connect("redis");
        // One receiver by the gateway, and one Redis client.
        publisher.ask(command(&["PUBLISH", "demo:room", r#"{"text":"hi"}"#]).as_bytes(), b":2\r\n");
        publisher.ask(command(&["PUBLISH", "demo:room", "plain"]).as_bytes(), b":2\r\n");
        // In a transaction, too.
        publisher.ask(
            b"MULTI\r\nPUBLISH demo:room 3\r\nSET k v\r\nEXEC\r\n",
            b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n+OK\r\n",
        );
        for data in [r#"{"text":"hi"}"#, r#""plain""#, "3"] {
            read_past(&mut feed, &format!("data: {data}\n"));
            // Once each: what comes next is the next message.
            redis.expect(message('*', "demo:room", data).as_bytes());
        }
        assert_eq!(history(&server, "demo:room"), [json!({ "text": "hi" }), json!("plain"), json!(3)]);
        assert!(server.stop().status.success());
    }
}

#[test]
fn what_the_server_api_publishes_reaches_redis_clients_by_channel_and_by_pattern_in_both_versions() {
    for driver in drivers() {
        let server = serve(driver);
        // Several, so that both reactors have some.
        let mut streams = Vec::new();
        for resp3 in [false, true, false, true] {
            let mark = if resp3 { '>' } else { '*' };
            streams.push((
                subscribed(&server, resp3, "subscribe", "demo:room"),
                format!("{mark}3\r\n{}", bulk("message")),
            ));
            let opening = format!("{mark}4\r\n{}{}", bulk("pmessage"), bulk("demo:r*"));
            streams.push((subscribed(&server, resp3, "psubscribe", "demo:r*"), opening));
        }
        let mut api = server.connect("push");
        for number in 0..3 {
            let result = call(&mut api, "publish", &json!({ "channel": "demo:room", "data": { "n": number } }));
            assert_eq!(result["offset"], number + 1);
        }
        for (stream, opening) in &mut streams {
            for number in 0..3 {
                let data = format!(r#"{{"n":{number}}}"#);
                stream.expect(format!("{opening}{}{}", bulk("demo:room"), bulk(&data)).as_bytes());
            }
        }
        let publish = command(&["PUBLISH", "demo:room", "1"]);
        server.connect("redis").ask(publish.as_bytes(), format!(":{}\r\n", streams.len()).as_bytes());
    }
}

#[test]
fn redis_clients_get_the_publications_of_both_sides_in_the_order_of_their_offsets() {
    const EACH: usize = 150;
    for driver in drivers() {
        let options = ["--push-namespace=demo:redis,history_size=10000,history_ttl=5m"];
        let server = Server::serve(driver, &[&LISTEN[..], &options].concat());
        let mut subscribers: Vec<_> =
            (0..4).map(|number| subscribed(&server, number % 2 == 1, "subscribe", "demo:room")).collect();
        thread::scope(|scope| {
            for thread in 0..2 {
                let (mut api, mut redis) = (server.connect("push"), server.connect("redis"));
                scope.spawn(move || {
                    for number in 0..EACH {
                        let data = format!("api {thread} {number}");
                        call(&mut api, "publish", &json!({ "channel": "demo:room", "data": data }));
                    }
                });
                scope.spawn(move || {
                    for number in 0..EACH {
                        let data = format!("redis {thread} {number}");
                        redis.ask(command(&["PUBLISH", "demo:room", &data]).as_bytes(), b":4\r\n");
                    }
                });
            }
        });
        let history = history(&server, "demo:room");
        assert_eq!(history.len(), 4 * EACH);
        for (number, subscriber) in subscribers.iter_mut().enumerate() {
            let mark = if number % 2 == 1 { '>' } else { '*' };
            for data in &history {
                subscriber.expect(message(mark, "demo:room", &data.to_string()).as_bytes());
            }
        }
    }
}

#[test]
fn channels_of_other_namespaces_are_of_redis_clients_alone() {
    let options = ["--push-namespace=shut:history_size=10,history_ttl=5m", "--push-namespace=open:redis"];
    let server = Server::serve(drivers()[0], &[&LISTEN[..], &options].concat());
    for channel in ["shut:room", "unknown:room", "room"] {
        let mut redis = subscribed(&server, false, "subscribe", channel);
        let mut publisher = server.connect("redis");
        if channel == "shut:room" {
            call(&mut server.connect("push"), "publish", &json!({ "channel": channel, "data": 1 }));
        }
        publisher.ask(command(&["PUBLISH", channel, "plain"]).as_bytes(), b":1\r\n");
        redis.expect(message('*', channel, "plain").as_bytes());
    }
    assert_eq!(history(&server, "shut:room"), [json!(1)]);
}

#[test]
fn a_message_that_cannot_become_a_publication_is_refused_with_the_reason() {
    let server = serve(drivers()[0]);
    let mut redis = server.connect("redis");
    let large = "1".repeat(65_537);
    let name = format!("demo:{}", "x".repeat(251));
    for (channel, data, answer) in [
        (
            "demo:room",
            large.as_str(),
            "-ERR the message is not published: the publication has 65537 bytes, and the limit is 65536\r\n",
        ),
        (&name, "1", "-ERR the message is not published: the channel's name has 256 bytes, and the limit is 255\r\n"),
        (
            "demo:\u{e9}",
            "1",
            "-ERR the message is not published: a channel's name is not empty and has printable ASCII characters only\r\n",
        ),
    ] {
        redis.ask(command(&["PUBLISH", channel, data]).as_bytes(), answer.as_bytes());
    }
    redis.ask(
        b"*3\r\n$7\r\nPUBLISH\r\n$9\r\ndemo:room\r\n$1\r\n\xff\r\n",
        b"-ERR the message is neither JSON nor text in UTF-8, so the channel's clients could not read it; send it as base64\r\n",
    );
    redis.ask(b"PING\r\n", b"+PONG\r\n");
    assert!(history(&server, "demo:room").is_empty());
}

#[test]
fn the_page_shows_the_command_for_redis_clients_where_they_reach_its_channel() {
    let page = |options: &[&str]| {
        let server = Server::serve(drivers()[0], options);
        let mut stream = server.connect("push");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it is taken");
        let page = String::from_utf8(stream.rest()).expect("text");
        (page, server.urls("redis").first().and_then(|url| url.rsplit(':').next().map(str::to_owned)))
    };
    let (shown, port) = page(&LISTEN);
    assert!(
        shown.contains(&format!("redis-cli -h 127.0.0.1 -p {} publish demo:chat", port.expect("a port"))),
        "{shown}"
    );
    let (shown, _) = page(&[&LISTEN[..], &["--push-namespace=demo:presence"]].concat());
    assert!(!shown.contains("redis-cli"), "{shown}");
    let (shown, _) = page(&LISTEN[..1]);
    assert!(!shown.contains("redis-cli"), "{shown}");
}

#[test]
fn a_channel_whose_name_looks_like_a_pattern_is_one_channel_for_both_sides() {
    let server = serve(drivers()[0]);
    let mut api = server.connect("push");
    let mut streams = ["demo:*", "demo:>"].map(|channel| (channel, subscribed(&server, false, "subscribe", channel)));
    let mut publisher = server.connect("redis");
    // The other names fit the patterns, and are other channels: nobody gets what is published to them.
    for other in ["demo:a", "demo:a:b", "demo:"] {
        publisher.ask(command(&["PUBLISH", other, "0"]).as_bytes(), b":0\r\n");
    }
    for (channel, stream) in &mut streams {
        publisher.ask(command(&["PUBLISH", channel, "1"]).as_bytes(), b":1\r\n");
        call(&mut api, "publish", &json!({ "channel": *channel, "data": 2 }));
        for data in ["1", "2"] {
            stream.expect(message('*', channel, data).as_bytes());
        }
        assert_eq!(history(&server, channel), [json!(1), json!(2)]);
    }
    // No name has a line break: it would begin another line in an event stream, or in a log.
    publisher.write_all(command(&["PUBLISH", "demo:\n", "1"]).as_bytes()).expect("it is taken");
    let refused = read_past(&mut publisher, "\r\n");
    assert!(refused.starts_with('-'), "{refused}");
    publisher.ask(b"PING\r\n", b"+PONG\r\n");
}
