//! Everything that grows has an end.

use super::*;

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
