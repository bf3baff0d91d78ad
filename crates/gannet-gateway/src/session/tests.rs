//! Sessions without sockets: what goes in, what comes out, and the clock by hand.

mod grants;
mod refresh;

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use gannet::sim::{SimulatedClient, Simulation};
use gannet::{Context, Handle, Limits, Refused, Service, Timeouts};
use gannet_channels::{Delivery, Pushed, Sink, Time};
use serde_json::{Value, json};

use super::*;
use crate::gateway::Gateway;
use crate::secret::Secret;
use crate::settings::{Rate, Settings, namespace};
use crate::token::Issue;

/// The time of day at which a test begins.
const START: Time = Time(1_700_000_000_000);
const START_S: u64 = START.0 / 1_000;
const SECRET: &str = "a secret that is long enough";

thread_local! {
    static HANDLES: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// Notes the handles of its connections.
struct Noting;

impl Service for Noting {
    type Codec = gannet::proto::Raw;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        HANDLES.with_borrow_mut(|handles| handles.push(cx.handle()));
        Ok(())
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

/// A hub, and a clock.
struct Rig {
    hub: Hub,
    simulation: Simulation,
    clients: Vec<SimulatedClient>,
    clock: Duration,
}

/// A client, and what it was sent.
struct One {
    place: Place,
    link: Link,
    next: Option<Duration>,
}

impl Rig {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        settings.tokens.secrets = vec![Secret::from(SECRET)];
        settings.client.anonymous = true;
        for text in [
            "open:presence,join_leave,history_size=10,history_ttl=5m,force_recovery,allow_subscribe_for_client,\
             allow_subscribe_for_anonymous,allow_publish_for_client,allow_publish_for_anonymous,\
             allow_history_for_client,allow_history_for_anonymous,allow_presence_for_client,allow_presence_for_anonymous",
            "plain:allow_subscribe_for_client,allow_subscribe_for_anonymous,allow_publish_for_client,\
             allow_publish_for_anonymous",
            "closed:presence,history_size=10,history_ttl=5m",
        ] {
            settings.channels.namespaces.push(namespace::parse(text).expect("a namespace"));
        }
        change(&mut settings);
        let gateway = Gateway::new(settings, 1, 5).expect("settings that work");
        let simulation = Simulation::calm(&Limits::default(), Timeouts::default(), || Noting);
        let clock = Duration::from_secs(1);
        Self { hub: Hub::new(&gateway, 0, START, clock), simulation, clients: Vec::new(), clock }
    }

    /// A connection in JSON that has said nothing.
    fn one(&mut self) -> One {
        self.one_by(Wire::WebSocketJson)
    }

    fn one_by(&mut self, wire: Wire) -> One {
        self.clients.push(self.simulation.connect(0));
        let before = HANDLES.with_borrow(Vec::len);
        let handle = loop {
            self.simulation.turn();
            if let Some(handle) = HANDLES.with_borrow(|handles| handles.get(before).copied()) {
                break handle;
            }
        };
        One { place: Place { handle, wire }, link: Link::Fresh, next: None }
    }

    /// One that has connected with a request.
    #[track_caller]
    fn connected(&mut self, request: &str) -> One {
        let mut one = self.one();
        let replies = self.says(&mut one, &format!(r#"{{"id":1,"connect":{request}}}"#));
        assert!(replies[0]["connect"].is_object(), "{replies:?}");
        one
    }

    fn pass(&mut self, time: Duration) {
        self.clock += time;
        self.hub.turn(self.clock);
    }

    /// Gives the messages that were sent, and what is left to do.
    fn outcome(&mut self, one: &mut One, effects: Effects) -> (Vec<Value>, Option<u16>) {
        if effects.next.is_some() {
            one.next = effects.next;
        }
        let text = std::str::from_utf8(&self.hub.out).expect("text");
        let messages = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (messages, effects.close.map(|why| why.code))
    }

    fn frame(&mut self, one: &mut One, frame: &str) -> (Vec<Value>, Option<u16>) {
        let effects = self.hub.receive(one.place, &mut one.link, frame.as_bytes());
        self.outcome(one, effects)
    }

    /// Sends a frame after which the session goes on.
    #[track_caller]
    fn says(&mut self, one: &mut One, frame: &str) -> Vec<Value> {
        let (messages, closed) = self.frame(one, frame);
        assert_eq!(closed, None, "{frame}: {messages:?}");
        messages
    }

    /// Sends a command; gives the code of the error in its reply, 0 without one.
    #[track_caller]
    fn error_of(&mut self, one: &mut One, request: &str) -> u64 {
        let replies = self.says(one, &format!(r#"{{"id":7,{request}}}"#));
        assert_eq!((replies.len(), &replies[0]["id"]), (1, &json!(7)), "{replies:?}");
        replies[0]["error"]["code"].as_u64().unwrap_or(0)
    }

    /// Sends a frame that ends the session; gives the code.
    #[track_caller]
    fn closes(&mut self, one: &mut One, frame: &str) -> u16 {
        let (messages, closed) = self.frame(one, frame);
        closed.unwrap_or_else(|| panic!("{frame}: {messages:?}"))
    }

    /// The timer fires when it was set to.
    fn wakes(&mut self, one: &mut One) -> (Vec<Value>, Option<u16>) {
        let after = one.next.take().expect("a timer");
        self.pass(after);
        let effects = self.hub.due(one.place, &mut one.link);
        self.outcome(one, effects)
    }

    /// What the channel space has for a client now, as channels with data of publications or names of events.
    fn deliveries(&mut self) -> Vec<(Handle, Value)> {
        let mut notes = Notes::default();
        let delivered = self.hub.roster.deliver(&mut notes, self.hub.now, 10_000);
        assert!(delivered.order.is_none(), "an order");
        notes.0
    }
}

/// Notes what is pushed.
#[derive(Default)]
struct Notes(Vec<(Handle, Value)>);

impl Sink<Client> for Notes {
    fn push(&mut self, _: ClientKey, client: &mut Client, format: u8, delivery: &std::sync::Arc<Delivery>) -> Pushed {
        let bytes: &Bytes = delivery.wire(format, |delivery| client.wire.encode(delivery));
        if bytes.is_empty() {
            self.0.push((client.handle, json!(null)));
            return Pushed::Taken;
        }
        // Two bytes of header: all of them are short.
        let header = if bytes[1] == 126 { 4 } else { 2 };
        self.0.push((client.handle, serde_json::from_slice(&bytes[header..]).expect("JSON")));
        Pushed::Taken
    }

    fn gap(&mut self, _: ClientKey, client: &mut Client, channel: &str, _: bool) {
        self.0.push((client.handle, json!({ "gap": channel })));
    }

    fn slow(&mut self, _: ClientKey, _: &mut Client) {}
}

fn token(change: impl FnOnce(&mut Issue)) -> String {
    let mut issue = Issue { sub: "ann".to_owned(), ..Issue::default() };
    change(&mut issue);
    issue.sign(&Secret::from(SECRET)).expect("a token")
}

fn connect_with(token: &str) -> String {
    format!(r#"{{"token":"{token}"}}"#)
}

#[test]
fn a_client_that_says_nothing_is_stale_after_ten_seconds() {
    let mut rig = Rig::new(|_| {});
    let mut one = rig.one();
    assert_eq!(rig.hub.patience(), Duration::from_secs(10));
    one.next = Some(rig.hub.patience());
    assert_eq!(rig.wakes(&mut one).1, Some(3502));
}

#[test]
fn the_first_command_is_connect_and_there_is_no_second_one() {
    let mut rig = Rig::new(|_| {});
    for first in ["", "{}", "[", "null", r#"{"id":1}"#, r#"{"id":1,"rpc":{}}"#, r#"{"connect":{}}"#, "\n"] {
        let mut one = rig.one();
        assert_eq!(rig.closes(&mut one, first), 3501, "{first:?}");
        assert!(matches!(one.link, Link::Gone));
    }
    let mut one = rig.connected("{}");
    assert_eq!(rig.closes(&mut one, r#"{"id":2,"connect":{}}"#), 3501);
    assert_eq!(rig.closes(&mut one, r#"{"id":3,"publish":{"channel":"open:a","data":1}}"#), 3501, "it is over");
    assert_eq!(rig.hub.roster.len(), 0);
}

#[test]
fn after_a_connect_that_was_refused_nothing_is_taken() {
    let mut rig = Rig::new(|settings| settings.client.anonymous = false);
    let mut one = rig.one();
    let replies = rig.says(&mut one, r#"{"id":1,"connect":{}}"#);
    assert_eq!(replies[0]["error"]["code"], 101);
    assert_eq!(rig.closes(&mut one, r#"{"id":2,"connect":{}}"#), 3501);
}

#[test]
fn a_client_whose_connect_was_refused_is_stale_ten_seconds_later() {
    let mut rig = Rig::new(|_| {});
    let expired = token(|issue| issue.exp = Some(START_S - 1));
    for wire in [Wire::WebSocketJson, Wire::Lines] {
        let mut one = rig.one_by(wire);
        let connect = format!(r#"{{"id":1,"connect":{}}}"#, connect_with(&expired));
        assert_eq!(rig.says(&mut one, &connect)[0]["error"]["code"], 109);
        assert_eq!(one.next, Some(Duration::from_secs(10)));
        // A stream is also called when there is room.
        rig.pass(Duration::from_secs(4));
        let effects = rig.hub.due(one.place, &mut one.link);
        assert_eq!(rig.outcome(&mut one, effects).1, None);
        assert_eq!(one.next, Some(Duration::from_secs(6)));
        assert_eq!(rig.wakes(&mut one).1, Some(3502));
        let again = rig.hub.due(one.place, &mut one.link);
        assert_eq!(rig.outcome(&mut one, again), (vec![], None), "it is over");
    }
}

#[test]
fn the_first_ping_comes_at_a_random_half_to_whole_of_the_interval_and_its_answer_is_awaited() {
    let mut rig = Rig::new(|_| {});
    let mut firsts = Vec::new();
    for _ in 0..20 {
        let mut one = rig.connected("{}");
        firsts.push(one.next.expect("a timer"));
        assert_eq!(rig.wakes(&mut one).0, [json!({})]);
        assert_eq!(one.next, Some(Duration::from_secs(8)));
        rig.pass(Duration::from_secs(1));
        rig.says(&mut one, "{}");
        // The timer goes on; then nothing is due until the next ping.
        rig.pass(Duration::from_secs(7));
        let effects = rig.hub.due(one.place, &mut one.link);
        let (messages, closed) = rig.outcome(&mut one, effects);
        assert_eq!((messages.len(), closed, one.next), (0, None, Some(Duration::from_secs(17))));
        assert_eq!(rig.wakes(&mut one).0, [json!({})]);
        assert_eq!(rig.wakes(&mut one).1, Some(3012), "it was not answered");
    }
    let (least, most) = (firsts.iter().min().expect("some"), firsts.iter().max().expect("some"));
    assert!(*least >= Duration::from_millis(12_500) && *most <= Duration::from_secs(25), "{firsts:?}");
    assert!(*most - *least > Duration::from_secs(2), "{firsts:?}");
}

#[test]
fn without_an_interval_nobody_is_pinged() {
    let mut rig = Rig::new(|settings| settings.client.ping = Duration::ZERO);
    let mut one = rig.one();
    let replies = rig.says(&mut one, r#"{"id":1,"connect":{}}"#);
    assert_eq!((&replies[0]["connect"]["ping"], &replies[0]["connect"]["pong"]), (&json!(null), &json!(null)));
    for _ in 0..3 {
        assert_eq!(rig.wakes(&mut one), (Vec::new(), None));
    }
}

#[test]
fn a_pong_that_was_not_asked_for_closes() {
    let mut rig = Rig::new(|_| {});
    let mut one = rig.connected("{}");
    assert_eq!(rig.closes(&mut one, "{}"), 3501);
    let mut one = rig.connected("{}");
    rig.wakes(&mut one);
    rig.says(&mut one, "{}");
    assert_eq!(rig.closes(&mut one, "{}"), 3501, "the second one");
}

#[test]
fn a_one_way_client_is_pinged_and_does_not_answer() {
    let mut rig = Rig::new(|_| {});
    let mut one = rig.one_by(Wire::OneWayWebSocket);
    let (messages, closed) = rig.frame(&mut one, "{}");
    assert_eq!((messages[0]["connect"]["ping"].as_u64(), closed), (Some(25), None));
    for _ in 0..3 {
        assert_eq!(rig.wakes(&mut one), (vec![json!({})], None));
    }
}

#[test]
fn subscribing_is_refused_with_the_code_that_says_why() {
    let mut rig = Rig::new(|settings| settings.channels.limits.channels_per_client = 3);
    let mut one = rig.connected("{}");
    let subscribe = |channel: &str| format!(r#""subscribe":{{"channel":"{channel}"}}"#);
    assert_eq!(rig.error_of(&mut one, &subscribe("open:a")), 0);
    assert_eq!(rig.error_of(&mut one, &subscribe("open:a")), 105);
    assert_eq!(rig.error_of(&mut one, &subscribe("nowhere:a")), 102);
    assert_eq!(rig.error_of(&mut one, &subscribe("a")), 102);
    assert_eq!(rig.error_of(&mut one, &subscribe("closed:a")), 103);
    assert_eq!(rig.error_of(&mut one, &subscribe("$open:a")), 103);
    assert_eq!(rig.error_of(&mut one, &subscribe(&format!("open:{}", "a".repeat(251)))), 107);
    assert_eq!(rig.error_of(&mut one, &subscribe("open:\\n")), 107);
    assert_eq!(rig.error_of(&mut one, &subscribe("open:gr\u{fc}n")), 107);
    for kind in [1, 2, 3] {
        let subscribe = format!(r#""subscribe":{{"channel":"open:z","type":{kind}}}"#);
        assert_eq!(rig.error_of(&mut one, &subscribe), 108, "{kind}");
    }
    for channel in ["open:>", "open:*"] {
        assert_eq!(rig.error_of(&mut one, &subscribe(channel)), 0, "{channel}");
    }
    assert_eq!(rig.error_of(&mut one, &subscribe("open:d")), 106);
    assert_eq!(rig.error_of(&mut one, r#""unsubscribe":{"channel":"open:never"}"#), 0);
    for frame in [r#"{"id":1,"subscribe":{}}"#, r#"{"id":1,"unsubscribe":{}}"#, r#"{"id":1,"history":{}}"#] {
        let mut one = rig.connected("{}");
        assert_eq!(rig.closes(&mut one, frame), 3501, "{frame}");
    }
}

#[test]
fn the_reply_to_subscribe_comes_before_the_pushes_and_nothing_older_follows() {
    let mut rig = Rig::new(|_| {});
    let mut one = rig.connected("{}");
    let publish = |n: u32| format!("{{\"id\":{n},\"publish\":{{\"channel\":\"open:a\",\"data\":{n}}}}}");
    let frame = [
        publish(2),
        r#"{"id":3,"subscribe":{"channel":"open:a"}}"#.to_owned(),
        publish(4),
        r#"{"id":5,"unsubscribe":{"channel":"open:a"}}"#.to_owned(),
        publish(6),
        r#"{"id":7,"subscribe":{"channel":"open:a"}}"#.to_owned(),
        publish(8),
    ];
    let replies = rig.says(&mut one, &frame.join("\n"));
    let ids: Vec<_> = replies.iter().map(|reply| reply["id"].as_u64()).collect();
    assert_eq!(ids, (2..=8).map(Some).collect::<Vec<_>>());
    assert_eq!((&replies[1]["subscribe"]["offset"], &replies[5]["subscribe"]["offset"]), (&json!(1), &json!(3)));
    let pushes: Vec<_> = rig.deliveries().into_iter().map(|(_, push)| push["push"]["pub"]["data"].clone()).collect();
    assert_eq!(pushes, [json!(8)]);
}

#[test]
fn what_was_published_before_an_unsubscribe_in_the_same_turn_reaches_the_others() {
    let mut rig = Rig::new(|_| {});
    let mut speaker = rig.connected("{}");
    let mut listener = rig.connected("{}");
    for one in [&mut speaker, &mut listener] {
        assert_eq!(rig.error_of(one, r#""subscribe":{"channel":"plain:a"}"#), 0);
    }
    rig.says(&mut speaker, "{\"id\":3,\"publish\":{\"channel\":\"plain:a\",\"data\":1}}\n{\"id\":4,\"unsubscribe\":{\"channel\":\"plain:a\"}}");
    let pushes = rig.deliveries();
    assert_eq!(pushes.len(), 1);
    assert_eq!((pushes[0].0, &pushes[0].1["push"]["pub"]["data"]), (listener.place.handle, &json!(1)));
}

#[test]
fn a_recovery_that_cannot_be_complete_says_so_or_is_an_error_where_the_client_asks() {
    let mut rig = Rig::new(|_| {});
    let mut one = rig.connected("{}");
    let replies = rig.says(&mut one, r#"{"id":2,"subscribe":{"channel":"open:a"}}"#);
    let epoch = replies[0]["subscribe"]["epoch"].as_str().expect("an epoch").to_owned();
    rig.says(&mut one, r#"{"id":3,"unsubscribe":{"channel":"open:a"}}"#);
    // Where no event came before the drop.
    assert_eq!(rig.error_of(&mut one, r#""publish":{"channel":"open:a","data":1}"#), 0);
    let recover = |offset: u32, flag: u32| {
        format!(
            r#"{{"id":4,"subscribe":{{"channel":"open:a","recover":true,"offset":{offset},"epoch":"{epoch}","flag":{flag}}}}}"#
        )
    };
    let replies = rig.says(&mut one, &recover(0, 0));
    assert_eq!(replies[0]["subscribe"]["recovered"], true, "{replies:?}");
    assert_eq!(replies[0]["subscribe"]["publications"][0]["data"], 1);
    rig.says(&mut one, r#"{"id":3,"unsubscribe":{"channel":"open:a"}}"#);
    let replies = rig.says(&mut one, &recover(99, 0));
    let result = &replies[0]["subscribe"];
    assert_eq!(
        (&result["recovered"], &result["was_recovering"], &result["offset"]),
        (&json!(null), &json!(true), &json!(1))
    );
    rig.says(&mut one, r#"{"id":3,"unsubscribe":{"channel":"open:a"}}"#);
    let replies = rig.says(&mut one, &recover(99, 2));
    assert_eq!(replies[0]["error"]["code"], 112);
    assert_eq!(rig.error_of(&mut one, r#""subscribe":{"channel":"open:a"}"#), 0, "it was not subscribed");
}

#[test]
fn a_recovery_of_more_bytes_than_a_reply_may_bring_begins_anew_at_the_top() {
    let words =
        "long:history_size=50,history_ttl=5m,force_recovery,allow_subscribe_for_client,allow_subscribe_for_anonymous";
    let mut rig = Rig::new(|settings| {
        settings.channels.namespaces.push(namespace::parse(words).expect("a namespace"));
    });
    let space = rig.hub.gateway.space().clone();
    let mut epoch = String::new();
    for _ in 0..25 {
        let data = format!("\"{}\"", "x".repeat(60_000));
        let position = space.publish("long:a", gannet_channels::Publish::new(data), rig.hub.now).expect("it is taken");
        epoch = position.epoch.to_string();
    }
    let asked = |offset: u32| format!(r#""recover":true,"offset":{offset},"epoch":"{epoch}""#);
    let of = |result: &Value| {
        let publications = result["publications"].as_array().map_or(0, Vec::len);
        (result["recovered"] == true, publications, result["offset"].as_u64())
    };
    for (offset, expected) in [(3, (false, 0, Some(25))), (10, (true, 15, Some(10)))] {
        let mut one = rig.connected("{}");
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"long:a",{}}}}}"#, asked(offset));
        assert_eq!(of(&rig.says(&mut one, &subscribe)[0]["subscribe"]), expected, "from {offset}");

        let token = token(|issue| issue.channels = vec!["long:a".to_owned()]);
        let mut one = rig.one();
        let connect =
            format!(r#"{{"id":1,"connect":{{"token":"{token}","subs":{{"long:a":{{{}}}}}}}}}"#, asked(offset));
        assert_eq!(of(&rig.says(&mut one, &connect)[0]["connect"]["subs"]["long:a"]), expected, "from {offset}");

        let mut one = rig.one_by(Wire::EventSource);
        let since = Some((u64::from(offset), epoch.clone()));
        let request = gannet_proto::centrifuge::ConnectRequest::default();
        let events = rig.hub.begin_events(one.place, &mut one.link, &request, "long:a", since).expect("events");
        let events = String::from_utf8(events).expect("text");
        assert_eq!(events.contains("event: unrecovered"), !expected.0);
        // The next time it says the position that it has now.
        assert_eq!(events.matches("id: ").count(), expected.1.max(1));
        assert!(events.contains(&format!("id: {epoch}:25\n")), "from {offset}");
    }
    assert_eq!(space.stats().namespaces.iter().map(|own| own.unrecovered).sum::<u64>(), 3);
}

#[test]
fn history_and_presence_are_off_before_they_are_denied() {
    let mut rig = Rig::new(|_| {});
    let mut one = rig.connected("{}");
    for (channel, code) in [("plain:a", 108), ("closed:a", 103), ("nowhere:a", 102), ("open:a", 0)] {
        for request in ["history", "presence", "presence_stats"] {
            assert_eq!(
                rig.error_of(&mut one, &format!(r#""{request}":{{"channel":"{channel}"}}"#)),
                code,
                "{request} {channel}"
            );
        }
    }
    for number in 1..=4 {
        assert_eq!(rig.error_of(&mut one, &format!(r#""publish":{{"channel":"open:a","data":{number}}}"#)), 0);
    }
    let mut ask = |fields: &str| {
        let replies = rig.says(&mut one, &format!(r#"{{"id":2,"history":{{"channel":"open:a"{fields}}}}}"#));
        let result = replies[0]["history"].clone();
        let data = result["publications"].as_array().expect("a list").iter().map(|own| own["data"].clone());
        (data.collect::<Vec<_>>(), result["offset"].as_u64(), result["epoch"].as_str().expect("an epoch").to_owned())
    };
    let (data, offset, epoch) = ask("");
    assert_eq!((data.len(), offset), (0, Some(4)), "limit 0 is the position only");
    assert_eq!(ask(r#","limit":-1"#).0.len(), 4);
    assert_eq!(ask(r#","limit":2,"reverse":true"#).0, [json!(4), json!(3)]);
    assert_eq!(ask(&format!(r#","limit":9,"since":{{"offset":2,"epoch":"{epoch}"}}"#)).0, [json!(3), json!(4)]);
    assert_eq!(
        rig.error_of(&mut one, r#""history":{"channel":"open:a","limit":9,"since":{"offset":2,"epoch":"x"}}"#),
        112
    );
    assert_eq!(rig.error_of(&mut one, r#""subscribe":{"channel":"open:a"}"#), 0);
    let replies = rig.says(&mut one, r#"{"id":2,"presence_stats":{"channel":"open:a"}}"#);
    assert_eq!(replies[0]["presence_stats"], json!({"num_clients": 1, "num_users": 1}));
    let replies = rig.says(&mut one, r#"{"id":2,"presence":{"channel":"open:a"}}"#);
    assert_eq!(replies[0]["presence"]["presence"].as_object().expect("a map").len(), 1);
}

#[test]
fn a_call_without_a_handler_is_not_available_and_a_message_closes() {
    let mut rig = Rig::new(|_| {});
    let mut one = rig.connected("{}");
    assert_eq!(rig.error_of(&mut one, r#""rpc":{"method":"a","data":{}}"#), 108);
    assert_eq!(rig.error_of(&mut one, r#""ping":{}"#), 0);
    assert_eq!(rig.error_of(&mut one, r#""publish":{"channel":"open:a"}"#), 107);
    assert_eq!(rig.error_of(&mut one, r#""publish":{"channel":"closed:a","data":1}"#), 103);
    let large = "a".repeat(65 << 10);
    assert_eq!(rig.error_of(&mut one, &format!(r#""publish":{{"channel":"open:a","data":"{large}"}}"#)), 106);
    assert_eq!(rig.closes(&mut one, r#"{"send":{"data":{}}}"#), 3508);
}

#[test]
fn commands_over_the_rate_are_refused_and_too_many_of_them_close() {
    let mut rig = Rig::new(|settings| {
        settings.client.commands = Rate { per_second: 10, burst: 5 };
        settings.client.publications = Rate { per_second: 1, burst: 2 };
    });
    let mut one = rig.connected("{}");
    let publish = r#""publish":{"channel":"open:a","data":1}"#;
    assert_eq!([0; 3].map(|_| rig.error_of(&mut one, publish)), [0, 0, 111]);
    let stats = r#""presence_stats":{"channel":"open:a"}"#;
    assert_eq!([0; 3].map(|_| rig.error_of(&mut one, stats)), [0, 0, 111]);
    rig.pass(Duration::from_millis(100));
    assert_eq!([0; 2].map(|_| rig.error_of(&mut one, stats)), [0, 111]);
    let refused = (0..1_000).take_while(|_| rig.frame(&mut one, &format!("{{\"id\":9,{stats}}}")).1.is_none()).count();
    assert_eq!(refused, 99);
    let mut one = rig.connected("{}");
    let frame = vec![r#"{"id":5,"presence_stats":{"channel":"open:a"}}"#; 200].join("\n");
    assert_eq!(rig.closes(&mut one, &frame), 3013);
}

#[test]
fn a_large_reply_costs_as_much_as_many_commands() {
    let mut rig = Rig::new(|settings| {
        settings.client.commands = Rate { per_second: 10, burst: 20 };
    });
    let mut one = rig.connected("{}");
    let large = "a".repeat(60 << 10);
    assert_eq!(rig.error_of(&mut one, &format!(r#""publish":{{"channel":"open:a","data":"{large}"}}"#)), 0);
    let history = r#""history":{"channel":"open:a","limit":-1}"#;
    let frame = (2..12).map(|id| format!("{{\"id\":{id},{history}}}")).collect::<Vec<_>>().join("\n");
    let replies = rig.says(&mut one, &frame);
    let large = replies.iter().filter(|reply| reply["history"].is_object()).count();
    assert_eq!((replies.len(), large), (10, 3), "each costs eight, and twenty are there");
    assert_eq!(replies[9]["error"]["code"], 111);
}

#[test]
fn a_token_says_who_the_client_is_and_for_how_long() {
    let mut rig = Rig::new(|_| {});
    let mut one = rig.one();
    let end = START_S + 60;
    let request = connect_with(&token(|issue| {
        issue.exp = Some(end);
        issue.channels = vec!["open:a".to_owned(), "closed:b".to_owned()];
    }));
    let replies = rig.says(&mut one, &format!(r#"{{"id":1,"connect":{request}}}"#));
    let result = &replies[0]["connect"];
    assert_eq!((&result["expires"], &result["ttl"]), (&json!(true), &json!(60)));
    let mut channels: Vec<_> = result["subs"].as_object().expect("a map").keys().cloned().collect();
    channels.sort();
    assert_eq!(channels, ["closed:b", "open:a"]);
    assert_eq!(result["subs"]["open:a"]["recoverable"], true);
    // A new token puts the end off.
    let refresh = |token: &str| format!(r#"{{"id":2,"refresh":{{"token":"{token}"}}}}"#);
    let replies = rig.says(&mut one, &refresh(&token(|issue| issue.exp = Some(end + 60))));
    assert_eq!((&replies[0]["refresh"]["ttl"], &replies[0]["refresh"]["expires"]), (&json!(120), &json!(true)));
    rig.pass(Duration::from_secs(144));
    let effects = rig.hub.due(one.place, &mut one.link);
    assert!(effects.close.is_none(), "there are 25 s of grace");
    rig.pass(Duration::from_secs(1));
    let effects = rig.hub.due(one.place, &mut one.link);
    assert_eq!(effects.close.map(|why| why.code), Some(3005));
}

#[test]
fn a_token_that_does_not_count_is_refused_as_the_protocol_says() {
    let mut rig = Rig::new(|_| {});
    for (token, code) in [
        (token(|issue| issue.exp = Some(START_S - 1)), Err(109)),
        (token(|issue| issue.channel = Some("open:a".to_owned())), Ok(3500)),
        ("a.b.c".to_owned(), Ok(3500)),
    ] {
        let mut one = rig.one();
        let (messages, closed) = rig.frame(&mut one, &format!(r#"{{"id":1,"connect":{}}}"#, connect_with(&token)));
        match code {
            Ok(code) => assert_eq!(closed, Some(code)),
            Err(code) => assert_eq!(messages[0]["error"]["code"], code),
        }
    }
    let refresh = |token: &str| format!(r#"{{"id":2,"refresh":{{"token":"{token}"}}}}"#);
    for (token, code) in [
        (token(|issue| issue.exp = Some(START_S - 1)), 3005),
        (token(|issue| issue.sub = "bob".to_owned()), 3500),
        ("x".to_owned(), 3500),
        (String::new(), 3501),
    ] {
        let mut one = rig.connected(&connect_with(&self::token(|_| {})));
        assert_eq!(rig.closes(&mut one, &refresh(&token)), code);
    }
}

#[test]
fn a_subscription_token_decides_alone_and_ends_the_subscription() {
    let mut rig = Rig::new(|_| {});
    let of = |channel: &str, exp: Option<u64>| {
        token(|issue| {
            issue.channel = Some(channel.to_owned());
            issue.exp = exp;
        })
    };
    let subscribe = |channel: &str, token: &str| format!(r#""subscribe":{{"channel":"{channel}","token":"{token}"}}"#);
    let mut one = rig.connected(&connect_with(&token(|_| {})));
    assert_eq!(rig.error_of(&mut one, &subscribe("$closed:a", &of("$closed:a", None))), 0);
    assert_eq!(rig.error_of(&mut one, &subscribe("closed:b", "x")), 103);
    assert_eq!(rig.error_of(&mut one, &subscribe("closed:b", &of("closed:b", Some(START_S - 5)))), 109);
    let other = format!("{{\"id\":4,{}}}", subscribe("closed:b", &of("closed:c", None)));
    assert_eq!(rig.closes(&mut one, &other), 3500);

    let mut one = rig.connected(&connect_with(&token(|_| {})));
    let reply =
        rig.says(&mut one, &format!("{{\"id\":4,{}}}", subscribe("closed:b", &of("closed:b", Some(START_S + 40)))));
    assert_eq!((&reply[0]["subscribe"]["expires"], &reply[0]["subscribe"]["ttl"]), (&json!(true), &json!(40)));
    let refresh = |token: &str| format!(r#""sub_refresh":{{"channel":"closed:b","token":"{token}"}}"#);
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.error_of(&mut one, &refresh(&of("closed:b", Some(START_S + 50)))), 0);
    // One that has expired does not make it last for ever.
    assert_eq!(rig.error_of(&mut one, &refresh(&of("closed:b", Some(START_S + 10)))), 109);
    assert_eq!(rig.error_of(&mut one, r#""sub_refresh":{"channel":"open:no","token":"x"}"#), 103);
    rig.pass(Duration::from_secs(54));
    let effects = rig.hub.due(one.place, &mut one.link);
    assert!(
        rig.outcome(&mut one, effects).0.iter().all(|message| message["push"].is_null()),
        "there are 25 s of grace"
    );
    rig.says(&mut one, "{}");
    rig.pass(Duration::from_secs(1));
    let effects = rig.hub.due(one.place, &mut one.link);
    let (messages, closed) = rig.outcome(&mut one, effects);
    let push = messages.iter().find(|message| message["push"].is_object()).expect("a push");
    assert_eq!(
        (&push["push"]["channel"], &push["push"]["unsubscribe"]["code"], closed),
        (&json!("closed:b"), &json!(2501), None)
    );
}

#[test]
fn server_side_channels_that_were_published_to_meanwhile_recover_at_connect() {
    let mut rig = Rig::new(|_| {});
    let request = |subs: &str| {
        let token = token(|issue| issue.channels = vec!["open:a".to_owned(), "open:b".to_owned()]);
        format!(r#"{{"token":"{token}","subs":{{{subs}}}}}"#)
    };
    let mut first = rig.one();
    let replies = rig.says(&mut first, &format!(r#"{{"id":1,"connect":{}}}"#, request("")));
    let epochs = ["open:a", "open:b"]
        .map(|channel| replies[0]["connect"]["subs"][channel]["epoch"].as_str().expect("one").to_owned());
    for channel in ["open:a", "open:b"] {
        assert_eq!(rig.error_of(&mut first, &format!(r#""publish":{{"channel":"{channel}","data":1}}"#)), 0);
    }
    let subs = format!(
        r#""open:a":{{"recover":true,"epoch":"{}"}},"open:b":{{"recover":true,"epoch":"{}"}}"#,
        epochs[0], epochs[1]
    );
    let mut second = rig.one();
    let replies = rig.says(&mut second, &format!(r#"{{"id":1,"connect":{}}}"#, request(&subs)));
    for channel in ["open:a", "open:b"] {
        let result = &replies[0]["connect"]["subs"][channel];
        assert_eq!((&result["recovered"], &result["publications"][0]["offset"]), (&json!(true), &json!(1)), "{result}");
    }
    let mut full = Rig::new(|settings| settings.channels.limits.channels_per_client = 1);
    let mut one = full.one();
    assert_eq!(full.closes(&mut one, &format!(r#"{{"id":1,"connect":{}}}"#, request(""))), 3505);
    assert_eq!(full.hub.roster.len(), 0, "nothing is left");
}

#[test]
fn a_user_has_as_many_connections_as_the_limit_allows() {
    let mut rig = Rig::new(|settings| settings.channels.limits.connections_per_user = Some(1));
    let request = connect_with(&token(|_| {}));
    let mut first = rig.connected(&request);
    let mut second = rig.one();
    assert_eq!(rig.closes(&mut second, &format!(r#"{{"id":1,"connect":{request}}}"#)), 3504);
    rig.hub.closed(first.place, &mut first.link);
    rig.connected(&request);
}

#[test]
fn a_channel_is_empty_when_its_clients_have_gone() {
    let mut rig = Rig::new(|_| {});
    let mut clients: Vec<_> = (0..3).map(|_| rig.connected("{}")).collect();
    for one in &mut clients {
        assert_eq!(rig.error_of(one, r#""subscribe":{"channel":"plain:a"}"#), 0);
        assert_eq!(rig.error_of(one, r#""subscribe":{"channel":"plain:a"}"#), 105);
    }
    assert_eq!(rig.hub.gateway.space().channels(None, 10), [("plain:a".to_owned(), 3)]);
    for one in &mut clients {
        rig.hub.closed(one.place, &mut one.link);
        rig.hub.closed(one.place, &mut one.link);
    }
    assert_eq!(rig.hub.gateway.space().channels(None, 10), []);
    assert_eq!(rig.hub.gateway.metrics.clients(), 0);
}

#[test]
fn data_that_is_not_json_has_no_place_in_a_message_in_json() {
    let mut rig = Rig::new(|_| {});
    let mut one = rig.connected("{}");
    let mut frame = Vec::new();
    let publish = gannet_proto::centrifuge::PublishRequest { channel: "open:a".into(), data: b"\xff" };
    let command =
        gannet_proto::centrifuge::Command { id: 2, request: gannet_proto::centrifuge::Request::Publish(publish) };
    let mut device = rig.one_by(Wire::Device);
    let connect = gannet_proto::centrifuge::Command {
        id: 1,
        request: gannet_proto::centrifuge::Request::Connect(Default::default()),
    };
    for command in [&connect, &command] {
        gannet_proto::centrifuge::Format::Protobuf.write_command(&mut frame, command);
    }
    assert_eq!(rig.error_of(&mut one, r#""subscribe":{"channel":"open:a"}"#), 0);
    assert!(rig.hub.receive(device.place, &mut device.link, &frame).close.is_none());
    let data = rig.deliveries().remove(0).1["push"]["pub"].clone();
    assert_eq!(data, json!(null), "it is closed instead");
    assert_eq!(rig.closes(&mut one, r#"{"id":5,"history":{"channel":"open:a","limit":1}}"#), 3506);
}

#[test]
fn all_recoveries_of_a_connect_share_the_bytes_that_one_may_bring() {
    let mut rig = Rig::new(|_| {});
    let space = rig.hub.gateway.space().clone();
    let data = Bytes::from(format!("\"{}\"", "x".repeat(60 << 10)));
    let mut epochs = Vec::new();
    for (channel, count) in [("open:a", 9), ("open:b", 9), ("open:c", 1), ("open:d", 0)] {
        let subscribed = token(|issue| issue.channels = vec![channel.to_owned()]);
        let mut one = rig.one();
        let connect = format!(r#"{{"id":1,"connect":{}}}"#, connect_with(&subscribed));
        let replies = rig.says(&mut one, &connect);
        epochs.push((
            channel,
            count,
            replies[0]["connect"]["subs"][channel]["epoch"].as_str().expect("an epoch").to_owned(),
        ));
        for _ in 0..count {
            space.publish(channel, gannet_channels::Publish::new(data.clone()), START).expect("it is taken");
        }
    }
    let all = token(|issue| issue.channels = epochs.iter().map(|(channel, ..)| (*channel).to_owned()).collect());
    let subs: serde_json::Map<String, Value> = epochs
        .iter()
        .map(|(channel, _, epoch)| ((*channel).to_owned(), json!({"recover": true, "offset": 0, "epoch": epoch})))
        .collect();
    let mut one = rig.one();
    let request = json!({"id": 1, "connect": {"token": all, "subs": subs}});
    let replies = rig.says(&mut one, &request.to_string());
    let subs = &replies[0]["connect"]["subs"];
    let recovered = |channel: &str| {
        let sub = &subs[channel];
        (
            sub["recovered"] == true,
            sub["publications"].as_array().map_or(0, Vec::len),
            sub["offset"].as_u64().unwrap_or(0),
        )
    };
    assert_eq!(recovered("open:a"), (true, 9, 0));
    assert_eq!(recovered("open:b"), (false, 0, 9), "there is no room left for it, and it is told the top");
    assert_eq!(recovered("open:c"), (true, 1, 0), "it still fits");
    assert_eq!(recovered("open:d"), (true, 0, 0), "it has missed nothing");
}
