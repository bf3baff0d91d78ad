//! What `/metrics` says after a small scenario.

mod rig;

use std::io::{Read as _, Write as _};

use gannet_channels::{Publish, Time};
use gannet_gateway::settings::Settings;
use gannet_testing::until;
use rig::{Rig, drivers};

/// The value of a metric, with its labels.
fn value(rig: &Rig, metric: &str) -> Option<f64> {
    let mut text = String::new();
    rig.gateway.write_metrics(&mut text).expect("a text");
    let line = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}

/// Waits until a metric has a value. A reactor counts after the client has what it counts.
#[track_caller]
fn awaited(rig: &Rig, metric: &str, expected: f64) {
    until(&format!("{metric} to be {expected}"), || value(rig, metric) == Some(expected));
}

#[test]
fn after_a_scenario_the_metrics_have_its_numbers() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        settings.channels.namespaces[0].options.join_leave = false;
        let rig = Rig::start(driver, settings);
        let mut first = rig.subscribed("demo:a");
        let mut second = rig.subscribed("demo:a");
        let mut only_listens = rig.websocket_at("/connection/uni_websocket");
        only_listens.send("{}");
        assert!(only_listens.frame()[0]["connect"].is_object());
        awaited(&rig, r#"gannet_push_clients{transport="websocket",format="json"}"#, 2.0);
        awaited(&rig, r#"gannet_push_clients{transport="uni_websocket",format="json"}"#, 1.0);
        awaited(&rig, r#"gannet_push_clients{transport="websocket",format="protobuf"}"#, 0.0);
        awaited(&rig, r#"gannet_push_subscriptions{namespace="demo"}"#, 2.0);
        awaited(&rig, "gannet_push_channels", 1.0);

        let epoch = rig.publish("demo:a", "12345")["epoch"].as_str().expect("an epoch").to_owned();
        rig.publish("demo:a", "123");
        for _ in 0..2 {
            first.push();
            second.push();
        }
        awaited(&rig, r#"gannet_push_publications_total{namespace="demo"}"#, 2.0);
        awaited(&rig, r#"gannet_push_publication_bytes_total{namespace="demo"}"#, 8.0);
        awaited(&rig, r#"gannet_push_deliveries_total{namespace="demo"}"#, 4.0);
        awaited(&rig, r#"gannet_push_delivery_bytes_total{namespace="demo"}"#, 16.0);
        awaited(&rig, r#"gannet_push_frames_total{namespace="demo"}"#, 4.0);
        awaited(&rig, "gannet_push_history_publications", 2.0);
        // One for each reactor that had a subscriber, and the two may be on the same.
        let flushes = || value(&rig, "gannet_push_flush_seconds_count").expect("a count");
        until("both publications to have passed", || flushes() >= 2.0);
        assert!(flushes() <= 4.0, "{}", flushes());

        let subscribe = |offset: u64, epoch: &str| {
            format!(r#""subscribe":{{"channel":"demo:a","recover":true,"offset":{offset},"epoch":"{epoch}"}}"#)
        };
        for (offset, epoch, result) in [(1, &*epoch, "recovered"), (1, "other", "refused")] {
            assert!(second.ask(r#""unsubscribe":{"channel":"demo:a"}"#)["unsubscribe"].is_object());
            assert!(second.ask(&subscribe(offset, epoch))["subscribe"].is_object());
            awaited(&rig, &format!("gannet_push_recoveries_total{{result=\"{result}\"}}"), 1.0);
        }

        assert_eq!(second.ask(r#""subscribe":{"channel":"demo:a"}"#)["error"]["code"], 105);
        awaited(&rig, r#"gannet_push_errors_total{code="105"}"#, 1.0);
        second.send("{}");
        assert_eq!(second.closed().0, 3501);
        awaited(&rig, r#"gannet_push_disconnects_total{code="3501"}"#, 1.0);
        drop(first);
        awaited(&rig, r#"gannet_push_clients{transport="websocket",format="json"}"#, 0.0);
        awaited(&rig, r#"gannet_push_subscriptions{namespace="demo"}"#, 0.0);
    }
}

#[test]
fn clients_that_are_no_websockets_are_counted_by_their_transport() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let connect = r#"{"id":1,"connect":{}}"#;
        let length = connect.len();
        let clients = [
            ("GET /events?channel=demo:a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "events"),
            ("GET /connection/uni_sse HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "uni_sse"),
            (
                format!(
                    "POST /connection/http_stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{connect}"
                ),
                "http_stream",
            ),
        ];
        for (request, transport) in clients {
            let metric = format!("gannet_push_clients{{transport=\"{transport}\",format=\"json\"}}");
            let mut stream = rig.tcp();
            stream.write_all(request.as_bytes()).expect("it is taken");
            assert!(stream.read(&mut [0; 64]).expect("a response") > 0);
            awaited(&rig, &metric, 1.0);
            drop(stream);
            awaited(&rig, &metric, 0.0);
        }
    }
}

#[test]
fn what_a_limit_refuses_is_counted() {
    let mut settings = Settings::demo();
    let limits = &mut settings.channels.limits;
    limits.subscribers_per_channel = 2;
    limits.channels_per_client = 1;
    limits.presence = 1;
    limits.idempotency_keys = 1;
    limits.history_bytes = 2 << 10;
    let rig = Rig::start(drivers()[0], settings);
    let mut clients = [rig.subscribed("demo:a"), rig.subscribed("demo:a"), rig.connected()];
    assert_eq!(clients[2].ask(r#""subscribe":{"channel":"demo:a"}"#)["error"]["code"], 106);
    awaited(&rig, "gannet_push_refused_subscribers_total", 1.0);
    assert_eq!(clients[0].ask(r#""subscribe":{"channel":"demo:b"}"#)["error"]["code"], 106);
    awaited(&rig, "gannet_push_refused_channels_per_client_total", 1.0);
    assert!(rig.api("presence", r#"{"channel":"demo:a"}"#)["error"].is_object());
    awaited(&rig, "gannet_push_refused_presence_total", 1.0);

    let space = rig.gateway.space();
    let publish = |channel: &str, bytes: usize| {
        space.publish(channel, Publish::new("1".repeat(bytes)), Time(1_700_000_000_000)).map(drop)
    };
    publish("nowhere:a", 1).expect_err("there is no such namespace");
    awaited(&rig, "gannet_push_refused_names_total", 1.0);
    for (key, refused) in [("one", 0.0), ("two", 1.0)] {
        rig.api("publish", &format!(r#"{{"channel":"demo:a","data":1,"idempotency_key":"{key}"}}"#));
        awaited(&rig, "gannet_push_refused_keys_total", refused);
    }
    let evicted = r#"gannet_push_history_evicted_total{namespace="demo"}"#;
    let refused = r#"gannet_push_history_refused_total{namespace="demo"}"#;
    awaited(&rig, evicted, 0.0);
    publish("demo:a", 1_500).expect("it pushes the first out");
    publish("demo:a", 1_500).expect("it pushes the second out");
    until("the older ones to leave", || value(&rig, evicted) >= Some(1.0));
    awaited(&rig, refused, 0.0);
    publish("demo:a", 3_000).expect("it is delivered");
    awaited(&rig, refused, 1.0);
}

#[test]
fn a_channel_that_has_to_forget_its_position_is_counted() {
    let mut settings = Settings::demo();
    settings.channels.limits.channels = 256;
    settings.channels.namespaces[0].options.history_size = 1;
    let rig = Rig::start(drivers()[0], settings);
    let space = rig.gateway.space();
    for number in 0..10_000 {
        let channel = format!("demo:{number}");
        if space.publish(&channel, Publish::new("1"), Time(1_700_000_000_000)).is_ok() {
            // Now it only remembers where it was.
            space.history_remove(&channel, Time(1_700_000_000_000)).expect("it has a history");
        }
    }
    until("channels to be forgotten", || {
        value(&rig, r#"gannet_push_forgotten_early_total{namespace="demo"}"#) > Some(0.0)
    });
}
