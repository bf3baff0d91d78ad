//! Subscriptions that differ from their namespaces' options, and those that are nobody's wish: personal channels.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gannet_channels::Overrides;

use super::*;
use crate::application::{self, ConnectResult, Reply, SubscribeResult};
use crate::rules::{Answer, Purpose};
use crate::settings::EventKind;

/// Signs claims that [`Issue`] does not make.
fn signed(claims: &Value) -> String {
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// What is different: nobody sees the subscriber, and there is nothing to recover.
fn hidden() -> Value {
    json!({
        "presence": {"value": false}, "join_leave": {"value": false},
        "force_recovery": {"value": false}, "force_positioning": {"value": true}
    })
}

/// A user who is told of joins without asking, in any channel.
fn watcher(channel: &str) -> String {
    let overrides = json!({"force_push_join_leave": {"value": true}});
    signed(&json!({"sub": "eve", "subs": {channel: {"override": overrides}}}))
}

impl Rig {
    /// Somebody is told of joins from now on.
    fn watch(&mut self, channel: &str) {
        self.connected(&connect_with(&watcher(channel)));
        self.deliveries();
        // Of one that is seen, the watcher is told.
        let seen = token(|issue| issue.channels = vec![channel.to_owned()]);
        let mut seen = self.connected(&connect_with(&seen));
        assert!(self.deliveries().iter().any(|(_, push)| push["push"]["join"].is_object()));
        self.hub.closed(seen.place, &mut seen.link);
        self.deliveries();
        assert_eq!(self.present(channel), 1);
    }

    /// Clients that are present in a channel.
    fn present(&self, channel: &str) -> u32 {
        self.hub.gateway.space().presence_stats(channel).expect("presence").clients
    }

    /// Checks that a subscription is as [`hidden`] says, and that who watches was not told of it.
    #[track_caller]
    fn is_hidden(&mut self, channel: &str, result: &Value) {
        assert!(result.is_object(), "{result}");
        assert_eq!((&result["positioned"], &result["recoverable"]), (&json!(true), &json!(null)), "{result}");
        assert_eq!((self.present(channel), self.hub.gateway.space().subscribers(channel)), (1, Ok(2)));
        assert_eq!(self.deliveries(), []);
    }
}

#[test]
fn a_connection_token_has_options_of_its_own_for_each_of_its_channels() {
    let mut rig = Rig::new(|_| {});
    let claims = json!({"sub": "ann", "subs": {"open:a": {"override": hidden(), "data": {"x": 1}}, "open:b": {}}});
    rig.watch("open:a");
    let mut one = rig.one();
    let connect = format!(r#"{{"id":1,"connect":{}}}"#, connect_with(&signed(&claims)));
    let subs = rig.says(&mut one, &connect)[0]["connect"]["subs"].clone();
    assert_eq!(subs["open:a"]["data"], json!({"x": 1}));
    assert_eq!(subs["open:b"]["recoverable"], true, "it is as its namespace says");
    assert_eq!(rig.present("open:b"), 1);
    rig.is_hidden("open:a", &subs["open:a"]);
}

#[test]
fn a_subscription_token_has_options_of_its_own() {
    let mut rig = Rig::new(|_| {});
    let claims = json!({"sub": "ann", "channel": "open:a", "override": hidden()});
    rig.watch("open:a");
    let mut one = rig.connected(&connect_with(&token(|_| {})));
    let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"open:a","token":"{}"}}}}"#, signed(&claims));
    let result = rig.says(&mut one, &subscribe)[0]["subscribe"].clone();
    rig.is_hidden("open:a", &result);
}

#[test]
fn an_application_that_lets_a_client_subscribe_may_give_it_options_of_its_own() {
    let mut rig = Rig::new(|settings| {
        // Nobody is called: the test answers.
        let url = "http://127.0.0.1:9/".parse().expect("a URL");
        settings.application.endpoints.push((EventKind::Subscribe, url));
        let words = "room:presence,join_leave,history_size=10,history_ttl=5m,force_recovery,subscribe_proxy_enabled";
        settings.channels.namespaces.push(namespace::parse(words).expect("a namespace"));
    });
    rig.watch("room:a");
    let mut one = rig.connected("{}");
    let subscribe = r#"{"id":2,"subscribe":{"channel":"room:a"}}"#;
    let effects = rig.hub.receive(one.place, &mut one.link, subscribe.as_bytes());
    assert!(effects.ask.is_some());
    let overrides = Overrides {
        presence: Some(false),
        join_leave: Some(false),
        force_recovery: Some(false),
        force_positioning: Some(true),
        ..Overrides::default()
    };
    let reply = Reply::Subscribe(SubscribeResult { overrides, ..SubscribeResult::default() });
    let result = rig.answered(&mut one, reply)[0]["subscribe"].clone();
    rig.is_hidden("room:a", &result);
}

impl Rig {
    /// The application has answered a command; gives the replies.
    fn answered(&mut self, one: &mut One, reply: Reply) -> Vec<Value> {
        let what = Some(application::Answer::Result(reply));
        let answer = Answer { purpose: Purpose::Command, what, trace: None };
        let effects = self.hub.answered(one.place, &mut one.link, answer);
        self.outcome(one, effects).0
    }
}

/// Settings with personal channels.
fn personal(settings: &mut Settings) {
    settings.client.personal_channel = true;
    settings.channels.namespaces.push(namespace::parse(":history_size=10,history_ttl=5m").expect("a namespace"));
}

#[test]
fn a_user_is_subscribed_to_the_personal_channel_at_connect_and_an_anonymous_client_to_none() {
    let mut rig = Rig::new(personal);
    let of_ann = connect_with(&token(|_| {}));
    let mut ann = rig.one();
    let subs = rig.says(&mut ann, &format!(r#"{{"id":1,"connect":{of_ann}}}"#))[0]["connect"]["subs"].clone();
    assert_eq!(subs.as_object().expect("a map").keys().collect::<Vec<_>>(), ["#ann"]);
    let mut nobody = rig.one();
    let reply = rig.says(&mut nobody, r#"{"id":1,"connect":{}}"#)[0]["connect"].clone();
    assert_eq!(reply["subs"], json!(null), "{reply}");
    let of_bob = connect_with(&token(|issue| issue.sub = "bob".to_owned()));
    rig.connected(&of_bob);

    rig.hub.gateway.space().publish("#ann", gannet_channels::Publish::new("1"), START).expect("it is taken");
    let pushes = rig.deliveries();
    assert_eq!(pushes.len(), 1, "{pushes:?}");
    assert_eq!((pushes[0].0, &pushes[0].1["push"]["channel"]), (ann.place.handle, &json!("#ann")));
    assert_eq!(pushes[0].1["push"]["pub"]["data"], 1);
    // Another's is closed, and the own one is there already.
    assert_eq!(rig.error_of(&mut ann, r##""subscribe":{"channel":"#bob"}"##), 103);
    assert_eq!(rig.error_of(&mut nobody, r##""subscribe":{"channel":"#ann"}"##), 103);
    assert_eq!(rig.error_of(&mut ann, r##""subscribe":{"channel":"#ann"}"##), 105);
}

#[test]
fn a_personal_channel_that_the_token_or_the_application_names_too_is_subscribed_once() {
    let mut rig = Rig::new(personal);
    let mut one = rig.one();
    let twice = token(|issue| issue.channels = vec!["#ann".to_owned(), "open:a".to_owned()]);
    let connect = format!(r#"{{"id":1,"connect":{}}}"#, connect_with(&twice));
    let subs = rig.says(&mut one, &connect)[0]["connect"]["subs"].clone();
    assert_eq!(subs.as_object().expect("a map").len(), 2, "{subs}");
    assert_eq!(rig.hub.gateway.space().subscribers("#ann"), Ok(1));

    let mut rig = Rig::new(|settings| {
        personal(settings);
        let url = "http://127.0.0.1:9/".parse().expect("a URL");
        settings.application.endpoints.push((EventKind::Connect, url));
    });
    let mut one = rig.one();
    let effects = rig.hub.receive(one.place, &mut one.link, br#"{"id":1,"connect":{}}"#);
    assert!(effects.ask.is_some());
    let reply = rig.answered(&mut one, Reply::Connect(ConnectResult { user: "ann".to_owned(), ..Default::default() }));
    assert!(reply[0]["connect"]["subs"]["#ann"].is_object(), "{reply:?}");
}

#[test]
fn a_channel_without_a_namespace_has_the_options_of_the_empty_one() {
    let words = ":presence,history_size=10,history_ttl=5m,force_recovery,allow_subscribe_for_client,\
                 allow_subscribe_for_anonymous,allow_publish_for_subscriber,allow_publish_for_anonymous";
    let mut rig = Rig::new(|settings| {
        settings.channels.namespaces.push(namespace::parse(words).expect("a namespace"));
    });
    let mut one = rig.connected("{}");
    let reply = rig.says(&mut one, r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    assert_eq!(reply[0]["subscribe"]["recoverable"], true, "{reply:?}");
    assert_eq!(rig.present("news"), 1);
    assert_eq!(rig.error_of(&mut one, r#""publish":{"channel":"news","data":1}"#), 0);
    let push = rig.deliveries()[0].1["push"].clone();
    assert_eq!((&push["channel"], &push["pub"]["offset"]), (&json!("news"), &json!(1)), "{push}");
    // A name with a colon has a namespace, which is not there.
    assert_eq!(rig.error_of(&mut one, r#""subscribe":{"channel":"news:a"}"#), 102);
    assert_eq!(rig.error_of(&mut one, r#""subscribe":{"channel":":news"}"#), 0, "its namespace is the empty one");
}
