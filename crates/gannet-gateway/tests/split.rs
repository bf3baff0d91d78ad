//! Commands that are cut or come in pieces, at every byte, over every way that commands come.

mod rig;

use std::io::Write as _;

use rig::feed::{Feed, emulate};
use rig::{Rig, drivers};
use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// Commands with texts in every notation that JSON has.
const LINES: [&str; 5] = [
    r#"{"id":1,"connect":{"name":"\"ä\u00e4\\","data":{"k":[1,-2.5e3,null,true,"€"]}}}"#,
    r#"{"id":2,"subscribe":{"channel":"demo:a"}}"#,
    r#"{"id":3,"publish":{"channel":"demo:a","data":{"€":[{}]}}}"#,
    r#"{"id":4,"presence_stats":{"channel":"demo:a"}}"#,
    r#"{"id":5,"history":{"channel":"demo:a","limit":1}}"#,
];

fn all() -> Vec<u8> {
    LINES.join("\n").into_bytes()
}

/// How many replies the first bytes of all commands get: those of whole lines, if no part of a line follows.
fn replies_to(cut: usize) -> Option<usize> {
    let mut end = 0;
    for (number, line) in LINES.iter().enumerate() {
        end += line.len();
        // With the line break that follows, or without.
        if cut == end || cut == end + 1 {
            return Some(number + 1);
        }
        end += 1;
    }
    None
}

/// The messages that are replies, in their order.
fn replies(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter_map(|message| message["id"].as_u64()).collect()
}

#[test]
fn a_message_in_two_fragments_is_the_same_message_wherever_it_is_split() {
    let all = all();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for cut in 0..=all.len() {
            let mut client = rig.websocket();
            let (first, second) = all.split_at(cut);
            let first = Frame::message(first.to_vec(), OpCode::Data(Data::Text), false);
            let second = Frame::message(second.to_vec(), OpCode::Data(Data::Continue), true);
            client.socket.write(Message::Frame(first)).expect("it is taken");
            client.socket.send(Message::Frame(second)).expect("it is taken");
            let mut came = Vec::new();
            while replies(&came).len() < LINES.len() {
                came.extend(client.frame());
            }
            assert_eq!(replies(&came), [1, 2, 3, 4, 5], "split at {cut}");
        }
    }
}

#[test]
fn a_message_that_is_cut_inside_of_a_command_closes_and_one_between_commands_does_not() {
    let all = all();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for cut in 0..=all.len() {
            let mut client = rig.websocket();
            let Ok(text) = std::str::from_utf8(&all[..cut]) else {
                let frame = Frame::message(all[..cut].to_vec(), OpCode::Data(Data::Text), true);
                client.socket.send(Message::Frame(frame)).expect("it is taken");
                assert_eq!(client.closed().0, 1007, "cut at {cut}");
                continue;
            };
            client.send(text);
            let Some(count) = replies_to(cut) else {
                assert_eq!(client.closed().0, 3501, "cut at {cut}");
                continue;
            };
            let mut came = Vec::new();
            while replies(&came).len() < count {
                came.extend(client.frame());
            }
            let next = client.ask(r#""ping":{}"#);
            assert!(next["ping"].is_object(), "cut at {cut}: {next}");
        }
    }
}

#[test]
fn a_request_whose_body_comes_in_two_pieces_is_the_same_request_wherever_it_is_split() {
    let all = all();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for cut in 0..=all.len() {
            let mut stream = rig.tcp();
            let length = all.len();
            let head =
                format!("POST /connection/http_stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &all[..cut]].concat()).expect("it is taken");
            stream.write_all(&all[cut..]).expect("it is taken");
            let mut feed = Feed::of(stream);
            let mut came = Vec::new();
            while replies(&came).len() < LINES.len() {
                came.push(feed.line_message());
            }
            assert_eq!(replies(&came), [1, 2, 3, 4, 5], "split at {cut}");
        }
    }
}

#[test]
fn a_body_that_is_cut_inside_of_a_command_ends_the_stream_and_one_between_commands_does_not() {
    let all = all();
    for driver in drivers() {
        let rig = Rig::demo(driver);
        // Bodies are text where they are JSON; what is cut inside of a letter is none.
        let texts = (0..=all.len()).filter_map(|cut| Some((cut, std::str::from_utf8(&all[..cut]).ok()?)));
        for (cut, text) in texts {
            let mut feed = Feed::post(&rig, "/connection/http_stream", text);
            let Some(count) = replies_to(cut) else {
                let rest = feed.rest();
                assert!(rest.contains(r#""code":3501"#), "cut at {cut}: {rest}");
                continue;
            };
            let mut came = Vec::new();
            while replies(&came).len() < count {
                came.push(feed.line_message());
            }
        }
    }
}

#[test]
fn a_request_to_emulation_that_is_cut_anywhere_is_refused_and_commands_that_are_cut_end_their_session() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut feed = Feed::post(&rig, "/connection/http_stream", r#"{"id":1,"connect":{}}"#);
        let connect = feed.line_message()["connect"].clone();
        let request = json!({"node": connect["node"], "session": connect["session"], "data": LINES[1]}).to_string();
        for cut in 0..request.len() {
            assert_eq!(rig.post("/emulation", "", &request[..cut]).0, 400, "cut at {cut}");
        }
        // Nothing of that has reached the session.
        assert_eq!(emulate(&rig, &connect, LINES[1]), 204);
        assert!(feed.line_message()["subscribe"].is_object());
        for cut in 0..LINES[1].len() {
            let mut feed = Feed::post(&rig, "/connection/http_stream", r#"{"id":1,"connect":{}}"#);
            let connect = feed.line_message()["connect"].clone();
            assert_eq!(emulate(&rig, &connect, &LINES[1][..cut]), 204, "cut at {cut}");
            let end = feed.line_message();
            assert_eq!(end["push"]["disconnect"]["code"], 3501, "cut at {cut}: {end}");
        }
    }
}
