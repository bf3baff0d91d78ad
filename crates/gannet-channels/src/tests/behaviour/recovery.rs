//! What a client gets that was away.

use super::*;

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
fn a_history_read_before_the_first_publication_gives_a_position_to_recover_from() {
    let mut world = World::new(stream());
    let position = world.space.history("a1:x", &HistoryRequest::default(), NOW).unwrap().position;
    world.publish("1");
    let ada = world.connect(0, "ada");
    let subscribed = world.subscribe(0, ada, recovering(position.into()));
    assert_eq!((subscribed.recovered, data(&subscribed)), (Some(true), vec![&b"1"[..]]));
}

#[test]
fn a_recovery_with_fewer_bytes_left_is_refused_sooner_and_with_none_wherever_something_was_missed() {
    for mode in [RecoveryMode::Stream, RecoveryMode::Cache] {
        let mut world = World::new(Options { recovery_mode: mode, force_recovery: true, ..stream() });
        let publish = |world: &World| world.space.publish("a1:x", Publish::new(vec![b'0'; 4_000]), NOW).unwrap();
        let epoch = publish(&world).epoch.to_string();
        publish(&world);
        for (offset, bytes, recovered) in [
            (0, None, true),
            (0, Some(5_000), mode == RecoveryMode::Cache),
            // One alone fits always, but where there is nothing left.
            (1, Some(1), true),
            (1, Some(0), false),
            (2, Some(0), true),
        ] {
            let ada = world.connect(0, "ada");
            let request = Subscribe { recover_bytes: bytes, ..recovering(Since::new(offset, epoch.as_str())) };
            let subscribed = world.subscribe(0, ada, request);
            assert_eq!(subscribed.recovered, Some(recovered), "from {offset} with {bytes:?} of {mode:?}");
            if !recovered {
                assert_eq!((subscribed.publications.len(), subscribed.position.unwrap().offset), (0, 2));
            } else if mode == RecoveryMode::Cache && offset < 2 {
                assert_eq!(subscribed.publications.len(), 1);
            }
            world.rosters[0].disconnect(ada, NOW);
        }
    }
}
