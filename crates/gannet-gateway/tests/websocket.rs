//! Sessions over WebSocket, by a client that nobody here wrote.

mod rig;

use std::io::Write as _;

use gannet_gateway::Secret;
use gannet_gateway::settings::{Settings, namespace};
use gannet_gateway::token::Issue;
use gannet_proto::centrifuge::{Command, ConnectRequest, Format, PushEvent, ReplyBody, Request, SubscribeRequest};
use rig::{Rig, drivers};
use serde_json::json;
use tungstenite::client::IntoClientRequest as _;

#[test]
fn what_one_client_publishes_another_receives() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut listeners: Vec<_> = (0..4).map(|_| rig.subscribed("demo:chat")).collect();
        let mut speaker = rig.subscribed("demo:chat");
        let reply = speaker.ask(r#""publish":{"channel":"demo:chat","data":{"text":"hello"}}"#);
        assert_eq!(reply, json!({"id": 3, "publish": {}}));
        for listener in &mut listeners {
            let push = listener.push();
            assert_eq!(push["channel"], "demo:chat");
            assert_eq!(push["pub"]["data"], json!({"text": "hello"}));
            assert_eq!(push["pub"]["offset"], 1);
        }
    }
}

#[test]
fn a_client_that_was_away_receives_what_it_missed() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.connected();
        let reply = client.ask(r#""subscribe":{"channel":"demo:chat"}"#);
        let epoch = reply["subscribe"]["epoch"].as_str().expect("an epoch").to_owned();
        assert_eq!(reply["subscribe"]["recoverable"], true);
        rig.publish("demo:chat", "1");
        assert_eq!(client.push()["pub"]["offset"], 1);
        drop(client);
        for number in 2..=3 {
            rig.publish("demo:chat", &number.to_string());
        }
        let mut client = rig.connected();
        let recover = format!(r#""subscribe":{{"channel":"demo:chat","recover":true,"offset":1,"epoch":"{epoch}"}}"#);
        let reply = client.ask(&recover);
        assert_eq!(reply["subscribe"]["recovered"], true, "{reply}");
        assert_eq!(reply["subscribe"]["was_recovering"], true, "{reply}");
        let missed = reply["subscribe"]["publications"].as_array().expect("publications");
        let missed: Vec<_> = missed.iter().map(|own| (own["data"].as_u64(), own["offset"].as_u64())).collect();
        assert_eq!(missed, [(Some(2), Some(2)), (Some(3), Some(3))]);
        rig.publish("demo:chat", "4");
        assert_eq!(client.push()["pub"], json!({"data": 4, "offset": 4}));
        // Another life of the channel: everything is unknown.
        let mut stranger = rig.connected();
        let reply = stranger.ask(r#""subscribe":{"channel":"demo:chat","recover":true,"offset":1,"epoch":"xyz"}"#);
        assert_eq!(reply["subscribe"]["recovered"], json!(null), "{reply}");
        assert_eq!((&reply["subscribe"]["offset"], &reply["subscribe"]["was_recovering"]), (&json!(4), &json!(true)));
    }
}

#[test]
fn a_position_without_recovery_is_given_where_it_is_allowed_and_asked_for_or_forced() {
    let ask = r#","positioned":true,"recoverable":true"#;
    for driver in drivers() {
        let mut settings = Settings::demo();
        for option in ["allow", "force"] {
            let words = format!(
                "{option}:history_size=10,history_ttl=1m,{option}_positioning,allow_subscribe_for_client,\
                 allow_subscribe_for_anonymous"
            );
            settings.channels.namespaces.push(namespace::parse(&words).expect("a namespace"));
        }
        let rig = Rig::start(driver, settings);
        for (channel, asked, positioned) in
            [("allow:a", "", false), ("allow:a", ask, true), ("force:a", "", true), ("force:a", ask, true)]
        {
            let mut client = rig.connected();
            let offset = rig.publish(channel, "1")["offset"].as_u64().expect("an offset");
            let reply = client.ask(&format!(r#""subscribe":{{"channel":"{channel}"{asked}}}"#));
            let result = reply["subscribe"].as_object().expect("it is subscribed");
            assert!(!result.contains_key("recoverable"), "{channel} {asked}: {reply}");
            assert_eq!(result.contains_key("positioned"), positioned, "{channel} {asked}: {reply}");
            // Without a position there is none to compare with.
            assert_eq!(result.contains_key("epoch"), positioned, "{channel} {asked}: {reply}");
            assert_eq!(result.get("offset"), positioned.then_some(&json!(offset)), "{channel} {asked}: {reply}");
            rig.publish(channel, "2");
            assert_eq!(client.push()["pub"], json!({"data": 2, "offset": offset + 1}));
        }
    }
}

#[test]
fn replies_to_the_commands_of_one_frame_come_in_one_frame() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.websocket();
        client.send(
            "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"demo:a\"}}\n\
             {\"id\":3,\"unsubscribe\":{\"channel\":\"demo:a\"}}\n{\"id\":4,\"subscribe\":{\"channel\":\"demo:a\"}}\n",
        );
        let frame = client.frame();
        let ids: Vec<_> = frame.iter().map(|reply| reply["id"].as_u64()).collect();
        assert_eq!(ids, [Some(1), Some(2), Some(3), Some(4)]);
        assert!(frame[3]["subscribe"].is_object(), "{frame:?}");
        rig.publish("demo:a", "1");
        assert_eq!(client.push()["pub"]["data"], 1);
    }
}

#[test]
fn a_client_in_protobuf_and_one_in_json_hear_each_other() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut json = rig.subscribed("demo:a");
        for path in ["/connection/websocket?format=protobuf", "/connection/websocket?cf_protocol=protobuf"] {
            let mut protobuf = rig.websocket_at(path);
            let mut frame = Vec::new();
            let format = Format::Protobuf;
            format.write_command(&mut frame, &Command { id: 1, request: Request::Connect(ConnectRequest::default()) });
            let subscribe = SubscribeRequest { channel: "demo:a".into(), ..SubscribeRequest::default() };
            format.write_command(&mut frame, &Command { id: 2, request: Request::Subscribe(subscribe) });
            protobuf.send_bytes(&frame);
            let bytes = protobuf.bytes();
            let replies: Vec<_> = format.replies(&bytes).map(|reply| reply.expect("a reply")).collect();
            assert!(matches!(&replies[0].body, ReplyBody::Connect(result) if result.ping == 600 && result.pong));
            assert!(matches!(&replies[1].body, ReplyBody::Subscribe(result) if result.recoverable), "{replies:?}");
            json.command(r#""publish":{"channel":"demo:a","data":{"a":[1,2]}}"#);
            let bytes = protobuf.bytes();
            let push = format.replies(&bytes).next().expect("one").expect("a push");
            let ReplyBody::Push(push) = push.body else { panic!("{push:?}") };
            let PushEvent::Publication(publication) = push.event else { panic!("{push:?}") };
            assert_eq!((&*push.channel, publication.data), ("demo:a", &br#"{"a":[1,2]}"#[..]));
        }
    }
}

#[test]
fn a_shutdown_closes_with_3001() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.subscribed("demo:a");
        let mut fresh = rig.websocket();
        rig.running.remote().stop();
        assert_eq!(client.closed(), (3001, "shutdown".to_owned()));
        assert_eq!(fresh.closed(), (3001, "shutdown".to_owned()));
        drop((client, fresh));
        rig.running.join().expect("it ends");
    }
}

#[test]
fn a_shutdown_sends_nobody_what_another_client_was_told() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut clients: Vec<_> = (0..8).map(|_| rig.connected()).collect();
        rig.running.remote().stop();
        for client in &mut clients {
            let next = client.socket.read().expect("a frame");
            assert!(next.is_close(), "{next:?}");
        }
        drop(clients);
        rig.running.join().expect("it ends");
    }
}

#[test]
fn what_breaks_the_protocol_is_closed_with_its_code() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for first in [
            "{}",
            "",
            "null",
            "{\"id\":1}",
            "{\"id\":1,\"connect\":null}",
            "{\"connect\":{}}",
            "{\"id\":1,\"ping\":{}}",
            "[",
            "{\"id\":1,\"subscribe\":{\"channel\":\"demo:a\"}}",
        ] {
            let mut client = rig.websocket();
            client.send(first);
            assert_eq!(client.closed(), (3501, "bad request".to_owned()), "{first:?}");
        }
        for (second, code) in [
            (r#"{"id":2,"connect":{}}"#, 3501),
            ("{}", 3501),
            (r#"{"subscribe":{"channel":"demo:a"}}"#, 3501),
            (r#"{"id":2,"subscribe":{}}"#, 3501),
            (r#"{"id":2,"publish":{"data":{}}}"#, 3501),
            (r#"{"send":{"data":{}}}"#, 3508),
        ] {
            let mut client = rig.connected();
            client.send(second);
            assert_eq!(client.closed().0, code, "{second:?}");
        }
        let mut client = rig.websocket();
        let reply_then_close = "{\"id\":1,\"connect\":{\"token\":\"x\"}}";
        client.send(reply_then_close);
        assert_eq!(client.closed().0, 3500);
    }
}

/// A gateway whose reactors have room for one delivery each, so that a burst is lost in part.
fn with_small_inboxes(driver: gannet::DriverChoice) -> Rig {
    let mut settings = Settings::demo();
    settings.channels.limits.inbox_items = 1;
    settings.channels.namespaces[0].options.join_leave = false;
    settings.channels.namespaces[0].options.history_size = 10_000;
    settings.tokens.secrets = vec![Secret::from(SECRET)];
    Rig::start(driver, settings)
}

const SECRET: &str = "a secret that is long enough";

#[test]
fn a_subscription_that_missed_something_ends_with_2500_and_recovers() {
    for driver in drivers() {
        let rig = with_small_inboxes(driver);
        let mut client = rig.connected();
        let reply = client.ask(r#""subscribe":{"channel":"demo:a"}"#);
        let epoch = reply["subscribe"]["epoch"].as_str().expect("an epoch").to_owned();
        let mut seen = 0;
        for _ in 0..3 {
            let top = rig.burst("demo:a");
            loop {
                let push = client.push();
                assert_eq!(push["channel"], "demo:a");
                if push["unsubscribe"].is_object() {
                    assert_eq!(push["unsubscribe"]["code"], 2500, "{push}");
                    break;
                }
                assert_eq!(push["pub"]["offset"], seen + 1, "{push}");
                seen += 1;
            }
            assert!(seen < top, "nothing was missed");
            let recover =
                format!(r#""subscribe":{{"channel":"demo:a","recover":true,"offset":{seen},"epoch":"{epoch}"}}"#);
            let reply = client.ask(&recover);
            assert_eq!(reply["subscribe"]["recovered"], true, "{reply}");
            let missed = reply["subscribe"]["publications"].as_array().expect("publications");
            let offsets: Vec<_> = missed.iter().map(|own| own["offset"].as_u64().expect("an offset")).collect();
            assert_eq!(offsets, (seen + 1..=top).collect::<Vec<_>>());
            seen = top;
        }
        rig.publish("demo:a", "2");
        assert_eq!(client.push()["pub"], json!({"data": 2, "offset": seen + 1}));
        let stats = rig.gateway.space().stats();
        assert_eq!(stats.namespaces[0].gaps, 3);
    }
}

#[test]
fn a_server_side_subscription_that_missed_something_closes_with_3010_once() {
    for driver in drivers() {
        let rig = with_small_inboxes(driver);
        let issue = Issue { sub: "ann".to_owned(), channels: vec!["demo:a".to_owned()], ..Issue::default() };
        let token = issue.sign(&Secret::from(SECRET)).expect("a token");
        let mut client = rig.websocket();
        let reply = client.ask(&format!(r#""connect":{{"token":"{token}"}}"#));
        let epoch = reply["connect"]["subs"]["demo:a"]["epoch"].as_str().expect("an epoch").to_owned();
        let mut seen = 0;
        for _ in 0..3 {
            let top = rig.burst("demo:a");
            let close = loop {
                match client.socket.read().expect("a frame") {
                    tungstenite::Message::Text(text) => {
                        let push: serde_json::Value = serde_json::from_str(&text).expect("a push");
                        assert_eq!(push["push"]["pub"]["offset"], seen + 1, "{push}");
                        seen += 1;
                    }
                    tungstenite::Message::Close(close) => break close.expect("a code"),
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!((u16::from(close.code), close.reason.as_str()), (3010, "insufficient state"));
            assert!(seen < top, "nothing was missed");
            client = rig.websocket();
            let subs = format!(r#""demo:a":{{"recover":true,"offset":{seen},"epoch":"{epoch}"}}"#);
            let reply = client.ask(&format!(r#""connect":{{"token":"{token}","subs":{{{subs}}}}}"#));
            let result = &reply["connect"]["subs"]["demo:a"];
            assert_eq!(result["recovered"], true, "{reply}");
            assert_eq!(result["publications"].as_array().map(Vec::len), usize::try_from(top - seen).ok(), "{reply}");
            seen = top;
        }
        // It goes on after the last reconnect, and nobody was closed but for a burst.
        for offset in seen + 1..seen + 20 {
            rig.publish("demo:a", "2");
            assert_eq!(client.push()["pub"]["offset"], offset);
        }
        assert_eq!(rig.gateway.space().stats().namespaces[0].gaps, 3);
    }
}

#[test]
fn a_client_reads_300_publications_at_most() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        settings.channels.namespaces[0].options.history_size = 1_000;
        let rig = Rig::start(driver, settings);
        let mut client = rig.subscribed("demo:a");
        let channels = vec!["demo:a"; 310];
        rig.api("broadcast", &json!({"channels": channels, "data": 1}).to_string());
        for limit in ["-1", "301", "310", "2147483647"] {
            let reply = client.ask(&format!(r#""history":{{"channel":"demo:a","limit":{limit}}}"#));
            let publications = reply["history"]["publications"].as_array().expect("publications");
            assert_eq!((publications.len(), &reply["history"]["offset"]), (300, &json!(310)), "limit {limit}");
            assert_eq!(publications[299]["offset"], 300, "limit {limit}");
        }
    }
}

#[test]
fn compact_channels_and_deltas_are_declined_by_leaving_them_out() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.connected();
        let reply = client.ask(r#""subscribe":{"channel":"demo:a","flag":1,"delta":"fossil"}"#);
        let result = reply["subscribe"].as_object().expect("it is subscribed");
        assert!(!result.contains_key("id") && !result.contains_key("delta"), "{reply}");
        for number in 1..=2 {
            rig.publish("demo:a", r#"{"text":"the same"}"#);
            let push = client.push();
            let expected = json!({"channel": "demo:a", "pub": {"data": {"text": "the same"}, "offset": number}});
            assert_eq!(push, expected, "neither a number for the channel nor a difference");
        }
    }
}

#[test]
fn dictionaries_and_filters_on_tags_are_declined_by_leaving_them_out() {
    let connect = r#""connect":{"dict":"orders","profile":"small","flag":255}"#;
    let filter = r#"{"op":"","key":"size","cmp":"eq","val":"large"}"#;
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.websocket();
        let reply = client.ask(connect);
        let result = reply["connect"].as_object().expect("it is connected");
        assert!(!result.contains_key("dict") && !result.contains_key("flag"), "{reply}");
        let reply = client.ask(&format!(r#""subscribe":{{"channel":"demo:a","tf":{filter}}}"#));
        assert_eq!(reply["subscribe"]["recoverable"], true, "{reply}");
        // It gets what the filter would have kept from it.
        for tags in [json!({"size": "small"}), json!({"size": "large"})] {
            rig.api("publish", &json!({"channel": "demo:a", "data": 1, "tags": tags}).to_string());
            assert_eq!(client.push()["pub"]["tags"], tags);
        }
    }
}

#[test]
fn who_asks_for_pings_as_frames_is_told_of_pings_of_the_protocol() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.websocket_at("/connection/websocket?cf_ws_frame_ping_pong=true");
        let reply = client.ask(r#""connect":{}"#);
        assert_eq!((&reply["connect"]["ping"], &reply["connect"]["pong"]), (&json!(600), &json!(true)));
    }
}

#[test]
fn a_client_that_offers_compression_gets_none_and_is_closed_with_1002_if_it_compresses_all_the_same() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut request = format!("ws://{}/connection/websocket", rig.http).into_client_request().expect("a URL");
        let offer = "permessage-deflate; client_max_window_bits, permessage-deflate";
        request.headers_mut().insert("Sec-WebSocket-Extensions", offer.parse().expect("a value"));
        let (mut socket, response) = tungstenite::client(request, rig.tcp()).expect("a handshake");
        assert_eq!(response.headers().get("Sec-WebSocket-Extensions"), None);
        // Messages that are not compressed are taken as ever.
        socket.send(tungstenite::Message::text(r#"{"id":1,"connect":{}}"#)).expect("it is taken");
        assert!(socket.read().expect("a reply").to_text().expect("text").contains("connect"));
        // RSV1, a text of two bytes, and a mask of zeros.
        socket.get_mut().write_all(b"\xc1\x82\0\0\0\0{}").expect("it is taken");
        let close = loop {
            match socket.read().expect("a frame") {
                tungstenite::Message::Close(close) => break close.expect("a code"),
                other => assert!(other.is_text(), "{other:?}"),
            }
        };
        assert_eq!(u16::from(close.code), 1002);
    }
}

#[test]
fn operators_see_whose_client_it_is_and_a_kick_closes_it_with_3503() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.subscribed("demo:chat");
        let mut other = rig.subscribed("demo:other");
        let mut stream = rig.tcp();
        let head = "GET /events?channel=demo:chat HTTP/1.1\r\nHost: localhost\r\n\r\n";
        std::io::Write::write_all(&mut stream, head.as_bytes()).expect("it is taken");
        let mut begun = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut begun).expect("a response");
        assert_eq!(&begun, b"HTTP/1.1 200");

        let mut select = gannet::Selection::default();
        select.channel = Some("demo:chat".into());
        let (sender, pages) = std::sync::mpsc::channel();
        let done = move |page| sender.send(page).expect("the test waits");
        rig.running.remote().connections(gannet::Query::new(gannet::Sort::Age, select.clone()), done).expect("it runs");
        let page: gannet::Page = pages.recv_timeout(rig::PATIENCE).expect("a page");
        assert_eq!(page.selected, 2, "{page:?}");
        let mut protocols: Vec<_> = page.connections.iter().filter_map(|one| one.description.protocol_name()).collect();
        protocols.sort_unstable();
        assert_eq!(protocols, ["events", "websocket json"]);
        for one in &page.connections {
            assert_eq!(one.description.channels(), ["demo:chat"]);
            assert!(one.description.client_name().is_some_and(|id| id.len() == 36), "{one:?}");
        }

        let (sender, kicks) = std::sync::mpsc::channel();
        let done = move |kicked| sender.send(kicked).expect("the test waits");
        rig.running.remote().kick(select, done).expect("it runs");
        let kicked: gannet::Kicked = kicks.recv_timeout(rig::PATIENCE).expect("an answer");
        assert_eq!(kicked.connections, 2);
        assert_eq!(client.closed(), (3503, "force disconnect".to_owned()));
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut stream, &mut rest).expect("the stream ends whole");
        assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
        rig.publish("demo:other", "1");
        assert_eq!(other.push()["pub"]["data"], 1);
    }
}
