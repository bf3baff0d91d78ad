//! Sessions over responses that go on, with commands by `/emulation`; and those that only listen.

mod rig;

use gannet_gateway::Secret;
use gannet_gateway::origin::Origins;
use gannet_gateway::settings::Settings;
use gannet_gateway::token::Issue;
use rig::feed::{Feed, emulate};
use rig::{Rig, drivers};
use serde_json::json;

#[test]
fn a_session_over_events_takes_its_commands_by_requests() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        // Several, so that requests come to other reactors than the sessions'.
        for _ in 0..4 {
            let mut feed =
                Feed::get(&rig, "/connection/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D", "");
            assert!(feed.head.starts_with("HTTP/1.1 200 "), "{}", feed.head);
            assert!(feed.head.contains("text/event-stream"), "{}", feed.head);
            assert!(feed.chunk() && feed.rest.starts_with("\r\n"), "{:?}", feed.rest);
            let connect = feed.message()["connect"].clone();
            assert_eq!(emulate(&rig, &connect, "{\"id\":2,\"subscribe\":{\"channel\":\"demo:a\"}}"), 204);
            assert_eq!(feed.message()["id"], 2);
            let commands = "{\"id\":3,\"publish\":{\"channel\":\"demo:a\",\"data\":5}}\n{\"id\":4,\"unsubscribe\":{\"channel\":\"demo:b\"}}";
            assert_eq!(emulate(&rig, &connect, commands), 204);
            let mut messages = [feed.message(), feed.message(), feed.message()];
            messages.sort_by_key(|message| message["id"].as_u64());
            assert_eq!(messages[0]["push"]["pub"]["data"], 5);
            assert_eq!((&messages[1]["id"], &messages[2]["id"]), (&json!(3), &json!(4)));
            let other = json!({"node": "elsewhere", "session": connect["session"]});
            assert_eq!(emulate(&rig, &other, "{}"), 404);
        }
    }
}

#[test]
fn a_session_over_lines_ends_with_a_push_that_says_why() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut feed = Feed::post(&rig, "/connection/http_stream", "{\"id\":1,\"connect\":{}}");
        let connect = feed.line_message()["connect"].clone();
        assert!(connect["session"].is_string(), "{connect}");
        assert_eq!(emulate(&rig, &connect, "{\"id\":2,\"connect\":{}}"), 204);
        let push = feed.line_message();
        assert_eq!(push["push"]["disconnect"], json!({"code": 3501, "reason": "bad request"}));
        assert_eq!(feed.rest(), "");
    }
}

#[test]
fn a_secret_is_needed_to_speak_for_a_session() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut feed = Feed::post(&rig, "/connection/http_stream", "{\"id\":1,\"connect\":{}}");
        let connect = feed.line_message()["connect"].clone();
        let session = connect["session"].as_str().expect("a session");
        let (public, secret) = session.rsplit_once('.').expect("a secret");
        let forged = format!("{public}.{}", secret.chars().rev().collect::<String>());
        assert_eq!(
            emulate(&rig, &json!({"node": connect["node"], "session": forged}), "{\"id\":9,\"connect\":{}}"),
            204
        );
        let without = format!("{public}.0");
        assert_eq!(
            emulate(&rig, &json!({"node": connect["node"], "session": without}), "{\"id\":9,\"connect\":{}}"),
            204
        );
        assert_eq!(emulate(&rig, &connect, "{\"id\":2,\"subscribe\":{\"channel\":\"demo:a\"}}"), 204);
        assert_eq!(feed.line_message()["id"], 2);
    }
}

#[test]
fn one_way_transports_bring_bare_pushes() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut lines = Feed::post(&rig, "/connection/uni_http_stream", "{}");
        let connect = lines.line_message()["connect"].clone();
        assert!(connect["client"].is_string() && connect["node"].is_null(), "{connect}");
        // The name of its session is for the server API, not for commands.
        let session = connect["session"].as_str().expect("a session");
        assert_eq!(
            emulate(&rig, &json!({"node": rig.gateway.node(), "session": session}), "{\"id\":1,\"ping\":{}}"),
            204
        );
        let order = format!(r#"{{"session":"{session}","user":"","client":{},"channel":"demo:a"}}"#, connect["client"]);
        assert_eq!(rig.api("subscribe", &order)["result"], json!({}));
        assert_eq!(lines.line_message()["channel"], "demo:a");
        let mut events = Feed::get(&rig, "/connection/uni_sse", "");
        assert!(events.message()["connect"]["client"].is_string());
        let mut socket = rig.websocket_at("/connection/uni_websocket");
        socket.send("{}");
        let connect = &socket.frame()[0]["connect"];
        let client = connect["client"].as_str().expect("a client").to_owned();
        assert_eq!(
            rig.api("subscribe", &format!(r#"{{"client":"{client}","channel":"demo:a"}}"#))["result"],
            json!({})
        );
        let subscribed = &socket.frame()[0];
        assert_eq!((&subscribed["channel"], subscribed["subscribe"].is_object()), (&json!("demo:a"), true));
        rig.publish("demo:a", "7");
        assert_eq!(socket.frame()[0], json!({"channel": "demo:a", "pub": {"data": 7, "offset": 1}}));
        socket.send("{}");
        assert_eq!(socket.frame()[0], json!({"disconnect": {"code": 3501, "reason": "bad request"}}));
        assert_eq!(socket.closed().0, 3501);
        let mut null = rig.websocket_at("/connection/uni_websocket");
        null.send("null");
        assert_eq!(null.closed().0, 3501);
    }
}

#[test]
fn an_event_source_recovers_by_the_id_of_its_last_event() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut feed = Feed::get(&rig, "/events?channel=demo:a", "");
        assert!(feed.head.starts_with("HTTP/1.1 200 "), "{}", feed.head);
        let first = feed.event();
        let id = first.strip_prefix("retry: 2000\nid: ").unwrap_or_else(|| panic!("{first:?}")).to_owned();
        rig.publish("demo:a", "{\"n\":1}");
        let event = feed.event();
        let (epoch, _) = id.split_once(':').expect("a position");
        assert_eq!(event, format!("id: {epoch}:1\ndata: {{\"n\":1}}"));
        drop(feed);
        rig.publish("demo:a", "2");
        rig.publish("demo:a", "3");
        let mut feed = Feed::get(&rig, "/events?channel=demo:a", &format!("Last-Event-ID: {epoch}:1\r\n"));
        assert_eq!(feed.event(), format!("retry: 2000\nid: {epoch}:2\ndata: 2"));
        assert_eq!(feed.event(), format!("id: {epoch}:3\ndata: 3"));
        rig.publish("demo:a", "4");
        assert_eq!(feed.event(), format!("id: {epoch}:4\ndata: 4"));
        let mut feed = Feed::get(&rig, "/events?channel=demo:a", "Last-Event-ID: other:1\r\n");
        assert_eq!(feed.event(), "retry: 2000\nevent: unrecovered\ndata: {}");
        assert_eq!(feed.event(), format!("id: {epoch}:4"));
    }
}

#[test]
fn an_event_source_that_missed_something_is_closed_and_recovers_by_its_id() {
    for driver in drivers() {
        let mut settings = gannet_gateway::settings::Settings::demo();
        settings.channels.limits.inbox_items = 1;
        settings.channels.namespaces[0].options.history_size = 10_000;
        settings.channels.namespaces[0].options.join_leave = false;
        let rig = Rig::start(driver, settings);
        let mut feed = Feed::get(&rig, "/events?channel=demo:a", "");
        let first = feed.event();
        let (epoch, _) = first.strip_prefix("retry: 2000\nid: ").expect("an id").split_once(':').expect("a position");
        let top = rig.burst("demo:a");
        let ids = |events: &str| -> Vec<u64> {
            let ids =
                events.lines().filter_map(|line| line.strip_prefix("id: ")?.strip_prefix(epoch)?.strip_prefix(':'));
            ids.map(|id| id.parse().expect("an offset")).collect()
        };
        let seen = ids(&feed.rest());
        let last = seen.last().copied().unwrap_or(0);
        assert_eq!(seen, (1..=last).collect::<Vec<_>>());
        assert!(last < top, "nothing was missed");
        let mut feed = Feed::get(&rig, "/events?channel=demo:a", &format!("Last-Event-ID: {epoch}:{last}\r\n"));
        for offset in last + 1..=top {
            assert_eq!(ids(&feed.event()), [offset]);
        }
        rig.publish("demo:a", "2");
        assert_eq!(feed.event(), format!("id: {epoch}:{}\ndata: 2", top + 1));
    }
}

#[test]
fn what_was_published_within_the_delay_comes_as_an_event_each_in_order() {
    for driver in drivers() {
        let mut settings = gannet_gateway::settings::Settings::demo();
        settings.channels.namespaces[0].options.coalesce = Some(std::time::Duration::from_millis(500));
        settings.channels.namespaces[0].options.join_leave = false;
        let rig = Rig::start(driver, settings);
        let mut events = Feed::get(&rig, "/events?channel=demo:a", "");
        let first = events.event();
        let (epoch, _) = first.strip_prefix("retry: 2000\nid: ").expect("an id").split_once(':').expect("a position");
        let mut session = Feed::get(&rig, "/connection/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D", "");
        let connect = session.message()["connect"].clone();
        assert_eq!(emulate(&rig, &connect, "{\"id\":2,\"subscribe\":{\"channel\":\"demo:a\"}}"), 204);
        assert_eq!(session.message()["id"], 2);
        rig.api("broadcast", r#"{"channels":["demo:a","demo:a","demo:a"],"data":1}"#);
        assert!(events.chunk(), "it goes on");
        for offset in 1..=3 {
            assert!(!events.rest.is_empty(), "offset {offset} is not in the chunk");
            assert_eq!(events.event(), format!("id: {epoch}:{offset}\ndata: 1"));
            assert_eq!(session.message()["push"]["pub"]["offset"], offset);
        }
    }
}

#[test]
fn an_event_source_gets_a_comment_in_place_of_a_ping_and_does_not_answer() {
    for driver in drivers() {
        let mut settings = gannet_gateway::settings::Settings::demo();
        settings.client.ping = std::time::Duration::from_millis(50);
        settings.client.pong = std::time::Duration::from_millis(20);
        let rig = Rig::start(driver, settings);
        let mut feed = Feed::get(&rig, "/events?channel=demo:a", "");
        assert!(feed.event().starts_with("retry: 2000\n"));
        for _ in 0..5 {
            assert_eq!(feed.event(), ":");
        }
    }
}

#[test]
fn an_event_source_is_refused_before_anything_else_is_said() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let get = |path: &str, fields: &str| {
            rig.request(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"))
        };
        let (status, head, _) = get("/events?channel=demo:a", "Origin: http://localhost:1\r\nLast-Event-ID: x\r\n");
        assert_eq!(status, 400);
        assert!(!head.contains("Access-Control"), "{head}");
        assert_eq!(get("/events", "").0, 400);
        assert_eq!(get("/events?channel=nowhere:a", "").0, 404);
        assert_eq!(get("/events?channel=$demo:a", "").0, 403);
        assert_eq!(get("/events?channel=demo:a", "Origin: https://evil.example\r\n").0, 403);
        assert_eq!(get("/events?channel=demo:a&token=x", "").0, 401);
    }
}

#[test]
fn a_page_of_an_allowed_origin_may_read_the_answer_and_another_may_not() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let options = |path: &str, origin: &str| {
            let fields = format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n");
            rig.request(&format!("OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"))
        };
        for path in ["/emulation", "/connection/http_stream", "/connection/sse"] {
            let (status, head, _) = options(path, "http://localhost:3000");
            assert_eq!(status, 204, "{head}");
            assert!(head.contains("Access-Control-Allow-Origin: http://localhost:3000"), "{head}");
            assert_eq!(options(path, "https://evil.example").0, 403);
        }
    }
}

#[test]
fn a_shutdown_ends_streams_with_a_push_and_whole() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut feed = Feed::post(&rig, "/connection/http_stream", "{\"id\":1,\"connect\":{}}");
        feed.line_message();
        rig.running.remote().stop();
        assert_eq!(feed.line_message()["push"]["disconnect"]["code"], 3001);
        assert_eq!(feed.rest(), "");
        drop(feed);
        rig.running.join().expect("it ends");
    }
}

#[test]
fn a_shutdown_tells_listeners_to_events_when_to_come_back() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut feed = Feed::post(&rig, "/connection/sse", "{\"id\":1,\"connect\":{}}");
        feed.message();
        rig.running.remote().stop();
        let rest = feed.rest();
        let (hint, push) = rest.split_once("\r\n\r\n").expect("a hint, and then what the protocol says");
        let wait: u64 = hint.strip_prefix("retry: ").and_then(|wait| wait.parse().ok()).expect("a hint");
        assert!((1_000..5_000).contains(&wait), "{wait} ms");
        assert!(push.contains("3001"), "{push}");
    }
}

#[test]
fn a_page_that_leads_its_own_name_to_this_machine_reads_and_changes_nothing() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let status = |request: &str, host: &str| {
            rig.request(&format!(
                "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
            ))
            .0
        };
        let port = rig.http.port();
        for request in [
            "GET /events?channel=demo:a",
            "GET /connection/sse",
            "POST /connection/http_stream",
            "GET /connection/uni_sse",
            "GET /connection/websocket",
            "GET /connection/uni_websocket",
            "POST /emulation",
            "OPTIONS /emulation",
            "POST /api/info",
        ] {
            assert_eq!(status(request, &format!("evil.example:{port}")), 403, "{request}");
        }
        for host in ["127.0.0.1", "localhost", "[::1]", &format!("127.0.0.1:{port}")] {
            assert_eq!(status("POST /api/info", host), 200, "{host}");
        }
        let mut settings = Settings::demo();
        settings.api.keys = vec!["secret key".into()];
        settings.client.checks_host = false;
        settings.origins = Origins::default();
        let rig = Rig::start(driver, settings);
        let request =
            "POST /api/info HTTP/1.1\r\nHost: push.example\r\nConnection: close\r\nX-API-Key: secret key\r\n\r\n";
        assert_eq!(rig.request(request).0, 200, "a key tells programs from pages");
        let head = Feed::open(&rig, "GET /events?channel=demo:a HTTP/1.1\r\nHost: push.example\r\n\r\n").head;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
}

#[test]
fn an_empty_body_is_no_request_to_connect() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for path in ["uni_sse", "uni_http_stream", "sse", "http_stream"] {
            let rest = Feed::post(&rig, &format!("/connection/{path}"), "").rest();
            assert!(rest.contains("3501") && !rest.contains("\"client\""), "{path}: {rest}");
        }
    }
}

#[test]
fn an_event_source_with_a_token_is_its_user_and_one_whose_token_has_expired_gets_401() {
    let secret = Secret::from("a secret that is long enough");
    let token = |exp: u64| {
        let issue = Issue { sub: "ann".to_owned(), exp: Some(exp), ..Issue::default() };
        issue.sign(&secret).expect("a token")
    };
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let (valid, expired) = (token(now + 3_600), token(now - 60));
    for driver in drivers() {
        let mut settings = Settings::demo();
        settings.client.anonymous = false;
        settings.tokens.secrets = vec![secret.clone()];
        let rig = Rig::start(driver, settings);
        for (channel, query, field) in [
            ("demo:query", format!("&token={valid}"), String::new()),
            ("demo:header", String::new(), format!("Authorization: Bearer {valid}\r\n")),
        ] {
            let mut feed = Feed::get(&rig, &format!("/events?channel={channel}{query}"), &field);
            assert!(feed.head.starts_with("HTTP/1.1 200"), "{}", feed.head);
            feed.event();
            let presence =
                rig.api("presence", &json!({ "channel": channel }).to_string())["result"]["presence"].clone();
            let users: Vec<_> = presence.as_object().expect("a map").values().map(|info| &info["user"]).collect();
            assert_eq!(users, ["ann"]);
        }
        for (query, field) in [
            (format!("&token={expired}"), String::new()),
            (String::new(), format!("Authorization: Bearer {expired}\r\n")),
            (String::new(), String::new()),
        ] {
            let request = format!(
                "GET /events?channel=demo:a{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{field}\r\n"
            );
            let (status, head, body) = rig.request(&request);
            assert_eq!(status, 401, "{body}");
            assert!(!head.contains("event-stream") && !body.contains(&expired), "{head}: {body}");
        }
    }
}
