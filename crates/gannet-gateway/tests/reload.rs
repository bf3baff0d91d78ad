//! Settings that are replaced while clients are connected.

mod rig;

use std::time::Duration;

use gannet_channels::{Namespace, Options};
use gannet_gateway::Secret;
use gannet_gateway::origin::Origins;
use gannet_gateway::settings::{Rate, Settings};
use gannet_gateway::token::Issue;
use rig::feed::Feed;
use rig::{Rig, Socket, drivers};
use serde_json::json;

/// Puts settings in force.
fn change(rig: &Rig, settings: &Settings) {
    rig.gateway.prepare(settings.clone()).expect("settings that work").commit();
}

fn publish(client: &mut Socket) -> serde_json::Value {
    client.ask(r#""publish":{"channel":"demo:chat","data":1}"#)
}

#[test]
fn every_kind_of_setting_takes_effect_and_the_clients_that_are_there_stay() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        let rig = Rig::start(driver, settings.clone());
        let mut early: Vec<Socket> = (0..4).map(|_| rig.subscribed("demo:chat")).collect();

        // Permissions.
        let options = settings.channels.namespaces[0].options.clone();
        settings.channels.namespaces[0].options.allow_publish_for_subscriber = false;
        settings.channels.namespaces[0].options.allow_publish_for_anonymous = false;
        change(&rig, &settings);
        assert_eq!(publish(&mut early[0])["error"]["code"], 103);
        settings.channels.namespaces[0].options = options;
        change(&rig, &settings);
        assert_eq!(publish(&mut early[0])["publish"], json!({}));

        // Rates of commands.
        let rate = settings.client.publications;
        settings.client.publications = Rate { per_second: 1, burst: 1 };
        change(&rig, &settings);
        let refused = |client: &mut Socket| (0..3).any(|_| publish(client)["error"]["code"] == 111);
        assert!(refused(&mut early[1]));
        settings.client.publications = rate;

        // Who may connect: tokens only, and of a key that is new.
        settings.client.anonymous = false;
        settings.tokens.secrets = vec![Secret::new("a secret of thirty-two characters")];
        change(&rig, &settings);
        assert_eq!(rig.websocket().ask(r#""connect":{}"#)["error"]["code"], 101);
        let token = |secret: &str| {
            let issue = Issue { sub: "ann".to_owned(), ..Issue::default() };
            let token = issue.sign(&Secret::new(secret)).expect("a token");
            format!(r#""connect":{{"token":"{token}"}}"#)
        };
        let reply = rig.websocket().ask(&token("a secret of thirty-two characters"));
        assert!(reply["connect"].is_object(), "{reply}");
        settings.tokens.secrets = vec![Secret::new("another one of thirty-two letters")];
        change(&rig, &settings);
        let mut client = rig.websocket();
        client.command(&token("a secret of thirty-two characters"));
        assert_eq!(client.closed().0, 3_500);
        assert!(rig.websocket().ask(&token("another one of thirty-two letters"))["connect"].is_object());

        // The key of the server API, and the origins of pages.
        settings.api.keys = vec![Secret::new("key")];
        settings.origins = Origins::new(["https://example.com"]).expect("an origin");
        change(&rig, &settings);
        let body = r#"{"channel":"demo:chat","data":2}"#;
        assert_eq!(rig.post("/api/publish", "", body).0, 401);
        assert_eq!(rig.post("/api/publish", "X-API-Key: key\r\n", body).0, 200);
        let preflight = |origin: &str| {
            rig.request(&format!(
                "OPTIONS /connection/uni_sse HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"
            ))
            .0
        };
        assert_eq!((preflight("https://example.com"), preflight("http://localhost")), (204, 403));

        // The password of the admin page.
        settings.admin.password = Some(Secret::new("open sesame"));
        change(&rig, &settings);
        let fields = "Content-Type: application/json\r\n";
        let login = |password: &str| rig.post("/admin/login", fields, &format!(r#"{{"password":"{password}"}}"#));
        assert_eq!((login("another").0, login("open sesame").0), (403, 204));

        // The size of a publication.
        settings.channels.limits.publication = 10;
        change(&rig, &settings);
        let large = early[2].ask(r#""publish":{"channel":"demo:chat","data":"0123456789"}"#);
        assert_eq!(large["error"]["code"], 106, "{large}");

        // Nobody who was there is gone, and everybody got everything that was published.
        for client in &mut early {
            assert_eq!(client.ask(r#""presence_stats":{"channel":"demo:chat"}"#)["presence_stats"]["num_clients"], 4);
        }
    }
}

#[test]
fn subscriptions_to_a_namespace_that_is_gone_end_with_a_code_and_others_go_on() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        let other = settings.channels.namespaces[0].options.clone();
        settings.channels.namespaces.push(Namespace::new("other", other));
        let rig = Rig::start(driver, settings.clone());
        let mut clients: Vec<Socket> = (0..3).map(|_| rig.subscribed("demo:chat")).collect();
        for client in &mut clients {
            assert!(client.ask(r#""subscribe":{"channel":"other:x"}"#)["subscribe"].is_object());
        }
        let mut events = Feed::get(&rig, "/events?channel=other:x", "");
        gannet_testing::until("the subscription of the EventSource", || {
            rig.gateway.space().subscribers("other:x") == Ok(4)
        });
        settings.channels.namespaces.pop();
        change(&rig, &settings);
        for client in &mut clients {
            let push = loop {
                let push = client.push();
                if push["unsubscribe"].is_object() {
                    break push;
                }
            };
            assert_eq!((&push["channel"], &push["unsubscribe"]["code"]), (&json!("other:x"), &json!(2_000)), "{push}");
            assert_eq!(client.ask(r#""subscribe":{"channel":"other:x"}"#)["error"]["code"], 102);
        }
        while events.chunk() {}
        rig.publish("demo:chat", "1");
        for client in &mut clients {
            assert_eq!(client.push()["pub"]["data"], 1);
        }
        // It comes back.
        settings.channels.namespaces.push(Namespace::new("other", Options { presence: true, ..Options::default() }));
        change(&rig, &settings);
        assert_eq!(rig.gateway.space().subscribers("other:x"), Ok(0));
    }
}

#[test]
fn a_client_is_pinged_as_it_was_told_when_it_connected() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        // Long enough for an answer on a machine that is busy.
        settings.client.ping = Duration::from_millis(3_000);
        settings.client.pong = Duration::from_millis(2_900);
        let rig = Rig::start(driver, settings.clone());
        let mut early = rig.connected();
        settings.client.ping = Duration::ZERO;
        change(&rig, &settings);
        let mut late = rig.websocket();
        assert_eq!(late.ask(r#""connect":{}"#)["connect"]["ping"], json!(null), "it is told of none");
        assert_eq!(early.frame(), [json!({})], "a ping");
        early.send("{}");
        // One who was told of none is not asked for an answer.
        settings.client.ping = Duration::from_millis(50);
        settings.client.pong = Duration::from_millis(20);
        change(&rig, &settings);
        assert_eq!(early.frame(), [json!({})], "the next one comes when it was due before");
        early.send("{}");
        rig.publish("demo:chat", "1");
        assert!(late.ask(r#""subscribe":{"channel":"demo:chat"}"#)["subscribe"].is_object());
    }
}

#[test]
fn settings_that_cannot_be_used_change_nothing() {
    let rig = Rig::demo(drivers()[0]);
    for broken in [
        |settings: &mut Settings| settings.tokens.secrets = vec![Secret::new("short")],
        |settings: &mut Settings| settings.tokens.key_files = vec!["/nowhere/key.pem".into()],
        |settings: &mut Settings| settings.client.personal_channel = true,
        |settings: &mut Settings| settings.channels.namespaces[0].options.history_size = 0,
        |settings: &mut Settings| settings.channels.limits.publication = 1 << 40,
    ] {
        let mut settings = Settings::demo();
        settings.client.anonymous = false;
        broken(&mut settings);
        assert!(rig.gateway.prepare(settings).is_err());
    }
    assert!(rig.gateway.settings().client.anonymous);
    let mut client = rig.subscribed("demo:chat");
    assert!(publish(&mut client)["publish"].is_object());
}
