//! What becomes of channels and subscriptions when the namespaces change under them.

use super::*;

/// Another configuration of the only namespace; `None` takes it away.
fn change(world: &World, options: Option<Options>) {
    let namespaces = options.map(|options| Namespace::new("a1", options)).into_iter().collect();
    world.space.reconfigure(Settings { namespaces, ..Settings::default() }, NOW).expect("settings that work");
}

fn kept(world: &World) -> Result<usize, HistoryError> {
    let request = HistoryRequest { limit: None, ..HistoryRequest::default() };
    world.space.history("a1:x", &request, NOW).map(|history| history.publications.len())
}

#[test]
fn a_history_is_shortened_and_lengthened_while_a_subscriber_goes_on() {
    let mut world = World::new(stream());
    let ada = world.connect(0, "ada");
    world.subscribe(0, ada, positioned());
    for data in ["1", "2", "3", "4", "5", "6"] {
        world.publish(data);
    }
    assert_eq!(world.deliver(0).len(), 6);
    change(&world, Some(Options { history_size: 2, ..stream() }));
    assert_eq!(kept(&world), Ok(2));
    assert_eq!(world.space.stats().history_publications, 2);
    change(&world, Some(Options { history_size: 3, history_ttl: Duration::from_millis(10), ..stream() }));
    world.publish("7");
    world.publish("8");
    assert_eq!(kept(&world), Ok(3));
    assert_eq!(world.deliver(0), ["ada: 7 7", "ada: 8 8"], "nothing is missing");
    // What is older than the new time goes by itself.
    while world.space.tick(later(10)) {}
    assert_eq!((world.space.stats().history_publications, world.space.stats().history_bytes), (0, 0));
}

#[test]
fn nobody_recovers_past_a_time_without_history_and_a_newcomer_is_told_of_no_loss() {
    let mut world = World::new(stream());
    let position = world.publish("1");
    change(&world, Some(Options::default()));
    assert_eq!(kept(&world), Err(HistoryError::Off));
    assert_eq!((world.space.stats().history_bytes, world.space.stats().channels), (0, 1));
    let bob = world.connect(0, "bob");
    world.subscribe(0, bob, Subscribe::default());
    world.publish("2");
    assert_eq!(world.deliver(0), ["bob: 2"]);
    change(&world, Some(stream()));
    let ada = world.connect(0, "ada");
    let since = Since::new(position.offset, position.epoch.to_string());
    let subscribed = world.subscribe(0, ada, recovering(since));
    assert_eq!(subscribed.recovered, Some(false), "the second publication is in no history");
    world.publish("3");
    assert_eq!(world.deliver(0), ["bob: 3 3", "ada: 3 3"]);
}

#[test]
fn presence_is_forgotten_where_it_is_turned_off_and_kept_of_those_who_come_where_it_is_on() {
    let mut world = World::new(stream());
    let ada = world.connect(0, "ada");
    world.subscribe(0, ada, Subscribe::default());
    change(&world, Some(Options { presence: false, ..stream() }));
    assert_eq!(world.space.presence("a1:x").map(|all| all.len()), Err(PresenceError::Off));
    change(&world, Some(stream()));
    let bob = world.connect(0, "bob");
    world.subscribe(0, bob, Subscribe::default());
    assert_eq!(world.space.presence_stats("a1:x").map(|all| all.clients), Ok(1));
    // One who was forgotten leaves like any other.
    assert!(world.rosters[0].unsubscribe(ada, "a1:x", NOW) && world.rosters[0].unsubscribe(bob, "a1:x", NOW));
    assert_eq!(world.space.presence_stats("a1:x").map(|all| all.clients), Ok(0));
}

#[test]
fn a_namespace_that_is_gone_refuses_everything_and_its_subscriptions_are_listed_in_parts() {
    let mut world = World::new(stream());
    for name in ["ada", "bob", "eve"] {
        let key = world.connect(0, name);
        world.subscribe(0, key, Subscribe::default());
    }
    world.publish("1");
    assert_eq!(world.deliver(0).len(), 3);
    assert_eq!(world.rosters[0].gone(10).0.len(), 0);
    change(&world, None);
    let unknown = ChannelError::UnknownNamespace { namespace: "a1".into() };
    let refused = world.space.publish("a1:x", Publish::new("2"), NOW);
    assert_eq!(refused, Err(PublishError::Channel(unknown.clone())));
    let late = world.connect(0, "late");
    let refused = world.rosters[0].subscribe(late, "a1:x", &Subscribe::default(), NOW);
    assert_eq!(refused.err(), Some(SubscribeError::Channel(unknown)));
    let mut ended = 0;
    loop {
        let (gone, more) = world.rosters[0].gone(2);
        assert!(gone.len() <= 2);
        for (key, channel) in gone {
            assert!(world.rosters[0].unsubscribe(key, &channel, NOW));
            ended += 1;
        }
        if !more {
            break;
        }
    }
    assert_eq!((ended, world.rosters[0].channel_count()), (3, 0));
    while world.space.tick(later(1_000 * 3_600 * 1_000)) {}
    let stats = world.space.stats();
    assert_eq!((stats.channels, stats.namespaces.len()), (0, 0), "nothing is left of it");
    // It comes back as it was, with its counters.
    change(&world, Some(stream()));
    world.publish("3");
    let stats = world.space.stats();
    assert_eq!((stats.namespaces[0].publications, stats.namespaces[0].unsubscribed), (2, 3));
}

#[test]
fn a_channel_of_a_namespace_that_was_added_works_on_every_reactor() {
    let mut world = World::with(stream(), Limits::default(), 2);
    let namespaces = vec![Namespace::new("a1", stream()), Namespace::new("chat", stream())];
    let ada = world.connect(1, "ada");
    let refused = world.rosters[1].subscribe(ada, "chat:a", &Subscribe::default(), NOW);
    assert!(matches!(refused, Err(SubscribeError::Channel(ChannelError::UnknownNamespace { .. }))));
    world.space.reconfigure(Settings { namespaces, ..Settings::default() }, NOW).expect("settings that work");
    world.rosters[1].subscribe(ada, "chat:a", &Subscribe::default(), NOW).expect("there it is");
    world.space.publish("chat:a", Publish::new("1"), NOW).expect("it is taken");
    assert_eq!(world.deliver(1), ["ada: 1 1"]);
    assert_eq!(world.space.stats().namespaces[1].deliveries, 1);
}

#[test]
fn what_was_collected_leaves_first_where_coalescing_is_turned_off() {
    let coalesced = Options { coalesce: Some(Duration::from_millis(100)), ..stream() };
    let mut world = World::new(coalesced);
    let ada = world.connect(0, "ada");
    world.subscribe(0, ada, positioned());
    world.publish("1");
    assert_eq!(world.deliver(0).len(), 0, "it waits");
    change(&world, Some(stream()));
    world.publish("2");
    let delivered = world.deliver(0).join(" ");
    assert!(delivered.find("1 1") < delivered.find("2 2") && delivered.contains("1 1"), "{delivered}");
}

#[test]
fn settings_that_cannot_work_change_nothing() {
    let world = World::new(stream());
    let broken = Namespace::new("a1", Options { force_recovery: true, ..Options::default() });
    let settings = Settings { namespaces: vec![broken], ..Settings::default() };
    assert!(world.space.check(settings.clone()).is_err());
    assert!(world.space.reconfigure(settings, NOW).is_err());
    assert!(world.space.options("a1:x").expect("it is there").has_history());
}
