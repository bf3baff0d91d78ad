//! Subscribers that cannot take what is published.

use super::*;

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
