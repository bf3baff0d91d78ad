//! What the space does, sentence by sentence.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Log;
use crate::*;

const NOW: Time = Time(1_000_000);

fn later(ms: u64) -> Time {
    Time(NOW.0 + ms)
}

/// Options with a history of ten publications and all that builds on it.
fn stream() -> Options {
    Options {
        presence: true,
        history_size: 10,
        history_ttl: Duration::from_secs(60),
        allow_positioning: true,
        allow_recovery: true,
        ..Options::default()
    }
}

struct World {
    space: Arc<Space>,
    rosters: Vec<Roster<&'static str>>,
    log: Log,
}

impl World {
    fn new(options: Options) -> Self {
        Self::with(options, Limits::default(), 1)
    }

    fn with(options: Options, limits: Limits, reactors: usize) -> Self {
        let settings = Settings { namespaces: vec![Namespace::new("a1", options)], limits };
        let space = Space::new(settings, reactors, 7).unwrap();
        let rosters = (0..reactors).map(|reactor| Roster::new(&space, reactor)).collect();
        Self { space, rosters, log: Log::default() }
    }

    fn connect(&mut self, reactor: usize, name: &'static str) -> ClientKey {
        let connect = Connect { user: name.into(), conn_info: None, format: 0, value: name };
        self.rosters[reactor].connect(connect).unwrap().0
    }

    fn subscribe(&mut self, reactor: usize, client: ClientKey, request: Subscribe) -> Subscribed {
        self.rosters[reactor].subscribe(client, "a1:x", &request, NOW).unwrap()
    }

    /// Connects and subscribes.
    fn join(&mut self, reactor: usize, name: &'static str, request: Subscribe) -> ClientKey {
        let client = self.connect(reactor, name);
        self.subscribe(reactor, client, request);
        client
    }

    fn publish(&self, data: &'static str) -> Position {
        self.space.publish("a1:x", Publish::new(data), NOW).unwrap()
    }

    fn deliver(&mut self, reactor: usize) -> Vec<String> {
        self.deliver_at(reactor, NOW)
    }

    fn deliver_at(&mut self, reactor: usize, now: Time) -> Vec<String> {
        while self.rosters[reactor].deliver(&mut self.log, now, 100).more {}
        self.log.take()
    }

    fn flush(&mut self, client: ClientKey) -> Vec<String> {
        self.log.full.clear();
        assert!(self.rosters[0].flush(client, &mut self.log));
        self.log.take()
    }
}

fn positioned() -> Subscribe {
    Subscribe { positioned: true, recoverable: true, ..Subscribe::default() }
}

fn recovering(since: Since) -> Subscribe {
    Subscribe { recover: Some(since), ..positioned() }
}

fn data(subscribed: &Subscribed) -> Vec<&[u8]> {
    subscribed.publications.iter().map(|publication| &publication.data[..]).collect()
}

#[test]
fn subscribers_on_all_reactors_receive_a_publication() {
    let mut world = World::with(Options::default(), Limits::default(), 2);
    world.join(0, "ada", Subscribe::default());
    world.join(1, "bob", Subscribe::default());
    world.publish("hello");
    assert_eq!(world.deliver(0), ["ada: hello"]);
    assert_eq!(world.deliver(1), ["bob: hello"]);
}

#[test]
fn a_subscriber_gets_nothing_that_was_published_before_it_subscribed() {
    let mut world = World::new(Options::default());
    world.join(0, "ada", Subscribe::default());
    world.publish("1");
    world.join(0, "bob", Subscribe::default());
    world.publish("2");
    assert_eq!(world.deliver(0), ["ada: 1", "ada: 2", "bob: 2"]);
}

#[test]
fn a_client_that_unsubscribed_and_subscribed_again_gets_only_what_came_since() {
    let mut world = World::new(Options::default());
    let ada = world.join(0, "ada", Subscribe::default());
    world.publish("1");
    assert!(world.rosters[0].unsubscribe(ada, "a1:x", NOW));
    assert!(!world.rosters[0].unsubscribe(ada, "a1:x", NOW));
    world.publish("2");
    world.subscribe(0, ada, Subscribe::default());
    world.publish("3");
    assert_eq!(world.deliver(0), ["ada: 3"]);
}

#[test]
fn the_place_of_a_channel_that_another_one_took_over_is_not_confused_with_it() {
    let mut world = World::new(Options::default());
    let ada = world.join(0, "ada", Subscribe::default());
    world.publish("of x");
    world.rosters[0].unsubscribe(ada, "a1:x", NOW);
    world.rosters[0].subscribe(ada, "a1:y", &Subscribe::default(), NOW).unwrap();
    world.space.publish("a1:y", Publish::new("of y"), NOW).unwrap();
    assert_eq!(world.deliver(0), ["ada: of y"]);
}

#[test]
fn recovery_gives_what_was_missed_and_goes_on_without_a_gap() {
    let mut world = World::new(stream());
    let ada = world.connect(0, "ada");
    let position = world.subscribe(0, ada, positioned()).position.unwrap();
    world.publish("1");
    assert_eq!(world.deliver(0), ["ada: 1 1"]);
    world.rosters[0].disconnect(ada, NOW);
    world.publish("2");
    world.publish("3");
    let again = world.connect(0, "ada");
    let since = Since::new(1, position.epoch.to_string());
    let subscribed = world.subscribe(0, again, recovering(since));
    assert_eq!((subscribed.recovered, data(&subscribed)), (Some(true), vec![&b"2"[..], b"3"]));
    assert_eq!(subscribed.position.map(|position| position.offset), Some(1), "the client's own offset");
    world.publish("4");
    assert_eq!(world.deliver(0), ["ada: 4 4"]);
}

#[test]
fn recovery_is_refused_where_something_is_missing() {
    let mut world =
        World::with(Options { history_size: 3, ..stream() }, Limits { recovery: 2, ..Limits::default() }, 1);
    let epoch = world.publish("1").epoch.to_string();
    for data in ["2", "3", "4", "5"] {
        world.publish(data);
    }
    for (since, recovered) in [
        (Since::new(5, epoch.as_str()), true),
        (Since::new(3, epoch.as_str()), true),
        (Since::new(3, ""), true),
        // Three were missed, and two may be recovered.
        (Since::new(2, epoch.as_str()), false),
        // The second is not there any more.
        (Since::new(1, epoch.as_str()), false),
        (Since::new(6, epoch.as_str()), false),
        (Since::new(4, "another"), false),
        (Since::new(0, format!("{epoch}0")), false),
    ] {
        let ada = world.connect(0, "ada");
        let subscribed = world.subscribe(0, ada, recovering(since.clone()));
        assert_eq!(subscribed.recovered, Some(recovered), "{since:?}");
        let offset = if recovered {
            since.offset
        } else {
            assert!(subscribed.publications.is_empty());
            5
        };
        assert_eq!(subscribed.position.map(|position| position.offset), Some(offset));
        world.rosters[0].disconnect(ada, NOW);
    }
}

#[test]
fn a_recovery_of_too_many_bytes_is_refused_at_the_top_and_one_publication_never_is() {
    let limits = Limits { recovery_bytes: 10_000, ..Limits::default() };
    let mut world = World::with(stream(), limits.clone(), 1);
    let publish = |world: &World, bytes| world.space.publish("a1:x", Publish::new(vec![b'0'; bytes]), NOW).unwrap();
    let epoch = publish(&world, 4_000).epoch.to_string();
    for bytes in [4_000, 4_000, 20_000] {
        publish(&world, bytes);
    }
    for (offset, recovered) in [(4, true), (3, true), (2, false), (0, false)] {
        let ada = world.connect(0, "ada");
        let subscribed = world.subscribe(0, ada, recovering(Since::new(offset, epoch.as_str())));
        assert_eq!(subscribed.recovered, Some(recovered), "from {offset}");
        let (position, missed) = if recovered { (offset, 4 - offset) } else { (4, 0) };
        assert_eq!(subscribed.position.map(|position| position.offset), Some(position), "from {offset}");
        assert_eq!(subscribed.publications.len() as u64, missed, "from {offset}");
        world.rosters[0].disconnect(ada, NOW);
    }
    assert_eq!(world.space.stats().namespaces[0].unrecovered, 2);

    // A cache has one value, whatever its size.
    let cache = Options { recovery_mode: RecoveryMode::Cache, force_recovery: true, ..stream() };
    let mut world = World::with(cache, limits, 1);
    publish(&world, 20_000);
    let ada = world.connect(0, "ada");
    let subscribed = world.subscribe(0, ada, recovering(Since::new(0, "")));
    assert_eq!((subscribed.recovered, subscribed.publications.len()), (Some(true), 1));
}

#[test]
fn recovery_works_where_nothing_was_published_before_the_connection_was_cut() {
    let mut world = World::new(stream());
    let ada = world.connect(0, "ada");
    let since: Since = world.subscribe(0, ada, positioned()).position.unwrap().into();
    world.rosters[0].disconnect(ada, NOW);
    assert_eq!(world.space.stats().channels, 0, "nobody needs it");
    world.publish("1");
    let again = world.connect(0, "ada");
    let subscribed = world.subscribe(0, again, recovering(since));
    assert_eq!((subscribed.recovered, data(&subscribed)), (Some(true), vec![&b"1"[..]]));
}

#[test]
fn a_position_of_a_stream_that_was_forgotten_is_not_recovered() {
    let mut world = World::new(Options { history_meta_ttl: Duration::from_secs(100), ..stream() });
    let ada = world.connect(0, "ada");
    let start: Since = world.subscribe(0, ada, positioned()).position.unwrap().into();
    world.rosters[0].disconnect(ada, NOW);
    let ada = world.connect(0, "ada");
    world.subscribe(0, ada, recovering(start.clone()));
    let one: Since = world.publish("1").into();
    world.rosters[0].disconnect(ada, NOW);
    assert!(!world.space.tick(later(99_999)));
    let ada = world.connect(0, "ada");
    let there = world.rosters[0].subscribe(ada, "a1:x", &recovering(one.clone()), later(99_999)).unwrap();
    assert_eq!(there.recovered, Some(true), "its publications are gone, but its position is known");
    world.rosters[0].disconnect(ada, later(99_999));
    assert!(!world.space.tick(later(100_000)));
    assert_eq!(world.space.stats().channels, 0);
    world.publish("another 1");
    for since in [one, start] {
        let ada = world.connect(0, "ada");
        assert_eq!(world.subscribe(0, ada, recovering(since)).recovered, Some(false));
    }
}

#[test]
fn a_cache_gives_the_newest_value_alone() {
    let options = Options { recovery_mode: RecoveryMode::Cache, force_recovery: true, ..stream() };
    let mut world = World::new(options);
    let ada = world.connect(0, "ada");
    assert_eq!(world.subscribe(0, ada, recovering(Since::default())).recovered, Some(false), "there is no value");
    for data in ["1", "2", "3"] {
        world.publish(data);
    }
    let bob = world.connect(0, "bob");
    let subscribed = world.subscribe(0, bob, recovering(Since::default()));
    assert_eq!((subscribed.recovered, data(&subscribed)), (Some(true), vec![&b"3"[..]]));
    let since: Since = subscribed.position.unwrap().into();
    let eve = world.connect(0, "eve");
    let subscribed = world.subscribe(0, eve, recovering(since));
    assert_eq!((subscribed.recovered, data(&subscribed)), (Some(true), vec![]), "it has the value");
}

#[test]
fn publishing_with_a_known_key_returns_the_first_position_and_publishes_nothing() {
    let mut world = World::new(stream());
    world.join(0, "ada", Subscribe::default());
    let publish = |data: &'static str| Publish { idempotency_key: Some("k".into()), ..Publish::new(data) };
    let first = world.space.publish("a1:x", publish("1"), NOW).unwrap();
    assert_eq!(world.space.publish("a1:x", publish("2"), later(299_999)), Ok(first));
    assert_eq!(world.deliver(0), ["ada: 1 1"]);
    world.space.publish("a1:y", publish("of another channel"), NOW).unwrap();
    assert!(!world.space.tick(later(300_000)));
    let after = world.space.publish("a1:x", publish("3"), later(300_000)).unwrap();
    assert_eq!((after.offset, world.deliver(0)), (2, vec!["ada: 2 3".to_owned()]));
    assert_eq!(world.space.stats().namespaces[0].duplicates, 1);
}

#[test]
fn tags_and_the_publishing_client_arrive_with_the_publication() {
    let mut world = World::new(Options::default());
    let ada = world.connect(0, "ada");
    let own = Subscribe { chan_info: Some("here".into()), ..Subscribe::default() };
    world.subscribe(0, ada, own);
    let info = world.rosters[0].info(ada, "a1:x").unwrap();
    assert_eq!((info.user(), info.chan_info().unwrap().as_ref()), ("ada", &b"here"[..]));
    assert!(world.rosters[0].info(ada, "a1:y").unwrap().chan_info().is_none());
    let tags = vec![("k".to_owned(), "v".to_owned())];
    world.space.publish("a1:x", Publish { info: Some(info), tags, ..Publish::new("1") }, NOW).unwrap();
    struct Check(bool);
    impl Sink<&'static str> for Check {
        fn push(&mut self, _: ClientKey, _: &mut &'static str, _: u8, delivery: &Arc<Delivery>) -> Pushed {
            let Event::Publication(publication) = delivery.event() else { panic!("{delivery:?}") };
            assert_eq!(publication.tags, [("k".to_owned(), "v".to_owned())]);
            assert_eq!(publication.info.as_ref().unwrap().user(), "ada");
            self.0 = true;
            Pushed::Taken
        }
        fn gap(&mut self, _: ClientKey, _: &mut &'static str, _: &str, _: bool) {}
        fn slow(&mut self, _: ClientKey, _: &mut &'static str) {}
    }
    let mut check = Check(false);
    world.rosters[0].deliver(&mut check, NOW, 10);
    assert!(check.0);
}

#[test]
fn a_publication_that_skips_the_history_has_no_offset_and_is_no_gap() {
    let mut world = World::new(stream());
    world.join(0, "ada", positioned());
    world.publish("1");
    let skip = Publish { skip_history: true, ..Publish::new("between") };
    assert_eq!(world.space.publish("a1:x", skip, NOW), Ok(Position::default()));
    world.publish("2");
    assert_eq!(world.deliver(0), ["ada: 1 1", "ada: between", "ada: 2 2"]);
    let history = world.space.history("a1:x", &HistoryRequest::default(), NOW).unwrap();
    assert_eq!(history.publications.len(), 2);
}

#[test]
fn subscribers_that_ask_for_it_learn_who_comes_and_goes() {
    let mut world = World::new(Options { join_leave: true, presence: true, ..Options::default() });
    let wants = || Subscribe { join_leave: true, ..Subscribe::default() };
    let ada = world.join(0, "ada", wants());
    world.join(0, "bob", Subscribe::default());
    assert_eq!(world.deliver(0), ["ada: +ada", "ada: +bob"], "bob did not ask");
    let eve = world.join(0, "eve", wants());
    world.rosters[0].disconnect(ada, NOW);
    world.rosters[0].unsubscribe(eve, "a1:x", NOW);
    assert_eq!(world.deliver(0), Vec::<String>::new(), "those who asked are gone");
    assert_eq!(world.space.presence_stats("a1:x"), Ok(PresenceStats { clients: 1, users: 1 }));
}

#[test]
fn a_roster_that_is_dropped_tells_the_others_that_its_clients_left() {
    let mut world = World::with(
        Options { join_leave: true, force_push_join_leave: true, presence: true, ..Options::default() },
        Limits::default(),
        2,
    );
    world.join(0, "ada", Subscribe::default());
    world.join(1, "bob", Subscribe::default());
    world.deliver(0);
    world.rosters.pop();
    assert_eq!(world.deliver(0), ["ada: -bob"]);
    assert_eq!(world.space.presence("a1:x").unwrap().len(), 1);
    // The reactor may begin anew, and gets nothing that was for the roster before.
    let mut again: Roster<&'static str> = Roster::new(&world.space, 1);
    world.publish("1");
    assert_eq!(again.deliver(&mut world.log, NOW, 10).pushed, 0);
}

#[test]
fn a_subscriber_that_is_too_slow_is_closed_and_gets_nothing_more() {
    let mut world = World::new(Options::default());
    let ada = world.join(0, "ada", Subscribe::default());
    world.join(0, "bob", Subscribe::default());
    world.log.full = vec!["ada"];
    world.publish("1");
    world.publish("2");
    assert_eq!(world.deliver(0), ["ada: slow", "bob: 1", "bob: 2"]);
    assert_eq!(world.space.subscribers("a1:x"), Ok(2), "until its connection is closed");
    assert!(world.flush(ada).is_empty());
    assert_eq!(world.rosters[0].disconnect(ada, NOW), Some("ada"));
    assert_eq!(world.space.stats().namespaces[0].slow, 1);
}

#[test]
fn a_publication_that_finds_no_room_is_dropped_where_the_policy_says_so() {
    let mut world = World::new(Options { slow: SlowPolicy::Drop, ..Options::default() });
    let ada = world.join(0, "ada", Subscribe::default());
    world.log.full = vec!["ada"];
    world.publish("1");
    assert!(world.deliver(0).is_empty());
    assert!(world.flush(ada).is_empty());
    world.publish("2");
    assert_eq!(world.deliver(0), ["ada: 2"]);
    assert_eq!(world.space.stats().namespaces[0].dropped, 1);
}

#[test]
fn a_subscriber_with_a_position_is_told_of_a_dropped_publication_when_it_has_room_again() {
    let mut world = World::new(Options { slow: SlowPolicy::Drop, ..stream() });
    let ada = world.join(0, "ada", positioned());
    world.log.full = vec!["ada"];
    world.publish("1");
    world.log.full.clear();
    world.log.full = vec!["ada"];
    assert!(world.deliver(0).is_empty());
    world.log.full.clear();
    world.publish("2");
    assert!(world.deliver(0).is_empty(), "2 without 1 would be a gap that nobody reports");
    assert_eq!(world.flush(ada), ["ada: gap in a1:x"]);
    assert!(!world.rosters[0].is_subscribed(ada, "a1:x"));
    let subscribed = world.subscribe(0, ada, recovering(Since::default()));
    assert_eq!((subscribed.recovered, data(&subscribed)), (Some(true), vec![&b"1"[..], b"2"]));
}

#[test]
fn only_the_newest_publication_waits_for_a_slow_subscriber() {
    let mut world = World::new(Options { slow: SlowPolicy::LatestOnly, ..Options::default() });
    let ada = world.join(0, "ada", Subscribe::default());
    world.log.full = vec!["ada"];
    for data in ["1", "2", "3"] {
        world.publish(data);
    }
    assert!(world.deliver(0).is_empty());
    assert!(!world.rosters[0].flush(ada, &mut world.log), "there is no room yet");
    assert_eq!(world.flush(ada), ["ada: 3"]);
    world.publish("4");
    assert_eq!(world.deliver(0), ["ada: 4"]);
    assert_eq!((world.space.stats().namespaces[0].replaced, world.rosters[0].waiting()), (2, 0));
}

#[test]
fn a_subscriber_with_a_position_gets_the_waiting_publication_if_nothing_is_missing_before_it() {
    let mut world = World::new(Options { slow: SlowPolicy::LatestOnly, ..stream() });
    let ada = world.join(0, "ada", positioned());
    world.log.full = vec!["ada"];
    world.publish("1");
    world.deliver(0);
    assert_eq!(world.flush(ada), ["ada: 1 1"]);
    world.log.full = vec!["ada"];
    world.publish("2");
    world.publish("3");
    world.deliver(0);
    assert_eq!(world.flush(ada), ["ada: gap in a1:x"]);
}

#[test]
fn subscribers_with_a_position_are_told_what_did_not_fit_into_the_inbox() {
    let mut world = World::with(stream(), Limits { inbox_items: 2, ..Limits::default() }, 1);
    world.join(0, "ada", positioned());
    world.join(0, "bob", Subscribe::default());
    let ted = world.connect(0, "ted");
    world.subscribe(0, ted, Subscribe { server_side: true, ..positioned() });
    for data in ["1", "2", "3"] {
        world.publish(data);
    }
    world.join(0, "eve", positioned());
    assert_eq!(
        world.deliver(0),
        [
            "ada: 1 1",
            "bob: 1 1",
            "ted: 1 1",
            "ada: 2 2",
            "bob: 2 2",
            "ted: 2 2",
            "ada: gap in a1:x",
            "ted: gap in a1:x, by the server"
        ],
        "eve came after the loss"
    );
    world.publish("4");
    let mut rest = world.deliver(0);
    rest.sort();
    assert_eq!(rest, ["bob: 4 4", "eve: 4 4"]);
    assert_eq!((world.space.stats().inbox_lost, world.space.stats().namespaces[0].gaps), (1, 2));
}

#[test]
fn a_loss_that_a_later_delivery_shows_is_told_before_that_one() {
    let large = Publish::new(vec![b'x'; 2000]);
    let limits = Limits { inbox_bytes: 2000, publication: 1000, ..Limits::default() };
    let mut world = World::with(stream(), Limits { publication: 2000, inbox_bytes: 4000, ..limits }, 1);
    world.join(0, "ada", positioned());
    world.join(0, "bob", Subscribe::default());
    world.space.publish("a1:x", large, NOW).unwrap();
    world.space.publish("a1:x", Publish::new(vec![b'y'; 2000]), NOW).unwrap();
    world.publish("3");
    let lines = world.deliver(0);
    assert_eq!(lines[2..], ["ada: gap in a1:x", "bob: 3 3"]);
}

#[test]
fn a_walk_that_pauses_reaches_each_subscriber_once_whoever_comes_and_goes() {
    let mut world = World::new(Options::default());
    let names = ["a", "b", "c", "d", "e", "f"];
    let clients: Vec<_> = names.iter().map(|name| world.join(0, name, Subscribe::default())).collect();
    world.publish("1");
    let delivered = world.rosters[0].deliver(&mut world.log, NOW, 4);
    assert!(delivered.more && delivered.pushed == 3, "one of the budget is for the delivery itself: {delivered:?}");
    assert_eq!(world.log.take(), ["a: 1", "b: 1", "c: 1"]);
    world.rosters[0].unsubscribe(clients[0], "a1:x", NOW);
    world.rosters[0].disconnect(clients[4], NOW);
    world.join(0, "late", Subscribe::default());
    assert_eq!(world.deliver(0), ["f: 1", "d: 1"]);
    world.publish("2");
    let mut all = world.deliver(0);
    all.sort();
    assert_eq!(all, ["b: 2", "c: 2", "d: 2", "f: 2", "late: 2"]);
}

#[test]
fn events_of_one_window_leave_as_one_frame() {
    let mut world = World::new(Options {
        coalesce: Some(Duration::from_millis(20)),
        join_leave: true,
        presence: true,
        ..Options::default()
    });
    world.join(0, "ada", Subscribe::default());
    let wants = Subscribe { join_leave: true, ..Subscribe::default() };
    world.join(0, "bob", wants);
    world.publish("1");
    world.publish("2");
    assert!(world.deliver_at(0, later(1)).is_empty());
    world.join(0, "mid", Subscribe::default());
    world.publish("3");
    assert!(world.deliver_at(0, later(19)).is_empty());
    assert_eq!(world.rosters[0].next_due(), Some(later(20)), "the end of the window, for all channels alike");
    assert_eq!(
        world.deliver_at(0, later(20)),
        ["ada: [1, 2, 3]", "bob: [+bob, 1, 2, +mid, 3]", "mid: 3"],
        "mid came in the middle of the window"
    );
    assert_eq!(world.rosters[0].next_due(), None);
    world.publish("4");
    world.deliver_at(0, later(21));
    assert_eq!(world.deliver_at(0, later(40)), ["ada: 4", "bob: 4", "mid: 4"]);
    let stats = world.space.stats().namespaces[0].clone();
    assert_eq!((stats.deliveries, stats.frames), (3 + 5 + 1 + 3, 6));
}

#[test]
fn a_joined_frame_is_encoded_once_for_all_subscribers_of_the_channel() {
    let mut world = World::new(Options { coalesce: Some(Duration::from_millis(20)), ..Options::default() });
    for name in ["a", "b", "c"] {
        world.join(0, name, Subscribe::default());
    }
    for data in ["1", "2", "3", "4"] {
        world.publish(data);
    }
    struct Count(usize, usize);
    impl Sink<&'static str> for Count {
        fn push(&mut self, _: ClientKey, _: &mut &'static str, format: u8, delivery: &Arc<Delivery>) -> Pushed {
            delivery.wire(format, |_| {
                self.0 += 1;
                bytes::Bytes::new()
            });
            self.1 += 1;
            Pushed::Taken
        }
        fn gap(&mut self, _: ClientKey, _: &mut &'static str, _: &str, _: bool) {}
        fn slow(&mut self, _: ClientKey, _: &mut &'static str) {}
    }
    let mut count = Count(0, 0);
    world.rosters[0].deliver(&mut count, NOW, 100);
    world.rosters[0].deliver(&mut count, later(20), 100);
    assert_eq!((count.0, count.1), (1, 3), "four publications to three clients: three frames of the same bytes");
}

#[test]
fn a_full_window_leaves_before_its_time() {
    let mut world = World::with(
        Options { coalesce: Some(Duration::from_millis(20)), ..Options::default() },
        Limits { batch_events: 2, ..Limits::default() },
        1,
    );
    world.join(0, "ada", Subscribe::default());
    for data in ["1", "2", "3"] {
        world.publish(data);
    }
    assert_eq!(world.deliver(0), ["ada: [1, 2]"]);
    assert_eq!(world.deliver_at(0, later(20)), ["ada: 3"]);
}

#[test]
fn an_order_comes_after_what_was_published_before_it_and_before_the_rest() {
    let mut world =
        World::with(Options { coalesce: Some(Duration::from_millis(20)), ..Options::default() }, Limits::default(), 1);
    let ada = world.join(0, "ada", Subscribe::default());
    let bob = world.join(0, "bob", Subscribe::default());
    world.publish("1");
    let target = Target::User { user: "ada".into(), client: None, session: None };
    let order = Order::Unsubscribe { channel: "a1:x".into(), code: 2000, reason: "".into() };
    assert_eq!(world.space.order(target, order), Ok(1));
    world.publish("2");
    let delivered = world.rosters[0].deliver(&mut world.log, NOW, 100);
    assert_eq!(world.log.take(), ["ada: 1", "bob: 1"], "without waiting for the end of the window");
    let ordered = delivered.order.unwrap();
    assert_eq!((ordered.clients(), delivered.more), (&[ada][..], true));
    world.rosters[0].unsubscribe(ada, "a1:x", NOW);
    world.deliver(0);
    assert_eq!(world.deliver_at(0, later(20)), ["bob: 2"]);
    assert!(world.rosters[0].is_subscribed(bob, "a1:x"));
}

#[test]
fn an_order_for_a_user_reaches_its_clients_of_that_moment_alone() {
    let mut world = World::with(Options::default(), Limits::default(), 2);
    let one = world.connect(0, "ada");
    let two = world.connect(0, "ada");
    let three = world.connect(1, "ada");
    world.connect(0, "bob");
    let spared = world.rosters[0].id(two).unwrap();
    let target = Target::User { user: "ada".into(), client: None, session: None };
    let order = Order::Disconnect { code: 3503, reason: "".into(), except: vec![spared] };
    assert_eq!(world.space.order(target.clone(), order), Ok(3));
    world.connect(1, "ada");
    let ordered = |world: &mut World, reactor: usize| {
        let order = world.rosters[reactor].deliver(&mut world.log, NOW, 10).order;
        order.map(|order| order.clients().to_vec())
    };
    assert_eq!(ordered(&mut world, 0), Some(vec![one]));
    assert_eq!(ordered(&mut world, 1), Some(vec![three]), "the other one connected later");
    assert_eq!(ordered(&mut world, 1), None);
    let nobody = Target::User { user: "eve".into(), client: None, session: None };
    assert_eq!(world.space.order(nobody, Order::Custom(Arc::new(()))), Ok(0));
    let elsewhere = Target::User { user: "bob".into(), client: Some(spared), session: None };
    world.space.order(elsewhere, Order::Custom(Arc::new(()))).unwrap();
    assert_eq!(ordered(&mut world, 0), None, "the client is not bob's");
    world.space.order(Target::Client(spared), Order::Custom(Arc::new(()))).unwrap();
    assert_eq!(ordered(&mut world, 0), Some(vec![two]));
    world.rosters[0].disconnect(two, NOW);
    world.space.order(Target::Client(spared), Order::Custom(Arc::new(()))).unwrap();
    world.connect(0, "its successor in the same place");
    assert_eq!(ordered(&mut world, 0), None);
}

#[test]
fn the_waker_is_called_once_until_the_inbox_was_found_empty() {
    let mut world = World::new(Options::default());
    world.join(0, "ada", Subscribe::default());
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    world.space.set_waker(
        0,
        Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }),
    );
    world.publish("1");
    world.publish("2");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert!(world.rosters[0].deliver(&mut world.log, NOW, 2).more);
    world.publish("3");
    assert_eq!(calls.load(Ordering::Relaxed), 1, "more was announced: deliver is called anyway");
    world.deliver(0);
    world.publish("4");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn a_position_that_stays_behind_is_reported_and_one_that_is_on_its_way_is_not() {
    let mut world = World::new(stream());
    let ada = world.join(0, "ada", positioned());
    world.publish("1");
    assert!(world.rosters[0].check_positions(10));
    world.rosters[0].check_positions(10);
    assert_eq!(world.deliver(0), ["ada: 1 1"], "it waited in the inbox");
    world.rosters[0].check_positions(10);
    // Something takes a delivery away.
    world.publish("2");
    let (mut items, mut lost) = (Vec::new(), Vec::new());
    world.space.inbox(0).take(&mut items, &mut lost);
    assert_eq!(items.len(), 1);
    world.rosters[0].check_positions(10);
    assert!(world.deliver(0).is_empty(), "it gets time");
    world.rosters[0].check_positions(10);
    assert_eq!(world.deliver(0), ["ada: gap in a1:x"]);
    assert!(!world.rosters[0].is_subscribed(ada, "a1:x"));
}

#[test]
fn every_limit_is_answered_and_counted() {
    let limits = Limits {
        channels: 2,
        subscribers_per_channel: 2,
        channels_per_client: 1,
        connections_per_user: Some(2),
        channel_name: 8,
        publication: 10,
        presence: 1,
        inbox_orders: 1,
        idempotency_keys: 1,
        ..Limits::default()
    };
    let mut world = World::with(stream(), limits, 1);
    let ada = world.join(0, "ada", Subscribe::default());
    world.join(0, "ada", Subscribe::default());
    let connect = |name: &'static str| Connect { user: name.into(), conn_info: None, format: 0, value: name };
    assert_eq!(world.rosters[0].connect(connect("ada")), Err(ConnectError::TooManyConnections { limit: 2 }));
    let nobody = Connect { format: WIRES as u8, ..connect("eve") };
    assert_eq!(world.rosters[0].connect(nobody), Err(ConnectError::Format { format: WIRES as u8 }));
    let bob = world.connect(0, "bob");
    let subscribe = |world: &mut World, client: ClientKey, channel: &str| {
        world.rosters[0].subscribe(client, channel, &Subscribe::default(), NOW).unwrap_err()
    };
    assert_eq!(subscribe(&mut world, bob, "a1:x"), SubscribeError::ChannelFull { limit: 2 });
    assert_eq!(subscribe(&mut world, ada, "a1:y"), SubscribeError::TooManyChannels { limit: 1 });
    assert_eq!(subscribe(&mut world, ada, "a1:x"), SubscribeError::AlreadySubscribed);
    let long = SubscribeError::Channel(ChannelError::TooLong { length: 9, limit: 8 });
    assert_eq!(subscribe(&mut world, bob, "a1:567890"), long);
    let unknown = ChannelError::UnknownNamespace { namespace: "b1".into() };
    assert_eq!(subscribe(&mut world, bob, "b1:x"), SubscribeError::Channel(unknown));
    assert_eq!(world.space.presence("a1:x").unwrap_err(), PresenceError::TooMany { clients: 2, limit: 1 });
    assert_eq!(world.space.presence_stats("a1:x").unwrap().clients, 2);
    let publish = |channel: &str, publish: Publish| world.space.publish(channel, publish, NOW);
    let large = Publish { tags: vec![("12345".into(), "6".into())], ..Publish::new("12345") };
    assert_eq!(publish("a1:x", large), Err(PublishError::TooLarge { size: 11, limit: 10 }));
    let keyed = |key: &str| Publish { idempotency_key: Some(key.into()), ..Publish::new("") };
    publish("a1:y", keyed("k")).unwrap();
    assert_eq!(publish("a1:y", keyed("l")), Err(PublishError::TooManyKeys { limit: 1 }));
    assert_eq!(publish("a1:y", keyed("123456789")), Err(PublishError::KeyTooLong { length: 9, limit: 8 }));
    assert_eq!(publish("a1:z", Publish::new("")), Err(PublishError::TooManyChannels { limit: 2 }));
    assert_eq!(subscribe(&mut world, bob, "a1:z"), SubscribeError::SpaceFull { limit: 2 });
    let target = Target::User { user: "ada".into(), client: None, session: None };
    world.space.order(target.clone(), Order::Custom(Arc::new(()))).unwrap();
    assert_eq!(world.space.order(target, Order::Custom(Arc::new(()))), Err(OrderError { limit: 1 }));
    let stats = world.space.stats();
    assert_eq!(
        [
            stats.refused_connections,
            stats.refused_subscribers,
            stats.refused_channels_per_client,
            stats.refused_names,
            stats.refused_presence,
            stats.refused_publications,
            stats.refused_keys,
            stats.refused_channels,
            stats.refused_orders
        ],
        [1, 1, 1, 2, 1, 1, 2, 2, 1]
    );
}

#[test]
fn histories_together_keep_to_their_limit_and_recovery_stays_right() {
    let cost = Publication { data: "1".into(), offset: 1, info: None, tags: Vec::new(), time: NOW }.cost();
    let limits = Limits { history_bytes: 3 * cost, ..Limits::default() };
    let mut world = World::with(stream(), limits, 1);
    for data in ["1", "2", "3", "4"] {
        world.publish(data);
    }
    assert_eq!(world.space.publish("a1:y", Publish::new("1"), NOW).unwrap().offset, 1);
    let stats = world.space.stats();
    assert_eq!((stats.history_bytes, stats.history_publications), (3 * cost as u64, 3));
    assert_eq!((stats.namespaces[0].history_evicted, stats.namespaces[0].history_refused), (1, 1));
    let ada = world.connect(0, "ada");
    let missed = world.subscribe(0, ada, recovering(Since::new(1, "")));
    assert_eq!(data(&missed), [&b"2"[..], b"3", b"4"]);
    let none = world.rosters[0].subscribe(ada, "a1:y", &recovering(Since::default()), NOW).unwrap();
    assert_eq!((none.recovered, none.position.unwrap().offset), (Some(false), 1));
}

#[test]
fn a_new_channel_takes_the_place_of_one_that_only_remembers() {
    let world = World::with(stream(), Limits { channels: 300, ..Limits::default() }, 1);
    for number in 0..300 {
        world.space.publish(&format!("a1:{number}"), Publish::new("1"), NOW).unwrap();
    }
    assert!(world.space.publish("a1:more", Publish::new("1"), NOW).is_err(), "all have a history");
    assert!(!world.space.tick(later(60_000)));
    assert_eq!((world.space.stats().channels, world.space.stats().history_bytes), (300, 0));
    for number in 300..310 {
        world.space.publish(&format!("a1:{number}"), Publish::new("1"), later(60_000)).unwrap();
    }
    let stats = world.space.stats();
    assert_eq!((stats.channels, stats.namespaces[0].forgotten_early), (300, 10));
}

#[test]
fn a_history_is_read_in_both_directions() {
    let world = World::new(stream());
    for data in ["1", "2", "3", "4"] {
        world.publish(data);
    }
    let read = |limit: Option<usize>, since: Option<u64>, reverse: bool| -> Vec<u64> {
        let since = since.map(|offset| Since::new(offset, ""));
        let history = world.space.history("a1:x", &HistoryRequest { limit, since, reverse }, NOW).unwrap();
        assert_eq!(history.position.offset, 4);
        history.publications.iter().map(|publication| publication.offset).collect()
    };
    assert_eq!(read(None, None, false), [1, 2, 3, 4]);
    assert_eq!(read(Some(2), None, true), [4, 3]);
    assert_eq!(read(Some(0), None, false), [0u64; 0]);
    assert_eq!(read(Some(2), Some(1), false), [2, 3]);
    assert_eq!(read(None, Some(3), true), [2, 1]);
    let other = HistoryRequest { since: Some(Since::new(1, "other")), ..HistoryRequest::default() };
    assert_eq!(world.space.history("a1:x", &other, NOW).unwrap_err(), HistoryError::Unrecoverable);
    let position = world.space.history_remove("a1:x", NOW).unwrap();
    let empty = world.space.history("a1:x", &HistoryRequest::default(), NOW).unwrap();
    assert_eq!((empty.publications.len(), empty.position), (0, position));
    assert_eq!(world.publish("5").offset, 5);
    let off = World::new(Options::default());
    assert_eq!(off.space.history("a1:x", &HistoryRequest::default(), NOW).unwrap_err(), HistoryError::Off);
}

#[test]
fn a_history_read_before_the_first_publication_gives_a_position_to_recover_from() {
    let mut world = World::new(stream());
    let position = world.space.history("a1:x", &HistoryRequest::default(), NOW).unwrap().position;
    world.publish("1");
    let ada = world.connect(0, "ada");
    let subscribed = world.subscribe(0, ada, recovering(position.into()));
    assert_eq!((subscribed.recovered, data(&subscribed)), (Some(true), vec![&b"1"[..]]));
}

#[test]
fn an_information_that_changes_is_seen_in_the_presence() {
    let mut world = World::new(stream());
    let ada = world.join(0, "ada", Subscribe::default());
    world.rosters[0]
        .subscribe(ada, "a1:y", &Subscribe { chan_info: Some("own".into()), ..Subscribe::default() }, NOW)
        .unwrap();
    assert!(world.rosters[0].set_conn_info(ada, Some("new".into())));
    for (channel, own) in [("a1:x", None), ("a1:y", Some(&b"own"[..]))] {
        let info = world.space.presence(channel).unwrap().remove(0);
        assert_eq!(info.conn_info().map(|info| &info[..]), Some(&b"new"[..]));
        assert_eq!(info.chan_info().map(|info| &info[..]), own);
    }
}

#[test]
fn overrides_of_a_subscription_win_over_its_namespace() {
    let mut world = World::new(Options { join_leave: true, ..stream() });
    let ada = world.connect(0, "ada");
    let overrides = Overrides {
        presence: Some(false),
        join_leave: Some(false),
        force_push_join_leave: Some(true),
        force_positioning: Some(true),
        force_recovery: None,
    };
    let subscribed = world.subscribe(0, ada, Subscribe { overrides, ..Subscribe::default() });
    assert_eq!((subscribed.positioned, subscribed.recoverable), (true, false));
    assert_eq!(world.space.presence("a1:x").unwrap().len(), 0);
    world.join(0, "bob", Subscribe::default());
    assert_eq!(world.deliver(0), ["ada: +bob"], "its own join was not told");
}

#[test]
fn channels_with_subscribers_are_listed_by_pattern() {
    let mut world = World::new(stream());
    let ada = world.join(0, "ada", Subscribe::default());
    world.rosters[0].subscribe(ada, "a1:yy", &Subscribe::default(), NOW).unwrap();
    world.space.publish("a1:only a history", Publish::new(""), NOW).unwrap();
    assert_eq!(world.space.channels(Some("*:x"), 9), [("a1:x".to_owned(), 1)]);
    assert_eq!((world.space.channels(None, 9).len(), world.space.channels(None, 1).len()), (2, 1));
    let mut channels: Vec<_> = world.rosters[0].channels(ada).collect();
    channels.sort_unstable();
    assert_eq!(channels, [("a1:x", false), ("a1:yy", false)]);
}

#[test]
fn clients_of_a_user_are_found_whichever_of_them_left() {
    let mut world = World::new(Options::default());
    let all: Vec<_> = (0..3).map(|_| world.connect(0, "ada")).collect();
    for (gone, left) in [(1, vec![all[2], all[0]]), (2, vec![all[0]]), (0, vec![])] {
        world.rosters[0].disconnect(all[gone], NOW);
        assert_eq!(world.rosters[0].clients_of("ada").collect::<Vec<_>>(), left);
        assert_eq!(world.space.stats().users, u64::from(!left.is_empty()));
    }
    assert_eq!(world.rosters[0].disconnect(all[0], NOW), None);
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_names() {
    let refused = |name: &str, options: Options| {
        let settings = Settings { namespaces: vec![Namespace::new(name, options)], ..Settings::default() };
        Space::new(settings, 1, 0).unwrap_err().to_string()
    };
    let recovery = Options { force_recovery: true, ..Options::default() };
    assert_eq!(refused("ab", recovery), r#"namespace "ab": force_recovery needs history_size and history_ttl"#);
    let half = Options { history_size: 1, ..Options::default() };
    assert_eq!(refused("ab", half), r#"namespace "ab": a history needs both history_size and history_ttl"#);
    assert!(refused("a", Options::default()).contains("at least two letters"));
    let twice = vec![Namespace::default(), Namespace::default()];
    let twice = Space::new(Settings { namespaces: twice, ..Settings::default() }, 1, 0);
    assert_eq!(twice.unwrap_err().to_string(), r#"namespace "" is configured twice"#);
    assert!(Space::new(Settings::default(), 0, 0).is_err());
}

#[test]
fn a_pattern_is_held_against_what_follows_the_namespace() {
    let pattern = ChannelPattern::new("^[0-9]+$").unwrap();
    let world = World::new(Options { channel_pattern: Some(pattern), ..Options::default() });
    assert_eq!(world.space.fits_pattern("a1:42"), Ok(true));
    assert_eq!(world.space.fits_pattern("$a1:x"), Ok(false));
}
