//! Publications on their way to the subscribers of the moment.

use super::*;

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
