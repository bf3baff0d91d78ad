//! The server API as its callers know it: where results and errors are, and with which status.

mod rig;

use gannet_channels::{Publish, Time};
use gannet_gateway::settings::{Settings, namespace};
use rig::feed::Feed;
use rig::{Rig, Socket, drivers};
use serde_json::{Value, json};
use tungstenite::Bytes;

#[test]
fn a_batch_is_answered_with_replies_at_the_top() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let body = r#"{"commands":[
            {"publish":{"channel":"demo:a","data":null}},
            {"publish":{"channel":"nowhere:a","data":1}},
            {"presence_stats":{"channel":"demo:a"}},
            {"publish":null}, null, {"batch":{"commands":[]}}
        ]}"#;
        let answer = rig.api("batch", body);
        let replies = answer["replies"].as_array().expect("replies");
        assert!(answer.get("result").is_none() && replies.len() == 6, "{answer}");
        assert_eq!(replies[0]["publish"]["offset"], 1, "{answer}");
        assert_eq!(replies[1]["error"]["code"], 102, "{answer}");
        assert_eq!(replies[2]["presence_stats"], json!({ "num_clients": 0, "num_users": 0 }), "{answer}");
        assert!(replies[3..].iter().all(|reply| reply["error"]["code"] == 107), "{answer}");
    }
}

#[test]
fn null_is_published_as_other_values_are_and_no_data_is_not() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut socket = rig.subscribed("demo:null");
        rig.publish("demo:null", "null");
        let push = socket.push();
        assert_eq!(push["pub"], json!({ "data": null, "offset": 1 }), "{push}");
        let refused = rig.api("publish", r#"{"channel":"demo:null"}"#);
        assert_eq!(refused["error"]["code"], 107, "{refused}");
    }
}

#[test]
fn a_channel_whose_name_looks_like_a_pattern_is_one_channel_and_a_line_break_makes_no_name() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut clients = ["demo:*", "demo:>"].map(|channel| (channel, rig.subscribed(channel)));
        for other in ["demo:a", "demo:a:b", "demo:"] {
            rig.publish(other, "0");
        }
        for (channel, client) in &mut clients {
            rig.publish(channel, "1");
            let push = client.push();
            assert_eq!((&push["channel"], &push["pub"]), (&json!(channel), &json!({"data": 1, "offset": 1})), "{push}");
            let parameters = json!({ "channel": channel }).to_string();
            assert_eq!(rig.api("presence_stats", &parameters)["result"]["num_clients"], 1);
        }
        for method in ["publish", "history", "history_remove", "presence", "presence_stats", "subscribe", "unsubscribe"]
        {
            for name in ["demo:\n", "demo:a\r\nb", "demo:\u{0}", ""] {
                let body = json!({"channel": name, "data": 1, "user": "ann"}).to_string();
                assert_eq!(rig.api(method, &body)["error"]["code"], 107, "{method} {name:?}");
            }
        }
        let body = json!({"channels": ["demo:\n", "demo:*"], "data": 2}).to_string();
        let responses = rig.api("broadcast", &body)["result"]["responses"].clone();
        assert_eq!((&responses[0]["error"]["code"], &responses[1]["result"]["offset"]), (&json!(107), &json!(2)));
    }
}

#[test]
fn an_unknown_method_and_errors_by_status_are_told_as_callers_expect() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let (status, _, body) = rig.post("/api/nothing", "", "{}");
        let told: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &told["error"]["code"]), (404, &json!(104)), "{body}");
        let by_status = "X-Centrifugo-Error-Mode: transport\r\n";
        for (method, body, status, code) in [
            ("publish", r#"{"channel":"nowhere:x","data":1}"#, 404, 102),
            ("publish", r#"{"channel":"demo:x"}"#, 400, 107),
            ("nothing", "{}", 404, 104),
        ] {
            let (answered, _, text) = rig.post(&format!("/api/{method}"), by_status, body);
            let told: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!((answered, &told["code"]), (status, &json!(code)), "{method} {body}: {text}");
        }
    }
}

#[test]
fn a_subscription_that_recovers_has_a_position() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let reply = rig.connected().ask(r#""subscribe":{"channel":"demo:positioned"}"#);
        let told = &reply["subscribe"];
        assert!(told["recoverable"] == true && told["positioned"] == true, "{reply}");
    }
}

#[test]
fn a_batch_carries_out_no_further_call_once_its_answer_is_large() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let large = format!("\"{}\"", "x".repeat(60 << 10));
        for _ in 0..100 {
            rig.publish("demo:big", &large);
        }
        let mut commands = vec![json!({"history": {"channel": "demo:big", "limit": -1}}); 50];
        commands.push(json!({"publish": {"channel": "demo:big", "data": 1}}));
        let (status, _, body) = rig.post("/api/batch", "", &json!({ "commands": commands }).to_string());
        assert_eq!(status, 200);
        assert!(body.len() < 24 << 20, "{} bytes", body.len());
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let replies = answer["replies"].as_array().expect("replies");
        assert_eq!(replies.len(), 51);
        // Each history has 6 MB.
        let done = replies.iter().take_while(|reply| reply["history"]["offset"] == 100).count();
        assert_eq!(done, 3);
        for reply in &replies[done..] {
            assert_eq!(reply["error"]["code"], 106, "{reply}");
        }
        assert_eq!(rig.api("history", r#"{"channel":"demo:big","limit":0}"#)["result"]["offset"], 100);
    }
}

#[test]
fn a_history_brings_sixteen_mebibytes_of_data_at_most() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        let parsed = namespace::parse("vast:history_size=400,history_ttl=5m").expect("a namespace");
        settings.channels.namespaces.push(parsed);
        let rig = Rig::start(driver, settings);
        let large = Bytes::from(format!("\"{}\"", "x".repeat(64_000)));
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
        let now = Time(u64::try_from(now).expect("milliseconds"));
        for _ in 0..300 {
            rig.gateway.space().publish("vast:a", Publish::new(large.clone()), now).expect("it is taken");
        }
        let history = rig.api("history", r#"{"channel":"vast:a","limit":-1}"#)["result"].clone();
        let fitting = (16 << 20) / large.len();
        assert_eq!(history["publications"].as_array().expect("publications").len(), fitting);
        assert_eq!(history["offset"], 300, "which tells that there are more");
    }
}

#[test]
fn a_node_is_described_with_its_metrics_and_its_process() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let _client = rig.subscribed("demo:a");
        rig.publish("demo:a", "1");
        let node = rig.api("info", "{}")["result"]["nodes"][0].clone();
        for key in ["uid", "name", "version", "num_clients", "num_users", "num_subs", "num_channels", "uptime"] {
            assert!(!node[key].is_null(), "{key}: {node}");
        }
        let items = &node["metrics"]["items"];
        assert_eq!(items[r#"gannet_push_publications_total{namespace="demo"}"#], 1.0, "{items}");
        assert_eq!(items[r#"gannet_push_clients{transport="websocket",format="json"}"#], 1.0, "{items}");
        assert!(node["process"]["rss"].as_u64().expect("bytes") > 1 << 20, "{node}");
        assert!(node["process"]["cpu"].as_f64().expect("percent") > 0.0, "{node}");
    }
}

#[test]
fn the_server_subscribes_a_client_from_where_it_was() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let first = rig.publish("demo:a", "1");
        for data in ["2", "3"] {
            rig.publish("demo:a", data);
        }
        for (since, expected) in [
            (json!({"offset": 1, "epoch": first["epoch"]}), vec![2, 3]),
            (json!({"offset": 3, "epoch": first["epoch"]}), vec![]),
            (json!({"offset": 1, "epoch": "other"}), vec![]),
        ] {
            let mut client = rig.websocket();
            let id = client.ask(r#""connect":{}"#)["connect"]["client"].clone();
            let order = json!({"client": id, "channel": "demo:a", "recover_since": since});
            assert_eq!(rig.api("subscribe", &order.to_string()), json!({"result": {}}));
            let mut pushes = Vec::new();
            while pushes.len() <= expected.len() {
                pushes.extend(client.frame());
            }
            let subscribed = &pushes[0]["push"]["subscribe"];
            assert!(subscribed["recoverable"] == true && subscribed["positioned"] == true, "{pushes:?}");
            let data: Vec<_> = pushes[1..].iter().map(|push| push["push"]["pub"]["data"].clone()).collect();
            assert_eq!(data, expected, "{since}");
        }
    }
}

#[test]
fn an_order_for_a_session_reaches_only_the_client_that_has_it() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut feeds: Vec<_> =
            (0..3).map(|_| Feed::post(&rig, "/connection/http_stream", "{\"id\":1,\"connect\":{}}")).collect();
        let sessions: Vec<_> = feeds.iter_mut().map(|feed| feed.line_message()["connect"]["session"].clone()).collect();
        let order = |method: &str, session: &Value, more: Value| {
            let mut body = json!({"user": "", "session": session});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            assert_eq!(rig.api(method, &body.to_string()), json!({"result": {}}), "{method}");
        };
        order("subscribe", &sessions[1], json!({"channel": "demo:a"}));
        assert_eq!(feeds[1].line_message()["push"]["channel"], "demo:a");
        assert_eq!(rig.api("presence_stats", r#"{"channel":"demo:a"}"#)["result"]["num_clients"], 1);
        order("disconnect", &json!("not a session"), json!({}));
        order("refresh", &sessions[0], json!({"expired": true}));
        assert_eq!(feeds[0].line_message()["push"]["disconnect"]["code"], 3005);
        order("unsubscribe", &sessions[1], json!({"channel": "demo:a"}));
        assert_eq!(feeds[1].line_message()["push"]["unsubscribe"]["code"], 2000);
        order("disconnect", &sessions[2], json!({}));
        assert_eq!(feeds[2].line_message()["push"]["disconnect"]["code"], 3503);
        assert_eq!(rig.api("info", "{}")["result"]["nodes"][0]["num_clients"], 1);
    }
}

/// A client that has connected, and its name.
fn connected(rig: &Rig) -> (Socket, Value) {
    let mut client = rig.websocket();
    let id = client.ask(r#""connect":{}"#)["connect"]["client"].clone();
    (client, id)
}

/// Gives an order about clients, which is carried out after the answer.
fn order(rig: &Rig, method: &str, body: &Value) {
    assert_eq!(rig.api(method, &body.to_string()), json!({"result": {}}), "{method}");
}

fn in_seconds(seconds: u64) -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() + seconds
}

#[test]
fn an_order_to_subscribe_says_what_others_see_and_what_is_different_for_this_client() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let (mut client, id) = connected(&rig);
        order(&rig, "subscribe", &json!({"client": id, "channel": "demo:a", "info": {"role": "host"}}));
        assert!(client.push()["subscribe"].is_object());
        let presence = rig.api("presence", r#"{"channel":"demo:a"}"#)["result"]["presence"].clone();
        assert_eq!(presence[id.as_str().expect("a text")]["chan_info"], json!({"role": "host"}), "{presence}");

        let hidden = json!({"presence": {"value": false}, "join_leave": {"value": false}});
        order(&rig, "subscribe", &json!({"client": id, "channel": "demo:b", "override": hidden}));
        assert_eq!(client.push()["channel"], "demo:b");
        let stats = rig.api("presence_stats", r#"{"channel":"demo:b"}"#)["result"].clone();
        assert_eq!(stats, json!({"num_clients": 0, "num_users": 0}));
        rig.publish("demo:b", "1");
        assert_eq!(client.push()["pub"]["data"], 1, "it is subscribed, and nothing told of a join");
    }
}

#[test]
fn a_subscription_that_an_order_has_made_expires_when_the_order_says() {
    std::thread::scope(|scope| {
        for driver in drivers() {
            scope.spawn(move || {
                let mut settings = Settings::demo();
                settings.channels.namespaces[0].options.join_leave = false;
                settings.client.refresh_grace = std::time::Duration::ZERO;
                let rig = Rig::start(driver, settings);
                let (mut socket, id) = connected(&rig);
                let mut stream = Feed::post(&rig, "/connection/http_stream", "{\"id\":1,\"connect\":{}}");
                let other = stream.line_message()["connect"]["client"].clone();
                for client in [&id, &other] {
                    // Two of them: an end that comes later puts off no earlier one.
                    for (channel, after) in [("demo:later", 3_600), ("demo:soon", 2)] {
                        let expire_at = in_seconds(after);
                        order(
                            &rig,
                            "subscribe",
                            &json!({"client": client, "channel": channel, "expire_at": expire_at}),
                        );
                    }
                }
                for channel in ["demo:later", "demo:soon"] {
                    assert_eq!(socket.push()["channel"], channel);
                    assert_eq!(stream.line_message()["push"]["channel"], channel);
                }
                assert_eq!(socket.closed(), (3006, "subscription expired".to_owned()));
                assert_eq!(stream.line_message()["push"]["disconnect"]["code"], 3006);
                assert_eq!(stream.rest(), "");
            });
        }
    });
}

#[test]
fn an_order_to_refresh_says_when_the_connection_expires_and_what_others_see_from_now_on() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let (mut client, id) = connected(&rig);
        assert!(client.ask(r#""subscribe":{"channel":"demo:a"}"#)["subscribe"].is_object());
        let refresh = json!({"client": id, "expire_at": in_seconds(100), "info": {"name": "Ann"}});
        order(&rig, "refresh", &refresh);
        let refreshed = loop {
            let push = client.push();
            if push["refresh"].is_object() {
                break push["refresh"].clone();
            }
            assert!(push["join"].is_object(), "{push}");
        };
        assert_eq!(refreshed["expires"], true);
        assert!((98..=101).contains(&refreshed["ttl"].as_u64().expect("seconds")), "{refreshed}");
        let presence = rig.api("presence", r#"{"channel":"demo:a"}"#)["result"]["presence"].clone();
        assert_eq!(presence[id.as_str().expect("a text")]["conn_info"], json!({"name": "Ann"}), "{presence}");
        order(&rig, "refresh", &json!({"client": id, "expire_at": 0}));
        assert_eq!(client.push()["refresh"], json!({}), "it does not expire any more");
    }
}
