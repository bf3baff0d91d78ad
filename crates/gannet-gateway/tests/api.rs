//! The server API, by requests over real sockets, and what its orders do to clients.

mod rig;

use gannet_gateway::Secret;
use gannet_gateway::settings::{Settings, namespace};
use rig::{Rig, drivers};
use serde_json::json;

#[test]
fn what_the_application_publishes_is_delivered_and_kept() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.subscribed("demo:a");
        let body = r#"{"channel":"demo:a","data":{"n":1},"tags":{"k":"v"},"idempotency_key":"one"}"#;
        let first = rig.api("publish", body);
        assert_eq!(first["result"]["offset"], 1);
        assert_eq!(rig.api("publish", body), first, "the key is known");
        rig.api("publish", r#"{"channel":"demo:a","b64data":"eyJuIjoyfQ==","skip_history":true}"#);
        assert_eq!(client.push()["pub"], json!({"data": {"n": 1}, "offset": 1, "tags": {"k": "v"}}));
        assert_eq!(client.push()["pub"], json!({"data": {"n": 2}}));
        let responses =
            rig.api("broadcast", r#"{"channels":["demo:a","nowhere:b"],"data":3}"#)["result"]["responses"].clone();
        assert_eq!((&responses[0]["result"]["offset"], &responses[1]["error"]["code"]), (&json!(2), &json!(102)));
        let history = rig.api("history", r#"{"channel":"demo:a","limit":9,"reverse":true}"#)["result"].clone();
        assert_eq!((&history["publications"][0]["data"], &history["offset"]), (&json!(3), &json!(2)));
        assert_eq!(history["publications"][1], json!({"data": {"n": 1}, "offset": 1, "tags": {"k": "v"}}));
        assert_eq!(rig.api("history_remove", r#"{"channel":"demo:a"}"#), json!({"result": {}}));
        let history = rig.api("history", r#"{"channel":"demo:a","limit":9}"#)["result"].clone();
        assert_eq!((&history["publications"], &history["offset"]), (&json!([]), &json!(2)));
    }
}

#[test]
fn the_api_has_a_listener_of_its_own_and_can_be_taken_off_that_of_the_clients() {
    let info = "POST /api/info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let upgrade = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.subscribed("demo:a");
        for path in ["/", "/admin", "/events?channel=demo:a", "/connection/uni_sse"] {
            let get = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            assert_eq!(Rig::request_to(rig.own_api, &get).0, 404, "{path}");
        }
        let upgrade = upgrade.replace("Connection: Upgrade", "Connection: Upgrade, close");
        assert_eq!(Rig::request_to(rig.own_api, &upgrade).0, 404);
        let statuses = || [rig.http, rig.own_api].map(|address| Rig::request_to(address, info).0);
        assert_eq!(statuses(), [200, 200]);

        let mut settings = Settings::demo();
        settings.api.own_listener = true;
        rig.gateway.prepare(settings).expect("settings that work").commit();
        assert_eq!(statuses(), [404, 200]);
        let body = r#"{"channel":"demo:a","data":1}"#;
        let publish = info.replace("info", "publish").replace("Content-Length: 2\r\n\r\n{}", "");
        let publish = format!("{publish}Content-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(Rig::request_to(rig.http, &publish).0, 404);
        assert_eq!(Rig::request_to(rig.own_api, &publish).0, 200);
        assert_eq!(client.push()["pub"], json!({"data": 1, "offset": 1}), "that of the own listener, and no other");
    }
}

#[test]
fn clients_and_channels_can_be_looked_at() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let _clients = [rig.subscribed("demo:a"), rig.subscribed("demo:a"), rig.subscribed("demo:b")];
        let presence = rig.api("presence", r#"{"channel":"demo:a"}"#)["result"]["presence"].clone();
        assert_eq!(presence.as_object().expect("a map").len(), 2);
        let stats = rig.api("presence_stats", r#"{"channel":"demo:a"}"#)["result"].clone();
        assert_eq!(stats, json!({"num_clients": 2, "num_users": 1}));
        let channels = rig.api("channels", r#"{"pattern":"*:a"}"#)["result"]["channels"].clone();
        assert_eq!(channels, json!({"demo:a": {"num_clients": 2}}));
        let info = rig.api("info", "")["result"]["nodes"][0].clone();
        assert_eq!((&info["num_clients"], &info["num_subs"]), (&json!(3), &json!(3)));
    }
}

#[test]
fn orders_for_clients_are_carried_out_in_order_with_publications() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut client = rig.websocket();
        let reply = client.ask(r#""connect":{}"#);
        let id = reply["connect"]["client"].as_str().expect("an id").to_owned();
        rig.publish("demo:a", "1");
        let order = |method: &str, more: &str| rig.api(method, &format!(r#"{{"client":"{id}"{more}}}"#));
        assert_eq!(order("subscribe", r#","channel":"demo:a","data":{"x":1}"#), json!({"result": {}}));
        let push = client.push();
        assert_eq!((&push["channel"], &push["subscribe"]["data"]), (&json!("demo:a"), &json!({"x": 1})));
        rig.publish("demo:a", "2");
        assert_eq!(order("unsubscribe", r#","channel":"demo:a""#), json!({"result": {}}));
        rig.publish("demo:a", "3");
        assert_eq!(client.push()["pub"]["data"], 2);
        assert_eq!(client.push()["unsubscribe"], json!({"code": 2000, "reason": "server unsubscribe"}));
        assert_eq!(order("disconnect", r#","disconnect":{"code":4100,"reason":"bye"}"#), json!({"result": {}}));
        assert_eq!(client.closed(), (4100, "bye".to_owned()));
        // Those of a user; the anonymous ones have the empty one.
        let (mut one, mut other) = (rig.connected(), rig.websocket());
        let spared = other.ask(r#""connect":{}"#)["connect"]["client"].as_str().expect("an id").to_owned();
        rig.api("disconnect", &format!(r#"{{"user":"","whitelist":["{spared}"]}}"#));
        assert_eq!(one.closed(), (3503, "force disconnect".to_owned()));
        assert!(other.ask(r#""subscribe":{"channel":"demo:a"}"#)["subscribe"].is_object());
    }
}

#[test]
fn errors_have_codes_or_statuses() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        for (method, body, code, status) in [
            ("publish", r#"{"channel":"nowhere:a","data":1}"#, 102, 404),
            ("publish", r#"{"channel":"demo:a"}"#, 107, 400),
            ("publish", r#"{"data":1}"#, 107, 400),
            ("publish", r#"{"channel":"demo:a","b64data":"?"}"#, 107, 400),
            ("history", r#"{"channel":"demo:a","limit":1,"since":{"offset":1,"epoch":"x"}}"#, 112, 416),
            ("disconnect", r#"{"client":"x"}"#, 107, 400),
            ("disconnect", "{}", 107, 400),
            ("refresh", r#"{"expired":true}"#, 107, 400),
            ("subscribe", r#"{"channel":"demo:a"}"#, 107, 400),
            ("unsubscribe", r#"{"channel":"demo:a","user":null}"#, 107, 400),
            ("disconnect", r#"{"user":"a","disconnect":{"code":1000,"reason":""}}"#, 107, 400),
            ("rpc", r#"{"method":"a"}"#, 104, 404),
        ] {
            rig.publish("demo:a", "0");
            assert_eq!(rig.api(method, body)["error"]["code"], code, "{method} {body}");
            let fields = "X-Centrifugo-Error-Mode: transport\r\n";
            assert_eq!(rig.post(&format!("/api/{method}"), fields, body).0, status, "{method} {body}");
        }
        for body in ["{", "null", "[]", r#"{"channel":1}"#] {
            assert_eq!(rig.post("/api/publish", "", body).0, 400, "{body}");
        }
        let batch = r#"{"commands":[{"publish":{"channel":"demo:a","data":1}},null,{"publish":null},{"batch":{}},{"presence_stats":{"channel":"demo:a"}}]}"#;
        let replies = rig.api("batch", batch)["replies"].clone();
        assert!(replies[0]["publish"]["offset"].is_u64(), "{replies}");
        for bad in 1..=3 {
            assert_eq!(replies[bad]["error"]["code"], 107, "{replies}");
        }
        assert_eq!(replies[4]["presence_stats"], json!({"num_clients": 0, "num_users": 0}));
    }
}

#[test]
fn with_a_key_only_callers_that_have_it_are_answered() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        settings.api.keys = vec![Secret::from("secret key")];
        let rig = Rig::start(driver, settings);
        let status = |path: &str, fields: &str| rig.post(path, fields, "{}").0;
        assert_eq!(status("/api/info", ""), 401);
        assert_eq!(status("/api/info", "X-API-Key: wrong\r\n"), 401);
        assert_eq!(status("/api/info", "Authorization: Bearer secret key\r\n"), 401);
        assert_eq!(status("/api/info", "X-API-Key: secret key\r\n"), 200);
        assert_eq!(status("/api/info", "Authorization: apikey secret key\r\n"), 200);
        assert_eq!(status("/api/info?api_key=secret%20key", ""), 200);
    }
}

#[test]
fn without_a_key_pages_of_other_sites_are_refused() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let body = r#"{"channel":"demo:a","data":1}"#;
        assert_eq!(rig.post("/api/publish", "Origin: https://evil.example\r\n", body).0, 403);
        assert_eq!(rig.post("/api/publish", "Origin: http://localhost:3000\r\n", body).0, 200);
    }
}

#[test]
fn a_client_that_does_not_read_is_closed_with_3008_and_the_others_go_on() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut slow = rig.subscribed("demo:a");
        let mut other = rig.subscribed("demo:a");
        let large = format!("\"{}\"", "x".repeat(60 << 10));
        let mut sent = 0;
        while rig.gateway.space().subscribers("demo:a").expect("a channel") == 2 {
            sent += 1;
            assert!(sent < 1_000, "nobody is too slow");
            rig.publish("demo:a", &large);
            assert_eq!(other.push()["pub"]["offset"], sent);
        }
        assert_eq!(slow.closed(), (3008, "slow".to_owned()));
        rig.publish("demo:a", "1");
        assert_eq!(other.push()["pub"]["data"], 1);
    }
}

#[test]
fn a_slow_client_gets_the_latest_publication_where_the_namespace_says_so() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        let parsed =
            namespace::parse("latest:slow=latest_only,allow_subscribe_for_client,allow_subscribe_for_anonymous");
        settings.channels.namespaces.push(parsed.expect("a namespace"));
        let rig = Rig::start(driver, settings);
        let mut slow = rig.subscribed("latest:a");
        let mut other = rig.subscribed("latest:a");
        for number in 0..300 {
            rig.publish("latest:a", &format!("[{number},\"{}\"]", "x".repeat(60 << 10)));
            assert_eq!(other.push()["pub"]["data"][0], number);
        }
        let mut seen = Vec::new();
        while seen.last() != Some(&299) {
            seen.push(slow.push()["pub"]["data"][0].as_u64().expect("a number"));
        }
        assert!(seen.is_sorted() && seen.len() < 300, "{seen:?}");
    }
}

#[test]
fn what_was_published_within_the_delay_comes_in_one_frame_in_order() {
    use gannet_proto::centrifuge::{Command, ConnectRequest, Format, PushEvent, ReplyBody, Request, SubscribeRequest};
    use serde_json::Value;

    for driver in drivers() {
        let mut settings = Settings::demo();
        let parsed = namespace::parse("joined:coalesce=500ms,allow_subscribe_for_client,allow_subscribe_for_anonymous");
        settings.channels.namespaces.push(parsed.expect("a namespace"));
        let rig = Rig::start(driver, settings);
        let mut json = rig.subscribed("joined:a");
        let mut one_way = rig.websocket_at("/connection/uni_websocket");
        one_way.send("{}");
        let client = one_way.frame()[0]["connect"]["client"].as_str().expect("a client").to_owned();
        rig.api("subscribe", &format!(r#"{{"client":"{client}","channel":"joined:a"}}"#));
        assert!(one_way.frame()[0]["subscribe"].is_object());
        let mut protobuf = rig.websocket_at("/connection/websocket?format=protobuf");
        let mut frame = Vec::new();
        let format = Format::Protobuf;
        format.write_command(&mut frame, &Command { id: 1, request: Request::Connect(ConnectRequest::default()) });
        let subscribe = SubscribeRequest { channel: "joined:a".into(), ..SubscribeRequest::default() };
        format.write_command(&mut frame, &Command { id: 2, request: Request::Subscribe(subscribe) });
        protobuf.send_bytes(&frame);
        assert_eq!(format.replies(&protobuf.bytes()).count(), 2);

        // One call of the API, so that they come together.
        rig.api("broadcast", r#"{"channels":["joined:a","joined:a","joined:a"],"data":[1]}"#);
        rig.api(
            "batch",
            r#"{"commands":[{"publish":{"channel":"joined:a","data":2}},{"publish":{"channel":"joined:a","data":3}}]}"#,
        );
        let expected = [json!([1]), json!([1]), json!([1]), json!(2), json!(3)];
        // More than one frame only if this machine took half a second between the two calls.
        let collect = |mut next: Box<dyn FnMut() -> Vec<Value> + '_>| {
            let (mut all, mut most) = (Vec::new(), 0);
            while all.len() < expected.len() {
                let data = next();
                most = most.max(data.len());
                all.extend(data);
            }
            (all, most)
        };
        let pushes = |frame: Vec<Value>, at: &str| -> Vec<Value> {
            frame.iter().map(|push| push.pointer(at).unwrap_or_else(|| panic!("{push}")).clone()).collect()
        };
        let of_json = collect(Box::new(|| pushes(json.frame(), "/push/pub/data")));
        let of_one_way = collect(Box::new(|| pushes(one_way.frame(), "/pub/data")));
        let of_protobuf = collect(Box::new(|| {
            let bytes = protobuf.bytes();
            let replies = format.replies(&bytes).map(|reply| {
                let ReplyBody::Push(push) = reply.expect("a reply").body else { panic!("no push") };
                let PushEvent::Publication(publication) = push.event else { panic!("{push:?}") };
                serde_json::from_slice(publication.data).expect("JSON")
            });
            replies.collect()
        }));
        for (name, (all, most)) in [("json", of_json), ("one way", of_one_way), ("protobuf", of_protobuf)] {
            assert_eq!(all, expected, "{name} on {driver:?}");
            assert!(most >= 3, "{name} on {driver:?}: {most} in one frame");
        }
        let stats = rig.gateway.space().stats();
        let joined = stats.namespaces.iter().find(|own| own.name == "joined").expect("the namespace");
        assert_eq!(joined.publications, 5);
    }
}
