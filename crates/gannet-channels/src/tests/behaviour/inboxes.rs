//! A reactor's inbox: what does not fit, and what is told of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

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
