//! Sessions that an application decides about, over HTTP.

mod rig;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use gannet_gateway::settings::{EventKind, Settings, namespace};
use rig::feed::{Feed, emulate};
use rig::{Rig, drivers};
use serde_json::{Value, json};

/// An application that answers each event with what a function says; gives its URL, and what it was asked.
fn application(answer: fn(&str, &Value) -> Option<String>) -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (asked, events) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let asked = asked.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.expect("a connection"));
                loop {
                    let (mut path, mut length) = (String::new(), 0);
                    loop {
                        let mut line = String::new();
                        if stream.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        if path.is_empty() {
                            line.split(' ').nth(1).expect("a path").clone_into(&mut path);
                        }
                        let line = line.to_ascii_lowercase();
                        if let Some(value) = line.strip_prefix("content-length:") {
                            length = value.trim().parse().expect("a length");
                        }
                        if line == "\r\n" {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).expect("a body");
                    let event: Value = serde_json::from_slice(&body).expect("JSON");
                    let reply = answer(&path, &event);
                    let _ = asked.send((path, event));
                    // One that does not answer closes.
                    let Some(reply) = reply else { return };
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", reply.len());
                    stream.get_mut().write_all((head + &reply).as_bytes()).expect("it is taken");
                }
            });
        }
    });
    (url, events)
}

fn settings(url: &str, events: &[EventKind]) -> Settings {
    let mut settings = Settings::default();
    for event in events {
        let endpoint = format!("{url}/{event}").parse().expect("a URL");
        settings.application.endpoints.push((*event, endpoint));
    }
    let decides = events.contains(&EventKind::Subscribe);
    let words = if decides { "room:presence,subscribe_proxy_enabled,publish_proxy_enabled" } else { "room:presence" };
    settings.channels.namespaces.push(namespace::parse(words).expect("a namespace"));
    settings
}

#[test]
fn an_application_decides_who_connects_subscribes_publishes_and_answers_calls() {
    fn answer(path: &str, event: &Value) -> Option<String> {
        let answer = match path {
            "/connect" => {
                json!({"result": {"user": "ann", "info": {"name": "Ann"}, "data": {"hello": 1}, "meta": {"m": 1}}})
            }
            "/subscribe" if event["channel"] == "room:closed" => json!({"error": {"code": 403, "message": "no"}}),
            "/subscribe" => json!({"result": {"data": {"topic": "t"}}}),
            "/publish" if event["data"] == "bad" => json!({"disconnect": {"code": 4501, "reason": "language"}}),
            "/publish" => json!({"result": {"data": {"by": event["user"]}}}),
            "/rpc" if event["method"] == "broken" => return Some("garbage".to_owned()),
            "/rpc" if event["method"] == "down" => return None,
            _ => json!({"result": {"data": [event["method"], event["meta"]]}}),
        };
        Some(answer.to_string())
    }
    let all = [EventKind::Connect, EventKind::Subscribe, EventKind::Publish, EventKind::Rpc];
    for driver in drivers() {
        let (url, events) = application(answer);
        let rig = Rig::start(driver, settings(&url, &all));
        let mut client = rig.websocket();
        // What follows waits until the application has answered, each in its turn.
        client.send(
            "{\"id\":1,\"connect\":{\"name\":\"test\",\"data\":{\"d\":1}}}\n{\"id\":2,\"subscribe\":{\"channel\":\"room:closed\"}}\n\
             {\"id\":3,\"subscribe\":{\"channel\":\"room:a\"}}\n{\"id\":4,\"publish\":{\"channel\":\"room:a\",\"data\":1}}\n\
             {\"id\":5,\"rpc\":{\"method\":\"m\",\"data\":{}}}",
        );
        let mut replies = Vec::new();
        while replies.len() < 6 {
            replies.extend(client.frame());
        }
        let reply = |id: u64| replies.iter().find(|reply| reply["id"] == id).expect("a reply").clone();
        assert_eq!(reply(1)["connect"]["data"], json!({"hello": 1}));
        assert_eq!(reply(2)["error"], json!({"code": 403, "message": "no"}));
        assert_eq!(reply(3)["subscribe"]["data"], json!({"topic": "t"}));
        assert_eq!(reply(5)["rpc"]["data"], json!(["m", {"m": 1}]));
        let push = replies.iter().find(|reply| reply["push"].is_object()).expect("a push");
        assert_eq!(push["push"]["pub"]["data"], json!({"by": "ann"}));
        assert_eq!(push["push"]["pub"]["info"]["conn_info"], json!({"name": "Ann"}));
        let (path, event) = events.recv().expect("the first event");
        assert_eq!((&*path, &event["transport"], &event["data"]), ("/connect", &json!("websocket"), &json!({"d": 1})));
        // Without an answer to use, the error is temporary, and the session goes on.
        for method in ["broken", "down"] {
            let reply = client.ask(&format!(r#""rpc":{{"method":"{method}","data":{{}}}}"#));
            assert_eq!(
                (&reply["error"]["code"], &reply["error"]["temporary"]),
                (&json!(100), &json!(true)),
                "{method}"
            );
        }
        client.send(r#"{"id":90,"publish":{"channel":"room:a","data":"bad"}}"#);
        assert_eq!(client.closed(), (4501, "language".to_owned()));
    }
}

#[test]
fn a_client_that_goes_while_the_application_thinks_leaves_nothing_behind() {
    fn answer(_: &str, _: &Value) -> Option<String> {
        Some(json!({"result": {"user": "ann"}}).to_string())
    }
    for driver in drivers() {
        let (url, events) = application(answer);
        let rig = Rig::start(driver, settings(&url, &[EventKind::Connect]));
        for _ in 0..20 {
            let mut client = rig.websocket();
            client.send(r#"{"id":1,"connect":{}}"#);
            drop(client);
            events.recv().expect("an event");
        }
        let mut last = rig.websocket();
        assert!(last.ask(r#""connect":{}"#)["connect"].is_object());
        gannet_testing::until("one client", || rig.gateway.space().stats().clients == 1);
    }
}

#[test]
fn a_client_over_lines_waits_for_the_application_too() {
    fn answer(_: &str, _: &Value) -> Option<String> {
        Some(json!({"result": {"user": "ann"}}).to_string())
    }
    for driver in drivers() {
        let (url, _events) = application(answer);
        let rig = Rig::start(driver, settings(&url, &[EventKind::Connect]));
        let mut stream = rig.tcp();
        let body = "{\"id\":1,\"connect\":{}}";
        let head = format!(
            "POST /connection/http_stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).expect("it is taken");
        let mut all = String::new();
        while !all.contains("\"client\"") {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).expect("a reply");
            assert!(count > 0, "{all}");
            all += std::str::from_utf8(&buffer[..count]).expect("text");
        }
        assert!(!all.contains("disconnect"), "{all}");
    }
}

#[test]
fn commands_that_come_by_requests_wait_for_the_application_each_in_its_turn() {
    fn answer(path: &str, event: &Value) -> Option<String> {
        let answer = match path {
            "/subscribe" if event["channel"] == "room:closed" => json!({"error": {"code": 403, "message": "no"}}),
            "/subscribe" => json!({"result": {"data": {"topic": "t"}}}),
            "/publish" if event["data"] == "bad" => json!({"disconnect": {"code": 4501, "reason": "language"}}),
            "/publish" => json!({"result": {}}),
            _ => json!({"result": {"data": event["method"]}}),
        };
        Some(answer.to_string())
    }
    for driver in drivers() {
        let (url, events) = application(answer);
        let asked = [EventKind::Subscribe, EventKind::Publish, EventKind::Rpc];
        let mut settings = settings(&url, &asked);
        settings.client.anonymous = true;
        let rig = Rig::start(driver, settings);
        for path in ["/connection/http_stream", "/connection/sse"] {
            let mut feed = Feed::post(&rig, path, "{\"id\":1,\"connect\":{}}");
            let next = |feed: &mut Feed| if path.ends_with("sse") { feed.message() } else { feed.line_message() };
            let connect = next(&mut feed)["connect"].clone();
            // Each alone, and several at once; the last request comes while the application may still be asked.
            for (commands, ids) in [
                ("{\"id\":2,\"subscribe\":{\"channel\":\"room:closed\"}}", vec![2]),
                (
                    "{\"id\":3,\"subscribe\":{\"channel\":\"room:a\"}}\n{\"id\":4,\"rpc\":{\"method\":\"m\",\"data\":{}}}",
                    vec![3, 4],
                ),
                ("{\"id\":5,\"publish\":{\"channel\":\"room:a\",\"data\":1}}", vec![]),
                ("{\"id\":6,\"presence_stats\":{\"channel\":\"room:a\"}}", vec![5, 6]),
            ] {
                assert_eq!(emulate(&rig, &connect, commands), 204);
                for id in ids {
                    let reply = loop {
                        let message = next(&mut feed);
                        if message["id"].is_u64() {
                            break message;
                        }
                        assert_eq!(message["push"]["pub"]["data"], 1);
                    };
                    assert_eq!(reply["id"], id, "{reply}");
                    match id {
                        2 => assert_eq!(reply["error"]["code"], 403),
                        3 => assert_eq!(reply["subscribe"]["data"], json!({"topic": "t"})),
                        4 => assert_eq!(reply["rpc"]["data"], "m"),
                        5 => assert!(reply["publish"].is_object(), "{reply}"),
                        _ => {}
                    }
                }
            }
            let bad = "{\"id\":7,\"publish\":{\"channel\":\"room:a\",\"data\":\"bad\"}}";
            assert_eq!(emulate(&rig, &connect, bad), 204);
            assert!(feed.rest().contains("4501"), "the end says why");
            let paths: Vec<_> = events.try_iter().map(|(path, _)| path).collect();
            assert_eq!(paths, ["/subscribe", "/subscribe", "/rpc", "/publish", "/publish"]);
        }
        gannet_testing::until("nobody is left", || rig.gateway.space().stats().clients == 0);
    }
}

#[test]
fn what_expires_soon_is_asked_about_in_time_wherever_the_command_came_from() {
    fn answer(path: &str, event: &Value) -> Option<String> {
        let soon = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() + 2;
        let answer = match (path, event["channel"].as_str()) {
            ("/connect", _) => json!({"result": {"user": "ann"}}),
            ("/subscribe", _) => json!({"result": {"expire_at": soon}}),
            _ => json!({"result": {"expired": true}}),
        };
        Some(answer.to_string())
    }
    for driver in drivers() {
        let (url, events) = application(answer);
        let asked = [EventKind::Connect, EventKind::Subscribe, EventKind::Publish, EventKind::SubRefresh];
        let mut settings = settings(&url, &asked);
        let words = "brief:subscribe_proxy_enabled,sub_refresh_proxy_enabled";
        settings.channels.namespaces.push(namespace::parse(words).expect("a namespace"));
        // So that no ping is the reason.
        settings.client.ping = 10 * rig::PATIENCE;
        let rig = Rig::start(driver, settings);
        let mut lines = Feed::post(&rig, "/connection/http_stream", "{\"id\":1,\"connect\":{}}");
        let connect = lines.line_message()["connect"].clone();
        assert_eq!(emulate(&rig, &connect, "{\"id\":2,\"subscribe\":{\"channel\":\"brief:a\"}}"), 204);
        assert!(lines.line_message()["subscribe"].is_object());
        let mut socket = rig.websocket();
        assert!(socket.ask(r#""connect":{}"#)["connect"].is_object());
        assert!(socket.ask(r#""subscribe":{"channel":"brief:b"}"#)["subscribe"].is_object());
        let unsubscribed = json!({"code": 2501, "reason": "subscription expired"});
        assert_eq!(lines.line_message()["push"]["unsubscribe"], unsubscribed);
        assert_eq!(socket.push()["unsubscribe"], unsubscribed);
        let paths: Vec<_> = events.try_iter().map(|(path, _)| path).collect();
        assert_eq!(paths.iter().filter(|path| *path == "/sub_refresh").count(), 2, "{paths:?}");
    }
}

#[test]
fn where_no_request_more_may_be_under_way_clients_get_the_temporary_error_and_go_on() {
    fn answer(_: &str, _: &Value) -> Option<String> {
        Some(json!({"result": {"data": 1}}).to_string())
    }
    for driver in drivers() {
        let (url, _events) = application(answer);
        let mut settings = settings(&url, &[EventKind::Rpc]);
        settings.client.anonymous = true;
        settings.application.concurrent = 4;
        let rig = Rig::start(driver, settings);
        let mut clients: Vec<_> = (0..50).map(|_| rig.connected()).collect();
        let mut replies = [0, 0];
        for _ in 0..5 {
            for client in &mut clients {
                client.command(r#""rpc":{"method":"m","data":{}}"#);
            }
            for client in &mut clients {
                let reply = client.frame().remove(0);
                replies[usize::from(reply["rpc"]["data"] == 1)] += 1;
                assert!(reply["rpc"]["data"] == 1 || reply["error"]["code"] == 100, "{reply}");
            }
            // A request may be over a moment after its reply has left.
            gannet_testing::until("the end of all requests", || rig.gateway.application().stats().running == 0);
        }
        assert!(replies[1] >= 20, "{replies:?}");
    }
}

#[test]
fn an_application_that_never_answers_holds_up_nobody_else() {
    // Nobody accepts: the kernel takes connections and requests, and there is no answer.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    for driver in drivers() {
        let mut settings = settings(&url, &[EventKind::Rpc]);
        let words = "open:presence,allow_subscribe_for_client,allow_subscribe_for_anonymous,allow_presence_for_client,\
                     allow_presence_for_anonymous";
        settings.channels.namespaces.push(namespace::parse(words).expect("a namespace"));
        settings.client.anonymous = true;
        settings.application.timeout = std::time::Duration::from_millis(300);
        settings.application.concurrent = 4;
        let rig = Rig::start(driver, settings);
        let mut callers: Vec<_> = (0..4).map(|_| rig.subscribed("open:a")).collect();
        let mut others: Vec<_> = (0..4).map(|_| rig.subscribed("open:a")).collect();
        let stats = || rig.gateway.application().stats();
        let ended = || stats().calls.iter().map(|(_, _, count)| count).sum::<u64>();
        let mut published = 0;
        // On a machine with much else to do, the time may be over before the others were asked.
        gannet_testing::until("the others to be answered while all requests wait", || {
            let before = ended();
            for caller in &mut callers {
                caller.command(r#""rpc":{"method":"m","data":{}}"#);
            }
            gannet_testing::until("all requests to be under way", || stats().running == 4 || ended() > before);
            published += 1;
            rig.publish("open:a", &published.to_string());
            for other in &mut others {
                assert_eq!(other.push()["pub"]["data"], published);
                assert!(other.ask(r#""ping":{}"#)["ping"].is_object());
                let stats = other.ask(r#""presence_stats":{"channel":"open:a"}"#);
                assert_eq!(stats["presence_stats"]["num_clients"], 8, "{stats}");
            }
            let in_time = stats().running == 4 && ended() == before;
            for caller in &mut callers {
                // What is published comes to them, too, while they wait.
                let mut messages = caller.frame();
                while messages.len() < 2 {
                    messages.extend(caller.frame());
                }
                let push = messages.iter().find(|message| message["push"].is_object()).expect("a push");
                assert_eq!(push["push"]["pub"]["data"], published);
                let reply = messages.iter().find(|message| message["id"].is_u64()).expect("a reply");
                assert_eq!(reply["error"]["code"], 100, "{reply}");
                assert_eq!(reply["error"]["temporary"], true, "{reply}");
            }
            in_time
        });
    }
}

#[test]
fn bytes_of_the_application_that_are_no_json_close_a_client_that_speaks_json() {
    fn answer(path: &str, event: &Value) -> Option<String> {
        // Two bytes that are no text.
        let bytes = json!({"result": {"user": "ann", "b64data": "//8="}});
        let answer = match path {
            "/connect" if event["data"] == "bytes" => bytes,
            "/connect" => json!({"result": {"user": "ann"}}),
            _ => bytes,
        };
        Some(answer.to_string())
    }
    for driver in drivers() {
        let (url, _events) = application(answer);
        let asked = [EventKind::Connect, EventKind::Subscribe, EventKind::Publish, EventKind::Rpc];
        let rig = Rig::start(driver, settings(&url, &asked));
        let mut client = rig.websocket();
        client.command(r#""connect":{"data":"bytes"}"#);
        assert_eq!(client.closed().0, 3506);
        for command in [r#""subscribe":{"channel":"room:a"}"#, r#""rpc":{"method":"m","data":{}}"#] {
            let mut client = rig.connected();
            client.command(command);
            assert_eq!(client.closed().0, 3506, "{command}");
        }
        let mut client = rig.websocket();
        let id = client.ask(r#""connect":{}"#)["connect"]["client"].clone();
        let order = json!({"client": id, "channel": "room:b", "b64data": "//8="});
        assert_eq!(rig.api("subscribe", &order.to_string()), json!({"result": {}}));
        assert_eq!(client.push(), json!({"channel": "room:b", "subscribe": {}}));
        gannet_testing::until("one client", || rig.gateway.space().stats().clients == 1);
    }
}
