//! The options of channels.

use gannet_testing::until;
use serde_json::{Value, json};

use super::Walk;
use super::push::{ann, api, publish};
use super::socket::Socket;

const HISTORY: [(&str, &str); 2] =
    [("push.namespace.news.history_size", "5"), ("push.namespace.news.history_ttl", "\"1m\"")];
const PRESENCE: (&str, &str) = ("push.namespace.news.presence", "true");

fn key(option: &str) -> String {
    format!("push.namespace.news.{option}")
}

fn channel(name: &str) -> Value {
    json!({ "channel": name })
}

pub(super) fn steps(walk: &mut Walk) {
    permissions(walk);
    presence(walk);
    streams(walk);
    deliveries(walk);
}

/// What a client may do from the moment at which an option permits it, on a connection that was there before.
fn permissions(walk: &mut Walk) {
    for (option, is_anonymous, command) in [
        ("allow_subscribe_for_client", false, "subscribe"),
        ("allow_subscribe_for_anonymous", true, "subscribe"),
        ("allow_publish_for_client", false, "publish"),
        ("allow_publish_for_subscriber", false, "publish"),
        ("allow_publish_for_anonymous", true, "publish"),
        ("allow_history_for_client", false, "history"),
        ("allow_history_for_subscriber", false, "history"),
        ("allow_history_for_anonymous", true, "history"),
        ("allow_presence_for_client", false, "presence"),
        ("allow_presence_for_subscriber", false, "presence"),
        ("allow_presence_for_anonymous", true, "presence"),
        ("allow_user_limited_channels", false, "subscribe"),
    ] {
        // Anonymous clients are permitted what clients with a user are.
        let own = option.replace("_for_anonymous", "_for_client");
        let (own, subscribes) = (key(&own), key("allow_subscribe_for_client"));
        let mut with = vec![HISTORY[0], HISTORY[1], PRESENCE];
        if is_anonymous {
            with.push((&own, "true"));
        }
        if option.ends_with("_subscriber") {
            with.push((&subscribes, "true"));
        }
        walk.set(&[], &with);
        let token = (!is_anonymous).then(ann);
        let (mut socket, _) = Socket::connect(walk, token.as_deref());
        let limited = option == "allow_user_limited_channels";
        let name = if limited { "news:a#ann" } else { "news:a" };
        if option.ends_with("_subscriber") {
            assert!(socket.ask("subscribe", channel(name))["subscribe"].is_object(), "{option}");
        }
        let what = json!({ "channel": name, "data": 1 });
        assert_eq!(socket.ask(command, what.clone())["error"]["code"], 103, "{option}");
        walk.set(&[(&key(option), "true")], &with);
        let reply = socket.ask(command, what);
        assert!(reply[command].is_object(), "{option}: {reply}");
    }
    let subscribes = (&*key("allow_subscribe_for_client"), "true");
    walk.set(&[(&key("channel_regex"), "\"^[0-9]+$\"")], &[subscribes]);
    let (mut socket, _) = Socket::connect(walk, Some(&ann()));
    assert!(socket.ask("subscribe", channel("news:a"))["error"].is_object());
    assert!(socket.ask("subscribe", channel("news:1"))["subscribe"].is_object());
}

fn presence(walk: &mut Walk) {
    walk.set(&[], &[]);
    assert_eq!(api(walk, "presence", &channel("news:a")).1["error"]["code"], 108);
    walk.set(&[(&key("presence"), "true")], &[]);
    assert!(api(walk, "presence", &channel("news:a")).1["result"].is_object());

    let subscribes = (&*key("allow_subscribe_for_client"), "true");
    for forced in [false, true] {
        let (joins, forces) = (key("join_leave"), key("force_push_join_leave"));
        if forced {
            walk.set(&[(&forces, "true")], &[subscribes, (&joins, "true")]);
        } else {
            walk.set(&[(&joins, "true")], &[subscribes]);
        }
        let (mut first, _) = Socket::connect(walk, Some(&ann()));
        let asked = if forced { channel("news:a") } else { json!({ "channel": "news:a", "join_leave": true }) };
        assert!(first.ask("subscribe", asked)["subscribe"].is_object());
        let (mut second, _) = Socket::connect(walk, Some(&ann()));
        let client = second.ask("subscribe", channel("news:a"));
        assert!(client["subscribe"].is_object());
        while !first.next().expect("it is open")["push"]["join"].is_object() {}
    }
}

fn streams(walk: &mut Walk) {
    let subscribes = (&*key("allow_subscribe_for_client"), "true");
    walk.set(&HISTORY, &[]);
    publish(walk, "news:h", &json!(1));
    let history = |walk: &Walk| api(walk, "history", &json!({ "channel": "news:h", "limit": -1 })).1["result"].clone();
    assert_eq!(history(walk)["publications"][0]["data"], 1);

    for (option, asked, shown) in [
        ("force_positioning", None, "positioned"),
        ("allow_positioning", Some("positioned"), "positioned"),
        ("force_recovery", None, "recoverable"),
        ("allow_recovery", Some("recoverable"), "recoverable"),
    ] {
        walk.set(&[(&key(option), "true")], &[HISTORY[0], HISTORY[1], subscribes]);
        let (mut socket, _) = Socket::connect(walk, Some(&ann()));
        let mut what = channel("news:a");
        if let Some(asked) = asked {
            what[asked] = true.into();
        }
        let reply = socket.ask("subscribe", what);
        assert_eq!(reply["subscribe"][shown], true, "{option}: {reply}");
    }
    // Of two that were missed, the newest.
    let force = key("force_recovery");
    let with = [HISTORY[0], HISTORY[1], subscribes, (&*force, "true")];
    walk.set(&[(&key("force_recovery_mode"), "\"cache\"")], &with);
    let epoch = publish(walk, "news:r", &json!(1))["result"]["epoch"].clone();
    publish(walk, "news:r", &json!(2));
    let (mut socket, _) = Socket::connect(walk, Some(&ann()));
    let reply = socket.ask("subscribe", json!({ "channel": "news:r", "recover": true, "offset": 0, "epoch": epoch }));
    let recovered = reply["subscribe"]["publications"].as_array().map(Vec::len);
    assert_eq!(recovered, Some(1), "{reply}");

    // A stream that nobody remembers begins anew.
    let brief = [("push.namespace.news.history_size", "5"), ("push.namespace.news.history_ttl", "\"1ms\"")];
    walk.set(&[(&key("history_meta_ttl"), "\"1ms\"")], &brief);
    let epoch = publish(walk, "news:m", &json!(1))["result"]["epoch"].clone();
    let now =
        |walk: &Walk| api(walk, "history", &json!({ "channel": "news:m", "limit": 0 })).1["result"]["epoch"].clone();
    until("another epoch", || now(walk) != epoch);
}

fn deliveries(walk: &mut Walk) {
    let subscribes = (&*key("allow_subscribe_for_client"), "true");
    walk.set(&[(&key("redis"), "true")], &[]);
    let mut redis = walk.connect("store");
    redis.ask(b"SUBSCRIBE news:a\r\n", b"*3\r\n$9\r\nsubscribe\r\n$6\r\nnews:a\r\n:1\r\n");
    publish(walk, "news:a", &json!(1));
    redis.expect(b"*3\r\n$7\r\nmessage\r\n$6\r\nnews:a\r\n$1\r\n1\r\n");
    drop(redis);

    // From one frame to the next, it takes as long as events are collected.
    walk.set(&[(&key("coalesce"), "\"1s\"")], &[subscribes]);
    let (mut socket, _) = Socket::connect(walk, Some(&ann()));
    assert!(socket.ask("subscribe", channel("news:a"))["subscribe"].is_object());
    let mut deliver = |number: u32| {
        publish(walk, "news:a", &json!(number));
        assert_eq!(socket.next().expect("it is open")["push"]["pub"]["data"], number);
    };
    deliver(1);
    #[expect(clippy::disallowed_methods, reason = "the setting is a time")]
    let first = std::time::Instant::now();
    deliver(2);
    assert!(first.elapsed().as_millis() >= 500);

    // Who reads nothing misses something in place of being closed.
    let with = [subscribes, ("limits.outbox_high", "\"64KiB\""), ("push.max_message", "\"1MiB\"")];
    walk.set(&[(&key("slow"), "\"drop\"")], &with);
    let (mut slow, _) = Socket::connect(walk, Some(&ann()));
    assert!(slow.ask("subscribe", channel("news:a"))["subscribe"].is_object());
    let large = json!("a".repeat(1_000_000));
    (0..20).for_each(|_| drop(publish(walk, "news:a", &large)));
    assert!(slow.ask("publish", json!({ "channel": "news:a", "data": 1 }))["error"].is_object(), "it is open");
    walk.set(&[], &[]);
}
