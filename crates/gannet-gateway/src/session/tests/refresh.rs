//! Longer lives that the application decides about, which is asked by the server.

use super::*;
use crate::application::{self, ConnectResult, RefreshResult, Reply, RpcResult, SubscribeResult};
use crate::pump::Post;
use crate::settings::EventKind;

/// When the connection or the subscription expires, after the start.
const LIFE_S: u64 = 10;

fn rig() -> Rig {
    Rig::new(|settings| {
        settings.client.ping = Duration::from_secs(6);
        settings.client.pong = Duration::from_secs(2);
        for event in EventKind::ALL {
            // Nobody is called: the test answers.
            settings.application.endpoints.push((event, "http://127.0.0.1:9/".parse().expect("a URL")));
        }
        let words = "room:subscribe_proxy_enabled,sub_refresh_proxy_enabled";
        settings.channels.namespaces.push(namespace::parse(words).expect("a namespace"));
    })
}

/// What comes of a call: messages, the code of the end, and who is asked.
type Outcome = (Vec<Value>, Option<u16>, Option<Box<Question>>);

impl Rig {
    fn all(&mut self, one: &mut One, mut effects: Effects) -> Outcome {
        let ask = effects.ask.take();
        let (messages, closed) = self.outcome(one, effects);
        (messages, closed, ask)
    }

    /// The timer fires; a ping is answered at once.
    fn looks(&mut self, one: &mut One) -> Outcome {
        self.pass(one.next.take().expect("a timer"));
        let effects = self.hub.due(one.place, &mut one.link);
        let outcome = self.all(one, effects);
        if outcome.0.contains(&json!({})) && outcome.2.is_none() {
            self.says(one, "{}");
        }
        outcome
    }

    fn answers(&mut self, one: &mut One, purpose: Purpose, reply: Option<Reply>) -> Outcome {
        let answer = Answer { purpose, what: reply.map(application::Answer::Result), trace: None };
        let effects = self.hub.answered(one.place, &mut one.link, answer);
        let outcome = self.all(one, effects);
        // It is read again.
        if self.hub.client(&one.link).is_some_and(|client| client.flags.has(Flags::AWAITS_PONG)) {
            self.says(one, "{}");
        }
        outcome
    }

    /// The application is asked about a command, and has answered it.
    fn decided(&mut self, one: &mut One, command: &str, reply: Reply) -> Vec<Value> {
        let effects = self.hub.receive(one.place, &mut one.link, command.as_bytes());
        assert!(effects.ask.is_some(), "{command}");
        self.answers(one, Purpose::Command, Some(reply)).0
    }

    /// One whose connection expires.
    fn expiring(&mut self, wire: Wire) -> One {
        let mut one = self.one_by(wire);
        let result =
            ConnectResult { user: "ann".to_owned(), expire_at: Some(START_S + LIFE_S), ..ConnectResult::default() };
        let replies = self.decided(&mut one, r#"{"id":1,"connect":{}}"#, Reply::Connect(result));
        assert!(replies[0]["connect"].is_object(), "{replies:?}");
        one
    }

    /// One whose subscription expires.
    fn subscribed(&mut self) -> One {
        let mut one = self.one();
        let connect = ConnectResult { user: "ann".to_owned(), ..ConnectResult::default() };
        self.decided(&mut one, r#"{"id":1,"connect":{}}"#, Reply::Connect(connect));
        let result = SubscribeResult { expire_at: Some(START_S + LIFE_S), ..SubscribeResult::default() };
        let subscribe = r#"{"id":2,"subscribe":{"channel":"room:a"}}"#;
        let replies = self.decided(&mut one, subscribe, Reply::Subscribe(result));
        assert!(replies[0]["subscribe"].is_object(), "{replies:?}");
        one
    }

    /// Time passes until the application is asked.
    fn until_asked(&mut self, one: &mut One) -> Box<Question> {
        loop {
            let (messages, closed, ask) = self.looks(one);
            assert_eq!(closed, None, "{messages:?}");
            if let Some(question) = ask {
                return question;
            }
        }
    }
}

fn until(expire_at: u64) -> Reply {
    Reply::Refresh(RefreshResult { expire_at: Some(expire_at), ..RefreshResult::default() })
}

fn room() -> Purpose {
    Purpose::SubscriptionRefresh("room:a".into())
}

#[test]
fn while_the_application_fails_a_client_is_pinged_and_asked_about_until_its_grace_is_over() {
    let mut rig = rig();
    let mut one = rig.expiring(Wire::WebSocketJson);
    let (mut pings, mut asked) = (0, 0);
    let code = loop {
        let (messages, closed, ask) = rig.looks(&mut one);
        if let Some(code) = closed {
            break code;
        }
        pings += usize::from(messages.contains(&json!({})));
        if ask.is_some() {
            asked += 1;
            let (messages, closed, _) = rig.answers(&mut one, Purpose::Refresh, None);
            assert_eq!((messages, closed), (vec![], None));
        }
    };
    assert_eq!(code, 3005);
    assert_eq!(rig.hub.now.0 / 1_000, START_S + LIFE_S + 25);
    assert!((5..=6).contains(&pings), "{pings} pings in 35 s, of which one is due every 6 s");
    assert!(asked >= 10, "{asked}");
}

#[test]
fn the_application_gives_a_connection_a_longer_life_or_ends_it() {
    let mut rig = rig();
    let mut one = rig.expiring(Wire::WebSocketJson);
    rig.until_asked(&mut one);
    assert_eq!(rig.hub.now.0 / 1_000, START_S + LIFE_S);
    let (messages, closed, _) = rig.answers(&mut one, Purpose::Refresh, Some(until(START_S + LIFE_S + 40)));
    assert_eq!((&messages[0]["push"]["refresh"], closed), (&json!({"expires": true, "ttl": 40}), None));
    rig.until_asked(&mut one);
    assert_eq!(rig.hub.now.0 / 1_000, START_S + LIFE_S + 40);
    let expired = Reply::Refresh(RefreshResult { expired: true, ..RefreshResult::default() });
    assert_eq!(rig.answers(&mut one, Purpose::Refresh, Some(expired)).1, Some(3005));
}

#[test]
fn the_application_gives_a_subscription_a_longer_life_or_ends_it() {
    let unsubscribed = json!({"channel": "room:a", "unsubscribe": {"code": 2501, "reason": "subscription expired"}});
    let mut rig = rig();
    let mut one = rig.subscribed();
    rig.until_asked(&mut one);
    assert_eq!(rig.hub.now.0 / 1_000, START_S + LIFE_S);
    let (messages, closed, _) = rig.answers(&mut one, room(), Some(until(START_S + LIFE_S + 40)));
    assert_eq!((messages, closed), (vec![], None));
    rig.until_asked(&mut one);
    assert_eq!(rig.hub.now.0 / 1_000, START_S + LIFE_S + 40);
    let expired = Reply::Refresh(RefreshResult { expired: true, ..RefreshResult::default() });
    let (messages, closed, _) = rig.answers(&mut one, room(), Some(expired));
    assert_eq!((&messages[0]["push"], closed), (&unsubscribed, None));
}

#[test]
fn a_subscription_that_nobody_refreshes_ends_after_its_grace_and_the_connection_stays() {
    let mut rig = rig();
    let mut one = rig.subscribed();
    let mut asked = 0;
    let push = loop {
        let (messages, closed, ask) = rig.looks(&mut one);
        assert_eq!(closed, None);
        if let Some(push) = messages.iter().find(|message| message["push"].is_object()) {
            break push["push"].clone();
        }
        if ask.is_some() {
            asked += 1;
            assert_eq!(rig.answers(&mut one, room(), None).1, None);
        }
    };
    assert_eq!((&push["channel"], &push["unsubscribe"]["code"]), (&json!("room:a"), &json!(2501)));
    assert!(asked >= 10, "{asked}");
    assert_eq!(rig.hub.now.0 / 1_000, START_S + LIFE_S + 25);
}

#[test]
fn a_command_that_waits_and_a_refresh_are_asked_about_one_after_the_other() {
    let mut rig = rig();
    let mut one = rig.expiring(Wire::Lines);
    rig.pass(Duration::from_secs(LIFE_S));
    let rpc = r#"{"id":2,"rpc":{"method":"m","data":{}}}"#;
    assert!(rig.hub.receive(one.place, &mut one.link, rpc.as_bytes()).ask.is_some());
    let effects = rig.hub.due(one.place, &mut one.link);
    let (messages, closed, ask) = rig.all(&mut one, effects);
    assert_eq!((messages, closed, ask.is_some()), (vec![json!({})], None, false), "it is pinged");
    let result = RpcResult { data: Some(Bytes::from_static(b"1")) };
    let (messages, ..) = rig.answers(&mut one, Purpose::Command, Some(Reply::Rpc(result)));
    assert_eq!(messages, [json!({"id": 2, "rpc": {"data": 1}})]);
    one.next = Some(Duration::from_secs(1));
    rig.until_asked(&mut one);
}

#[test]
fn where_no_thread_starts_a_refresh_is_asked_again_and_the_session_goes_on() {
    let mut rig = rig();
    let mut one = rig.expiring(Wire::WebSocketJson);
    let question = rig.until_asked(&mut one);
    let gateway = rig.hub.gateway.clone();
    gateway.ask_on(0, one.place, *question, |_| Err(std::io::ErrorKind::WouldBlock.into()));
    let Some(Post::Answer { answer, .. }) = gateway.take_posts(0).pop_front() else { panic!("no answer") };
    assert_eq!(answer.purpose, Purpose::Refresh);
    let effects = rig.hub.answered(one.place, &mut one.link, answer);
    assert_eq!(rig.outcome(&mut one, effects), (vec![], None));
    assert_eq!(gateway.application().stats().running, 0, "its place is free");
}

#[test]
fn a_subscription_is_asked_about_while_the_questions_about_its_connection_and_others_fail() {
    let mut rig = rig();
    let mut one = rig.expiring(Wire::WebSocketJson);
    for (id, channel) in [(2, "room:a"), (3, "room:b")] {
        let result = SubscribeResult { expire_at: Some(START_S + LIFE_S), ..SubscribeResult::default() };
        let subscribe = format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"}}}}"#);
        rig.decided(&mut one, &subscribe, Reply::Subscribe(result));
    }
    let mut asked = Vec::new();
    while asked.len() < 8 {
        let question = rig.until_asked(&mut one);
        let purpose = question.unanswered().purpose;
        let reply = (purpose == Purpose::SubscriptionRefresh("room:b".into())).then(|| until(START_S + 1_000));
        asked.push(purpose.clone());
        assert_eq!(rig.answers(&mut one, purpose, reply).1, None);
    }
    // One after the other, until the one that was answered is not due any more.
    let room = |channel: &str| Purpose::SubscriptionRefresh(channel.into());
    let (connection, a, b) = (Purpose::Refresh, room("room:a"), room("room:b"));
    let turns = [&connection, &a, &connection, &b, &connection, &a, &connection, &a];
    assert!(asked.iter().eq(turns), "{asked:?}");
}

#[test]
fn what_expires_before_the_next_ping_sets_the_timer_and_nothing_else_does() {
    let mut rig = Rig::new(|settings| settings.client.refresh_grace = Duration::from_secs(1));
    let mut one = rig.connected(&connect_with(&token(|_| {})));
    one.next = None;
    rig.says(&mut one, r#"{"id":2,"publish":{"channel":"open:a","data":1}}"#);
    assert_eq!(one.next, None, "the timer goes on");
    let short = token(|issue| {
        issue.channel = Some("closed:a".to_owned());
        issue.exp = Some(START_S + 3);
    });
    rig.says(&mut one, &format!(r#"{{"id":3,"subscribe":{{"channel":"closed:a","token":"{short}"}}}}"#));
    assert_eq!(one.next, Some(Duration::from_secs(4)));
    let (messages, closed) = rig.wakes(&mut one);
    assert_eq!((&messages[0]["push"]["unsubscribe"]["code"], closed), (&json!(2501), None));
}

#[test]
fn the_pump_looks_at_a_client_once_for_each_time_that_its_transport_does_not_know() {
    let mut rig = rig();
    let mut one = rig.subscribed();
    let link = Link::Up(one_key(&one.link));
    let in_three = rig.hub.late_look(&link, Some(Duration::from_secs(3)));
    assert_eq!(in_three, Some(u32::try_from(START_S + 3).expect("seconds")));
    assert_eq!(rig.hub.late_look(&link, Some(Duration::from_secs(5))), None, "it is looked at before that");
    assert!(rig.hub.late_look(&link, Some(Duration::from_secs(2))).is_some(), "sooner");
    assert_eq!(rig.hub.late_look(&link, None), None);
    rig.frame(&mut one, r#"{"id":9,"unsubscribe":{"channel":"room:a"}}"#);
    assert_eq!(rig.hub.late_look(&link, Some(Duration::from_secs(1))), None, "nothing expires");
}

fn one_key(link: &Link) -> ClientKey {
    let Link::Up(key) = link else { panic!("{link:?}") };
    *key
}
